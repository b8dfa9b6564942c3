"""Step 3: the galaxy, the foreground component at (or nearest to) a pixel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from .frame import Frame
from .threshold import Threshold


class Component(NamedTuple):
    """The pixels of one connected region, as their number, moments and bounding box."""

    moments: list[int]  # n, sums of r, c, rr, rc, cc about the origin
    origin: tuple[int, int]  # the pixel that the fill started from
    bbox: tuple[int, int, int, int]  # first row, first column, last row + 1, last column + 1
    mask: NDArray[np.uint8]  # (height, width); kernels.component.MEMBER marks the region inside bbox; rest undefined

    def pixels(self) -> NDArray[np.bool_]:
        """The region as a boolean image."""
        image = np.zeros(self.mask.shape, bool)
        rows, cols = slice(self.bbox[0], self.bbox[2]), slice(self.bbox[1], self.bbox[3])
        image[rows, cols] = self.mask[rows, cols] == kernels.component.MEMBER
        return image


def find_component(
    frame: Frame, threshold: Threshold, row: int, col: int, foreground: NDArray[np.uint8] | None = None
) -> Component | None:
    """The 8-connected foreground component that holds pixel (row, col).

    Where that pixel is not foreground, the component of the foreground pixel nearest to it (ties: the first in
    row-major order). None if there is no foreground. If all of the foreground is known already (that of `Sky`), the
    region is marked in it; else only the rows that the region reaches are looked at.
    """
    if threshold.cutoff is None:
        return None
    mask = np.empty((frame.height, frame.width), np.uint8) if foreground is None else foreground
    done = np.empty(frame.height // kernels.component.GROUP + 1, bool)
    done.fill(foreground is not None)
    moments = np.zeros(8, np.int64)
    bbox = np.empty(4, np.int64)
    found = kernels.component.find_component(
        row, col, frame.rows, frame.kind, frame.weights, frame.valid, threshold.cutoff, frame.level,
        mask, done, moments, bbox,
    )  # fmt: skip
    if not found:
        return None
    *sums, origin_row, origin_col = moments.tolist()
    top, left, bottom, right = bbox.tolist()
    return without_overflow(Component(sums, (origin_row, origin_col), (top, left, bottom, right), mask))


def without_overflow(component: Component) -> Component:
    """The component, its moments computed anew if they, or what they are computed from, may be beyond 64 bits."""
    top, left, bottom, right = component.bbox
    if 4 * component.moments[0] * max(bottom - top, right - left) ** 2 < 2**63:
        return component
    return component._replace(moments=_exact_moments(component))


def _exact_moments(component: Component) -> list[int]:
    """The moments in Python's integers, from the ends of the region's runs, as the kernel computes them."""
    top, left, bottom, right = component.bbox
    n = sum_r = sum_c = sum_rr = sum_rc = sum_cc = 0
    for y in range(top, bottom):
        member = component.mask[y, left:right] == kernels.component.MEMBER
        ends = np.flatnonzero(np.diff(member, prepend=False, append=False)) + left - component.origin[1]
        r = y - component.origin[0]
        for a, end in ends.reshape(-1, 2).tolist():
            b, length = end - 1, end - a
            c = (a + b) * length // 2
            n, sum_r, sum_c = n + length, sum_r + length * r, sum_c + c
            sum_rr, sum_rc = sum_rr + length * r * r, sum_rc + r * c
            sum_cc += (b * (b + 1) * (2 * b + 1) - (a - 1) * a * (2 * a - 1)) // 6
    return [n, sum_r, sum_c, sum_rr, sum_rc, sum_cc]
