"""Where a cache is written: whether that can be done, who holds it, and the system's errors in words."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from .errors import DISK_ERRORS, BatchError, one_line
from .lock import locked


def resolve_output(output: str | os.PathLike[str]) -> Path:
    """Return the file that an output names, the same for every spelling of its path.

    Of a link it is the file that it leads to, so that the link stays one; a link that leads nowhere is left for
    `check_output_path` to refuse.
    """
    path = Path(output).absolute()
    if path.is_symlink() and not path.exists():
        return path
    return Path(os.path.realpath(path))


def check_output_path(output: Path) -> None:
    """Raise `BatchError` if no file can be written there."""
    if os.path.isdir(output):
        raise BatchError(f"{output} is a folder: give the name of a file in it")
    if os.path.islink(output) and not os.path.exists(output):
        raise BatchError(
            f"{output} is a symbolic link to a file that does not exist: remove it, or choose another name"
        )
    if not os.path.isdir(output.parent):
        raise BatchError(f"{output.parent}: no such folder; create it first")


@contextlib.contextmanager
def lock_output(output: Path) -> Iterator[None]:
    """Hold the lock of an output; `BatchError` if another run holds it, or for an `OSError` there or in the block."""
    try:
        with locked(_lock(output)):
            yield
    except OSError as error:
        raise explain_write_error(error, output) from error


def explain_write_error(error: OSError, output: Path) -> BatchError:
    """Return an error of the system in words."""
    where = str(error.filename or output)
    if where == str(_lock(output)) and not os.path.lexists(where):
        where = str(output)  # the lock file means nothing to the user
    if error.errno in DISK_ERRORS:
        return BatchError(f"cannot write {where}: {DISK_ERRORS[error.errno]}")
    return BatchError(f"{where}: {error.strerror or one_line(error)}")


def _lock(output: Path) -> Path:
    return output.with_name(output.name + ".lock")
