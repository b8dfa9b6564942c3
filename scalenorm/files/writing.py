"""Files that are there whole or not at all, and never replace anyone else's."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal

from .errors import OutputError

#: Files end so until they are complete.
TEMPORARY = ".tmp"


def check_output(path: Path, *, overwrite: bool, marker: bytes = b"") -> None:
    """Refuse an output that exists or cannot be written.

    Parameters
    ----------
    path : Path
        The file.
    overwrite : bool
        Whether it may exist.
    marker : bytes
        An existing file that holds this in its first 4 kB is this command's own earlier result and may be replaced.

    Raises
    ------
    OutputError
        If it exists and may not be replaced, is a folder, or its folder is missing or not writable.
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
def new_file(
    path: Path, folder: Path | None = None, *, temporary: Path | None = None, publish_it: bool = True
) -> Iterator[Path]:
    """Give a temporary name; afterwards publish that file as `path`, or else remove it.

    An interruption at any instant leaves the old file, or none, in place.

    Parameters
    ----------
    path : Path
        The file to make.
    folder : Path, optional
        Where the temporary file lies, on the same disk; by default beside `path`.
    temporary : Path, optional
        Its name, where that matters; by default one that no other process has, which ends in `TEMPORARY`.
    publish_it : bool
        Whether to publish it at all.
    """
    if temporary is None:
        temporary = (folder or path.parent) / f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY}"
    try:
        yield temporary
        if publish_it:
            publish(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def publish(temporary: Path, path: Path) -> None:
    """Have a file on the disk, and then under its final name."""
    flush(temporary)
    os.replace(temporary, path)
    flush(path.parent)


def flush(path: Path) -> None:
    """Have a file's or folder's content on the disk before this returns."""
    try:
        handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    except PermissionError:
        # Windows cannot open a folder, and needs no flush of it after a rename.
        if path.is_dir():
            return
        raise
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def whole_file(path: Path, mode: Literal["w", "wb"] = "wb") -> Iterator[IO[Any]]:
    """Open a new file for writing; publish it as `path` if all goes well.

    Raises
    ------
    OutputError
        If the system cannot write it.
    """
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}{TEMPORARY}")
    text: dict[str, Any] = {} if mode == "wb" else {"encoding": "utf-8", "newline": ""}
    try:
        with new_file(path, temporary=temporary), temporary.open(mode, **text) as file:
            yield file
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}") from error
