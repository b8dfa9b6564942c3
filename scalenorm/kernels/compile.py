"""One way to compile every kernel: no GIL, cached on disk where the disk allows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile ``function`` on first use; cache it unless no folder can be written (read-only installs)."""
    # NumPy's scalars warn of infinite less infinite and of unsigned integers that wrap, compiled code does not.
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return np.errstate(invalid="ignore", over="ignore")(function)
    try:
        return numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return numba.njit(nogil=True, error_model="numpy")(function)
