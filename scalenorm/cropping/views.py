"""Steps 5 and 7: the square window of each view of a galaxy."""

from __future__ import annotations

from ..measuring.frame import image_center
from ..measuring.window import Window


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


def view_window(name: str, normalized: Window, height: int, width: int) -> Window:
    """The window of a view, given that of the normalised one."""
    side = parse_view(name)
    return normalized if side is None else center_window(height, width, side)
