"""Step 6: resample a window to a small square image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .frame import Frame
from .views import Window


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

    extend = window.leaves(frame.height, frame.width)
    top, left = window.corner()
    if out is None:
        out = np.empty((size, size) if frame.flat else (size, size, frame.bands), frame.dtype)
    direct = frame.rows.dtype == frame.dtype
    if direct and not extend and window.side == size and top.is_integer() and left.is_integer():
        values = frame.rows.reshape(frame.height, frame.width, frame.bands)
        part = values[int(top) : int(top) + size, int(left) : int(left) + size]
        out[...] = part.reshape(out.shape)  # whole pixels at scale one: the filter would copy them too
        return out
    target = out if direct else np.empty(out.shape, frame.rows.dtype)
    resample_window(
        frame.rows,
        top,
        left,
        window.side / size,
        extend,
        sky.astype(np.float32 if frame.rows.itemsize == 1 else np.float64),  # 8-bit crops need no more
        frame.rows.dtype.kind != "f",
        target.reshape(size, size * frame.bands),
    )
    if not direct:
        out[...] = _cast(target, frame.dtype)
    return out


def _cast(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Working values back to the input's dtype: integers rounded half up and clipped."""
    if dtype.kind in "iu" and values.dtype.kind == "f":
        limits = np.iinfo(dtype)
        top = float(limits.max)
        if top > limits.max:  # 64-bit integers: the largest float that still fits
            top = float(np.nextafter(top, 0))
        values = np.clip(np.floor(values + 0.5), float(limits.min), top)
    return values.astype(dtype)
