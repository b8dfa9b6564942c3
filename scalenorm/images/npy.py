"""Images in .npy files, one to a file or a stack of them."""

from __future__ import annotations

import io
import math
import os
from typing import Literal

import numpy as np

from ..files.errors import ImageError, turned_into
from .options import DecodeOptions, blank_to_nan, check_size

_Order = Literal["C", "F"]


def npy_header(data: bytes, kinds: str = "uif") -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, Fortran order, type and offset of the values of a .npy file, from its first 64 kB or more.

    `kinds` are NumPy's letters for the types that are taken.
    """
    file = io.BytesIO(data)
    with turned_into(ImageError, "damaged .npy header", Exception):  # literal_eval raises nearly anything
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    if dtype.kind not in kinds:
        raise ImageError(f"a .npy file of {dtype} is not an image; give it a real number type")
    return shape, fortran, dtype, file.tell()


def decode_npy(data: bytes, options: DecodeOptions) -> np.ndarray:
    """Decode a .npy file of one image (H, W) or (H, W, C), of any real type; ``longdouble`` becomes float64."""
    shape, order, dtype, offset = _image_header(data, len(data), options)
    image = np.ndarray(shape, dtype, data, offset, order=order)
    # What is wider than 8 bytes differs from machine to machine, and holds bytes without meaning.
    image = np.array(image, dtype=np.float64 if dtype.itemsize > 8 else dtype.newbyteorder("="), order="C")
    return blank_to_nan(image, options)


def map_npy(path: str, options: DecodeOptions) -> np.ndarray:
    """Map a .npy file of one image, of which only what is used is read."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        shape, order, dtype, offset = _image_header(file.read(1 << 16), size, options)
    return np.memmap(path, dtype, "r", offset, shape, order)


def _image_header(data: bytes, size: int, options: DecodeOptions) -> tuple[tuple[int, ...], _Order, np.dtype, int]:
    """Return shape, order, type and offset of the image in a .npy file of `size` bytes, if it holds one."""
    shape, fortran, dtype, offset = npy_header(data)
    if len(shape) not in (2, 3):
        raise ImageError(f"a .npy array of shape {shape} is not one image (H, W) or (H, W, C)")
    check_size(shape[0], shape[1], options)
    values = math.prod(shape)
    if values < 1:
        raise ImageError(f"a .npy array of shape {shape} holds no values")
    if size < offset + values * dtype.itemsize:
        raise ImageError(f"damaged .npy: {size} bytes are too few for an array of shape {shape}")
    return shape, "F" if fortran else "C", dtype, offset
