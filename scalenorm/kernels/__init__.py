"""Bare Numba loops: grey sums, component, resample.

They import numpy, math and numba only (``compile``, which says what takes so long, a logger), take their outputs as
arguments, check nothing and release the GIL; the modules one level up check and allocate. With ``NUMBA_DISABLE_JIT=1``
the same functions run as plain Python.

Images come as ``rows``: a C-contiguous (height, width * bands) array, bands interleaved, so that the stride between
two pixels is a constant that the compiler sees (with a (height, width, bands) array it is not, and the loops over
pixels run five times slower).

``from . import kernels`` costs nothing: a module, and Numba with it, is imported when it is first asked for.
"""

from importlib import import_module
from types import ModuleType

from ..files.signals import signals_held
from .constants import BACKGROUND, BLOCK, CHUNK, FOREGROUND, MEMBER, RGB, RGBA, SUM, WEIGHTED

__all__ = ["BACKGROUND", "BLOCK", "CHUNK", "FOREGROUND", "MEMBER", "RGB", "RGBA", "SUM", "WEIGHTED"]

_MODULES = ("component", "deblend", "ellipse", "galaxy", "grey", "regions", "resample", "threshold")


def __getattr__(name: str) -> ModuleType:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with signals_held():
        return import_module(f"{__name__}.{name}")


def sources_hash() -> str:
    """A hash of all kernels: Numba looks at the file of a function only, and would load what others have outdated."""
    from hashlib import sha256
    from pathlib import Path

    sources = sorted(Path(__file__).parent.glob("*.py"))
    return sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
