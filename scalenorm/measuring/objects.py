"""Every object of a field: found, put in order, measured and cropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .component import Component, find_component
from .frame import Frame
from .measure import Galaxy, find_foreground, finish_galaxy
from .options import MeasureOptions
from .threshold import Threshold


def count_objects(frame: Frame, options: MeasureOptions) -> int:
    """Return how many objects `find_objects` finds."""
    grey, threshold = find_foreground(frame, options)
    if options.deblend:
        return sum(1 for _ in _components(grey, threshold, options))
    return len(_regions(grey, threshold, options)[0])


def find_objects(frame: Frame, options: MeasureOptions, numbers: Sequence[int] | None = None) -> list[Galaxy]:
    """Find every object: each component of at least ``min_area`` pixels, or what deblending separates it into.

    Parameters
    ----------
    frame : Frame
    options : MeasureOptions
    numbers : sequence of int >= 0, optional
        Return these only, in this order, without those that there are not.

    Returns
    -------
    list of Galaxy
        The one with the most pixels first; ties in the order of their components' first pixels. Each holds of its
        mask the bounding box only, because whole ones would take as many images as there are objects.
    """
    grey, threshold = find_foreground(frame, options)
    if options.deblend or options.fill_holes:
        found = [
            _packed(finish_galaxy(grey, threshold, component, objects, None, options))
            for component, objects in _components(grey, threshold, options)
        ]
        found.sort(key=lambda galaxy: -galaxy.component.moments[0] if galaxy.component else 0)
        return found if numbers is None else [found[number] for number in numbers if number < len(found)]
    pixels, areas = _regions(grey, threshold, options)
    order = pixels[np.argsort(-areas, kind="stable")]
    if numbers is not None:
        order = order[[number for number in numbers if number < len(order)]]
    return [
        _packed(finish_galaxy(grey, threshold, _component_at(grey, threshold, pixel), 1, None, options))
        for pixel in order.tolist()
    ]


def _regions(grey: Frame, threshold: Threshold, options: MeasureOptions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first pixel and area of each component that is large enough, in row-major order of the first pixels."""
    from .robust import label_foreground

    labels, areas = label_foreground(grey, threshold)
    inside = np.flatnonzero(labels)[::-1]
    first = np.zeros(len(areas), np.int64)
    first[labels.ravel()[inside]] = inside  # of several values for one place the last one stays
    large = areas >= options.min_area
    large[0] = False
    return first[large], areas[large]


def _component_at(grey: Frame, threshold: Threshold, pixel: int) -> Component | None:
    return find_component(grey, threshold, *divmod(pixel, grey.width))


def _components(grey: Frame, threshold: Threshold, options: MeasureOptions) -> Iterator[tuple[Component, int]]:
    """Yield every object's component, and how many objects the component holds that it was separated from."""
    from .deblending import deblend, object_pixels

    levels, contrast = int(options.deblend_levels), options.deblend_contrast
    for pixel in _regions(grey, threshold, options)[0].tolist():
        component = _component_at(grey, threshold, pixel)
        if component is None:
            continue
        if not options.deblend:
            yield component, 1
            continue
        for at in object_pixels(grey, threshold, component, levels=levels, contrast=contrast):
            part, objects = deblend(grey, threshold, component, levels=levels, contrast=contrast, at=at)
            if part.moments[0] >= options.min_area:
                yield part, objects


def _packed(galaxy: Galaxy) -> Galaxy:
    component = galaxy.component
    if component is None:
        return galaxy
    top, left, bottom, right = component.bbox
    return galaxy._replace(component=component._replace(mask=component.mask[top:bottom, left:right].copy()))
