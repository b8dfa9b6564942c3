"""Which rows are at hand, and which are to be made."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..cache.format import FAILED
from ..cache.merge import Selection
from ..cache.reader import Cache
from ..files.errors import ImageError
from ..sources.listing import Source, Sources, image_id, object_id
from ..sources.reader import Reader

_ROWS = 4096


@dataclass
class Plan:
    """The rows of the result, in the order of their ids, and where each comes from.

    Parameters
    ----------
    sources : Sources
        The images that were given.
    kept : list of str
        Ids of the old file that are not among the sources; they have rows if they are to be kept.
    source_of : ndarray of int, (N,)
        For each row its number in `sources`, or -1 - its number in `kept`.
    caches : list of Cache
        Where rows are at hand; the old file, if there is one, is the first.
    cache_of, row_of : ndarray of int, (N,)
        The cache, and the row there, of each row; -1 where it must be made.
    failed : ndarray of bool, (N,)
        Whether the row at hand is that of a failed image.
    known : ndarray of bool, (N,)
        Whether the old file has this id.
    changed : int
        Number of rows at hand that are out of date, because their image has changed.
    """

    sources: Sources
    kept: list[str]
    source_of: np.ndarray
    caches: list[Cache]
    cache_of: np.ndarray
    row_of: np.ndarray
    failed: np.ndarray
    known: np.ndarray
    changed: int = 0

    def __len__(self) -> int:
        return len(self.source_of)

    @property
    def missing(self) -> np.ndarray:
        """Numbers of the rows that must be made."""
        return np.flatnonzero(self.cache_of < 0)

    def id_of(self, row: int) -> str:
        """Return the id of a row."""
        source = int(self.source_of[row])
        return self.sources.id(source) if source >= 0 else self.kept[-1 - source]

    def forget_failed(self) -> None:
        """Have failed images made again."""
        self.cache_of[self.failed & (self.source_of >= 0)] = -1

    def add_part(self, rows: np.ndarray, part: Cache) -> None:
        """Record that `rows`, in this order, are at hand in `part`."""
        self.cache_of[rows] = len(self.caches)
        self.row_of[rows] = np.arange(len(rows))
        self.caches.append(part)

    def selection(self) -> Selection:
        """Return where every row comes from, without the caches that contribute nothing."""
        used, numbers = np.unique(self.cache_of, return_inverse=True)
        return Selection([self.caches[number] for number in used], numbers.astype(np.int32), self.row_of)


def make_plan(
    sources: Sources,
    old: Cache | None,
    parts: Sequence[Cache],
    *,
    keep: bool,
    verify: bool,
    reader: Reader,
    all_objects: bool = False,
) -> Plan:
    """Find the rows that are at hand and up to date.

    Parameters
    ----------
    sources : Sources
        The images.
    old : Cache, optional
        The finished file.
    parts : sequence of Cache
        Finished parts.
    keep : bool
        Whether rows of the old file whose images are not among `sources` are kept.
    verify : bool
        Compare the images' hashes, instead of their size and time of change.
    reader : Reader
        To look at the images.
    all_objects : bool
        The sources are objects of images. An image that is among them has no other rows.
    """
    kept, before, old_rows, old_failed = [], [], [], []
    known_images = set()
    gone = 0  # objects that their image has not any more
    for row, at, found, identifier, entry, _ in _walk(sources, old):
        if not found:
            image = _image_of_row(sources, identifier) if all_objects else None
            if image is not None:
                known_images.add(image)
                gone += 1
                continue
            kept.append(identifier)
            before.append(at)
            old_rows.append(row)
            old_failed.append(entry["status"] == FAILED.encode())
    is_kept = np.zeros(len(sources) + (len(kept) if keep else 0), bool)
    if keep:
        # A kept row comes after the sources and the kept rows that are before it.
        is_kept[np.array(before, int) + np.arange(len(kept))] = True
    source_of = np.empty(len(is_kept), np.int64)
    rows_of_sources = np.flatnonzero(~is_kept)
    source_of[rows_of_sources] = np.arange(len(sources))
    plan = Plan(
        sources, kept, source_of, [] if old is None else [old],
        np.full(len(is_kept), -1, np.int32), np.full(len(is_kept), -1), np.zeros(len(is_kept), bool), is_kept.copy(),
    )  # fmt: skip
    if keep:
        source_of[is_kept] = -1 - np.arange(len(kept))
        plan.cache_of[is_kept] = 0
        plan.row_of[is_kept] = old_rows
        plan.failed[is_kept] = old_failed
    plan.known[rows_of_sources[list(known_images)]] = True
    is_current = _Currency(reader, verify)
    changed = np.zeros(len(plan), bool)
    for cache in [*plan.caches, *parts]:
        number = len(plan.caches) if cache is not old else 0
        if cache is not old:
            plan.caches.append(cache)
        for row, at, found, _, entry, stat in _walk(sources, cache):
            if not found:
                continue
            place = rows_of_sources[at]
            plan.known[place] |= cache is old
            if not is_current(sources[at], stat, entry):
                changed[place] = True
                continue
            failed = entry["status"] == FAILED.encode()
            if plan.cache_of[place] < 0 or (plan.failed[place] and not failed):
                plan.cache_of[place], plan.row_of[place], plan.failed[place] = number, row, failed
    plan.changed = gone + int(changed.sum())
    if all_objects and old is not None:
        for at in np.flatnonzero(~plan.known[rows_of_sources]).tolist():
            image = _image_of_row(sources, sources.id(at))
            plan.known[rows_of_sources[at]] = image is not None and plan.known[rows_of_sources[image]]
    return plan


def _image_of_row(sources: Sources, identifier: str) -> int | None:
    """Return the number of the source that is the image, or the first object of the image, of a row's id."""
    for image in (image_id(identifier), identifier):
        for name in () if image is None else (image, object_id(image, 0)):
            number = sources.find(name)
            if number is not None and (sources[number].object is None) == (name == image):
                return number
    return None


def _walk(sources: Sources, cache: Cache | None) -> Iterator[tuple[int, int, bool, str, np.void, tuple[int, int]]]:
    """Yield (row, number among the sources, whether it is there, id, catalogue row, (size, mtime))."""
    if cache is None:
        return
    at = -1
    for start in range(0, len(cache), _ROWS):
        rows = cache.read("catalog", start, start + _ROWS)
        stats = cache.read("inputs", start, start + _ROWS).tolist()
        identifiers = rows["id"].tolist()
        for offset, raw in enumerate(identifiers):
            identifier = raw.decode()
            at += 1
            if at >= len(sources) or sources.id(at) != identifier:
                at = bisect_left(range(len(sources)), identifier, key=sources.id)
            found = at < len(sources) and sources.id(at) == identifier
            yield start + offset, at, found, identifier, rows[offset], stats[offset]
            at -= not found


class _Currency:
    """Whether rows were made from what their sources hold now; looks once at what following rows have in common."""

    def __init__(self, reader: Reader, verify: bool) -> None:
        self.reader, self.verify = reader, verify
        self.place: object = None
        self.found: object = None

    def __call__(self, source: Source, stat: tuple[int, int], entry: np.void) -> bool:
        if source.place != self.place:
            self.place = source.place
            self.found = self.hash_of(source) if self.verify else stat_or_zero(self.reader, source)
        return self.found == (entry["sha256"].decode() if self.verify else stat)

    def hash_of(self, source: Source) -> str:
        try:
            return hashlib.sha256(self.reader.read(source)).hexdigest()
        except (ImageError, OSError):
            return ""


def stat_or_zero(reader: Reader, source: Source) -> tuple[int, int]:
    """Return size and time of change, zeros where they cannot be had."""
    try:
        return reader.stat(source)
    except OSError:
        return 0, 0
