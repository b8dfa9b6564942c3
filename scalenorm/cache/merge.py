"""Join the rows of several caches to one file, in the order of their ids."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files.errors import CacheError
from ..files.writing import new_file, publish
from . import format as fmt
from .part import Head, Store, band_sums, compressed, create, finish, write_at
from .reader import BLOCK_ROWS, Cache

_CATALOG_ROWS = 4096
_COPY_BYTES = 8 << 20
_MOST_OPEN = 32


@dataclass(frozen=True)
class Labels:
    """Labels for a merge.

    Parameters
    ----------
    names : tuple of str
        Names of the answers.
    sha256 : str
        Hash of the file they come from.
    rows : iterable of (int, ndarray)
        Row number in the merged file, and its answers (float64). Other rows keep the label that their own
        cache has for them if `keep`, else become NaN.
    keep : bool
        See `rows`.
    """

    names: tuple[str, ...]
    sha256: str
    rows: Iterable[tuple[int, np.ndarray]]
    keep: bool


@dataclass(frozen=True)
class Selection:
    """Which rows of which caches make up the merged one.

    Parameters
    ----------
    caches : sequence of Cache
        Where rows come from; all of one layout.
    cache_of, row_of : ndarray of int, (N,)
        For each row of the result, its cache (an index into `caches`) and its row there. Rows of one cache
        appear in their order in it.
    """

    caches: Sequence[Cache]
    cache_of: np.ndarray
    row_of: np.ndarray

    def __len__(self) -> int:
        return len(self.cache_of)

    def runs(self) -> Iterator[tuple[int, Cache, int, int]]:
        """Yield (start, cache, first, count): rows that lie together both in the result and in their cache."""
        breaks = (np.diff(self.cache_of) != 0) | (np.diff(self.row_of) != 1)
        starts = np.concatenate([[0], np.flatnonzero(breaks) + 1])
        stops = np.concatenate([starts[1:], [len(self)]])
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            yield start, self.caches[self.cache_of[start]], int(self.row_of[start]), stop - start

    def blocks(self, name: str) -> Iterator[tuple[int, list[tuple[Cache, np.ndarray, np.ndarray]]]]:
        """Yield, per block of the result, its start and (cache, places in the block, rows of dataset `name`)."""
        for start in range(0, len(self), _CATALOG_ROWS):
            cache_of = self.cache_of[start : start + _CATALOG_ROWS]
            row_of = self.row_of[start : start + _CATALOG_ROWS]
            pieces = []
            for number in np.unique(cache_of):
                places = np.flatnonzero(cache_of == number)
                rows = row_of[places]
                cache = self.caches[number]
                if name == "labels" and not cache.label_names:
                    continue
                read = cache.read(name, int(rows[0]), int(rows[-1]) + 1)
                pieces.append((cache, places, read[rows - rows[0]]))
            yield start, pieces


def write_merged(
    path: Path, folder: Path, head: Head, selection: Selection, *,
    labels: Labels | None = None, virtual: bool = False, store: Store | None = None,
) -> None:  # fmt: skip
    """Write the selected rows as one new cache.

    Parameters
    ----------
    path : Path
        The file; replaced only once the new one is complete and on the disk.
    folder : Path
        Folder on the same file system for the file while it is made.
    head : Head
        Settings and layout.
    selection : Selection
        The rows.
    labels : Labels, optional
        Labels to store.
    virtual : bool
        Leave the pixels where they are and refer to them.
    store : Store, optional
        A file in which pixels are at their place already; it becomes the result.

    Raises
    ------
    OSError
        If the disk is full or cannot be written; `path` is then as it was.
    """
    widths, good = _scan(selection)
    dtype = fmt.catalog_dtype(head.layout.bands, widths)
    with new_file(path, folder, publish_it=store is None) as temporary:
        places = create(
            temporary, head, len(selection), catalog=dtype,
            labels=None if labels is None else (labels.names, labels.sha256),
            parts=_parts_table(selection, path) if virtual else None,
        )  # fmt: skip
        with temporary.open("r+b") as file:
            _write_rows(file, places["catalog"], selection, "catalog", dtype)
            _write_rows(file, places["inputs"], selection, "inputs", fmt.INPUTS_DTYPE)
            if labels is not None:
                _write_labels(file, places["labels"], selection, labels)
        if not virtual and not head.compress:
            pixels = temporary if store is None else store.path
            with pixels.open("r+b") as file:
                for name in head.view_names:
                    _copy_view(file, pixels, places[name], selection, name, head)
        chunks = _chunks(selection, head) if head.compress and not virtual else ()
        finish(temporary, head, _sums(selection, head), good, chunks)
        if store is not None:
            _graft(temporary, store.path, [places[name] for name in head.view_names], len(selection) * head.crop_bytes)
            publish(store.path, path)


def _scan(selection: Selection) -> tuple[dict[str, int], int]:
    """Return the widths of the text columns, and the number of good images."""
    widths = dict.fromkeys(fmt.TEXT_COLUMNS, 1)
    good = 0
    for _, pieces in selection.blocks("catalog"):
        for _, _, rows in pieces:
            good += int(np.count_nonzero(rows["status"] == fmt.OK.encode()))
            for name, width in fmt.text_widths(rows).items():
                widths[name] = max(widths[name], width)
    return widths, good


def _graft(source: Path, target: Path, places: list[int], size: int) -> None:
    """Give `target` everything of `source` but the views, which it has at the same places."""
    at = 0
    with source.open("rb") as read, target.open("r+b") as write:
        for place in [*sorted(places), None]:
            end = source.stat().st_size if place is None else place
            _copy(read, at, write, at, end - at)
            at = end + size
        write.truncate(source.stat().st_size)


def _write_rows(file: Any, place: int, selection: Selection, name: str, dtype: np.dtype) -> None:
    for start, pieces in selection.blocks(name):
        count = sum(len(places) for _, places, _ in pieces)
        block = np.zeros(count, dtype)
        for _, places, rows in pieces:
            for column in dtype.names or ():
                block[column][places] = rows[column]
        write_at(file, place + start * dtype.itemsize, block)


def _write_labels(file: Any, place: int, selection: Selection, labels: Labels) -> None:
    width = len(labels.names)
    for start in range(0, len(selection), _CATALOG_ROWS):
        count = min(_CATALOG_ROWS, len(selection) - start)
        write_at(file, place + start * width * 8, np.full((count, width), np.nan))
    if labels.keep:
        for start, pieces in selection.blocks("labels"):
            for _, places, rows in pieces:
                for at, values in zip(places.tolist(), rows, strict=True):
                    write_at(file, place + (start + at) * width * 8, values)
    for row, values in labels.rows:
        write_at(file, place + row * width * 8, np.asarray(values, "<f8"))


def _copy_view(file: Any, path: Path, place: int, selection: Selection, name: str, head: Head) -> None:
    with contextlib.ExitStack() as stack:
        opened: dict[Path, Any] = {}
        for start, source, first, count in selection.runs():
            target = place + start * head.crop_bytes
            offset = source.offset(name)
            if offset is None:
                for row, rows in _crops(source, name, first, count):
                    write_at(file, target + row * head.crop_bytes, rows)
                file.flush()
                continue
            from_place = offset + first * head.crop_bytes
            if (source.pixels_path, from_place) == (path, target):
                continue
            if source.pixels_path not in opened:
                if len(opened) == _MOST_OPEN:
                    stack.close()
                    opened.clear()
                opened[source.pixels_path] = stack.enter_context(source.pixels_path.open("rb"))
            _copy(opened[source.pixels_path], from_place, file, target, count * head.crop_bytes)


def _crops(source: Cache, name: str, first: int, count: int) -> Iterator[tuple[int, np.ndarray]]:
    view = source.view(name)
    for row in range(0, count, BLOCK_ROWS):
        yield row, view[first + row : first + min(row + BLOCK_ROWS, count)]


def _chunks(selection: Selection, head: Head) -> Iterator[tuple[str, int, bytes]]:
    """Yield (view, row, compressed crop): the stored bytes where a cache has them."""
    for start, source, first, count in selection.runs():
        for name in head.view_names:
            if source.is_compressed:
                for row, chunk in enumerate(source.chunks(name, first, count)):
                    yield name, start + row, chunk
                continue
            for row, rows in _crops(source, name, first, count):
                for at, crop in enumerate(rows):
                    yield name, start + row + at, compressed(crop)


def _sums(selection: Selection, head: Head) -> np.ndarray:
    """Return sum and sum of squares of the good crops, (views, 2, C)."""
    total = np.zeros((len(head.view_names), 2, head.layout.bands))
    used = np.bincount(selection.cache_of, minlength=len(selection.caches))
    partial = set()
    for cache, count in zip(selection.caches, used.tolist(), strict=True):
        if count == len(cache):
            total += [cache.sums(name) for name in head.view_names]
        else:
            partial.add(id(cache))
    for _, source, first, count in selection.runs():
        if id(source) in partial:
            for number, name in enumerate(head.view_names):
                for _, rows in _crops(source, name, first, count):  # crops of failed images are zero
                    total[number] += band_sums(rows).sum(axis=0)
    return total


def _parts_table(selection: Selection, path: Path) -> np.ndarray:
    """Return where the pixels of a virtual cache lie, paths relative to its folder."""
    table: list[tuple[bytes, int, int, int, int, bytes]] = []
    for start, source, first, count in selection.runs():
        for piece_start, part, piece_first, piece_count in source.parts or [(0, source.path, 0, len(source))]:
            low, high = max(first, piece_start), min(first + count, piece_start + piece_count)
            if low < high:
                whole = Cache(part)
                name = part.relative_to(path.parent).as_posix().encode()
                row = (name, start + low - first, piece_first + low - piece_start, high - low, len(whole))
                table.append((*row, whole.attributes["stamp"].encode()))
    width = max(len(row[0]) for row in table)
    numbers = [(name, "<i8") for name in ("start", "first", "count", "rows")]
    return np.array(table, [("path", f"S{width}"), *numbers, ("stamp", "S64")])


def _copy(source: Any, at: int, target: Any, place: int, size: int) -> None:
    """Copy bytes between files, inside the kernel where it can."""
    target.flush()
    while size and hasattr(os, "copy_file_range"):
        try:
            copied = os.copy_file_range(source.fileno(), target.fileno(), size, at, place)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
                raise
            break
        if not copied:
            raise CacheError(f"{source.name}: it ends too early: damaged")
        at, place, size = at + copied, place + copied, size - copied
    while size:
        source.seek(at)
        data = source.read(min(size, _COPY_BYTES))
        if not data:
            raise CacheError(f"{source.name}: it ends too early: damaged")
        target.seek(place)
        target.write(data)
        target.flush()
        at, place, size = at + len(data), place + len(data), size - len(data)
