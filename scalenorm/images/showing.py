"""Arrays of any type as pictures for people: 8-bit RGB, and small."""

from __future__ import annotations

import base64
import io
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

_MOST_PIXELS = 4_000_000
_PIECE = 1 << 20  # pixels of a large image that are read at once


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


def shrunk(pixels: Any, side: int) -> NDArray[Any]:
    """Return an image (H, W) or (H, W, C), an array or what gives one when sliced, of at most `side` pixels a side.

    Each pixel is the mean of a square block, of its finite values; NaN where there are none. 8-bit images stay 8-bit.
    Pieces are read one after the other, so that memory does not grow with the image.
    """
    height, width = pixels.shape[:2]
    step = -(-max(height, width) // side)
    rows, cols = -(-height // step), -(-width // step)
    wide = min(cols, max(1, _PIECE // step**2))
    high = max(1, _PIECE // step**2 // wide)
    small = np.empty((rows, cols, *pixels.shape[2:]))
    for row in range(0, rows, high):
        for col in range(0, cols, wide):
            bottom, right = min((row + high) * step, height), min((col + wide) * step, width)
            piece = np.asarray(pixels[row * step : bottom, col * step : right], np.float64)
            small[row : row + high, col : col + wide] = _block_means(piece, step)
    return np.rint(small).astype(np.uint8) if pixels.dtype == np.uint8 else small


def _block_means(pixels: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    known = np.isfinite(pixels)
    sums, counts = np.where(known, pixels, 0), known.astype(np.float64)
    with np.errstate(all="ignore"):
        for axis in (0, 1):
            starts = np.arange(0, pixels.shape[axis], step)
            sums, counts = np.add.reduceat(sums, starts, axis), np.add.reduceat(counts, starts, axis)
        return sums / counts


def as_jpeg(picture: Image.Image) -> str:
    """Return a picture as a JPEG file in base64, for a page."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=82, optimize=True)
    return base64.b64encode(file.getvalue()).decode()
