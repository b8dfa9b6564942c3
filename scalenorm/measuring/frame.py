"""From any array to the rows that the kernels read: the one place where an image is checked."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import kernels
from .options import MeasureOptions

# Kernels are compiled for these; other real dtypes are measured and resampled in the one named here.
_WORKING = {
    np.dtype(given): np.dtype(working)
    for given, working in (
        ("bool", "uint8"), ("int8", "int16"), ("uint8", "uint8"), ("int16", "int16"), ("uint16", "uint16"),
        ("float16", "float32"), ("float32", "float32"),
    )
}  # fmt: skip


def working_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which kernels read images of this one; the same, if they read it as it is, in its byte order."""
    return _WORKING.get(dtype) or np.dtype("float64")


class Frame(NamedTuple):
    """An image as the kernels read it."""

    rows: NDArray[Any]  # (height, width * bands), C-contiguous, native byte order
    height: int
    width: int
    bands: int
    kind: int | None  # how bands make grey, a constant of kernels
    weights: NDArray[np.float64]  # (bands,)
    scale: float  # grey level in input units = scaled grey level / scale
    level: NDArray[Any]  # scratch of kernels.grey, whose dtype decides the arithmetic: int32 exact, float64 otherwise
    valid: NDArray[np.uint8] | None  # (height, width), 1 where not masked
    dtype: np.dtype[Any]  # of the input, native byte order: the dtype of crops
    flat: bool  # no axis of bands in the input, nor in crops

    @property
    def pixels(self) -> NDArray[Any]:
        """All values as one sequence."""
        return self.rows.reshape(-1)

    @property
    def valid_pixels(self) -> NDArray[np.uint8]:
        """``valid`` as one sequence, empty where no pixel is masked."""
        return _ALL_VALID if self.valid is None else self.valid.reshape(-1)

    @property
    def crop_dtype(self) -> type[np.float32 | np.float64]:
        """What to resample in: 8-bit crops need no more than single precision."""
        return np.float32 if self.rows.itemsize == 1 else np.float64

    @property
    def exact(self) -> bool:
        """Grey levels are integers, their sums exact."""
        return self.level.dtype.kind == "i"


def as_frame(image: ArrayLike, options: MeasureOptions, mask: ArrayLike | None = None) -> Frame:
    """Check an image and its mask, and lay them out for the kernels, without a copy where the layout allows.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C), or with the axis of bands where ``options.channel_axis`` says
        Any real dtype, byte order and strides. Never modified. Units are dropped. Whatever NumPy makes an array of:
        xarray, tensors in the main memory.
    options : MeasureOptions
    mask : array_like of bool, shape (H, W), optional
        True = excluded. Joined with the image's own mask if it has one: a masked array, astropy's NDData or CCDData.

    Raises
    ------
    TypeError
        If the image is not an array, or not of a real dtype.
    ValueError
        If shapes, ``channel_axis`` or ``weights`` do not fit.
    """
    image, own = (image, None) if type(image) is np.ndarray else values_and_mask(image)
    array = np.asarray(image)
    if array.dtype.kind not in "buif":
        objects = array.dtype == object and not isinstance(image, np.ndarray)
        given = f"a {type(image).__name__}" if objects else f"dtype {array.dtype}"
        raise TypeError(f"image must be an array of real numbers, got {given}")
    array, own = bands_last(array, own, options.channel_axis)
    if array.size == 0:
        raise ValueError(f"image has no pixels: shape {array.shape}")

    height, width = array.shape[:2]
    bands = array.shape[2] if array.ndim == 3 else 1
    dtype = array.dtype.newbyteorder("=")
    working = working_dtype(dtype)
    rows = np.ascontiguousarray(array.reshape(height, width * bands), dtype=working)
    if not rows.flags.writeable:
        rows = np.asarray(_Writeable(rows))
    kind, weights, scale = _grey_kind(bands, dtype, options.weights)
    exact = kind != kernels.WEIGHTED and working.itemsize <= 2 and bands <= 32767
    level = np.empty(kernels.CHUNK, np.int32 if exact else np.float64)
    valid = None if mask is None and own is None else _valid(mask, own, (height, width))
    return Frame(rows, height, width, bands, kind, weights, scale, level, valid, dtype, array.ndim == 2)


def as_array(image: Any) -> NDArray[Any]:
    """The values of an image as an array, masked if the image has a mask of its own."""
    values, own = values_and_mask(image)
    return np.asarray(values) if own is None else np.ma.MaskedArray(values, own)


def values_and_mask(image: Any) -> tuple[Any, NDArray[np.bool_] | None]:
    """The values of an image, and its own mask: of masked arrays, and of objects that hold both (astropy's NDData)."""
    kind = type(image)  # not the object itself: xarray finds what users have named so among its attributes
    if issubclass(kind, (str, bytes, os.PathLike)):
        raise TypeError(
            f"image must be an array, got a {kind.__name__}: read the file first, for instance with skimage.io.imread"
        )
    if issubclass(kind, np.ma.MaskedArray):
        return image.data, np.ma.getmaskarray(image)
    if hasattr(kind, "unmasked"):  # astropy's Masked
        return image.unmasked, np.asarray(image.mask, bool)
    if not issubclass(kind, np.ndarray) and hasattr(kind, "data") and hasattr(kind, "mask"):
        own = None if image.mask is None else np.asarray(image.mask, bool)
        if own is not None and own.shape != np.shape(image.data):
            raise ValueError(f"the mask of the {kind.__name__} has shape {own.shape}, its data {np.shape(image.data)}")
        return image.data, own
    if hasattr(kind, "header") or hasattr(kind, "position_original"):  # an HDU or a Cutout2D of astropy
        raise TypeError(f"image must be an array, got a {kind.__name__}: pass its .data")
    return image, None


def bands_last(array: NDArray[Any], own: Any, axis: int | None) -> tuple[NDArray[Any], Any]:
    """An image and its own mask with the axis of bands, if there is one, last."""
    if array.ndim == 3:
        if axis is None:
            if array.shape[0] <= 4 < array.shape[2]:
                raise ValueError(
                    f"an image of shape {array.shape} looks like bands first: "
                    "pass channel_axis=0 (or channel_axis=-1 if the last axis does hold the bands)"
                )
        elif not -3 <= axis < 3:
            raise ValueError(f"channel_axis must be between -3 and 2, got {axis}")
        elif axis not in (-1, 2):
            array = np.moveaxis(array, axis, -1)
            own = np.moveaxis(own, axis, -1) if own is not None and own.ndim == 3 else own
    elif array.ndim != 2:
        raise ValueError(f"image must have shape (H, W) or (H, W, C), got {array.shape}")
    return array, own


class _Writeable:
    """A read-only array seen as a writeable one: Numba would compile every kernel again for read-only arrays."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array  # keeps the memory alive
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


_ONES = tuple(np.ones(n) for n in range(5))
_ALL_VALID = np.empty(0, np.uint8)


def _grey_kind(
    bands: int, dtype: np.dtype[Any], weights: Sequence[float] | None
) -> tuple[int | None, NDArray[np.float64], float]:
    """How the bands make grey: (kind, weights, scale) as in Frame."""
    if weights is not None:
        if len(weights) != bands:
            raise ValueError(f"weights must be one number for each of the {bands} bands, got {len(weights)}: {weights}")
        return kernels.WEIGHTED, np.array(weights), 1.0
    ones = _ONES[bands] if bands < len(_ONES) else np.ones(bands)
    if bands == 3:
        return kernels.RGB, ones, 10000.0
    if bands == 4 and dtype == np.uint8:
        return kernels.RGBA, ones, 10000.0
    return kernels.SUM, ones, float(bands)


def _valid(mask: ArrayLike | None, own: NDArray[np.bool_] | None, shape: tuple[int, int]) -> NDArray[np.uint8]:
    valid = np.ones(shape, np.uint8)
    if mask is not None:
        given = np.asarray(mask)
        if given.shape != shape:
            raise ValueError(f"mask must have the image's shape {shape}, got {given.shape}")
        valid[given.astype(bool)] = 0
    if own is not None:
        valid[own if own.ndim == 2 else own.any(axis=2)] = 0
    return valid


def image_center(height: int, width: int) -> tuple[float, float]:
    """(row, col) of the image's centre, pixel centres at integers."""
    return (height - 1) / 2, (width - 1) / 2


def nearest_pixel(position: float) -> int:
    """The pixel that a coordinate selects."""
    return math.floor(position + 0.5)


def grey_image(frame: Frame) -> NDArray[np.float64]:
    """Scaled grey levels, shape (H, W); NaN where a pixel is masked or not finite."""
    # By the kernel, because a sum in another order may not find the same foreground.
    level = np.empty(frame.height * frame.width, frame.level.dtype)
    planes = np.empty((3, len(level)), frame.rows.dtype)
    kernels.grey.grey_levels(frame.pixels, frame.kind, frame.weights, planes, level)
    grey = level.reshape(frame.height, frame.width).astype(np.float64, copy=False)
    if frame.valid is not None:
        grey[frame.valid == 0] = np.nan
    if not frame.exact:
        grey[~np.isfinite(grey)] = np.nan
    return grey
