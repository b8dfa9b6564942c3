"""Files that are there whole or not at all, and never replace anyone else's."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .errors import OutputError, naming, turned_into

#: Files end so until they are complete.
TEMPORARY = ".tmp"

#: How systems say that they do not flush folders: Windows, shares of virtual machines, old network file systems.
_NO_FLUSH_OF_FOLDERS = {errno.EACCES, errno.EINVAL, errno.EIO, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def make_folder(folder: Path, *, overwrite: bool) -> None:
    """Make a folder for outputs; raise `OutputError` if that cannot be done, or unless `overwrite` it holds files."""
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise OutputError(f"{folder} is a file: give the name of a folder")
    try:
        folder.mkdir(exist_ok=True)
        if not overwrite and any(folder.iterdir()):
            raise OutputError(f"{folder} is not empty: choose a new folder, or use --overwrite to replace files in it")
    except FileNotFoundError:
        raise OutputError(f"{folder.parent}: no such folder; create it first") from None
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror or error}") from error


def check_output(path: Path, *, overwrite: bool, marker: bytes = b"") -> None:
    """Raise `OutputError` for an output that exists or cannot be written.

    An existing file may be replaced if `overwrite` says so, or if it holds `marker` in its first 4 kB: then it is an
    earlier result of the same command.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder: give the name of a file in it")
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent}: no such folder; create it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path.parent}: no permission to write there")
    if path.exists() and not overwrite:
        with path.open("rb") as file:
            own = bool(marker) and marker in file.read(4096)
        if not own:
            raise OutputError(f"{path} already exists: choose another name, or use --overwrite to replace it")


@contextlib.contextmanager
def new_file(path: Path, *, folder: Path | None = None, temporary: Path | None = None) -> Iterator[Path]:
    """Give a temporary name; afterwards have that file on the disk, and then as `path`, or else remove it.

    An interruption at any instant leaves the old file, or none, in place. The temporary file lies in `folder`, which
    is on the same disk (beside `path`), under a name that no other process has, unless `temporary` names it.
    """
    if temporary is None:
        temporary = (folder or path.parent) / f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY}"
    try:
        yield temporary
        with naming(path):
            flush(temporary)
            os.replace(temporary, path)
            flush(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def flush(path: Path) -> None:
    """Have a file's or folder's content on the disk before this returns; a folder's only where the system can."""
    folder = path.is_dir()
    try:
        handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if not folder or error.errno not in _NO_FLUSH_OF_FOLDERS:
            raise


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file for writing, which becomes `path` if all goes well; `OutputError` if the system says no."""
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}{TEMPORARY}")
    written = new_file(path, temporary=temporary)
    with turned_into(OutputError, str(path), OSError), written, temporary.open("wb") as file:
        yield file
