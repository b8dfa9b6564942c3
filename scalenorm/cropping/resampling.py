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
    number, bands = len(windows), frame.bands
    boxes = [(*w.corner(), w.side / size, float(w.leaves(frame.height, frame.width))) for w in windows]
    crops = np.empty((number, size, size) if frame.flat else (number, size, size, bands), frame.dtype)
    direct = frame.rows.dtype == frame.dtype
    target = crops if direct else np.empty(crops.shape, frame.rows.dtype)
    kernels.resample.resample_windows(
        frame.rows,
        np.array(boxes).reshape(number, 4),
        sky.astype(np.float32 if frame.rows.itemsize == 1 else np.float64),  # 8-bit crops need no more
        frame.rows.dtype.kind != "f",
        target.reshape(number, size, size * bands),
    )
    if not direct:
        crops[...] = _cast(target, frame.dtype)
    return crops


def _cast(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Working values back to the input's dtype: integers rounded half up and clipped."""
    if dtype.kind in "iu" and values.dtype.kind == "f":
        limits = np.iinfo(dtype)
        top = float(limits.max)
        if top > limits.max:  # 64-bit integers: the largest float that still fits
            top = float(np.nextafter(top, 0))
        values = np.clip(np.floor(values + 0.5), float(limits.min), top)
    return values.astype(dtype)
