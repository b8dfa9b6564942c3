"""The threshold mean + sigma * standard deviation, from the sums over an image."""

import math

import numpy as np

from .compile import kernel
from .constants import CHUNK
from .exact import as_float, multiply, root_rounded_up, subtract
from .grey import float_sums, grey_levels, integer_sums

_32 = np.uint64(32)
_16 = np.uint64(16)
_48 = np.uint64(48)


@kernel
def count_valid(valid):
    """Valid pixels."""
    count = 0
    for x in range(len(valid)):
        count += valid[x] != 0
    return count


@kernel
def spread_of(sums, count):
    """Count * sum g^2 - (sum g)^2, which is count^2 times the variance, as an unsigned 128-bit integer.

    sums = [sum g, A, B, C] as `integer_sums` writes them. Below 2^118 for 16-bit images of 10^9 pixels.
    """
    total, middle = sums[0], sums[2]
    high, low = np.uint64(sums[1]) >> _32, np.uint64(sums[1]) << _32
    part_high, part_low = np.uint64(abs(middle)) >> _48, np.uint64(abs(middle)) << _16
    carry = np.uint64(0)
    if middle < 0:
        high, low = subtract(high, low, part_high, part_low)
    else:
        low += part_low
        carry = np.uint64(low < part_low)
        high += part_high + carry
    low += np.uint64(sums[3])
    high += np.uint64(low < np.uint64(sums[3]))
    carried, low = multiply(low, np.uint64(count))
    high = high * np.uint64(count) + carried
    square_high, square_low = multiply(np.uint64(abs(total)), np.uint64(abs(total)))
    return subtract(high, low, square_high, square_low)


@kernel
def exact_threshold(pixels, kind, weights, valid, level, scale, result):
    """Threshold at one deviation above the mean; returns the number of valid pixels.

    result = [threshold in input units, cutoff: foreground is scaled grey >= it]; the cutoff is NaN where there is no
    foreground. count * g - total >= sqrt(spread) is a comparison of integers once the root is rounded up.
    """
    sums = np.empty(4, np.int64)
    integer_sums(pixels, kind, weights, valid, level, sums)
    count = len(pixels) // len(weights) if valid is None else count_valid(valid)
    result[0] = result[1] = np.nan
    if count == 0:
        return 0
    high, low = spread_of(sums, count)
    result[0] = (sums[0] + math.sqrt(as_float(high, low))) / (count * scale)
    if high != 0 or low != 0:
        bound = np.int64(root_rounded_up(high, low))
        result[1] = min(-((-sums[0] - bound) // count), 2**31 - 1)  # many bands may reach beyond int32
    return count


@kernel
def some_level(pixels, kind, weights, valid, level):
    """The finite grey level of a valid pixel: of one in a chunk from the middle of the image, else of any, else 0."""
    bands = len(weights)
    count = len(pixels) // bands
    planes = np.empty((3, CHUNK), pixels.dtype)
    start = max(count - CHUNK, 0) // 2
    following = 0
    while start < count:
        grey = level[: min(CHUNK, count - start)]
        grey_levels(pixels[start * bands : (start + len(grey)) * bands], kind, weights, planes, grey)
        for x in range(len(grey)):
            if np.isfinite(grey[x]) and (valid is None or valid[start + x] != 0):
                return float(grey[x])
        start = following
        following += CHUNK
    return 0.0


@kernel
def float_threshold(pixels, kind, weights, valid, level, scale, sigma, result):
    """As `exact_threshold` for floats, at any number of deviations; result[0] is not finite where squares overflow."""
    result[0] = result[1] = np.nan
    pivot = some_level(pixels, kind, weights, valid, level)  # sums of squares about a value of the image do not cancel
    sums, squares = np.zeros((2, len(level)))
    count = float_sums(pixels, kind, weights, valid, pivot, level, sums, squares)
    if count == 0:
        return 0
    total = total_squares = 0.0
    for x in range(len(sums)):
        total += sums[x]
        total_squares += squares[x]
    offset = total / count
    variance = total_squares / count - offset * offset
    cutoff = pivot + offset + sigma * math.sqrt(variance) if variance >= 0 else np.nan
    result[0] = cutoff / scale
    if variance > 0 and np.isfinite(cutoff):
        result[1] = cutoff
    return count
