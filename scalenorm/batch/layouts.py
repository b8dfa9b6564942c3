"""Which type and number of bands a cache gets: those of the first image that can be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..cache import format as fmt
from ..cache.format import Layout
from ..cache.reader import Cache
from ..files.errors import BatchError, ImageError, reason
from ..images.decoding import decode_masked
from ..sources.listing import Source, image_id
from ..sources.reader import Reader
from .plan import Plan

if TYPE_CHECKING:
    from .job import Job

_ROWS = 4096


def first_layout(job: Job, candidates: Iterable[Source | Layout], count: int, reader: Reader) -> Layout:
    """Return the first of the candidates that is a layout or an image that can be read.

    Raises
    ------
    BatchError
        If there is none among `count` images.
    """
    first_error = ""
    for candidate in candidates:
        if isinstance(candidate, Layout):
            return candidate
        try:
            return Layout.of(decode_masked(reader.read(candidate), candidate.name, job.decode)[0])
        except (ImageError, OSError, MemoryError) as error:
            first_error = first_error or f"{candidate.name}: {reason(error)}"
    if count == 1:
        raise BatchError(f"the only image cannot be read: {first_error}")
    raise BatchError(f"none of the {count} images can be read; the first is {first_error}")


def check_layout(job: Job, old: Cache | None, layout: Layout) -> None:
    """Refuse a layout that is not the old file's."""
    if old is not None and old.layout != layout:
        raise BatchError(
            f"{job.output} holds {old.layout}, but the first readable image of all is now {layout}: "
            "leave that one out, or --overwrite to make all crops so"
        )


def rows_in_order(job: Job, plan: Plan) -> Iterator[Source | Layout]:
    """Yield the source of each row, or the layout of one that is at hand."""
    if job.part is not None and len(plan.missing):
        yield from job.given  # so that all slices agree
        return
    for row in range(len(plan)):
        if plan.cache_of[row] < 0:
            yield plan.sources[int(plan.source_of[row])]
        elif not plan.failed[row]:
            yield plan.caches[plan.cache_of[row]].layout


def images_in_order(job: Job, old: Cache | None) -> Iterator[Source | Layout]:
    """As `rows_in_order` where rows are objects that are not known yet: in the order of the ids of their images."""
    first = None if old is None else _first_good(old)
    for source in job.given:
        if old is not None and first is not None and first < source.id:
            break
        yield source
    if old is not None:
        yield old.layout


def _first_good(old: Cache) -> str | None:
    """Return the first id of images that have a good row."""
    first: str | None = None
    for start in range(0, len(old), _ROWS):
        rows = old.read("catalog", start, start + _ROWS)
        for raw in rows["id"][rows["status"] == fmt.OK.encode()].tolist():
            name = image_id(raw.decode()) or raw.decode()
            first = name if first is None else min(first, name)
    return first
