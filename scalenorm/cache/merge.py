"""Join the rows of several caches to one file, in the order of their ids."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files.errors import CacheError, naming
from ..files.writing import new_file
from ..sources.labels import FolderClasses, LabelFile, Labels
from . import format as fmt
from .part import Head, LabelHead, compressed, create, write_at, write_chunks
from .reader import CATALOG_ROWS, Cache

_COPY_BYTES = 8 << 20
_MOST_OPEN = 32


@dataclass(frozen=True)
class Selection:
    """Which rows of which caches make up the merged one."""

    caches: Sequence[Cache]  # all of one layout
    cache_of: np.ndarray  # for each row of the result its cache, an index into `caches`, or -1 for none
    row_of: np.ndarray  # and its row there
    ids: np.ndarray  # in order, UTF-8

    @classmethod
    def by_id(cls, pieces: Sequence[tuple[Cache, np.ndarray]]) -> Selection:
        """Put some rows of some caches, (cache, row numbers), in the order of their ids."""
        ids = np.concatenate([cache.column("id")[rows] for cache, rows in pieces])
        order = np.argsort(ids, kind="stable")
        cache_of = np.repeat(np.arange(len(pieces), dtype=np.int32), [len(rows) for _, rows in pieces])
        row_of = np.concatenate([rows for _, rows in pieces])
        return cls([cache for cache, _ in pieces], cache_of[order], row_of[order], ids[order])

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
        for start in range(0, len(self), CATALOG_ROWS):
            cache_of = self.cache_of[start : start + CATALOG_ROWS]
            row_of = self.row_of[start : start + CATALOG_ROWS]
            pieces = []
            for number in np.unique(cache_of[cache_of >= 0]):
                places = np.flatnonzero(cache_of == number)
                rows = row_of[places]
                cache = self.caches[number]
                first, last = int(rows.min()), int(rows.max())  # others may have written rows in any order
                pieces.append((cache, places, cache.read(name, first, last + 1)[rows - first]))
            yield start, pieces


def find_ids(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return for each wanted id its number among `ids`, which are in order, or -1."""
    if not len(ids):
        return np.full(len(wanted), -1)
    at = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return np.where(ids[at] == wanted, at, -1)


def write_merged(
    path: Path, folder: Path, head: Head, selection: Selection, *,
    label_file: LabelFile | FolderClasses | None = None, labelled: Sequence[Cache] = (), virtual: bool = False,
) -> None:  # fmt: skip
    """Write the selected rows as one new cache, made in `folder` on the same file system and then renamed to `path`.

    Labels come from `label_file`; a row that it does not have keeps the label of its id in one of the caches
    `labelled`, whose answers have the same names. With `virtual` the pixels stay where they are, and are referred to.
    """
    dtype = fmt.catalog_dtype(head.layout.bands, _text_widths(selection), stamps=head.stamps)
    old_labels = _old_labels(selection, labelled)
    found = None if label_file is None else label_file.join(selection.ids, required=False)
    labels = _label_head(label_file, found, old_labels)
    parts = _parts_table(selection, path) if virtual else None
    with new_file(path, folder=folder) as temporary:
        places = create(temporary, head, len(selection), catalog=dtype, labels=labels, parts=parts)
        with temporary.open("r+b") as file:
            _write_rows(file, places["catalog"], selection, "catalog", dtype)
            _write_rows(file, places["inputs"], selection, "inputs", fmt.INPUTS_DTYPE)
            if labels is not None:
                _write_labels(file, places["labels"], labels, found, old_labels)
            if not virtual and not head.compress:
                for name in head.view_names:
                    _copy_view(file, places[name], selection, name, head)
        if head.compress and not virtual:
            write_chunks(temporary, _chunks(selection, head))


def _text_widths(selection: Selection) -> dict[str, int]:
    widths = dict.fromkeys(fmt.TEXT_COLUMNS, 1)
    for _, pieces in selection.blocks("catalog"):
        for _, _, rows in pieces:
            for name in widths:
                widths[name] = max(widths[name], int(np.char.str_len(rows[name]).max()))
    return widths


def _write_rows(file: Any, place: int, selection: Selection, name: str, dtype: np.dtype) -> None:
    for start, pieces in selection.blocks(name):
        count = sum(len(places) for _, places, _ in pieces)
        block = np.zeros(count, dtype)
        for _, places, rows in pieces:
            for column in dtype.names or ():
                block[column][places] = rows[column]
        write_at(file, place + start * dtype.itemsize, block)


def _old_labels(selection: Selection, labelled: Sequence[Cache]) -> Selection:
    """Return where the selected rows have labels by their ids."""
    if not labelled:
        return Selection((), np.full(len(selection), -1), selection.row_of, selection.ids)
    known = Selection.by_id([(cache, np.arange(len(cache))) for cache in labelled])
    at = find_ids(known.ids, selection.ids)
    return Selection(labelled, np.where(at < 0, -1, known.cache_of[at]), known.row_of[at], selection.ids)


def _label_head(label_file: LabelFile | FolderClasses | None, found: Labels | None, old: Selection) -> LabelHead | None:
    """Return names, classes and hash; the hash is empty unless all rows were looked up in the same file."""
    caches = list(old.caches)
    if label_file is None and not caches:
        return None
    names = caches[0].label_names if label_file is None else label_file.names
    known: list[Cache | Labels] = [*caches, *([] if found is None else [found])]
    classes = {}
    for number, name in enumerate(names):
        of_class = [labels for labels in known if name in labels.classes]
        others = [labels for labels in known if name not in labels.classes]
        if of_class:
            if any(not np.isnan(_values(labels)[:, number]).all() for labels in others):
                raise CacheError(f"the labels {name!r} are names of classes in one place and numbers in another")
            classes[name] = sorted(set().union(*(labels.classes[name] for labels in of_class)))
    if label_file is not None:
        return LabelHead(names, label_file.sha256, classes)
    hashes = {cache.labels_sha256 for cache in caches}
    return LabelHead(names, hashes.pop() if len(hashes) == 1 and (old.cache_of >= 0).all() else "", classes)


def _values(labels: Cache | Labels) -> np.ndarray:
    return labels.values if isinstance(labels, Labels) else labels.read("labels")


def _write_labels(file: Any, place: int, head: LabelHead, found: Labels | None, old: Selection) -> None:
    width = len(head.names)
    new = None if found is None else _recoded(found.values, found.classes, head)
    for start, pieces in old.blocks("labels"):
        block = np.full((min(CATALOG_ROWS, len(old) - start), width), np.nan)
        for cache, at, rows in pieces:
            block[at] = _recoded(rows, cache.classes, head)
        if found is not None and new is not None:
            first, last = np.searchsorted(found.rows, (start, start + len(block)))
            block[found.rows[first:last] - start] = new[first:last]
        write_at(file, place + start * width * 8, block)


def _recoded(values: np.ndarray, classes: Mapping[str, Sequence[str]], head: LabelHead) -> np.ndarray:
    """Return answers with the codes of classes that the new file has."""
    values = values.astype("<f8")
    for number, name in enumerate(head.names):
        if name in classes and list(classes[name]) != list(head.classes[name]):
            codes = np.array([*(head.classes[name].index(text) for text in classes[name]), np.nan])
            column = values[:, number]
            column[:] = codes[np.where(np.isnan(column), len(codes) - 1, column).astype(int)]
    return values


def _copy_view(file: Any, place: int, selection: Selection, name: str, head: Head) -> None:
    with contextlib.ExitStack() as stack:
        opened: dict[Path, Any] = {}
        for start, source, first, count in selection.runs():
            target = place + start * head.crop_bytes
            offset = source.offset(name)
            if offset is None:
                for crops in source.blocks(name, first, first + count):
                    write_at(file, target, crops)
                    target += crops.nbytes
                file.flush()
                continue
            if source.path not in opened:
                if len(opened) == _MOST_OPEN:
                    stack.close()
                    opened.clear()
                opened[source.path] = stack.enter_context(source.path.open("rb"))
            _copy(opened[source.path], offset + first * head.crop_bytes, file, target, count * head.crop_bytes)


def _chunks(selection: Selection, head: Head) -> Iterator[tuple[str, int, bytes]]:
    """Yield (view, row, compressed crop): the stored bytes where a cache has them."""
    for start, source, first, count in selection.runs():
        for name in head.view_names:
            for row, chunk in enumerate(_chunks_of(source, name, first, first + count), start):
                yield name, row, chunk


def _chunks_of(source: Cache, name: str, first: int, stop: int) -> Iterator[bytes]:
    if source.is_compressed:
        for row, chunk in enumerate(source.chunks(name, first, stop), first):
            yield chunk or compressed(source.view(name)[row])
    else:
        for crops in source.blocks(name, first, stop):
            yield from map(compressed, crops)


def _parts_table(selection: Selection, path: Path) -> np.ndarray:
    """Return where the pixels of a virtual cache lie, paths relative to its folder."""
    table: list[tuple[bytes, int, int, int, int, bytes]] = []
    opened = functools.cache(Cache)  # a part is met again and again where ids of two runs alternate
    for start, source, first, count in selection.runs():
        for piece_start, part, piece_first, piece_count in source.parts or [(0, source.path, 0, len(source))]:
            low, high = max(first, piece_start), min(first + count, piece_start + piece_count)
            if low < high:
                whole = opened(part)
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
        with naming(source.name):
            source.seek(at)
            data = source.read(min(size, _COPY_BYTES))
        if not data:
            raise CacheError(f"{source.name}: it ends too early: damaged")
        target.seek(place)
        target.write(data)
        target.flush()
        at, place, size = at + len(data), place + len(data), size - len(data)
