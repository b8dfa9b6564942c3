"""Files on this machine and behind fsspec URLs (extra ``remote``), opened and read with a limit."""

from __future__ import annotations

import bz2
import contextlib
import datetime
import gzip
import hashlib
import lzma
import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import IO, Any

from .errors import ImageError, reason
from .names import printable, visible

#: How files begin that are compressed as a whole, and what opens them.
COMPRESSED: dict[bytes, tuple[str, Any]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ": ("xz", lzma.open),
}

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*://")


def is_url(path: str) -> bool:
    """Whether `path` goes to fsspec: it begins with ``protocol://``."""
    return "://" in path and _URL.match(path) is not None


def join(folder: str, name: str) -> str:
    """Join a folder, or URL of one, and a name in it."""
    if not folder:
        return name
    return f"{folder}/{name}" if is_url(folder) else os.path.join(folder, name)


def filesystem(url: str) -> tuple[Any, str]:
    """Give the fsspec file system of `url` and the path on it; `ImportError` says what to install for it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise ImportError("URLs need fsspec: pip install 'scalenorm[remote]'") from None
    return url_to_fs(url)


def open_file(path: str) -> IO[bytes]:
    """Open a path or URL for reading bytes; the caller closes it."""
    if is_url(path):
        system, inside = filesystem(path)
        file: IO[bytes] = system.open(inside, "rb")
        return file
    return open(path, "rb")


@contextlib.contextmanager
def remote_errors(failed: str) -> Iterator[None]:
    """Whatever a remote system's package raises becomes an `OSError`: each has exceptions of its own."""
    try:
        yield
    except (OSError, ImportError):
        raise
    except Exception as error:
        raise OSError(printable(f"{failed}: {reason(error)}")) from error


def stat_file(path: str) -> tuple[int, int]:
    """Size in bytes and time of last change in ns, modulo 2**64; 0 where a remote system does not say."""
    if not is_url(path):
        info = os.stat(path)
        return info.st_size, _in_64_bits(info.st_mtime_ns)
    with remote_errors(f"cannot look at {visible(path)}"):
        system, inside = filesystem(path)
        details = system.info(inside)
        changed = details.get("mtime") or details.get("LastModified") or details.get("created") or 0
        with contextlib.suppress(ValueError, OverflowError):  # a date that is none
            if isinstance(changed, str):
                changed = datetime.datetime.fromisoformat(changed)
            if hasattr(changed, "timestamp"):
                changed = changed.timestamp()
            return int(details.get("size") or 0), _in_64_bits(int(float(changed) * 1e9))
        return int(details.get("size") or 0), 0


def stat_files(paths: Sequence[str]) -> tuple[int, int]:
    """Return `stat_file` of one file; of several the sum of their sizes, and a number that any change would change."""
    if len(paths) == 1:
        return stat_file(paths[0])
    found = []
    for path in paths:
        try:
            found.append(stat_file(path))
        except OSError:
            found.append((0, 0))
    digest = hashlib.sha256(repr(found).encode()).digest()
    return sum(size for size, _ in found), int.from_bytes(digest[:8], "little", signed=True)


def _in_64_bits(number: int) -> int:
    """Wrap a number to what caches hold: damaged file systems have dates of any size."""
    return (number + 2**63) % 2**64 - 2**63


def check_bytes(size: int, limit: int) -> None:
    """Raise `ImageError` for more than `limit` bytes."""
    if size > limit:
        raise ImageError(f"{size} bytes are more than the limit of {limit} (raise max_pixels)")


def read_file(path: str, limit: int) -> bytes:
    """Read a whole file; `ImageError` if it has more than `limit` bytes or is not a regular one."""
    if is_url(path):
        with remote_errors(f"cannot read {visible(path)}"), open_file(path) as file:
            data = file.read(limit + 1)
        check_bytes(len(data), limit)
        return data
    return read_local_file(path, limit)[0]


def read_local_file(path: str, limit: int) -> tuple[bytes, tuple[int, int]]:
    """Read a file of this machine as `read_file`, and give what `stat_file` says of it as well."""
    # Without O_NONBLOCK, opening a named pipe waits for a writer that never comes.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            raise ImageError("not a regular file")
        check_bytes(info.st_size, limit)
        data = os.read(handle, info.st_size + 1)
        # A read may stop short (Linux: at 2 GiB), and a file that is being written may have grown.
        while chunk := os.read(handle, 1 << 20) if len(data) != info.st_size else b"":
            data += chunk
            check_bytes(len(data), limit)
        return data, (info.st_size, _in_64_bits(info.st_mtime_ns))
    finally:
        os.close(handle)
