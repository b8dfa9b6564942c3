"""Stacks of images in one file: .npy, or HDF5 with one dataset of images, such as Galaxy10."""

from __future__ import annotations

import io
from typing import IO, Any

import numpy as np

from ..files.errors import ImageError, reason
from ..files.names import CACHE_FORMAT
from ..files.reading import check_bytes, open_file
from ..images.npy import npy_header

_HDF5 = b"\x89HDF\r\n\x1a\n"

#: Endings of files that may be stacks.
STACK_SUFFIXES = (".npy", ".h5", ".hdf5")


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


class Hdf5Stack:
    """An open HDF5 file whose images are the rows of one dataset, of any name."""

    def __init__(self, file: IO[bytes]):
        import h5py

        self.file = h5py.File(file, "r")
        self.images = image_dataset(self.file)
        self.shape = self.images.shape

    def read(self, index: int, limit: int) -> bytes:
        """Give image `index` as a .npy file of its own, of at most `limit` bytes."""
        check_bytes(int(np.prod(self.shape[1:], dtype=object)) * self.images.dtype.itemsize, limit)
        if index >= self.shape[0]:
            raise ImageError("the HDF5 file has changed since it was listed")
        data = io.BytesIO()
        np.save(data, self.images[index], allow_pickle=False)
        return data.getvalue()

    def close(self) -> None:
        """Close the HDF5 file."""
        self.file.close()


def image_dataset(file: Any) -> Any:
    """Return the one dataset of an open HDF5 file that is a stack of images; `ImageError` says why there is none."""
    import h5py

    if file.attrs.get("format") == CACHE_FORMAT:
        raise ImageError("it is a scalenorm cache, not images: give the images it was made from, or scalenorm-merge it")
    found = [item for item in file.values() if isinstance(item, h5py.Dataset) and item.dtype.kind in "uif"]
    stacks = [item for item in found if is_stack(item.shape) and len(item)]
    if len(stacks) != 1:
        names = ", ".join(item.name.lstrip("/") for item in stacks)
        raise ImageError(
            f"an HDF5 file with several stacks of images ({names}): write the one that is meant to a file of its own"
            if stacks
            else "an HDF5 file without a dataset of images (N, H, W) or (N, H, W, C)"
        )
    return stacks[0]


def open_stack(file: IO[bytes]) -> Stack | Hdf5Stack:
    """Open a file of several images; `ImageError` if it is none."""
    begin = file.read(len(_HDF5))
    file.seek(0)
    try:
        return Hdf5Stack(file) if begin == _HDF5 else Stack(file)
    except OSError as error:  # h5py has no other words for damage
        if error.errno is not None:
            raise
        raise ImageError(f"damaged HDF5 file: {reason(error)}") from error


def is_stack(shape: tuple[int, ...]) -> bool:
    """Whether an array is (N, H, W, C), or (N, H, W): of three axes with a last one of at most 4 it is an image."""
    return len(shape) == 4 or (len(shape) == 3 and shape[2] > 4)


def stack_length(path: str) -> int | None:
    """Give the number of images in a stack; None for a .npy file that is none, or is damaged.

    Raises
    ------
    ImageError
        An HDF5 file that is no stack of images.
    """
    with open_file(path) as file:
        if file.read(len(_HDF5)) == _HDF5:
            file.seek(0)
            stack = open_stack(file)
            if isinstance(stack, Hdf5Stack):
                stack.close()
            return int(stack.shape[0])
        file.seek(0)
        try:
            shape = npy_header(file.read(1 << 16))[0]
        except ImageError:
            return None
    return shape[0] if is_stack(shape) and shape[0] > 0 else None
