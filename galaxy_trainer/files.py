"""Files that are there whole or not at all."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from galaxy_trainer.errors import TrainerError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name, flush it to the disk, and rename it.

    An interruption at any instant leaves the old file, or none, in place.

    Parameters
    ----------
    path : Path
        The file; its ending is kept in the temporary name, as some writers look at it.
    write : callable
        Called with the temporary path; writes the contents.
    """
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    write(temporary)
    sync(temporary)
    os.replace(temporary, path)
    sync(path.parent)


def check_place(path: Path, *, overwrite: bool) -> None:
    """Raise `TrainerError` for a file that exists or cannot be written, before hours of work for it."""
    from scalenorm.files.errors import OutputError
    from scalenorm.files.writing import check_output

    try:
        check_output(path, overwrite=overwrite)
    except OutputError as error:
        raise TrainerError(str(error)) from None


def sync(path: Path) -> None:
    """Flush a file or a folder's entries to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes, whole or not at all."""
    write_whole(path, lambda part: part.write_bytes(data))


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")
