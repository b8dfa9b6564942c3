"""Step 5: the square window that a crop shows."""

from __future__ import annotations

from typing import NamedTuple


class Window(NamedTuple):
    """A square in array-index coordinates: pixel centres at integers, so the image spans -0.5 to height - 0.5."""

    row: float
    col: float
    side: float

    def leaves(self, height: int, width: int) -> bool:
        """Whether any part lies beyond the frame of an image of this size."""
        top, left = self.corner()
        return top < 0 or left < 0 or top + self.side > height or left + self.side > width

    def corner(self) -> tuple[float, float]:
        """Upper left corner in pixel-edge coordinates (pixel k covers k to k + 1), as Pillow's ``box``."""
        return self.row + 0.5 - self.side / 2, self.col + 0.5 - self.side / 2
