"""What a decoder reports on the side, Python warnings and libtiff's errors, caught in the calling thread only.

``warnings.catch_warnings`` changes the whole process, so one thread leaving its block undoes what another
has just set up. Here two entries stay in ``warnings.filters``; they match only in a thread that is inside
`data_warnings_raise`, and leave every other thread and all code outside the block as it was.
"""

import ctypes
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

_thread = threading.local()


class _Match:
    """Stands where a filter keeps its compiled message pattern; the warning machinery calls only `match`."""

    def __init__(self, *, damage: bool):
        self.damage = damage

    def match(self, text: str) -> bool:
        pattern: re.Pattern[str] | None = getattr(_thread, "pattern", None)
        return pattern is not None and (pattern.search(text) is not None) == self.damage


_FILTERS = [
    ("error", _Match(damage=True), UserWarning, None, 0),
    ("error", _Match(damage=True), RuntimeWarning, None, 0),
    ("ignore", _Match(damage=False), Warning, None, 0),
]


def _install() -> None:
    """Put the entries first, where anything (pytest, a user's ``simplefilter``) has moved them."""
    if warnings.filters[: len(_FILTERS)] == _FILTERS:
        return
    kept = [entry for entry in warnings.filters if entry not in _FILTERS]
    warnings.filters[:] = [*_FILTERS, *kept]  # type: ignore[index]
    # A public call whose side effect is wanted: it makes modules forget which warnings they have shown.
    warnings.simplefilter("default", category=ImportWarning, append=True)


@contextmanager
def data_warnings_raise(pattern: str = "") -> Iterator[None]:
    """Raise each `UserWarning` and `RuntimeWarning` whose text holds `pattern`, and drop all other warnings.

    The pattern tells warnings about damaged data from remarks on style. All this in the calling thread only.
    """
    _install()
    _thread.pattern = re.compile(pattern)
    try:
        yield
    finally:
        _thread.pattern = None


_TiffHandler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)


@_TiffHandler
def _note_tiff_error(module: bytes, text: bytes, values: int) -> None:
    # The values that the text's % signs stand for are a va_list, which Python cannot read.
    _thread.tiff_error = (text or b"").decode("latin-1")


@cache
def _watch_libtiff() -> None:
    """Make the libtiff inside Pillow report to `_note_tiff_error`, not to the process's stderr."""
    from PIL import _imaging

    # Symbols of the libraries that an extension module is linked to are found through it.
    with suppress(OSError, AttributeError):  # linked statically: messages go to stderr as before
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(_note_tiff_error)


@contextmanager
def tiff_errors_raise() -> Iterator[None]:
    """Raise `ValueError` with libtiff's own words where it reports an error; it may go on with wrong pixels."""
    _watch_libtiff()
    _thread.tiff_error = None
    try:
        yield
    except Exception as error:
        if _thread.tiff_error:
            raise ValueError(_thread.tiff_error) from error
        raise
    if _thread.tiff_error:
        raise ValueError(_thread.tiff_error)


_install()
