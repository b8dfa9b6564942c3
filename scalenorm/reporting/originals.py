"""The images that the rows of a cache were made from, where they can still be found."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..cache import Cache
from ..cache.recipe import Recipe
from ..files.errors import ImageError, InputError
from ..images.decoding import decode
from ..sources.finding import find
from ..sources.listing import Source, image_id
from ..sources.reader import Reader

_LISTS = (".csv", ".txt", ".lst")


class Originals:
    """Reads the originals of some rows; use it in a ``with`` block.

    Parameters
    ----------
    cache : Cache
        The cache.
    rows : iterable of int
        The rows of interest.
    images : sequence of path, optional
        Folders, archives, files or lists (.csv, .txt) to look in; by default what the cache was made from, looked
        for from the working folder and from the cache's own.

    Raises
    ------
    InputError
        If one of `images` does not exist or cannot be listed.

    Notes
    -----
    An original has the name in the catalogue's ``source``, or else the row's id, and the bytes whose SHA-256 the
    catalogue holds: a file that has changed since is not shown as if it had been measured.
    """

    def __init__(self, cache: Cache, rows: Iterable[int], images: Sequence[str | os.PathLike[str]] | None = None):
        self._decode = Recipe.from_settings(cache.settings).decode
        self._reader = Reader(self._decode.max_bytes)
        self._catalog = cache.catalog
        self._last: tuple[bytes, np.ndarray | None] = (b"", None)
        rows = list(rows)
        self._sources = _matches(cache, rows, _stored(cache, rows) if images is None else _listed(cache, images))

    def __enter__(self) -> Originals:
        return self

    def __exit__(self, *exc: object) -> None:
        self._reader.close()

    def read(self, row: int) -> np.ndarray | None:
        """Return the original of a row, as it was decoded for measuring; None if it is not to be had."""
        sha256 = bytes(self._catalog["sha256"][row])
        if self._last[0] != sha256:  # objects of one image often follow each other
            self._last = (sha256, self._decoded(row))
        return self._last[1]

    def _decoded(self, row: int) -> np.ndarray | None:
        source = self._sources.get(row)
        if source is None:
            return None
        try:
            data = self._reader.read(source)
            if hashlib.sha256(data).hexdigest().encode() != self._catalog["sha256"][row]:
                return None
            return decode(data, source.name, self._decode)
        except (ImageError, OSError):
            return None


def _listed(cache: Cache, images: Sequence[str | os.PathLike[str]]) -> Iterator[Source]:
    for image in images:
        path = os.fspath(image)
        inputs, list_file = ([], path) if path.lower().endswith(_LISTS) else ([path], None)
        yield from find(inputs, list_file=list_file, id_from=cache.settings["id_from"])


def _stored(cache: Cache, rows: Iterable[int]) -> Iterator[Source]:
    """Yield what is left of the inputs that the cache names."""
    for name in cache.inputs:
        path = next((path for path in (Path(name), cache.path.parent / name) if path.exists()), None)
        if path is None:
            continue
        if not path.is_dir():
            with contextlib.suppress(InputError):  # nobody has asked for this archive to be there
                yield from _listed(cache, [path])
            continue
        for row in rows:
            inside = cache.catalog["source"][row].decode()
            if (path / inside).is_file():
                yield Source(cache.ids[row], str(path / inside), None, None, inside)


def _matches(cache: Cache, rows: Iterable[int], sources: Iterable[Source]) -> dict[int, Source]:
    by_name: dict[str, list[int]] = {}
    by_id: dict[str, list[int]] = {}
    all_objects = cache.settings.get("all_objects")
    for row in rows:
        by_name.setdefault(cache.catalog["source"][row].decode(), []).append(row)
        identifier = cache.ids[row]
        by_id.setdefault(image_id(identifier) or identifier if all_objects else identifier, []).append(row)
    found: dict[int, Source] = {}
    likely: dict[int, Source] = {}
    for source in sources:
        for row in by_name.get(source.name, ()):
            found.setdefault(row, source)
        for row in by_id.get(source.id, ()):
            likely.setdefault(row, source)
    return {**likely, **found}
