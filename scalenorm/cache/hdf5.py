"""Open HDF5 files so that neither file locks nor signals do harm."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import h5py


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading; the caller closes it."""
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as error:
        if "lock" not in str(error):
            raise
        # Finished files never change, so they need no lock; some network file systems have none.
        return h5py.File(path, "r", locking=False)


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
        raise OSError(number, os.strerror(number), str(path)) from error


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the end of the block.

    HDF5 calls back into Python, and what is raised there, such as KeyboardInterrupt, gets lost.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread
        return
    caught: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in handlers.items() if handler is not None}
    for number in before:
        signal.signal(number, lambda number, _frame: caught.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for raised in caught:
            signal.raise_signal(raised)
