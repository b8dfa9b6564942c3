"""Step 6: resample windows to small square images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..measuring.frame import Frame
from ..measuring.window import Window


def resample(frame: Frame, windows: Sequence[Window], size: int, sky: NDArray[np.float64]) -> NDArray[Any]:
    """Antialiased bilinear resampling of windows to ``size`` x ``size``, as Pillow's BILINEAR with ``box=window``.

    A window inside the frame may draw on pixels around it; weights beyond the frame are cut and the rest
    normalised. A window that leaves the frame sees an image that continues as ``sky`` on all sides.

    Parameters
    ----------
    frame : Frame
    windows : sequence of Window
    size : int > 0
    sky : ndarray of float64, shape (bands,)

    Returns
    -------
    ndarray, shape (len(windows), size, size[, bands])
        Of the input's dtype.
    """
    crops = Crops(frame, len(windows), size)
    boxes = np.array([box_of(window, frame, size) for window in windows]).reshape(len(windows), 4)
    kernels.resample.resample_windows(
        frame.rows, boxes, sky.astype(frame.crop_dtype), frame.rows.dtype.kind != "f", crops.rows
    )
    return crops.finished()


def box_of(window: Window, frame: Frame, size: int) -> tuple[float, float, float, float]:
    """A window as the kernels take it: top, left, scale, and whether it leaves the frame."""
    return (*window.corner(), window.side / size, float(window.leaves(frame.height, frame.width)))


class Crops:
    """Room for crops of a frame.

    Attributes
    ----------
    rows : ndarray, shape (N, size, size * bands)
        What a kernel fills, in the frame's working dtype.
    """

    def __init__(self, frame: Frame, number: int, size: int) -> None:
        shape = (number, size, size) if frame.flat else (number, size, size, frame.bands)
        self._crops = np.empty(shape, frame.dtype)
        direct = frame.rows.dtype == frame.dtype
        self._target = self._crops if direct else np.empty(shape, frame.rows.dtype)
        self.rows = self._target.reshape(number, size, size * frame.bands)

    def finished(self) -> NDArray[Any]:
        """The crops in the input's dtype, shape (N, size, size[, bands])."""
        if self._target is not self._crops:
            self._crops[...] = _cast(self._target, self._crops.dtype)
        return self._crops


def _cast(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Working values back to the input's dtype: integers rounded half up and clipped."""
    if dtype.kind in "iu" and values.dtype.kind == "f":
        limits = np.iinfo(dtype)
        top = float(limits.max)
        if top > limits.max:  # 64-bit integers: the largest float that still fits
            top = float(np.nextafter(top, 0))
        values = np.clip(np.floor(values + 0.5), float(limits.min), top)
    return values.astype(dtype)
