"""Step 3: where the galaxy is looked for, and the foreground component that is found there."""

from __future__ import annotations

from typing import NamedTuple

from .deblending import deblend
from .finders import find_blob
from .foreground import Foreground
from .frame import image_center, nearest_pixel
from .options import MeasureOptions
from .region import Region, fill_region, large_region, with_holes_filled
from .threshold import Threshold


class Component(NamedTuple):
    """The galaxy's region, and how it was found."""

    region: Region | None  # None: there is no foreground
    expected: tuple[float, float]  # where the galaxy was looked for
    objects: int  # in the foreground component that the region is from; 1 without deblending


def find_component(threshold: Threshold, foreground: Foreground, options: MeasureOptions) -> Component:
    """The 8-connected foreground component that holds the expected pixel, or is nearest to it."""
    height, width = foreground.mask.shape
    expected = _expected_position(threshold, options)
    row, col = nearest_pixel(expected[0]), nearest_pixel(expected[1])
    if options.center in ("image", "galaxy"):
        row, col = height // 2, width // 2
    elif not (0 <= row < height and 0 <= col < width):
        raise ValueError(f"center {expected} lies outside the image of {height} x {width} pixels")
    if threshold.cutoff is None:
        return Component(None, expected, 1)
    region = fill_region(foreground.mask, row, col)
    if region is not None and region.area < options.min_area:
        region = large_region(foreground, options.min_area, row, col)
    objects = 1
    if options.deblend and region is not None:
        given = not isinstance(options.center, str)
        region, objects = deblend(
            threshold, region, levels=options.deblend_levels, contrast=options.deblend_contrast,
            at=region.origin if given else None,
        )  # fmt: skip
    if options.fill_holes and region is not None:
        region = with_holes_filled(region)
    return Component(region, expected, objects)


def _expected_position(threshold: Threshold, options: MeasureOptions) -> tuple[float, float]:
    if not isinstance(options.center, str):
        return options.center
    middle = image_center(threshold.frame.height, threshold.frame.width)
    if options.center in ("log", "dog"):
        return find_blob(threshold, options.center) or middle
    return middle
