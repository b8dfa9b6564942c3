"""Open HDF5 files so that neither file locks nor signals do harm."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files.errors import CacheError
from ..files.signals import signals_held

if TYPE_CHECKING:
    import h5py

_UNLOCKABLE = "unable to lock"
_LOCKS_FORCED = "it cannot be locked, but HDF5_USE_FILE_LOCKING asks for locks: unset that variable"


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading; the caller closes it."""
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as error:
        if _UNLOCKABLE not in str(error):
            raise
    try:  # finished files never change, so they need no lock; some network file systems have none
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if _UNLOCKABLE not in str(error):
            raise
        raise CacheError(f"{path}: {_LOCKS_FORCED}") from error


@contextlib.contextmanager
def reading(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading, undisturbed by signals, and close it afterwards."""
    with signals_held(), open_hdf5(path) as file:
        yield file


@contextlib.contextmanager
def writing(path: Path, mode: str, **options: Any) -> Iterator[h5py.File]:
    """Open a file that nobody else knows yet for writing, undisturbed by signals, and close it afterwards."""
    import h5py

    try:
        with signals_held(), h5py.File(path, mode, locking=False, **options) as file:
            yield file
    except (OSError, RuntimeError) as error:
        hidden = re.search(r"errno = (\d+)", str(error))  # HDF5 has it in its text only
        if hidden is None:
            raise
        number = int(hidden[1])
        why = _LOCKS_FORCED if _UNLOCKABLE in str(error) else os.strerror(number)
        raise OSError(number, why, str(path)) from error
