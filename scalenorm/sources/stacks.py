"""Stacks of images in one .npy file."""

from __future__ import annotations

import io
from typing import IO

import numpy as np

from ..files.errors import ImageError
from ..files.reading import check_bytes, open_file
from ..images.npy import npy_header


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
