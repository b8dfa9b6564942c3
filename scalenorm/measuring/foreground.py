"""The pixels that reach the threshold, and the sky that those below it make."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from .frame import Frame
from .threshold import MOST, TINY, Threshold


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
        return _divide(frame, threshold.cutoff)
    # The grey level is that of another frame: what it leaves below the threshold is the sky of this one.
    mask, _, below = _divide(threshold.frame, threshold.cutoff)
    if threshold.cutoff is None or not below:
        return Foreground(mask, _divide(frame, None).sky, below)
    below_threshold = (mask == 0).astype(np.uint8)
    if frame.valid is not None:
        below_threshold &= frame.valid
    return Foreground(mask, _divide(frame._replace(valid=below_threshold), None).sky, below)


def _divide(frame: Frame, cutoff: np.int32 | np.float64 | None) -> Foreground:
    mask = np.empty((frame.height, frame.width), np.uint8)
    sums = np.zeros((frame.bands, 1 if frame.exact else len(frame.level)))
    before = frame.pixels, frame.kind, frame.weights, frame.valid_pixels
    above_all = np.int32(MOST) if frame.exact else np.float64(np.inf)
    below = count = kernels.grey.split_pixels(
        *before, above_all if cutoff is None else cutoff, frame.level, sums, mask.reshape(-1)
    )
    if not count and cutoff is not None:
        unused = np.empty(mask.size, np.uint8)
        count = kernels.grey.split_pixels(*before, above_all, frame.level, sums, unused)
    with np.errstate(over="ignore", invalid="ignore"):
        sky = sums.sum(axis=1) / max(count, 1)
    if not (frame.exact or np.isfinite(sky).all()):  # sums are beyond float64
        tiny = None if cutoff is None else np.float64(cutoff * TINY)
        sky = _divide(frame._replace(rows=frame.rows * TINY), tiny).sky / TINY
    return Foreground(mask, sky, below)
