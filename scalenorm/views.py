"""Steps 5 and 7: the square window of each view of a galaxy."""

from __future__ import annotations

from typing import NamedTuple

from .frame import image_center


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


def parse_view(name: str) -> int | None:
    """Pixels of the centre crop that a view's name asks for; None for ``normalized``.

    Raises
    ------
    ValueError
        If the name is neither ``normalized`` nor ``center-N`` with N > 0.
    """
    if name == "normalized":
        return None
    prefix, _, digits = name.partition("-") if isinstance(name, str) else ("", "", "")
    if prefix == "center" and digits.isascii() and digits.isdigit() and digits[0] != "0" and len(digits) < 10:
        return int(digits)
    raise ValueError(f"unknown view {name!r}: use 'normalized' or 'center-N' with N pixels, for instance 'center-64'")


def center_window(height: int, width: int, side: int) -> Window:
    """The window of a ``center-N`` view."""
    return Window(*image_center(height, width), float(side))
