"""Pictures of galaxies with ellipse and window, and those of a cache's rows."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..cache.originals import read_originals
from ..images.showing import as_picture, fitted, limits_of
from ..measuring.showing import ELLIPSE, WINDOW
from .choosing import in_range

if TYPE_CHECKING:
    from PIL import Image

    from ..cache import Cache
    from ..measuring.measure import Measurement

AROUND = 3.0  # sides of an object's window that are shown of a field

#: What is drawn of a row on its original.
DRAWN = (
    "height", "width", "row", "col", "major_axis", "minor_axis", "orientation", "window_row", "window_col", "side",
)  # fmt: skip

_LINE = 1.6  # width of lines, pixels
_FINE = 4  # they are drawn so many times larger and shrunk: Pillow's own have steps


def shown_part(cache: Cache, row: int, pixels: NDArray[np.generic]) -> tuple[NDArray[np.generic], np.void]:
    """Return what to show of a row's image, and the catalogue row with its positions there.

    That is all of it, or the surroundings of the row's object if the image has many.
    """
    found = cache.catalog[row]
    return surroundings(pixels, found) if cache.settings.get("all_objects") else (pixels, found)


def surroundings(
    pixels: NDArray[np.generic], row: np.void, around: float = AROUND
) -> tuple[NDArray[np.generic], np.void]:
    """Return the part of an image around an object, and the object's catalogue row as if that part were the image."""
    if not can_be_drawn(row):
        return pixels, row
    reach = max(around * float(row["side"]) / 2, 16.0)
    top, left = (max(0, math.floor(row[f"window_{axis}"] - reach)) for axis in ("row", "col"))
    part = pixels[top : math.ceil(row["window_row"] + reach) + 1, left : math.ceil(row["window_col"] + reach) + 1]
    if not part.size:
        return pixels, row
    moved = row.copy()
    moved["height"], moved["width"] = part.shape[:2]
    for axis, edge in (("row", top), ("col", left)):
        moved[axis] -= edge
        moved[f"window_{axis}"] -= edge
    return part, moved


def can_be_drawn(row: np.void) -> bool:
    """Return whether the positions and sizes of a catalogue row are such as an image can have."""
    return bool(in_range(np.array([row[name] for name in DRAWN])).all() and row["height"] > 0 and row["width"] > 0)


def row_of(galaxy: Measurement) -> np.void:
    """Return what is drawn of a measurement, as a catalogue row has it."""
    return np.array([tuple(getattr(galaxy, name) for name in DRAWN)], [(name, float) for name in DRAWN])[0]


def draw_measurement(picture: Image.Image, row: np.void) -> None:
    """Draw ellipse and window of a catalogue row on a picture of its whole image, of any scale, if they can be."""
    if not can_be_drawn(row):
        return
    scale = picture.width / int(row["width"])
    if row["major_axis"] > 0:
        _draw_line(picture, ellipse_points(row) * scale, ELLIPSE)
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]) * row["side"] / 2
    corners += (row["window_col"] + 0.5, row["window_row"] + 0.5)
    # A window that ends at the frame, or beyond it, would otherwise lose the line itself.
    edge = _LINE / 2 / scale
    corners = np.clip(corners, edge, np.array([row["width"], row["height"]]) - edge)
    _draw_line(picture, corners * scale, WINDOW)


def ellipse_points(row: np.void) -> NDArray[np.float64]:
    """Return 97 points on the ellipse of a catalogue row as (x, y) in pixel-edge coordinates, the last as the first."""
    angle = np.linspace(0, 2 * math.pi, 97)
    along, across = np.cos(angle) * row["major_axis"] / 2, np.sin(angle) * row["minor_axis"] / 2
    sine, cosine = math.sin(row["orientation"]), math.cos(row["orientation"])
    x = row["col"] + 0.5 + along * sine + across * cosine
    y = row["row"] + 0.5 + along * cosine - across * sine
    return np.column_stack([x, y])


def _draw_line(picture: Image.Image, points: NDArray[np.float64], color: str) -> None:
    from PIL import Image, ImageDraw

    far = 8 * max(picture.size)  # Pillow counts in integers of 32 bits
    line = [tuple(point) for point in (np.clip(points, -far, far) * _FINE).tolist()]
    for ink, opacity, width in (("#000000", 150, 2 * _LINE), (color, 255, _LINE)):
        mask = Image.new("L", (picture.width * _FINE, picture.height * _FINE))
        ImageDraw.Draw(mask).line(line, fill=opacity, width=round(width * _FINE), joint="curve")
        picture.paste(ink, mask=mask.resize(picture.size, Image.Resampling.BOX))


def draw_rows(
    cache: Cache, rows: Sequence[int], images: Sequence[str | os.PathLike[str]] | None, side: int
) -> Iterator[tuple[Image.Image | None, np.void, list[Image.Image]]]:
    """Yield for each row its original, fitted to `side`, the catalogue row with its positions there, and its views."""
    for row, original in zip(rows, read_originals(cache, rows, images), strict=True):
        crops = [cache.view(name)[row] for name in cache.view_names]
        limits = limits_of(crops[0])
        views = [as_picture(crop, limits) for crop in crops]
        if original is None:
            yield None, cache.catalog[row], views
        else:
            part, found = shown_part(cache, row, original)
            if part.dtype != crops[0].dtype:  # as crops are that were stretched
                limits = limits_of(surroundings(part, found, 1.0)[0])
            yield fitted(as_picture(part, limits), side), found, views
