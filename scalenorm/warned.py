"""Warnings of a decoder, caught in the calling thread only.

``warnings.catch_warnings`` changes the whole process, so one thread leaving its block undoes what another
has just set up. Here two entries stay in ``warnings.filters``; they match only in a thread that is inside
`data_warnings_raise`, and leave every other thread and all code outside the block as it was.
"""

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

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
    """Raise warnings whose text holds `pattern` (default: all) as exceptions, and drop the others.

    Parameters
    ----------
    pattern : str
        A regular expression that tells warnings about damaged data from remarks on style.

    Notes
    -----
    Raised are `UserWarning` and `RuntimeWarning` only, and all this only in the calling thread.
    """
    _install()
    _thread.pattern = re.compile(pattern)
    try:
        yield
    finally:
        _thread.pattern = None


_install()
