"""The pixels that reach the threshold, and the sky that those below it make."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from .frame import Frame
from .threshold import MOST, TINY, Sums, Threshold, add_up


class Foreground(NamedTuple):
    """What a threshold divides an image into."""

    mask: NDArray[np.uint8]  # (height, width), 0 where not; the galaxy's pixels are marked in it later
    sky: NDArray[np.float64]  # (bands,), mean of the valid pixels below the threshold, in input units
    sky_pixels: int  # their number; all valid ones where there is no foreground


def find_foreground(frame: Frame, threshold: Threshold) -> Foreground:
    """Divide the pixels into foreground and sky.

    If no valid pixel is below the threshold, the sky is the mean of all of them; if none is valid, 0.
    """
    if threshold.frame is frame:
        return _divide(frame, threshold.cutoff, threshold.sums)
    # The grey level is that of another frame: what it leaves below the threshold is the sky of this one.
    mask, _, below = _divide(threshold.frame, threshold.cutoff, threshold.sums)
    if threshold.cutoff is None or not below:
        return Foreground(mask, _divide(frame, None).sky, below)
    below_threshold = (mask == 0).astype(np.uint8)
    if frame.valid is not None:
        below_threshold &= frame.valid
    return Foreground(mask, _divide(frame._replace(valid=below_threshold), None).sky, below)


def _divide(frame: Frame, cutoff: np.int32 | np.float64 | None, sums: Sums | None = None) -> Foreground:
    if frame.exact:
        return _divide_exact(frame, np.int32(MOST if cutoff is None else cutoff), sums or add_up(frame)[0])
    peaks = np.full(-(-frame.height * frame.width // kernels.BLOCK), np.inf) if sums is None else sums.peaks
    return _divide_floats(frame, np.float64(np.inf if cutoff is None else cutoff), peaks)


def _divide_exact(frame: Frame, cutoff: np.int32, sums: Sums) -> Foreground:
    mask = np.empty((frame.height, frame.width), np.uint8)
    over = np.zeros(frame.bands, np.int64)
    count = mask.size if frame.valid is None else int(np.count_nonzero(frame.valid))
    below = count - kernels.grey.find_foreground(
        frame.pixels, frame.kind, frame.weights, frame.valid_pixels, cutoff,
        frame.level, sums.peaks, over, mask.reshape(-1),
    )  # fmt: skip
    if below:
        return Foreground(mask, (sums.totals - over) / below, below)
    return Foreground(mask, sums.totals / max(count, 1), 0)


def _divide_floats(frame: Frame, cutoff: np.float64, peaks: NDArray[np.float64]) -> Foreground:
    mask = np.empty((frame.height, frame.width), np.uint8)
    totals = np.zeros(frame.bands)
    before = frame.pixels, frame.kind, frame.weights, frame.valid_pixels, cutoff, frame.level, peaks
    kernels.grey.find_foreground(*before, None, mask.reshape(-1))
    with np.errstate(over="ignore", invalid="ignore"):
        below = kernels.grey.float_sky(*before, mask.reshape(-1), totals)
        sky = totals / max(below, 1)
    if not below and cutoff < np.inf:
        sky = _divide(frame, None).sky
    elif not np.isfinite(sky).all():  # sums are beyond float64
        sky = _divide_floats(frame._replace(rows=frame.rows * TINY), np.float64(cutoff * TINY), peaks * TINY).sky / TINY
    return Foreground(mask, sky, below)
