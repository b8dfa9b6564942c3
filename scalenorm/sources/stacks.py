"""Stacks of images in one file: .npy, HDF5 with one dataset of images, such as Galaxy10, Parquet shards."""

from __future__ import annotations

import contextlib
import io
from typing import IO, Any

import numpy as np

from ..files.errors import ImageError, reason
from ..files.names import CACHE_FORMAT
from ..files.reading import check_bytes, open_file
from ..images.npy import npy_header
from . import parquet

_HDF5 = b"\x89HDF\r\n\x1a\n"

#: Endings of files that may be stacks.
STACK_SUFFIXES = (".npy", ".h5", ".hdf5", ".parquet")


class NpyStack:
    """An open .npy stack. One image is read with one seek: a memory map would crash where the file shrinks."""

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.shape, self.fortran, self.dtype, self.start = npy_header(file.read(1 << 16))
        if not is_stack(self.shape) or not self.shape[0]:
            raise ImageError(f"a .npy array of shape {self.shape} is not a stack of images (N, H, W) or (N, H, W, C)")
        header = io.BytesIO()
        descr = np.lib.format.dtype_to_descr(self.dtype)
        np.lib.format.write_array_header_1_0(header, {"shape": self.shape[1:], "fortran_order": False, "descr": descr})
        self.header = header.getvalue()
        self.size = int(np.prod(self.shape[1:], dtype=object)) * self.dtype.itemsize
        self.count = self.shape[0]
        self.names: list[str] = []

    def read(self, index: int, limit: int) -> bytes:
        """Give image `index` as a .npy file of its own, of at most `limit` bytes."""
        if self.fortran:
            raise ImageError("a .npy stack in Fortran order; save it in C order (numpy.ascontiguousarray)")
        check_bytes(self.size, limit)
        if index >= self.count:
            raise ImageError("the .npy stack has changed since it was listed")
        self.file.seek(self.start + index * self.size)
        data = self.file.read(self.size)
        if len(data) != self.size:
            raise ImageError("damaged .npy stack: it ends before this image")
        return self.header + data

    def column(self, name: str) -> np.ndarray:
        """There are no answers in the file."""
        raise KeyError(name)

    def close(self) -> None:
        """Do nothing: whoever opened the file closes it."""


class Hdf5Stack:
    """An open HDF5 file whose images are the rows of one dataset, of any name.

    Attributes
    ----------
    count : int
        Number of images.
    names : list of str
        Datasets of one value an image.
    """

    def __init__(self, file: IO[bytes]):
        import h5py

        self.file = h5py.File(file, "r")
        self.images = _image_dataset(self.file)
        self.count = len(self.images)
        self.names = [name for name, item in self.file.items() if getattr(item, "shape", None) == (self.count,)]

    def read(self, index: int, limit: int) -> bytes:
        """Give image `index` as a .npy file of its own, of at most `limit` bytes."""
        check_bytes(int(np.prod(self.images.shape[1:], dtype=object)) * self.images.dtype.itemsize, limit)
        if index >= self.count:
            raise ImageError("the HDF5 file has changed since it was listed")
        data = io.BytesIO()
        np.save(data, self.images[index], allow_pickle=False)
        return data.getvalue()

    def column(self, name: str) -> np.ndarray:
        """Return the values of a dataset."""
        values: np.ndarray = self.file[name][:]
        return values

    def close(self) -> None:
        """Close the HDF5 file."""
        self.file.close()


Stack = NpyStack | Hdf5Stack | parquet.Shard


def _image_dataset(file: Any) -> Any:
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


def holds_answers(path: str) -> bool:
    """Whether a file is of a kind that holds images and, beside them, answers; a damaged one may be any table."""
    with open_file(path) as file:
        begin = file.read(len(_HDF5))
    with contextlib.suppress(ImageError):
        return begin == _HDF5 or (begin.startswith(parquet.BEGIN) and parquet.holds_images(path))
    return False


def open_stack(file: IO[bytes]) -> Stack:
    """Open a file of several images; `ImageError` if it is none."""
    begin = file.read(len(_HDF5))
    file.seek(0)
    if begin.startswith(parquet.BEGIN):
        return parquet.Shard(file)
    try:
        return Hdf5Stack(file) if begin == _HDF5 else NpyStack(file)
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
        Another file that is no stack of images.
    """
    with open_file(path) as file:
        try:
            with contextlib.closing(open_stack(file)) as stack:
                return stack.count
        except ImageError:
            file.seek(0)
            if file.read(len(_HDF5)).startswith((_HDF5, parquet.BEGIN)):
                raise
            return None
