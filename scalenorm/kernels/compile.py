"""One way to compile every kernel: no GIL, cached on disk where the disk allows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from . import sources_hash

_STAMP = sources_hash()


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
        compiled._cache._cache_file._source_stamp = _STAMP
        return compiled
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return numba.njit(**options)(function)
