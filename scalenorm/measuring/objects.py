"""Every object of a field."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .. import kernels
from .component import Component
from .deblending import deblend, object_pixels
from .ellipse import fit_ellipse
from .foreground import Foreground, find_foreground
from .frame import Frame
from .galaxy import Galaxy, describe_component
from .options import MeasureOptions
from .region import Region, fill_region, label_foreground, with_holes_filled
from .threshold import Threshold, find_threshold


def find_objects(frame: Frame, options: MeasureOptions) -> Iterator[Galaxy]:
    """Find every object: each component of at least ``min_area`` pixels, or what deblending separates it into.

    Yields
    ------
    Galaxy
        In the order of their components' first pixels. Each is expected where it is. Use it before asking for the
        next: they share one mask, in which only the object's own component is marked.
    """
    threshold = find_threshold(frame, options)
    foreground = find_foreground(frame, threshold)
    for whole in _components(foreground, options.min_area):
        for region, objects in _parts(threshold, whole, options):
            if options.fill_holes:
                region = with_holes_filled(region)
            expected = fit_ellipse(region)[:2]
            yield describe_component(threshold, foreground, Component(region, expected, objects), options)


def _components(foreground: Foreground, min_area: int) -> Iterator[Region]:
    """Each component that is large enough, marked in the mask while it is looked at."""
    labels, areas = label_foreground(foreground)
    inside = np.flatnonzero(labels)[::-1]
    first = np.zeros(len(areas), np.int64)
    first[labels.ravel()[inside]] = inside  # of several values for one place the last one stays
    large = areas >= min_area
    large[0] = False
    mask = foreground.mask
    for pixel in first[large].tolist():
        region = fill_region(mask, *divmod(pixel, mask.shape[1]))
        if region is not None:
            yield region
            top, left, bottom, right = region.bbox
            part = mask[top:bottom, left:right]
            part[part == kernels.MEMBER] = kernels.FOREGROUND


def _parts(threshold: Threshold, region: Region, options: MeasureOptions) -> Iterator[tuple[Region, int]]:
    """The objects of a component, each with the number of objects in it."""
    if not options.deblend:
        yield region, 1
        return
    levels, contrast = options.deblend_levels, options.deblend_contrast
    for at in object_pixels(threshold, region, levels=levels, contrast=contrast):
        part, objects = deblend(threshold, region, levels=levels, contrast=contrast, at=at)
        if part.area >= options.min_area:
            yield part, objects
