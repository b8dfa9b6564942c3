"""Steps 1 and 2: the grey level, and its threshold at mean + sigma * standard deviation."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from .frame import Frame, grey_image
from .options import MeasureOptions

MOST = 2**31 - 1  # above any exact grey level
TINY = 2.0**-600  # scales any float64 down, so that squares and sums of them are finite


class Sums(NamedTuple):
    """What the pass over an image that finds its threshold leaves for the foreground and the sky."""

    totals: NDArray[np.int64]  # (bands,), of the values of the valid pixels; only of 8- and 16-bit images
    peaks: NDArray[Any]  # bounds of the scaled grey levels of every kernels.BLOCK pixels


class Threshold(NamedTuple):
    """A threshold, and what it was computed from."""

    value: float  # mean + sigma * std of the grey level, in input units; NaN without valid pixels
    cutoff: np.int32 | np.float64 | None  # foreground is scaled grey >= cutoff; None: there is no foreground
    valid: int  # valid, finite pixels
    frame: Frame  # whose grey level is compared: that of the image, smoothed where asked for, scaled down where huge
    sums: Sums | None = None  # of that frame, where they were needed


def find_threshold(frame: Frame, options: MeasureOptions) -> Threshold:
    """Threshold at the mean plus ``sigma`` population standard deviations of the grey level of the valid pixels.

    For 8- and 16-bit images the comparison g >= mean + sigma * std is exact: it is turned into a comparison of
    integers with integer arithmetic throughout.
    """
    if options.smooth:
        frame = smooth_frame(frame, options.smooth)
    threshold = _threshold_of(frame, options)
    if threshold.valid and not (math.isfinite(threshold.value) or frame.exact):  # squares are beyond float64
        threshold = _threshold_of(frame._replace(rows=frame.rows * TINY, scale=frame.scale * TINY), options)
    return threshold


def _threshold_of(frame: Frame, options: MeasureOptions) -> Threshold:
    if options.sigma_clip is not None:
        return _clipped_threshold(frame, options.sigma, options.sigma_clip)
    if frame.exact and options.sigma != 1:
        return _exact_threshold(frame, options.sigma)
    result, sums = np.empty(2), room_for_sums(frame)
    before = frame.pixels, frame.kind, frame.weights, frame.valid_pixels, frame.level, frame.scale
    if frame.exact:
        count = kernels.threshold.exact_threshold(*before, *sums, result)
    else:
        count = kernels.threshold.float_threshold(*before, options.sigma, sums.peaks, result)
    value, cutoff = result.tolist()
    return Threshold(value, None if math.isnan(cutoff) else frame.level.dtype.type(cutoff), count, frame, sums)


def add_up(frame: Frame) -> tuple[Sums, int, int]:
    """Sums over an exact frame: of the bands, of the scaled grey level, and of its square."""
    sums = room_for_sums(frame)
    total, high, low = kernels.grey.exact_sums(
        frame.pixels, frame.kind, frame.weights, frame.valid_pixels, frame.level, *sums
    )
    return sums, int(total), (int(high) << 32) + int(low)  # of NumPy's type where kernels run as Python


def room_for_sums(frame: Frame) -> Sums:
    """Zeros for a kernel to fill."""
    blocks = -(-frame.height * frame.width // kernels.BLOCK)
    return Sums(np.zeros(frame.bands, np.int64), np.zeros(blocks, frame.level.dtype))


def _exact_threshold(frame: Frame, sigma: float) -> Threshold:
    """As the kernel of this name, at any number of deviations: that takes integers of more than 128 bits."""
    sums, total, squares = add_up(frame)
    count = frame.height * frame.width if frame.valid is None else int(np.count_nonzero(frame.valid))
    if count == 0:
        return Threshold(math.nan, None, 0, frame, sums)
    spread = count * squares - total * total  # count^2 * variance
    value = (total + sigma * math.sqrt(spread)) / (count * frame.scale)
    if spread == 0:
        return Threshold(value, None, count, frame, sums)
    # count * g - total >= sigma * sqrt(spread), all integers but the right-hand side, which is rounded up.
    square = Fraction(sigma) ** 2 * spread
    bound = math.isqrt(math.ceil(square) - 1) + 1 if sigma > 0 else -math.isqrt(math.floor(square))
    cutoff = -((-total - bound) // count)
    return Threshold(value, np.int32(min(max(cutoff, -MOST), MOST)), count, frame, sums)


def _clipped_threshold(frame: Frame, sigma: float, clip: float) -> Threshold:
    """Threshold at the clipped mean plus ``sigma`` clipped standard deviations.

    Pixels more than ``clip`` deviations from the mean are dropped and both computed again, until none is dropped; as
    astropy's ``sigma_clipped_stats`` with ``cenfunc="mean"``. It stops before all that is left has one value.
    """
    grey = grey_image(frame)
    values = grey[np.isfinite(grey)]
    if values.size == 0:
        return Threshold(math.nan, None, 0, frame)
    kept = values
    with np.errstate(over="ignore", invalid="ignore"):  # overflow ends as a threshold that is not finite
        mean, deviation = float(kept.mean()), float(kept.std())
        while deviation > 0:
            fewer = kept[np.abs(kept - mean) <= clip * deviation]
            if fewer.size == kept.size or (fewer == fewer[:1]).all():
                break
            kept = fewer
            mean, deviation = float(kept.mean()), float(kept.std())
    cutoff = mean + sigma * deviation
    if deviation == 0 or not math.isfinite(cutoff):
        return Threshold(cutoff / frame.scale, None, values.size, frame)
    exact = np.int32(min(max(math.ceil(cutoff), -MOST), MOST)) if frame.exact else np.float64(cutoff)
    return Threshold(cutoff / frame.scale, exact, values.size, frame)


def smooth_frame(frame: Frame, smooth: float) -> Frame:
    """A frame of one float band: the grey level smoothed with a Gaussian of ``smooth`` pixels standard deviation.

    Masked and non-finite pixels take no part and stay out. The edge pixels continue beyond the frame.
    """
    from scipy.ndimage import gaussian_filter

    grey = grey_image(frame)
    bad = np.isnan(grey)
    if bad.any():
        grey[bad] = 0
        share = gaussian_filter((~bad).astype(float), smooth, mode="nearest")
        with np.errstate(invalid="ignore", divide="ignore"):
            grey = gaussian_filter(grey, smooth, mode="nearest") / share
        grey[bad] = np.nan
    else:
        grey = gaussian_filter(grey, smooth, mode="nearest")
    level = np.empty(kernels.CHUNK)
    return Frame(grey, frame.height, frame.width, 1, 0, np.ones(1), frame.scale, level, frame.valid, grey.dtype, True)
