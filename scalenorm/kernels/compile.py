"""One way to compile every kernel: no GIL, cached on disk where the disk allows it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from secrets import token_hex
from typing import Any

import numba
import numpy as np
from numba.core.event import Event, Listener, register

from . import sources_hash

_STAMP = sources_hash()
_PROCESS = token_hex(4)
_log = logging.getLogger("scalenorm")


class _Notice(Listener):
    """Says once, after a second, what takes so long: compiling, that is, and not loading what was compiled before.

    Numba's lock lets one thread at a time compile, and events come with the lock held.
    """

    def __init__(self) -> None:
        self.depth = 0  # a kernel compiles those that it calls
        self.said = False
        self.timer = threading.Timer(0, self.say)

    def say(self) -> None:
        self.said = True
        _log.warning(
            "Compiling scalenorm for this kind of image, the first time only: half a minute, more on a busy machine."
        )

    def on_start(self, event: Event) -> None:
        if self.is_ours(event):
            self.depth += 1
            if self.depth == 1 and not self.said:
                self.timer = threading.Timer(1.0, self.say)
                self.timer.daemon = True
                self.timer.start()

    def on_end(self, event: Event) -> None:
        if self.is_ours(event):
            self.depth -= 1
            if self.depth == 0:
                self.timer.cancel()

    def is_ours(self, event: Event) -> bool:
        return str(event.data["dispatcher"].py_func.__module__).startswith(__package__)


register("numba:compile", _Notice())


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile ``function`` on first use; cache it unless no folder can be written (read-only installs)."""
    return _compiled(function)


def composed(function: Callable[..., Any]) -> Callable[..., Any]:
    """`kernel` for one that mostly calls others: inlined in its callers, it is not compiled anew for each of them."""
    return _compiled(function, inline="always")


def _compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    # NumPy's scalars warn of infinite less infinite and of unsigned integers that wrap, compiled code does not.
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return np.errstate(invalid="ignore", over="ignore")(function)
    options |= {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}  # nobody asks for an address in C
    try:
        compiled = numba.njit(cache=True, **options)(function)
        _make_tolerant(compiled._cache)
        return compiled
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return numba.njit(**options)(function)


def _make_tolerant(cache: Any) -> None:
    """Look at the sources of all kernels, and do without files that are damaged or cannot be written."""
    file = cache._cache_file
    file._source_stamp = _STAMP
    # Of two processes that compile one kernel for different types at once, both would take the next free name for their
    # machine code, and load that of the other afterwards.
    file._data_name_pattern = file._data_name_pattern.replace("{number", f"{_PROCESS}-{{number")
    for name in ("load_overload", "save_overload"):
        setattr(cache, name, _or_warn(getattr(cache, name), cache))


def _or_warn(action: Callable[..., Any], cache: Any) -> Callable[..., Any]:
    def run(*arguments: Any) -> Any:
        try:
            return action(*arguments)
        except Exception as error:  # unpickling what is damaged raises anything
            _warn_of_cache(cache.cache_path, f"{type(error).__name__}: {error}".splitlines()[0])
            with suppress(OSError):
                cache.flush()  # a damaged index would be in the way again
            return None

    return run


@lru_cache(maxsize=1)  # once a process
def _warn_of_cache(folder: str, reason: str) -> None:
    _log.warning("Numba's cache in %s is damaged, or cannot be written (%s): compiling anew.", folder, reason)
