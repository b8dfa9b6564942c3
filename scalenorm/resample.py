"""Step 6: resample a window to a small square image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .frame import Frame
from .views import Window

Axis = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any], NDArray[Any]]


def resample(
    frame: Frame, window: Window, size: int, sky: NDArray[np.float64], out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Antialiased bilinear resampling of ``window`` to ``size`` x ``size``, as Pillow's BILINEAR with ``box=window``.

    A window inside the frame may draw on pixels around it; weights beyond the frame are cut and the rest
    normalised. A window that leaves the frame sees an image that continues as ``sky`` on all sides.

    Parameters
    ----------
    frame : Frame
    window : Window
    size : int > 0
    sky : ndarray of float64, shape (bands,)
    out : ndarray, shape (size, size[, bands]), optional
        C-contiguous, of the input's dtype: filled and returned.
    """
    from .kernels.resample import resample_window

    real = np.dtype(np.float32 if frame.rows.itemsize == 1 else np.float64)  # 8-bit crops need no more than float32
    extend = window.leaves(frame.height, frame.width)
    top, left = window.corner()
    row_axis = _axis(top, window.side, frame.height, extend, size, real)
    col_axis = row_axis
    if left != top or frame.width != frame.height:
        col_axis = _axis(left, window.side, frame.width, extend, size, real)
    columns = int(col_axis[0][-1] + col_axis[1][-1] - col_axis[0][0])
    line = np.empty(columns * frame.bands + 1, real)
    line[-1] = 0
    if out is None:
        out = np.empty((size, size) if frame.flat else (size, size, frame.bands), frame.dtype)
    direct = frame.rows.dtype == frame.dtype
    target = out if direct else np.empty(out.shape, frame.rows.dtype)
    resample_window(
        frame.rows, row_axis, col_axis, sky.astype(real), frame.rows.dtype.kind != "f", line,
        target.reshape(size, size * frame.bands),
    )  # fmt: skip
    if not direct:
        out[...] = _cast(target, frame.dtype)
    return out


def _axis(start: float, side: float, length: int, extend: bool, size: int, real: np.dtype[Any]) -> Axis:
    """Filter weights along one axis; see `kernels.resample.triangle_weights`."""
    from .kernels.resample import triangle_weights

    scale = side / size
    taps = min(math.ceil(2 * max(scale, 1.0)) + 1, length)
    first, count = np.empty((2, size), np.int64)
    weights = np.empty((size, taps), real)
    outside = np.empty(size, real)
    triangle_weights(start, scale, length, extend, first, count, weights, outside)
    return first, count, weights, outside


def _cast(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Working values back to the input's dtype: integers rounded half up and clipped."""
    if dtype.kind in "iu" and values.dtype.kind == "f":
        limits = np.iinfo(dtype)
        top = float(limits.max)
        if top > limits.max:  # 64-bit integers: the largest float that still fits
            top = float(np.nextafter(top, 0))
        values = np.clip(np.floor(values + 0.5), float(limits.min), top)
    return values.astype(dtype)
