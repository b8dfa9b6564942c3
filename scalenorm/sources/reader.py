"""The bytes of listed images."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import IO, Any

import numpy as np

from ..cropping.stamps import cut_stamp
from ..files.errors import ArchiveError, ImageError, turned_into
from ..files.reading import is_url, open_file, read_file, read_local_file, stat_files
from ..images.decoding import decode_masked
from ..images.npy import npy_header
from ..images.options import MAX_BYTES, DecodeOptions
from .archives import open_archive
from .bands import JoinedBands, each_band, open_tile
from .listing import Root, Source, Sources, SourcesBuilder
from .stacks import Stack, is_stack, open_stack
from .tiles import Sky, Tile, sky_of_file

_MAX_HANDLES = 8

#: What is read of an image: its file, the files of its bands, or, of a tile, its pixels.
Data = bytes | tuple[bytes, ...] | np.ndarray


def sha256_of(data: Data) -> str:
    """Return the SHA-256 (hexadecimal) of what `Reader.read` gives; of several files, one after the other."""
    result = hashlib.sha256()
    for part in data if isinstance(data, tuple) else (data,):
        result.update(part.data if isinstance(part, np.ndarray) else part)
    return result.hexdigest()


class Reader:
    """Reads the bytes of sources of at most `max_bytes`; keeps 8 archives or stacks open. One per thread.

    `options` say what of a file is the image.
    """

    def __init__(self, max_bytes: int = MAX_BYTES, options: DecodeOptions | None = None):
        self.max_bytes = max_bytes
        self.options = options or DecodeOptions()
        self._handles: OrderedDict[str, tuple[IO[bytes], Any]] = OrderedDict()
        self._tile: tuple[str, Tile | JoinedBands | ImageError] | None = None
        #: `tiles.sky_of_file`; the last few are kept.
        self.sky_of_file = functools.lru_cache(_MAX_HANDLES)(sky_of_file)

    def read(self, source: Source) -> Data:
        """Read one image's file, archive member, or, of a stack of arrays, a .npy file of it; of a tile the pixels.

        What is wrong with the image (damaged, encrypted, too large, not a regular file) is an `ImageError`; what the
        system cannot do is an `OSError`.
        """
        if source.missing:
            raise ImageError(source.missing)
        if source.stamp is not None:
            tile, (row, col, _, most, _) = self.tile(source.container), source.stamp
            return cut_stamp(tile.pixels, None, row, col, most).image
        if source.member is not None:
            archive = self._handle(source.container, open_archive)
            data: bytes = archive.read(source.member, source.index, self.max_bytes)
            if data[:6] == b"\x93NUMPY" and is_stack(npy_header(data)[0]):
                raise ImageError("a .npy stack inside an archive; unpack it")
            return data
        if source.index is not None:
            stack: Stack = self._handle(source.container, open_stack)
            return stack.read(source.index, self.max_bytes)
        if self.options.has_band_files:
            files = self.options.files(source.container)
            return tuple(each_band(lambda path: read_file(path, self.max_bytes), files, self.options))
        return read_file(source.container, self.max_bytes)

    def read_with_stat(self, source: Source) -> tuple[Data, tuple[int, int]]:
        """Read as `read`, and give what `stat` said before."""
        in_another = source.stamp is not None or source.member is not None or source.index is not None
        if in_another or source.missing or self.options.has_band_files or is_url(source.container):
            stat = self.stat(source)
            return self.read(source), stat
        return read_local_file(source.container, self.max_bytes)

    def decode(self, data: Data) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the image that was read, and its mask, as `scalenorm.images.decode_masked` does."""
        if isinstance(data, tuple):
            with contextlib.closing(JoinedBands(data, self.options)) as image:
                return image.pixels[:, :], image.mask
        return decode_masked(data, "", self.options)

    def sky(self, data: Data) -> Sky | None:
        """Return where an image that was read is on the sky; None where it does not say."""
        first = data[0] if isinstance(data, tuple) else data
        return sky_of_file(first, self.options) if isinstance(first, bytes) else None

    def stat(self, source: Source) -> tuple[int, int]:
        """Size in bytes and time of last change in ns of the source's container, or all its files; 0 where unknown."""
        try:
            return stat_files(self.options.files(source.container))
        except OSError:
            return 0, 0

    def tile(self, path: str) -> Tile | JoinedBands:
        """Return the tile at a path; the one asked for last is kept, so that a damaged one is tried once, too."""
        if self._tile is None or self._tile[0] != path:
            self._close_tile()
            try:
                self._tile = path, open_tile(path, self.options)
            except ImageError as error:
                self._tile = path, error
        if isinstance(self._tile[1], ImageError):
            raise self._tile[1]
        return self._tile[1]

    def _close_tile(self) -> None:
        if self._tile is not None and not isinstance(self._tile[1], ImageError):
            self._tile[1].close()
        self._tile = None

    def close(self) -> None:
        """Close all open files."""
        self._close_tile()
        while self._handles:
            _close(*self._handles.popitem()[1])

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _handle(self, container: str, opener: Callable[[IO[bytes]], Any]) -> Any:
        if container in self._handles:
            self._handles.move_to_end(container)
            return self._handles[container][1]
        while len(self._handles) >= _MAX_HANDLES:
            _close(*self._handles.popitem(last=False)[1])
        file = open_file(container)
        try:
            with turned_into(ImageError, "cannot read the archive", ArchiveError):
                opened = opener(file)
        except BaseException:
            file.close()
            raise
        self._handles[container] = (file, opened)
        return opened


class ArrayReader(Reader):
    """Reads images that are in memory, each as if it were a .npy file; their sources are those of `array_sources`."""

    def __init__(self, images: Sequence[Any] | np.ndarray, options: DecodeOptions) -> None:
        super().__init__(options.max_bytes, options)
        self._images = images

    def read(self, source: Source) -> bytes:
        """Give one image as a .npy file."""
        data, image = io.BytesIO(), np.asarray(self._images[source.index or 0])
        if image.dtype.kind == "O":
            raise ImageError(f"not an image: {type(self._images[source.index or 0]).__name__}")
        np.save(data, image, allow_pickle=False)
        return data.getvalue()

    def stat(self, source: Source) -> tuple[int, int]:
        """Zeros, as there is no file."""
        return 0, 0


def array_sources(count: int) -> Sources:
    """List images in memory under their numbers, which are their ids."""
    found, width = SourcesBuilder(), max(6, len(str(count - 1)))
    for number in range(count):
        found.append(Root("stack", ""), "image", f"{number:0{width}d}", number)
    return found.sorted()


def _close(file: IO[bytes], opened: Any) -> None:
    if isinstance(opened, Stack):
        opened.close()
    file.close()
