"""The crops of any number of images, one block after the other, without a file."""

from __future__ import annotations

import contextlib
import os
import queue
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..cache.format import Layout
from ..cache.part import Head, Rows
from ..cache.reader import Cache
from ..cache.recipe import Recipe
from ..cropping.many import check_jobs
from ..files.errors import InputError, OptionError
from ..sources.listing import Sources
from ..sources.reader import ArrayReader, Reader, array_sources
from ..sources.stacks import is_stack
from .convert import PathLike, checked_recipe, find_images
from .engines import warm_up
from .plan import agree_on_layout, check_object_ids
from .rows import add_images
from .windows import with_windows

_BLOCK = 256


class Block(NamedTuple):
    """The crops of some images.

    Parameters
    ----------
    catalog : ndarray
        A row for each, as in a cache: ``id``, ``status`` (``b"ok"`` or ``b"failed"``), ``message``, what was measured.
    views : dict of str to ndarray, shape (n, size, size, C)
        The crops, zeros where an image failed.
    """

    catalog: np.ndarray
    views: dict[str, np.ndarray]


def stream(
    inputs: PathLike | Sequence[PathLike] | Sequence[ArrayLike] | np.ndarray,
    *,
    views: Sequence[str] | None = None,
    size: int = 64,
    all_objects: bool = False,
    layout: tuple[str, int] | None = None,
    id_column: str | None = None,
    list_file: PathLike | None = None,
    id_from: str = "stem",
    band_files: str | None = None,
    measure_band: str | None = None,
    positions: PathLike | None = None,
    stamp: str | int | tuple[int, int] | None = None,
    position_columns: str | None = None,
    tile_column: str | None = None,
    stamp_from: str | None = None,
    side_from: str | None = None,
    side_unit: str = "pixel",
    windows_from: PathLike | None = None,
    jobs: int | None = None,
    progress: bool = False,
    **options: Any,
) -> Iterator[Block]:
    """Measure and crop images as `scalenorm.convert` does, and give crops and catalogue in blocks instead of a file.

    Images are read in threads, some blocks ahead, so the memory needed does not depend on their number.

    Parameters
    ----------
    inputs : path, sequence of paths, or images
        As in `scalenorm.convert`; or images in memory: a sequence of arrays, or one array, which is an image or a
        stack of them as if it were a .npy file. Their ids are their numbers, ``000000``, ... Each has all its bands,
        so that of ``band_files`` and ``bands`` only the names count, for ``measure_band``.
    layout : (str, int), optional
        Pixel type and number of bands that every crop must have, such as ``("uint8", 3)``; others fail. By default
        those of the first readable image.
    jobs : int > 0, optional
        Threads; by default one for each core that this process may use.
    progress : bool
        Show a progress bar if stderr is a terminal.
    **options
        All else is as in `scalenorm.convert`.

    Yields
    ------
    Block
        In the order of the ids; stamps in that of their tiles. A failed image is a row whose ``message`` says why.

    Raises
    ------
    OptionError, InputError, TableError, BatchError
        As in `scalenorm.convert`, before the first block.

    Examples
    --------
    >>> import scalenorm
    >>> images = scalenorm.make_galaxies(3, seed=1).images
    >>> blocks = scalenorm.stream(images, views=["normalized"], size=32)
    >>> [crop.shape for catalog, views in blocks for crop in views["normalized"]]
    [(32, 32, 3), (32, 32, 3), (32, 32, 3)]
    """
    windows = None if windows_from is None else Cache(windows_from)
    try:
        recipe = checked_recipe(
            views, size, id_from, all_objects, options, band_files=band_files, measure_band=measure_band,
            positions=positions, stamp=stamp, stamp_from=stamp_from, side_from=side_from, side_unit=side_unit,
            windows=windows,
        )  # fmt: skip
        jobs = check_jobs(jobs)
    except ValueError as error:
        raise OptionError(str(error)) from None
    given, images = _paths_or_images(inputs)
    if images is None:
        _, sources = find_images(
            given, recipe, list_file=None if list_file is None else os.fspath(list_file), positions=positions,
            id_column=id_column, position_columns=position_columns, tile_column=tile_column, stamp_from=stamp_from,
            side_from=side_from,
        )  # fmt: skip
    else:
        if positions is not None or list_file is not None:
            raise OptionError(f"{'list_file' if positions is None else 'positions'} needs files, not images in memory")
        if not len(images):
            raise InputError("the array of images is empty")
        sources = array_sources(len(images))
    if windows is not None:
        sources = with_windows(sources, windows)
    if recipe.all_objects:
        check_object_ids(sources)

    def reader() -> Reader:
        return Reader(recipe.decode.max_bytes, recipe.decode) if images is None else ArrayReader(images, recipe.decode)

    if layout is None:
        with reader() as first:
            head = Head(recipe.settings, agree_on_layout(recipe, sources, None, first))
    else:
        head = Head(recipe.settings, Layout(*layout))
    warm_up(recipe, head.layout)
    return _blocks(recipe, head, sources, [reader() for _ in range(jobs)], progress)


def _paths_or_images(inputs: Any) -> tuple[list[str], Sequence[Any] | np.ndarray | None]:
    """Tell paths from images in memory."""
    if isinstance(inputs, np.ndarray) and inputs.dtype.kind not in "OSU":
        return [], inputs if is_stack(inputs.shape) else [inputs]
    items = [inputs] if isinstance(inputs, (str, os.PathLike)) else list(inputs)
    if all(isinstance(item, (str, os.PathLike)) for item in items):
        return [os.fspath(item) for item in items], None
    return [], items


def _blocks(recipe: Recipe, head: Head, sources: Sources, readers: Sequence[Reader], progress: bool) -> Iterator[Block]:
    from tqdm import tqdm

    free: queue.SimpleQueue[Reader] = queue.SimpleQueue()
    order = sources.by_tile(np.arange(len(sources)))
    step = max(1, min(_BLOCK, -(-len(sources) // len(readers))))

    def make(numbers: np.ndarray) -> tuple[int, Block]:
        reader, rows = free.get(), Rows(head, len(numbers))
        try:
            add_images(rows, sources.take(numbers), recipe, reader)
        finally:
            free.put(reader)
        catalog, views, _ = rows.finished()
        return len(numbers), Block(catalog, views)

    with contextlib.ExitStack() as stack:
        for reader in readers:
            free.put(stack.enter_context(reader))
        pool = ThreadPoolExecutor(len(readers), "scalenorm")
        stack.callback(pool.shutdown, cancel_futures=True)
        # None: tqdm shows itself on a terminal only.
        bar = stack.enter_context(tqdm(total=len(sources), unit=" images", disable=None if progress else True))
        ahead: deque[Future[tuple[int, Block]]] = deque()
        for start in range(0, len(order), step):
            ahead.append(pool.submit(make, order[start : start + step]))
            if len(ahead) > 2 * len(readers):
                yield _next(ahead, bar)
        while ahead:
            yield _next(ahead, bar)


def _next(ahead: deque[Future[tuple[int, Block]]], bar: Any) -> Block:
    count, block = ahead.popleft().result()
    bar.update(count)
    return block
