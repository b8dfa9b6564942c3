"""Arrays of any type as pictures for people: 8-bit RGB, small, with ellipse and window."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cache.originals import read_originals
from .choosing import in_range

if TYPE_CHECKING:
    from PIL import Image

    from ..cache import Cache

ELLIPSE, WINDOW = "#ffb000", "#4cc9f0"  # told apart by the colour-blind too, and from any galaxy

AROUND = 3.0  # sides of an object's window that are shown of a field

#: What is drawn of a row on its original.
DRAWN = (
    "height", "width", "row", "col", "major_axis", "minor_axis", "orientation", "window_row", "window_col", "side",
)  # fmt: skip

_LINE = 1.6  # width of lines, pixels
_FINE = 4  # they are drawn so many times larger and shrunk: Pillow's own have steps
_MOST_PIXELS = 4_000_000


class Limits(NamedTuple):
    """Values shown as black and as white."""

    low: float
    high: float


def limits_of(pixels: NDArray[np.generic]) -> Limits:
    """Return limits that show a galaxy and its sky: the 1st and the 99.8th percentile of the finite values."""
    values = np.asarray(pixels, np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return Limits(0.0, 1.0)
    low, high = np.percentile(values, (1, 99.8))
    return Limits(float(low), float(high if high > low else low + 1))


def as_picture(pixels: NDArray[np.generic], limits: Limits) -> Image.Image:
    """Return an array (H, W) or (H, W, C) as an RGB picture, of at most about 4 million pixels.

    8-bit values are shown as they are, all others through an asinh stretch between `limits`. Of four 8-bit bands the
    first three are shown, of any other number but 1 and 3 the mean.
    """
    from PIL import Image

    step = max(1, math.isqrt(pixels.shape[0] * pixels.shape[1] // _MOST_PIXELS))
    pixels = pixels[::step, ::step]
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape[2] == 4 and pixels.dtype == np.uint8:
        pixels = pixels[:, :, :3]
    elif pixels.shape[2] not in (1, 3):
        pixels = pixels.mean(axis=2, keepdims=True, dtype=np.float64).astype(pixels.dtype)
    if pixels.dtype != np.uint8:
        pixels = _stretched(pixels, limits)
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))))


def _stretched(pixels: NDArray[np.generic], limits: Limits) -> NDArray[np.uint8]:
    values = np.nan_to_num(np.asarray(pixels, np.float64), nan=limits.low, posinf=limits.high, neginf=limits.low)
    values = np.clip((values - limits.low) / (limits.high - limits.low), 0, 1)
    return (np.arcsinh(8 * values) / math.asinh(8) * 255 + 0.5).astype(np.uint8)


def fitted(picture: Image.Image, side: int) -> Image.Image:
    """Return a picture resized so that its longer side has `side` pixels."""
    from PIL import Image

    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BILINEAR)


def shown_part(cache: Cache, row: int, pixels: NDArray[np.generic]) -> tuple[NDArray[np.generic], np.void]:
    """Return what to show of a row's image, and the catalogue row with its positions there.

    That is all of it, or the surroundings of the row's object if the image has many.
    """
    found = cache.catalog[row]
    return surroundings(pixels, found) if cache.settings.get("all_objects") else (pixels, found)


def surroundings(pixels: NDArray[np.generic], row: np.void) -> tuple[NDArray[np.generic], np.void]:
    """Return the part of an image around an object, and the object's catalogue row as if that part were the image."""
    if not can_be_drawn(row):
        return pixels, row
    reach = max(AROUND * float(row["side"]) / 2, 16.0)
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
            yield fitted(as_picture(part, limits), side), found, views
