"""Stacks of images in one file: .npy; .npz or HDF5 with one array of images, such as Galaxy10; Parquet shards."""

from __future__ import annotations

import contextlib
import io
import math
import struct
import zipfile
from typing import IO

import numpy as np

from ..files.errors import ImageError, damage
from ..files.names import CACHE_FORMAT
from ..files.reading import check_bytes, open_file
from ..images.npy import npy_header
from . import parquet

#: Endings of files that may be stacks.
STACK_SUFFIXES = (".npy", ".npz", ".h5", ".hdf5", ".parquet")


class NpyStack:
    """A .npy stack in an open file, from byte `start` on.

    One image is read with one seek: a memory map would crash where the file shrinks.
    """

    def __init__(self, file: IO[bytes], start: int = 0):
        self.file = file
        file.seek(start)
        self.shape, self.fortran, self.dtype, offset = npy_header(file.read(1 << 16))
        self.start = start + offset
        if not is_stack(self.shape) or not self.shape[0]:
            raise ImageError(f"a .npy array of shape {self.shape} is not a stack of images (N, H, W) or (N, H, W, C)")
        header = io.BytesIO()
        descr = np.lib.format.dtype_to_descr(self.dtype)
        np.lib.format.write_array_header_1_0(header, {"shape": self.shape[1:], "fortran_order": False, "descr": descr})
        self.header = header.getvalue()
        self.size = math.prod(self.shape[1:]) * self.dtype.itemsize
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


class NpzStack:
    """An open .npz file of which one array is a stack of `count` images; `names` are those of the answers."""

    def __init__(self, file: IO[bytes]):
        self.outer = file
        with damage(".npz file"):
            self.file = zipfile.ZipFile(file)
            shapes, types = {}, {}
            for member in self.file.namelist():
                with contextlib.suppress(ImageError), self.file.open(member) as array:  # Python objects, or no array
                    shapes[member], _, types[member], _ = npy_header(array.read(1 << 16), "uifbSU")
            numbers = {name: shape for name, shape in shapes.items() if types[name].kind in "uif"}
            self.member = self.file.getinfo(_images_among(numbers, "a .npz file"))
            self.images = self._open_images()
        self.count = self.images.count
        self.names = [name.removesuffix(".npy") for name in _answers_among(shapes, self.count)]

    def read(self, index: int, limit: int) -> bytes:
        """Give image `index` as a .npy file of its own, of at most `limit` bytes."""
        try:
            with damage(".npz file"):
                return self.images.read(index, limit)
        except ImageError:
            self.images = self._open_images()  # a decompressor that has failed does not step back
            raise

    def _open_images(self) -> NpyStack:
        if self.member.compress_type != zipfile.ZIP_STORED:
            return NpyStack(self.file.open(self.member))
        # What is not compressed is found without reading what lies before it.
        self.outer.seek(self.member.header_offset + 26)
        lengths = struct.unpack("<HH", self.outer.read(4))
        return NpyStack(self.outer, self.outer.tell() + sum(lengths))

    def column(self, name: str) -> np.ndarray:
        """Return an array of answers."""
        with damage(".npz file"), self.file.open(f"{name}.npy") as array:
            return _one_each(np.lib.format.read_array(array, allow_pickle=False), self.count)

    def close(self) -> None:
        """Close the archive."""
        self.file.close()


class Hdf5Stack:
    """An open HDF5 file of which one dataset is a stack of `count` images; `names` are those of the answers."""

    def __init__(self, file: IO[bytes]):
        import h5py

        with damage("HDF5 file"):
            self.file = h5py.File(file, "r")
            if self.file.attrs.get("format") == CACHE_FORMAT:
                raise ImageError(
                    "it is a scalenorm cache, not images: give the images it was made from, or scalenorm-merge it"
                )
            arrays = {name: item for name, item in self.file.items() if isinstance(item, h5py.Dataset)}
            numbers = {name: item.shape for name, item in arrays.items() if item.dtype.kind in "uif"}
            self.images = arrays[_images_among(numbers, "an HDF5 file")]
        self.count = len(self.images)
        self.names = _answers_among({name: item.shape for name, item in arrays.items()}, self.count)

    def read(self, index: int, limit: int) -> bytes:
        """Give image `index` as a .npy file of its own, of at most `limit` bytes."""
        check_bytes(math.prod(self.images.shape[1:]) * self.images.dtype.itemsize, limit)
        if index >= self.count:
            raise ImageError("the HDF5 file has changed since it was listed")
        data = io.BytesIO()
        np.save(data, self.images[index], allow_pickle=False)
        return data.getvalue()

    def column(self, name: str) -> np.ndarray:
        """Return a dataset of answers."""
        with damage("HDF5 file"):
            return _one_each(self.file[name][:], self.count)

    def close(self) -> None:
        """Close the HDF5 file."""
        self.file.close()


def _images_among(shapes: dict[str, tuple[int, ...]], file: str) -> str:
    """Return the name of the one array of numbers in a file that is a stack of images."""
    names = [name for name, shape in shapes.items() if is_stack(shape) and shape[0]]
    if len(names) == 1:
        return names[0]
    shown = ", ".join(name.removesuffix(".npy") for name in names)
    raise ImageError(
        f"{file} with several stacks of images ({shown}): write the one that is meant to a file of its own"
        if names
        else f"{file} without an array of images (N, H, W) or (N, H, W, C)"
    )


def _answers_among(shapes: dict[str, tuple[int, ...]], count: int) -> list[str]:
    """Return the names of the arrays with a value for each image; if there are none, of all that may be meant so."""
    flat = {name: shape[0] for name, shape in shapes.items() if len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)}
    return [name for name, length in flat.items() if length == count] or list(flat)


def _one_each(values: np.ndarray, count: int) -> np.ndarray:
    if len(values) != count:
        raise ImageError(f"{len(values)} values for {count} images")
    return values.reshape(count)


#: By what their files begin with; others are .npy, or none.
_KINDS: dict[bytes, type[NpzStack | Hdf5Stack | parquet.Shard]] = {
    b"PK": NpzStack,
    b"\x89HDF": Hdf5Stack,
    parquet.BEGIN: parquet.Shard,
}

Stack = NpyStack | NpzStack | Hdf5Stack | parquet.Shard


def holds_answers(path: str) -> bool:
    """Whether a file is of a kind that holds images and, beside them, answers; a damaged one may be any table."""
    with open_file(path) as file:
        begin = file.read(4)
    if begin == parquet.BEGIN:
        with contextlib.suppress(ImageError):
            return parquet.holds_images(path)
        return False
    return begin == b"\x89HDF" or path.lower().endswith((".npy", ".npz"))


def open_stack(file: IO[bytes]) -> Stack:
    """Open a file of several images; `ImageError` if it is none."""
    begin = file.read(4)
    file.seek(0)
    return next((kind for start, kind in _KINDS.items() if begin.startswith(start)), NpyStack)(file)


def is_stack(shape: tuple[int, ...]) -> bool:
    """Whether an array is (N, H, W, C), or (N, H, W): of three axes with a last one of at most 4 it is an image."""
    return len(shape) == 4 or (len(shape) == 3 and shape[2] > 4)


def stack_length(path: str) -> int | None:
    """Give the number of images in a stack; None for a .npy file that is none, or is damaged.

    Another file that is no stack of images is an `ImageError`.
    """
    with open_file(path) as file:
        try:
            with contextlib.closing(open_stack(file)) as stack:
                return stack.count
        except ImageError:
            file.seek(0)
            if file.read(4).startswith(tuple(_KINDS)):
                raise
            return None
