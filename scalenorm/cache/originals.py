"""The images that the rows of a cache were made from, where they can still be found."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..files.errors import ImageError, InputError
from ..images.options import DecodeOptions
from ..sources.bands import JoinedBands
from ..sources.finding import find
from ..sources.listing import Source, Stamp, image_id
from ..sources.reader import Reader, sha256_of
from ..sources.tiles import Tile
from .reader import Cache
from .recipe import Recipe

_LISTS = (".csv", ".txt", ".lst")


def read_originals(
    cache: Cache, rows: Sequence[int], images: Sequence[str | os.PathLike[str]] | None = None
) -> Iterator[np.ndarray | None]:
    """Yield the originals of some rows, one by one, as they were decoded for measuring; None for one not to be had.

    They are looked for in `images` (folders, archives, files, lists), by default in the inputs of the cache, relative
    to the working folder or to the cache's own. An original has the name in the catalogue's ``source``, or else the
    row's id, and the SHA-256 in the catalogue: a file that has changed since is not shown as if it had been measured.
    """
    options = _options(cache)
    if options is None:
        yield from itertools.repeat(None, len(rows))
        return
    sources = find_originals(cache, rows, images)
    last, pixels = b"", None
    with Reader(options.max_bytes, options) as reader:
        for row in rows:
            sha256 = bytes(cache.catalog["sha256"][row])
            if sha256 != last:  # objects of one image often follow each other
                last, pixels = sha256, _decoded(reader, sources[row], sha256)
            yield pixels


def open_tiles(
    cache: Cache, rows: Sequence[int], images: Sequence[str | os.PathLike[str]] | None = None
) -> Iterator[Tile | JoinedBands | None]:
    """Yield the tiles that some rows were cut from, each open until the next is asked for; see `read_originals`."""
    options = _options(cache)
    if options is None:
        yield from itertools.repeat(None, len(rows))
        return
    sources = find_originals(cache, rows, images)
    with Reader(options.max_bytes, options) as reader:
        for row in rows:
            sha256, found = bytes(cache.catalog["sha256"][row]), None
            for source in sources[row]:
                with contextlib.suppress(ImageError, OSError):
                    if sha256_of(reader.read(source)).encode() == sha256:
                        found = reader.tile(source.container)
                        break
            yield found


def _options(cache: Cache) -> DecodeOptions | None:
    """Return how images were decoded; None where that cannot be known, as another program has other options."""
    try:
        return Recipe.from_settings(cache.settings).decode
    except (TypeError, ValueError):
        return None


def find_originals(
    cache: Cache, rows: Sequence[int], images: Sequence[str | os.PathLike[str]] | None = None
) -> dict[int, list[Source]]:
    """Return for each row where its original may be, the likeliest first; see `read_originals`."""
    return _matches(cache, rows, _stored(cache, rows) if images is None else _listed(cache, images))


def _decoded(reader: Reader, sources: Iterable[Source], sha256: bytes) -> np.ndarray | None:
    """Decode the first of some sources that has the bytes of this hash."""
    for source in sources:
        with contextlib.suppress(ImageError, OSError):
            data = reader.read(source)
            if sha256_of(data).encode() == sha256:
                return reader.decode(data)[0]
    return None


def _listed(cache: Cache, images: Sequence[str | os.PathLike[str]]) -> Iterator[Source]:
    recipe = Recipe.from_settings(cache.settings)
    for image in images:
        path = os.fspath(image)
        inputs, list_file = ([], path) if path.lower().endswith(_LISTS) else ([path], None)
        yield from find(inputs, list_file=list_file, id_from=recipe.id_from, band_files=recipe.band_files)


def _stored(cache: Cache, rows: Sequence[int]) -> Iterator[Source]:
    """Yield what can still be found of the cache's inputs."""
    options = Recipe.from_settings(cache.settings).decode

    def existing(path: Path) -> Path | None:
        """Return a path, or that of the first band that has a file."""
        return next((file for file in map(Path, options.files(str(path))) if file.exists()), None)

    for name in cache.inputs:
        folders = (Path(), cache.path.parent, Path(os.path.realpath(cache.path)).parent)
        path = next(filter(None, (existing(folder / name) for folder in folders)), None)
        if path is None:
            continue
        if not path.is_dir():
            with contextlib.suppress(InputError):  # nobody has asked for this archive to be there
                yield from _listed(cache, [path])
            continue
        for row in rows:
            inside = cache.catalog["source"][row].decode()
            found = existing(path / inside)
            if found is not None and found.is_file():
                yield Source(cache.ids[row], str(path / inside), None, None, inside)


def _matches(cache: Cache, rows: Sequence[int], sources: Iterable[Source]) -> dict[int, list[Source]]:
    """Return for each row the sources of its name, and then those of its id: files in two folders may have one name."""
    by_name: dict[str, list[int]] = {}
    by_id: dict[str, list[int]] = {}
    all_objects = cache.settings.get("all_objects")
    for row in rows:
        by_name.setdefault(cache.catalog["source"][row].decode(), []).append(row)
        identifier = cache.ids[row]
        by_id.setdefault(image_id(identifier) or identifier if all_objects else identifier, []).append(row)
    named: dict[int, list[Source]] = {row: [] for row in rows}
    likely: dict[int, list[Source]] = {row: [] for row in rows}
    for source in sources:
        for row in by_name.get(source.name, ()):
            named[row].append(source)
        for row in by_id.get(source.id, ()):
            likely[row].append(source)
    return {row: [_cut(source, cache.catalog[row]) for source in named[row] + likely[row]] for row in rows}


def _cut(source: Source, row: np.void) -> Source:
    """Return the stamp of a tile that a row was made from; other sources as they are."""
    if "stamp_row" not in (row.dtype.names or ()):
        return source
    side = int(row["height"])
    stamp = Stamp(row["stamp_row"] + side / 2, row["stamp_col"] + side / 2, side, side, np.nan)
    return dataclasses.replace(source, stamp=stamp)
