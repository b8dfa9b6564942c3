"""Connected regions of the foreground: the pixels of one, its moments, and ways to get it from a boolean image."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from .foreground import Foreground
from .threshold import Threshold


class Region(NamedTuple):
    """The pixels of one connected region, as their number, moments and bounding box."""

    moments: list[int]  # n, sums of r, c, rr, rc, cc about the origin
    origin: tuple[int, int]  # the pixel that the fill started from
    bbox: tuple[int, int, int, int]  # first row, first column, last row + 1, last column + 1
    mask: NDArray[np.uint8]  # (height, width); kernels.MEMBER marks the region inside bbox; rest undefined

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.moments[0]

    def pixels(self) -> NDArray[np.bool_]:
        """The region as a boolean image."""
        image = np.zeros(self.mask.shape, bool)
        rows, cols = slice(self.bbox[0], self.bbox[2]), slice(self.bbox[1], self.bbox[3])
        image[rows, cols] = self.mask[rows, cols] == kernels.MEMBER
        return image


def fill_region(mask: NDArray[np.uint8], row: int, col: int) -> Region | None:
    """Mark, in a foreground mask, the 8-connected region that holds pixel (row, col).

    Where that pixel is not foreground, the region of the foreground pixel nearest to it (ties: the first in row-major
    order). None if there is no foreground.
    """
    moments = np.zeros(8, np.int64)
    bbox = np.empty(4, np.int64)
    if not kernels.component.find_component(row, col, mask, moments, bbox):
        return None
    *sums, origin_row, origin_col = moments.tolist()
    top, left, bottom, right = bbox.tolist()
    return without_overflow(Region(sums, (origin_row, origin_col), (top, left, bottom, right), mask))


def region_of(pixels: NDArray[np.bool_], origin: tuple[int, int]) -> Region:
    """The region that consists of the True pixels, of which ``origin`` is one."""
    rows, cols = np.nonzero(pixels)
    r, c = rows - origin[0], cols - origin[1]
    moments = [len(r), *(int(np.sum(part)) for part in (r, c, r * r, r * c, c * c))]
    bbox = int(rows.min()), int(cols.min()), int(rows.max()) + 1, int(cols.max()) + 1
    return without_overflow(Region(moments, origin, bbox, pixels.astype(np.uint8) * np.uint8(kernels.MEMBER)))


def large_region(foreground: Foreground, min_area: int, row: int, col: int) -> Region | None:
    """The region of at least ``min_area`` pixels that is nearest to a pixel; None if there is none."""
    labels, areas = label_foreground(foreground)
    keep = areas >= min_area
    keep[0] = False
    rows, cols = np.nonzero(keep[labels])
    if len(rows) == 0:
        return None
    nearest = np.argmin((rows - row) ** 2 + (cols - col) ** 2)  # the first in row-major order among equals
    pixel = int(rows[nearest]), int(cols[nearest])
    return region_of(labels == labels[pixel], pixel)


def label_foreground(foreground: Foreground) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """8-connected components of the foreground, numbered from 1 in row-major order, and the pixels of each number."""
    from scipy.ndimage import label

    labels, count = label(foreground.mask, np.ones((3, 3)))
    return labels, np.bincount(labels.ravel(), minlength=count + 1)


def with_holes_filled(region: Region) -> Region:
    """The region with the pixels that it encloses; scikit-image counts holes the same way (8-connected region)."""
    from scipy.ndimage import binary_fill_holes

    pixels = region.pixels()
    top, left, bottom, right = region.bbox
    pixels[top:bottom, left:right] = binary_fill_holes(pixels[top:bottom, left:right])
    return region_of(pixels, region.origin)


def without_overflow(region: Region) -> Region:
    """The region, its moments computed anew if they, or what they are computed from, may be beyond 64 bits."""
    top, left, bottom, right = region.bbox
    if 4 * region.area * max(bottom - top, right - left) ** 2 < 2**63:
        return region
    return region._replace(moments=_exact_moments(region))


def _exact_moments(region: Region) -> list[int]:
    """The moments in Python's integers, from the ends of the region's runs, as the kernel computes them."""
    top, left, bottom, right = region.bbox
    n = sum_r = sum_c = sum_rr = sum_rc = sum_cc = 0
    for y in range(top, bottom):
        member = region.mask[y, left:right] == kernels.MEMBER
        ends = np.flatnonzero(np.diff(member, prepend=False, append=False)) + left - region.origin[1]
        r = y - region.origin[0]
        for a, end in ends.reshape(-1, 2).tolist():
            b, length = end - 1, end - a
            c = (a + b) * length // 2
            n, sum_r, sum_c = n + length, sum_r + length * r, sum_c + c
            sum_rr, sum_rc = sum_rr + length * r * r, sum_rc + r * c
            sum_cc += (b * (b + 1) * (2 * b + 1) - (a - 1) * a * (2 * a - 1)) // 6
    return [n, sum_r, sum_c, sum_rr, sum_rc, sum_cc]


def sky_and_height(grey: NDArray[np.float64], threshold: Threshold) -> tuple[float, float]:
    """Mean of the grey levels below the cutoff, and how far above it the cutoff is (above 0)."""
    cutoff = math.inf if threshold.cutoff is None else float(threshold.cutoff)
    below = grey[grey < cutoff]
    sky = float(below.mean() if below.size else np.nanmin(grey))
    return sky, max(cutoff - sky, float(np.finfo(float).tiny))
