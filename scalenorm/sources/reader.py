"""The bytes of listed images."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any

from ..files.errors import ArchiveError, ImageError
from ..files.reading import open_file, read_file, stat_file
from ..images.npy import npy_header
from ..images.options import MAX_BYTES
from .archives import open_archive
from .listing import Source
from .stacks import Stack, is_stack

_MAX_HANDLES = 8


class Reader:
    """Reads the bytes of sources of at most `max_bytes`; keeps 8 archives or stacks open. One per thread."""

    def __init__(self, max_bytes: int = MAX_BYTES):
        self.max_bytes = max_bytes
        self._handles: OrderedDict[str, tuple[IO[bytes], Any]] = OrderedDict()

    def read(self, source: Source) -> bytes:
        """Read one image's file, archive member, or, of a stack, a .npy file of the one image.

        What is wrong with the image (damaged, encrypted, too large, not a regular file) is an `ImageError`; what the
        system cannot do is an `OSError`.
        """
        if source.member is not None:
            archive = self._handle(source.container, open_archive)
            data: bytes = archive.read(source.member, source.index, self.max_bytes)
            if data[:6] == b"\x93NUMPY" and is_stack(npy_header(data)[0]):
                raise ImageError("a .npy stack inside an archive; unpack it")
            return data
        if source.index is not None:
            stack: Stack = self._handle(source.container, Stack)
            return stack.read(source.index, self.max_bytes)
        return read_file(source.container, self.max_bytes)

    def stat(self, source: Source) -> tuple[int, int]:
        """Size in bytes and time of last change in ns (0 where unknown) of the source's container."""
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
