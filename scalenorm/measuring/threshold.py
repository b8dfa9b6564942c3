"""Steps 1 and 2: grey level, and the threshold mean + sigma * standard deviation; and the sky below it."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from .frame import Frame

_MOST = 2**31 - 1  # above any exact grey level
TINY = 2.0**-600  # scales any float64 down, so that squares and sums of them are finite


class Threshold(NamedTuple):
    """A threshold, and what it was computed from."""

    value: float  # mean + sigma * std of the grey level, in input units; NaN without valid pixels
    cutoff: np.int32 | np.float64 | None  # foreground is scaled grey >= cutoff; None: there is no foreground
    valid: int  # valid, finite pixels


class Sky(NamedTuple):
    """What a threshold leaves below it, and what above."""

    values: NDArray[np.float64]  # (bands,), mean of the valid pixels below the threshold, in input units
    pixels: int  # their number; all valid ones where there is no foreground
    foreground: NDArray[np.uint8]  # (height, width), 0 where not


def find_threshold(frame: Frame, sigma: float) -> Threshold:
    """Threshold at the mean plus ``sigma`` population standard deviations of the grey level of the valid pixels.

    For 8- and 16-bit images the comparison g >= mean + sigma * std is exact: it is turned into a comparison of
    integers with integer arithmetic throughout.
    """
    return _exact_threshold(frame, sigma) if frame.exact else _float_threshold(frame, sigma)


def _exact_threshold(frame: Frame, sigma: float) -> Threshold:
    sums = np.empty(4, np.int64)
    kernels.grey.integer_sums(frame.pixels, frame.kind, frame.weights, frame.valid_pixels, frame.level, sums)
    total, high, middle, low = sums.tolist()
    count = frame.height * frame.width if frame.valid is None else int(np.count_nonzero(frame.valid))
    if count == 0:
        return Threshold(math.nan, None, 0)
    squares = (high << 32) + (middle << 16) + low
    spread = count * squares - total * total  # count^2 * variance
    value = (total + sigma * math.sqrt(spread)) / (count * frame.scale)
    if spread == 0:
        return Threshold(value, None, count)
    # count * g - total >= sigma * sqrt(spread), all integers but the right-hand side, which is rounded up.
    if sigma == 1:
        bound = math.isqrt(spread - 1) + 1
    else:
        square = Fraction(sigma) ** 2 * spread
        bound = math.isqrt(math.ceil(square) - 1) + 1 if sigma > 0 else -math.isqrt(math.floor(square))
    cutoff = -((-total - bound) // count)
    return Threshold(value, np.int32(min(max(cutoff, -_MOST), _MOST)), count)


def _float_threshold(frame: Frame, sigma: float) -> Threshold:
    sums, squares = np.zeros((2, len(frame.level)))
    pivot = _some_level(frame)  # a value of the image: sums of squares about it do not cancel
    with np.errstate(over="ignore", invalid="ignore"):  # overflow ends as a variance that is not finite
        count = kernels.grey.float_sums(
            frame.pixels, frame.kind, frame.weights, frame.valid_pixels, pivot, frame.level, sums, squares
        )
        if count == 0:
            return Threshold(math.nan, None, 0)
        offset = float(sums.sum()) / count
        variance = float(squares.sum()) / count - offset * offset
    cutoff = pivot + offset + sigma * math.sqrt(variance) if variance >= 0 else math.nan
    value = cutoff / frame.scale
    if not (variance > 0 and math.isfinite(cutoff)):
        return Threshold(value, None, count)
    return Threshold(value, np.float64(cutoff), count)


def _some_level(frame: Frame) -> float:
    """The finite grey level of a valid pixel: of one in a chunk from the middle of the image, else of any, else 0."""
    grey, chunk = kernels.grey, kernels.grey.CHUNK
    count = frame.height * frame.width
    planes = np.empty((3, chunk), frame.rows.dtype)
    for start in (max(count - chunk, 0) // 2, *range(0, count, chunk)):
        level = frame.level[: min(chunk, count - start)]
        pixels = frame.pixels[start * frame.bands : (start + len(level)) * frame.bands]
        grey.grey_levels(pixels, frame.kind, frame.weights, planes, level)
        good = np.isfinite(level)
        if frame.valid_pixels is not None:
            good &= frame.valid_pixels[start : start + len(level)] != 0
        if good.any():
            return float(level[good.argmax()])
    return 0.0


def measure_sky(frame: Frame, threshold: Threshold) -> Sky:
    """Divide the pixels into foreground and sky.

    If no valid pixel is below the threshold, the sky is the mean of all of them; if none is valid, 0.
    """
    foreground = np.empty((frame.height, frame.width), np.uint8)
    sums = np.zeros((frame.bands, 1 if frame.exact else len(frame.level)))
    before = frame.pixels, frame.kind, frame.weights, frame.valid_pixels
    cutoff = _above_all(frame) if threshold.cutoff is None else threshold.cutoff
    below = count = kernels.grey.split_pixels(*before, cutoff, frame.level, sums, foreground.reshape(-1))
    if not count and threshold.cutoff is not None:
        unused = np.empty(foreground.size, np.uint8)
        count = kernels.grey.split_pixels(*before, _above_all(frame), frame.level, sums, unused)
    if frame.exact:
        return Sky(sums.sum(axis=1) / max(count, 1), below, foreground)
    with np.errstate(over="ignore", invalid="ignore"):
        values = sums.sum(axis=1) / max(count, 1)
    if not np.isfinite(values).all():  # sums are beyond float64
        tiny = None if threshold.cutoff is None else np.float64(threshold.cutoff * TINY)
        values = measure_sky(frame._replace(rows=frame.rows * TINY), threshold._replace(cutoff=tiny)).values / TINY
    return Sky(values, below, foreground)


def _above_all(frame: Frame) -> np.int32 | np.float64:
    """A cutoff that leaves every finite grey level below it."""
    return np.int32(_MOST) if frame.exact else np.float64(np.inf)
