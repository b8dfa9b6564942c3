"""Step 5: the square window that a crop shows."""

from __future__ import annotations

from typing import NamedTuple

from .component import Component
from .ellipse import Ellipse
from .options import MeasureOptions
from .sizes import SIZES
from .threshold import Threshold


class Window(NamedTuple):
    """A square in array-index coordinates: pixel centres at integers, so the image spans -0.5 to height - 0.5."""

    row: float
    col: float
    side: float
    limited: bool = False  # the side is not that of the size asked for

    def leaves(self, height: int, width: int) -> bool:
        """Whether any part lies beyond the frame of an image of this size."""
        top, left = self.corner()
        return top < 0 or left < 0 or top + self.side > height or left + self.side > width

    def corner(self) -> tuple[float, float]:
        """Upper left corner in pixel-edge coordinates (pixel k covers k to k + 1), as Pillow's ``box``."""
        return self.row + 0.5 - self.side / 2, self.col + 0.5 - self.side / 2


def find_window(threshold: Threshold, component: Component, ellipse: Ellipse, options: MeasureOptions) -> Window:
    """The window of side ``margin`` times the galaxy's size, or the whole image where there is no galaxy."""
    middle = ellipse[:2] if options.center == "galaxy" else component.expected
    if component.region is None:
        return Window(*middle, float(min(threshold.frame.height, threshold.frame.width)))
    size, limited = ellipse.major_axis, False
    if options.size_from != "major_axis":
        size = SIZES[options.size_from](threshold, component.region, ellipse)
        if not size > 0:
            size, limited = ellipse.major_axis, True
    return window_of_size(*middle, size, options, limited=limited)


def window_of_size(row: float, col: float, size: float, options: MeasureOptions, *, limited: bool = False) -> Window:
    """The window of side ``margin`` times a size, within ``side_limits``."""
    side = max(options.margin * size, 1.0)
    if options.side_limits is not None:
        least, greatest = options.side_limits
        wanted, side = side, min(max(side, least), greatest)
        limited = limited or side != wanted
    return Window(row, col, side, limited)
