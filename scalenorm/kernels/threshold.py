"""The threshold mean + sigma * standard deviation, from the sums over an image."""

import math

import numpy as np

from .compile import composed, kernel
from .exact import as_float, multiply, root_rounded_up, subtract
from .grey import exact_sums, float_sums

_32 = np.uint64(32)


@kernel
def spread_of(total, high, low, count):
    """Count * sum g^2 - (sum g)^2, which is count^2 times the variance, as an unsigned 128-bit integer.

    sum g^2 = high 2^32 + low. Below 2^118 for 16-bit images of 10^9 pixels.
    """
    upper, lower = np.uint64(high) >> _32, np.uint64(high) << _32
    lower += np.uint64(low)
    upper += np.uint64(1 if lower < np.uint64(low) else 0)
    carried, lower = multiply(lower, np.uint64(count))
    upper = upper * np.uint64(count) + carried
    square_high, square_low = multiply(np.uint64(abs(total)), np.uint64(abs(total)))
    return subtract(upper, lower, square_high, square_low)


@composed
def exact_threshold(pixels, kind, weights, valid, level, scale, totals, peaks, result):
    """Threshold at one deviation above the mean; returns the number of valid pixels.

    result = [threshold in input units, cutoff: foreground is scaled grey >= it]; the cutoff is NaN where there is no
    foreground. totals, peaks : see `exact_sums`.

    count * g - total >= sqrt(spread) is a comparison of integers once the root is rounded up.
    """
    total, high, low = exact_sums(pixels, kind, weights, valid, level, totals, peaks)
    count = len(pixels) // len(weights)
    if len(valid):
        count = 0
        for x in range(len(valid)):
            count += valid[x] != 0
    result[0] = result[1] = np.nan
    if count == 0:
        return 0
    upper, lower = spread_of(total, high, low, count)
    result[0] = (total + math.sqrt(as_float(upper, lower))) / (count * scale)
    if upper != 0 or lower != 0:
        bound = np.int64(root_rounded_up(upper, lower))
        result[1] = min(-((-total - bound) // count), 2**31 - 1)  # many bands may reach beyond int32
    return count


@composed
def float_threshold(pixels, kind, weights, valid, level, scale, sigma, peaks, result):
    """As `exact_threshold` for floats, at any number of deviations; result[0] is not finite where squares overflow."""
    result[0] = result[1] = np.nan
    count, pivot, total, squares = float_sums(pixels, kind, weights, valid, level, peaks)
    if count == 0:
        return 0
    offset = total / count
    variance = squares / count - offset * offset
    cutoff = pivot + offset + sigma * math.sqrt(variance) if variance >= 0 else np.nan
    result[0] = cutoff / scale
    if variance > 0 and np.isfinite(cutoff):
        result[1] = cutoff
    return count
