"""One run per output: a lock file that says who holds it."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import LockedError
from .names import printable

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_log = logging.getLogger("scalenorm")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; remove it afterwards.

    The kernel frees the lock of a run that was killed, so its file is taken over, with a line in the log if that run
    was on another machine (or in another container). Where the file system has no locks, and on Windows, such a file is
    not taken over: whether that run lives cannot be seen from here. If another run holds it, that is a `LockedError`.
    """
    handle = None
    while handle is None:
        handle = _take(path)
    try:
        yield
    finally:
        if fcntl is None:  # Windows, which removes no open file
            os.ftruncate(handle, 0)
            os.close(handle)
        # Elsewhere unlinked while still locked, so that nobody locks a file that is about to go.
        with contextlib.suppress(OSError):
            path.unlink()
        if fcntl is not None:
            os.close(handle)


def _take(path: Path) -> int | None:
    """Lock the file, or return None if it was removed meanwhile."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        kernel_says = _try_lock(handle)
        holder = _parse(os.read(handle, 4096))
        here = holder.get("host") == socket.gethostname()
        if kernel_says is False or (kernel_says is None and holder and (not here or _lives(holder))):
            raise LockedError(_describe(path, holder, lives=kernel_says is False))
        if holder and not here:
            _log.warning(
                "%s was left by %s, and nobody holds it: it is taken over", printable(path), printable(_who(holder))
            )
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                _write_holder(handle)
                return handle
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def _write_holder(handle: int) -> None:
    since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": since}
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, json.dumps(holder).encode())


def _try_lock(handle: int) -> bool | None:
    """Ask the kernel for the lock; None where the system or file system has none."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _parse(text: bytes) -> dict[str, Any]:
    try:
        holder = json.loads(text or b"{}")
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _lives(holder: dict[str, Any]) -> bool:
    if os.name == "nt":  # where os.kill would end the process
        return bool(holder)
    try:
        os.kill(int(holder["pid"]), 0)
    except (KeyError, TypeError, ValueError, OverflowError, ProcessLookupError):
        return False
    except OSError:
        return True
    return True


def _describe(path: Path, holder: dict[str, Any], *, lives: bool) -> str:
    if not holder:
        return f"another run is starting on this output ({path})"
    advice = "" if lives else f"; if that run has ended, delete {path}"
    return f"another run is writing this output: {_who(holder)}{advice}"


def _who(holder: dict[str, Any]) -> str:
    return f"process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}"
