"""Members of .zip and .tar archives, found once and then read by one seek each.

A member is remembered as one number, the place of its directory entry in the archive, so that a listing stays
small and any process can read any member without listing the archive again.
"""

from __future__ import annotations

import bz2
import lzma
import re
import struct
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

from ..files.errors import ArchiveError, ImageError, damage, turned_into
from ..files.reading import COMPRESSED, check_bytes

ARCHIVE_SUFFIXES = frozenset([".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz"])

#: A member that holds labels of a sample, in webdataset's layout: the sample's key, and what they are written in.
ANSWERS = re.compile(r"((?:.*/)?[^/.]+)\.(json|cls)", re.DOTALL)


class _Entry(NamedTuple):
    """One record of a zip file's central directory."""

    name: str
    flags: int
    method: int
    crc: int
    stored: int
    size: int
    start: int


# Of each record the signature and what is wanted; of a directory entry that is its flags, method, CRC, sizes,
# the lengths of what follows, and the start.
_ZIP_END = b"PK\5\6"
_ENTRY = struct.Struct("<4s4xHH4xIIIHHH8xI")
_LOCAL = struct.Struct("<4s22xHH")
_END = struct.Struct("<4s6xHII2x")
_END64 = struct.Struct("<4s28xQQQ")
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    RecursionError,  # one extended tar header after another
    struct.error,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
)


def open_archive(file: IO[bytes]) -> ZipArchive | TarArchive:
    """Look at the first bytes of a seekable file and say how to read it; `ArchiveError` if it cannot be read."""
    begin = file.read(262)
    file.seek(0)
    for start, (_, opener) in COMPRESSED.items():
        if begin.startswith(start):
            return TarArchive(opener(file), sequential=True)
    if begin[257:262] == b"ustar":
        return TarArchive(file)
    # A zip archive is known by its end: a program that unpacks it may stand before it.
    if begin[:2] == b"PK" or _ZIP_END in _tail(file)[1]:
        return ZipArchive(file)
    return TarArchive(file)


def _tail(file: IO[bytes]) -> tuple[int, bytes]:
    """Place and bytes of the end of the file, where a zip archive's end record must be."""
    at = max(0, file.seek(0, 2) - 66_000)
    file.seek(at)
    tail = file.read(66_000)
    file.seek(0)
    return at, tail


class ZipArchive:
    """A zip archive, opened from a seekable file."""

    sequential = False

    def __init__(self, file: IO[bytes]):
        self.file = file
        with turned_into(ArchiveError, "not a readable zip archive", *_DAMAGE):
            self.count, self.begin, self.shift = self._directory()

    def _directory(self) -> tuple[int, int, int]:
        """Number of entries, place of the first, and bytes put before the archive proper."""
        tail_at, tail = _tail(self.file)
        at = tail.rfind(_ZIP_END)
        if at < 0:
            raise ValueError("it has no directory at its end (truncated?)")
        _, count, size, offset = _END.unpack_from(tail, at)
        end = tail_at + at
        if at >= 20 and tail[at - 20 : at - 16] == b"PK\6\7":
            end = end - 20 - 56
            self.file.seek(end)
            mark, count, size, offset = _END64.unpack(self.file.read(_END64.size))
            if mark != b"PK\6\6":
                raise ValueError("its zip64 directory cannot be found")
        begin = end - size
        if begin < 0 or begin < offset:
            raise ValueError("its directory lies outside of the file")
        return count, begin, begin - offset

    def members(self) -> Iterator[tuple[str, int]]:
        """Name and place of every member that is not a folder."""
        at = self.begin
        with turned_into(ArchiveError, "damaged zip directory", *_DAMAGE):
            for _ in range(self.count):
                entry, after = self._entry(at)
                if not entry.name.endswith("/"):
                    yield entry.name, at
                at = after

    def _entry(self, at: int) -> tuple[_Entry, int]:
        self.file.seek(at)
        mark, flags, method, crc, stored, size, n_name, n_extra, n_comment, start = _ENTRY.unpack(
            self.file.read(_ENTRY.size)
        )
        if mark != b"PK\1\2":
            raise ValueError(f"no directory entry at byte {at}")
        raw = self.file.read(n_name)
        name = raw.decode("utf-8", "surrogateescape") if flags & 0x800 else raw.decode("cp437")
        if 0xFFFFFFFF in (stored, size, start):
            size, stored, start = _zip64(self.file.read(n_extra), size, stored, start)
        entry = _Entry(name, flags, method, crc, stored, size, start + self.shift)
        return entry, at + _ENTRY.size + n_name + n_extra + n_comment

    @damage("archive")
    def read(self, name: str, at: int, limit: int) -> bytes:
        """Bytes of the member `name` at place `at`, of at most `limit` bytes."""
        entry, _ = self._entry(at)
        if entry.name != name:
            raise ImageError("the archive has changed since it was listed")
        if entry.flags & 1:
            raise ImageError("the archive member is encrypted")
        check_bytes(max(entry.size, entry.stored), limit)
        self.file.seek(entry.start)
        mark, n_name, n_extra = _LOCAL.unpack(self.file.read(_LOCAL.size))
        if mark != b"PK\3\4":
            raise ImageError("damaged archive: the member is not where the directory says")
        self.file.seek(n_name + n_extra, 1)
        raw = self.file.read(entry.stored)
        if len(raw) != entry.stored:
            raise ImageError("damaged archive: the member is cut short")
        # One byte more than declared shows a member that lies about its size, at no cost in memory.
        if entry.method == 0:
            data = raw
        elif entry.method == 8:
            data = zlib.decompressobj(wbits=-15).decompress(raw, entry.size + 1)
        elif entry.method == 12:
            data = bz2.BZ2Decompressor().decompress(raw, entry.size + 1)
        else:
            raise ImageError(f"the archive's compression method {entry.method} is not supported; repack it")
        if len(data) != entry.size or zlib.crc32(data) != entry.crc:
            raise ImageError("damaged archive: size or check sum of the member is wrong")
        return data


def _zip64(extra: bytes, size: int, stored: int, start: int) -> tuple[int, int, int]:
    """Replace the 32-bit values that overflowed by those of the zip64 field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
            values = [next(wide, value) if value == 0xFFFFFFFF else value for value in (size, stored, start)]
            return values[0], values[1], values[2]
        at += 4 + length
    raise ValueError("its zip64 sizes are missing")


class TarArchive:
    """A tar archive in a seekable stream; in a compressed one each step back starts at the beginning again."""

    def __init__(self, file: IO[bytes], *, sequential: bool = False):
        self.file = file
        self.sequential = sequential
        # Only its parser of headers is used: in reading mode a TarFile keeps every member it has seen.
        self.headers = _Headers(file)
        self.tar = tarfile.TarFile(fileobj=self.headers, mode="w")  # type: ignore[arg-type]
        with turned_into(ArchiveError, "neither a zip nor a tar archive, or damaged", *_DAMAGE):
            self._header(0)

    def _header(self, at: int) -> tuple[tarfile.TarInfo, int] | None:
        """Header of the member at `at` and where the next begins; None at the zeros that end every archive."""
        self.file.seek(at)
        block = self.file.read(tarfile.BLOCKSIZE)
        if len(block) < tarfile.BLOCKSIZE:
            raise ValueError("it ends early (truncated?)")
        if not block.strip(b"\0"):
            return None
        self.headers.first = block
        info = tarfile.TarInfo.fromtarfile(self.tar)
        if self.tar.offset <= at or info.size < 0:
            raise ValueError(f"the header at byte {at} is damaged")
        return info, self.tar.offset

    def members(self) -> Iterator[tuple[str, int]]:
        """Name and place of every member that is not a folder."""
        at = 0
        with turned_into(ArchiveError, "damaged tar archive", *_DAMAGE):
            while header := self._header(at):
                info, after = header
                if not info.isdir():
                    yield info.name, at
                at = after
            while self.file.read(1 << 20):  # a compressed stream has its check sum at the very end
                pass

    @damage("archive")
    def read(self, name: str, at: int, limit: int) -> bytes:
        """Bytes of the member `name` at place `at`, of at most `limit` bytes."""
        header = self._header(at)
        if header is None or header[0].name != name:
            raise ImageError("the archive has changed since it was listed")
        info = header[0]
        if not info.isreg() or info.issparse():
            raise ImageError("the archive member is a link or special file, not a plain one")
        check_bytes(info.size, limit)
        self.file.seek(info.offset_data)
        data = self.file.read(info.size)
        if len(data) != info.size:
            raise ImageError("damaged archive: the member is cut short")
        return data


class _Headers:
    """The stream as the parser of tar headers sees it.

    Its first block is given back from memory, because a compressed stream cannot step back; and a header that
    claims to be huge is refused.
    """

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.tell = file.tell
        self.first = b""

    def read(self, size: int) -> bytes:
        if self.first:
            block, self.first = self.first, b""
            return block
        if not 0 <= size <= 1 << 20:
            raise ValueError(f"a header of {size} bytes")
        return self.file.read(size)
