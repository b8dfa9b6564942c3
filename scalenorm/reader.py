"""The bytes of listed images."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from .archives import ArchiveError, open_archive
from .files import check_bytes, open_file, read_file, stat_file
from .images import ImageError, npy_header
from .listing import Source

__all__ = ["Reader", "open_reader", "stack_length"]

_MAX_HANDLES = 8


def open_reader(*, max_bytes: int = 2_000_000_000) -> Reader:
    """Open a reader; each thread needs its own.

    Parameters
    ----------
    max_bytes : int > 0
        Largest file or archive member to read, checked before it is read.
    """
    return Reader(max_bytes)


class Reader:
    """Reads the bytes of sources; keeps up to 8 archives and stacks open. Not for sharing between threads."""

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self._handles: OrderedDict[str, tuple[IO[bytes], Any]] = OrderedDict()

    def read(self, source: Source) -> bytes:
        """Read one image's file.

        Returns
        -------
        bytes
            The file, the archive's member, or a .npy file of the one image of a stack.

        Raises
        ------
        ImageError
            The image is damaged, encrypted, too large or not a regular file: a failure of this image.
        OSError
            The system could not read the file: gone, not permitted, too many open files, ...
        """
        if source.member is not None:
            archive = self._handle(source.container, open_archive)
            data: bytes = archive.read(source.member, source.index, self.max_bytes)
            if data[:6] == b"\x93NUMPY" and _is_stack(npy_header(data)[0]):
                raise ImageError("a .npy stack inside an archive; unpack it")
            return data
        if source.index is not None:
            stack: _Stack = self._handle(source.container, _Stack)
            return stack.read(source.index, self.max_bytes)
        return read_file(source.container, self.max_bytes)

    def stat(self, source: Source) -> tuple[int, int]:
        """Size in bytes and time of last change in ns (0 where unknown) of the source's container.

        Raises
        ------
        OSError
            It is gone or cannot be looked at.
        """
        return stat_file(source.container)

    def close(self) -> None:
        """Close all open files."""
        while self._handles:
            self._handles.popitem()[1][0].close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _handle(self, container: str, opener: Callable[[IO[bytes]], Any]) -> Any:
        if container in self._handles:
            self._handles.move_to_end(container)
            return self._handles[container][1]
        while len(self._handles) >= _MAX_HANDLES:
            self._handles.popitem(last=False)[1][0].close()
        file = open_file(container)
        try:
            opened = opener(file)
        except ArchiveError as error:
            file.close()
            raise ImageError(f"cannot read the archive: {error}") from error
        except BaseException:
            file.close()
            raise
        self._handles[container] = (file, opened)
        return opened


class _Stack:
    """An open .npy stack: `read` gives one image of it as a .npy file."""

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.shape, fortran, self.dtype, self.start = npy_header(file.read(1 << 16))
        if fortran:
            raise ImageError("a .npy stack in Fortran order; save it in C order (numpy.ascontiguousarray)")
        header = io.BytesIO()
        descr = np.lib.format.dtype_to_descr(self.dtype)
        np.lib.format.write_array_header_1_0(
            header, {"shape": self.shape[1:], "fortran_order": False, "descr": descr}
        )
        self.header = header.getvalue()
        self.size = int(np.prod(self.shape[1:], dtype=object)) * self.dtype.itemsize

    def read(self, index: int, limit: int) -> bytes:
        check_bytes(self.size, limit)
        if index >= self.shape[0]:
            raise ImageError("the .npy stack has changed since it was listed")
        self.file.seek(self.start + index * self.size)
        data = self.file.read(self.size)
        if len(data) != self.size:
            raise ImageError("damaged .npy stack: it ends before this image")
        return self.header + data


def _is_stack(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 or (len(shape) == 3 and shape[2] > 4)


def stack_length(path: str) -> int | None:
    """Number of images in a .npy stack; None where the file is no stack."""
    with open_file(path) as file:
        try:
            shape = npy_header(file.read(1 << 16))[0]
        except ImageError:
            return None
    return shape[0] if _is_stack(shape) and shape[0] > 0 else None
