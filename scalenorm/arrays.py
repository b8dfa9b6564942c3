"""Images in .npy files, one to a file or a stack of them."""

from __future__ import annotations

import io
from typing import IO

import numpy as np

from .files import check_bytes, open_file
from .images import DecodeOptions, ImageError, check_size, reason

__all__ = ["Stack", "decode_npy", "is_stack", "npy_header", "stack_length"]


def npy_header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, Fortran order, type and offset of the values of a .npy file, from its first 64 kB or more.

    Raises
    ------
    ImageError
        It is not a .npy file of real numbers.
    """
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    except Exception as error:  # literal_eval of a hostile header raises nearly anything
        raise ImageError(f"damaged .npy header: {reason(error)}") from error
    if dtype.kind not in "uif":
        raise ImageError(f"a .npy file of {dtype} is not an image; give it a real number type")
    return shape, fortran, dtype, file.tell()


def decode_npy(data: bytes, options: DecodeOptions) -> np.ndarray:
    """Decode a .npy file of one image (H, W) or (H, W, C), of any real type; ``longdouble`` becomes float64."""
    shape, fortran, dtype, offset = npy_header(data)
    if len(shape) not in (2, 3):
        raise ImageError(f"a .npy array of shape {shape} is not one image (H, W) or (H, W, C)")
    check_size(shape[0], shape[1], options)
    count = int(np.prod(shape, dtype=object))
    if count < 1:
        raise ImageError(f"a .npy array of shape {shape} holds no values")
    if len(data) < offset + count * dtype.itemsize:
        raise ImageError(f"damaged .npy: {len(data)} bytes are too few for an array of shape {shape}")
    image = np.frombuffer(data, dtype, count, offset).reshape(shape, order="F" if fortran else "C")
    # What is wider than 8 bytes differs from machine to machine, and holds bytes without meaning.
    return np.array(image, dtype=np.float64 if dtype.itemsize > 8 else dtype.newbyteorder("="), order="C")


class Stack:
    """An open .npy stack. One image is read with one seek: a memory map would crash where the file shrinks."""

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.shape, fortran, self.dtype, self.start = npy_header(file.read(1 << 16))
        if fortran:
            raise ImageError("a .npy stack in Fortran order; save it in C order (numpy.ascontiguousarray)")
        header = io.BytesIO()
        descr = np.lib.format.dtype_to_descr(self.dtype)
        np.lib.format.write_array_header_1_0(header, {"shape": self.shape[1:], "fortran_order": False, "descr": descr})
        self.header = header.getvalue()
        self.size = int(np.prod(self.shape[1:], dtype=object)) * self.dtype.itemsize

    def read(self, index: int, limit: int) -> bytes:
        """Give image `index` as a .npy file of its own, of at most `limit` bytes."""
        check_bytes(self.size, limit)
        if index >= self.shape[0]:
            raise ImageError("the .npy stack has changed since it was listed")
        self.file.seek(self.start + index * self.size)
        data = self.file.read(self.size)
        if len(data) != self.size:
            raise ImageError("damaged .npy stack: it ends before this image")
        return self.header + data


def is_stack(shape: tuple[int, ...]) -> bool:
    """Whether an array is (N, H, W, C), or (N, H, W): of three axes with a last one of at most 4 it is an image."""
    return len(shape) == 4 or (len(shape) == 3 and shape[2] > 4)


def stack_length(path: str) -> int | None:
    """Give the number of images in a .npy stack; None where the file is no stack."""
    with open_file(path) as file:
        try:
            shape = npy_header(file.read(1 << 16))[0]
        except ImageError:
            return None
    return shape[0] if is_stack(shape) and shape[0] > 0 else None
