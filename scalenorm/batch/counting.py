"""The first pass of ``--all-objects``: how many objects each image has."""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np

from ..cache.reader import Cache
from ..files.errors import ImageError, InputError
from ..measuring.frame import as_frame
from ..measuring.objects import find_objects
from ..sources.listing import MOST_OBJECTS, Source, Sources, image_id
from ..sources.reader import Reader
from .engines import reading_pool
from .plan import stat_or_zero
from .work import Recipe, decoded, explain_failure

#: Images per queued piece of work.
_BLOCK = 8

_ROWS = 4096
_COUNT = 2  # column of a table; the first two are size and time of change, as in a cache's inputs
_UNKNOWN = -1


def list_objects(
    images: Sources,
    recipe: Recipe,
    *,
    old: Cache | None,
    path: Path | None,
    recount_empty: bool,
    jobs: int,
    reader: Reader,
    progress: bool,
) -> Sources:
    """List the objects of images; an image without any, or that cannot be used, is listed itself.

    Parameters
    ----------
    images : Sources
        The images.
    recipe : Recipe
        How to decode and measure.
    old : Cache, optional
        A finished file that has all objects of its images.
    path : Path, optional
        Where to keep what was counted, and where a run that was stopped in this pass kept it.
    recount_empty : bool
        Count again where there were no objects.
    jobs : int > 0
        Number of threads.
    reader : Reader
        To see whether an image has changed since its objects were counted.
    progress : bool
        Show a progress bar if stderr is a terminal.

    Raises
    ------
    InputError
        If the id of an image could be that of an object of another one.
    BatchError
        If the machine, not an image, fails.
    """
    from tqdm import tqdm

    _check_ids(images)
    table = np.full((len(images), 3), _UNKNOWN, "<i8")
    if path is not None and path.exists() and path.stat().st_size == table.nbytes:
        table = np.fromfile(path, "<i8").reshape(-1, 3)
    elif old is not None:
        _count_rows(table, images, old)
    for image in np.flatnonzero(table[:, _COUNT] != _UNKNOWN).tolist():
        *stat, count = table[image].tolist()
        if (recount_empty and not count) or (*stat,) != stat_or_zero(reader, images[image]):
            table[image] = _UNKNOWN
    missing = np.flatnonzero(table[:, _COUNT] == _UNKNOWN).tolist()
    hidden = None if progress else True  # None: tqdm shows itself on a terminal only
    bar = tqdm(total=len(images), initial=len(images) - len(missing), unit=" images", desc="objects", disable=hidden)
    with bar, _journal(path, table) as note:
        for image, found in _count_images(images, missing, recipe, jobs):
            table[image] = found
            note(image)
            bar.update()
    counts = table[:, _COUNT]
    return images.expanded(np.where(counts > MOST_OBJECTS, 0, counts).tolist())


def _check_ids(images: Sources) -> None:
    for identifier in images.ids():
        name = image_id(identifier)
        if name is not None and images.find(name) is not None:
            raise InputError(f"the id {identifier!r} could be that of an object of {name!r}: try --id path")


def _count_rows(table: np.ndarray, images: Sources, old: Cache) -> None:
    """Count the rows of images in a finished file."""
    changing = set()
    last, its_number = "", None
    for start in range(0, len(old), _ROWS):
        stats = old.read("inputs", start, start + _ROWS).tolist()
        identifiers = old.read("catalog", start, start + _ROWS)["id"].tolist()
        for raw, stat in zip(identifiers, stats, strict=True):
            count, number = 0, images.find(raw.decode())
            if number is None:
                name = image_id(raw.decode())
                if name is None:
                    continue
                if name != last:
                    last, its_number = name, images.find(name)
                if its_number is None:
                    continue
                number = its_number
                count = max(0, int(table[number, _COUNT])) + 1
            if count > 1 and tuple(table[number, :_COUNT].tolist()) != stat:
                changing.add(number)  # it changed while its rows were made
            table[number] = *stat, count
    table[list(changing)] = _UNKNOWN


@contextlib.contextmanager
def _journal(path: Path | None, table: np.ndarray) -> Iterator[Callable[[int], None]]:
    """Keep a table in a file; give a function that writes one row of it."""
    if path is None:
        yield lambda row: None
        return
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(table.tobytes())
    with path.open("r+b") as file:

        def note(row: int) -> None:
            file.seek(row * table.strides[0])
            file.write(table[row].tobytes())
            file.flush()

        yield note


def _count_images(
    images: Sources, missing: list[int], recipe: Recipe, jobs: int
) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """Yield image, and size, time of change and number of objects."""
    pending: deque[Future[list[tuple[int, tuple[int, int, int]]]]] = deque()
    blocks = (missing[start : start + _BLOCK] for start in range(0, len(missing), _BLOCK))
    with reading_pool(jobs, recipe.decode.max_bytes) as (pool, own, stop):

        def count(block: list[int]) -> list[tuple[int, tuple[int, int, int]]]:
            return [(image, _count_image(images[image], recipe, own.reader)) for image in block if not stop.is_set()]

        while True:
            pending.extend(pool.submit(count, block) for block in itertools.islice(blocks, 2 * jobs - len(pending)))
            if not pending:
                return
            yield from pending.popleft().result()


def _count_image(source: Source, recipe: Recipe, reader: Reader) -> tuple[int, int, int]:
    size, time = stat_or_zero(reader, source)
    try:
        image, mask = decoded(reader.read(source), source, recipe)
        return size, time, sum(1 for _ in find_objects(as_frame(image, recipe.measure, mask), recipe.measure))
    except ImageError:
        return size, time, 0
    except Exception as error:
        explain_failure(error, source)  # raises what is not for the image
        return _UNKNOWN, _UNKNOWN, 0  # it may go better another time
