"""The way of one image from its path to its rows: stat, read, decode, measure, crop; and the part that holds them.

The same in a thread, in a process and on another machine; from top to bottom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ..cache.format import Layout
from ..cache.part import Head, Rows
from ..cache.recipe import Recipe
from ..cropping.crop import measure_and_crop
from ..cropping.fields import measure_and_crop_all
from ..cropping.stamps import cut_and_measure, stamp_sides
from ..files.errors import MACHINE_ERRORS, BatchError, ImageError
from ..files.names import printable
from ..measuring.foreground import find_foreground
from ..measuring.frame import as_frame
from ..measuring.measure import Measurement
from ..measuring.region import label_foreground
from ..measuring.threshold import find_threshold
from ..sources.listing import MOST_OBJECTS, Source, Sources, Stamp, object_id
from ..sources.reader import Data, Reader, sha256_of
from .windows import adjust_of, check_window


@dataclass(frozen=True)
class Task:
    """Images whose rows one worker makes: the unit of work, small enough to send anywhere.

    Parameters
    ----------
    path : str
        Of the parts, without their number and ending.
    sources : Sources
        The images.
    part_size : int > 0
        A part is written when it has so many rows, and all rows of its last image.
    """

    path: str
    sources: Sources
    part_size: int


class Read(NamedTuple):
    """What was read of an image before it is decoded."""

    stat: tuple[int, int]  # size and time of change, zeros where they cannot be had
    sha256: bytes
    data: Data | Exception  # or why it could not be read; nothing of a stamp, which is cut from its tile later


#: So many images are read one after the other before they are decoded, or fewer that have so many bytes or take so many
#: seconds. Decoding an image drives all else out of the processor's caches, and what reads the next one takes twice as
#: long afterwards.
_AHEAD, _AHEAD_BYTES, _AHEAD_SECONDS = 32, 4 << 20, 0.2


def make_parts(recipe: Recipe, head: Head, task: Task, tick: Callable[[], None] = lambda: None) -> list[str]:
    """Make the rows of some images in the calling thread, and write them in parts.

    Parameters
    ----------
    recipe : Recipe
        How to make rows.
    head : Head
        Settings and layout of the parts.
    task : Task
        The images.
    tick : callable
        Called after each image.

    Returns
    -------
    list of str
        The parts. One that is there already is left alone: an engine that takes a worker for lost gives its task to
        another, and the run may be reading the part of the one while the other is still at it.

    Raises
    ------
    BatchError
        If the machine, not an image, fails.
    OSError
        If a part cannot be written.
    """
    paths: list[str] = []

    def write() -> None:
        paths.append(f"{task.path}-{len(paths)}.h5")
        if not Path(paths[-1]).exists():
            rows.write(Path(paths[-1]))

    rows = Rows(head, len(task.sources))
    with Reader(recipe.decode.max_bytes, recipe.decode) as reader:
        for source, read in read_ahead(task.sources, reader):
            if len(rows) >= task.part_size:
                write()
                rows = Rows(head, len(task.sources))
            add_image(rows, source, read, recipe, reader)
            tick()
    write()
    return paths


def add_images(rows: Rows, sources: Sources, recipe: Recipe, reader: Reader) -> None:
    """Add the rows of some images."""
    for source, read in read_ahead(sources, reader):
        add_image(rows, source, read, recipe, reader)


def read_ahead(sources: Sources, reader: Reader) -> Iterator[tuple[Source, Read]]:
    """Read images, some at a time where that is quick and they are small; yield them one by one."""
    block, size, began = [], 0, perf_counter()
    for source in sources:
        read = _read(source, reader)
        block.append((source, read))
        files = read.data if isinstance(read.data, tuple) else (read.data,)
        size += sum(len(file) for file in files if isinstance(file, bytes))
        large = size > _AHEAD_BYTES or isinstance(read.data, Exception)  # whose traceback may hold any number of bytes
        if len(block) == _AHEAD or large or perf_counter() - began > _AHEAD_SECONDS:
            yield from block
            block, size, began = [], 0, perf_counter()
    yield from block


def _read(source: Source, reader: Reader) -> Read:
    if source.stamp is not None:
        return Read(reader.stat(source), b"", b"")
    try:
        data, stat = reader.read_with_stat(source)
        return Read(stat, sha256_of(data).encode(), data)
    except Exception as error:  # as in `add_image`
        return Read(reader.stat(source), b"", error)


def add_image(rows: Rows, source: Source, read: Read, recipe: Recipe, reader: Reader) -> None:
    """Add the row of an image, or one for each of its objects; one that says why, if it cannot be used."""
    stat, sha256, data = read
    try:
        if isinstance(data, Exception):
            raise data
        if source.stamp is not None:
            _add_stamp(rows, source, source.stamp, stat, recipe, reader)
            return
        image, mask = reader.decode(data)
        _check_layout(image, recipe, rows.head.layout)
        if recipe.all_objects:
            for number, (found, crop) in enumerate(zip(*measure_objects(image, mask, recipe), strict=True)):
                rows.next_crops()[0][...] = crop.reshape(rows.head.crop_shape)
                rows.add(object_id(source.id, number), source.name, stat, _numbers(found, sha256))
        else:
            crops = [view[:, :, 0] if image.ndim == 2 else view for view in rows.next_crops()]
            adjust = adjust_of(source, recipe.measure, image.shape[:2], lambda: reader.sky(data), reader)
            found, _ = measure_and_crop(
                image, recipe.views, recipe.size, recipe.measure, mask=mask, out=crops, adjust=adjust
            )
            check_window(source, found)
            rows.add(source.id, source.name, stat, _numbers(found, sha256))
    except Exception as error:  # whatever one image does, the run continues and says so
        rows.add_failed(source.id, source.name, stat, explain_failure(error, source), sha256)


def _add_stamp(rows: Rows, source: Source, stamp: Stamp, stat: tuple[int, int], recipe: Recipe, reader: Reader) -> None:
    """Add the row of an image that is cut from a tile."""
    tile = reader.tile(source.container)
    _check_layout(tile.pixels, recipe, rows.head.layout)
    crops = [view[:, :, 0] if tile.pixels.ndim == 2 else view for view in rows.next_crops()]
    cut, found, _ = cut_and_measure(
        tile.pixels, tile.mask, (stamp.row, stamp.col), stamp_sides(stamp.least, stamp.most),
        recipe.views, recipe.size, recipe.measure, crops,
        adjust_of(source, recipe.measure, tile.shape, lambda: tile.sky, reader),
    )  # fmt: skip
    check_window(source, found)
    sha256 = sha256_of(cut.image).encode()
    ra, dec = (np.nan, np.nan) if tile.sky is None else tile.sky.sky_at(found.row + cut.top, found.col + cut.left)
    rows.add(source.id, source.name, stat, _numbers(found, cut.top, cut.left, ra, dec, sha256))


def _check_layout(image: Any, recipe: Recipe, wanted: Layout) -> None:
    if (found := recipe.layout_of(image)) != wanted:
        what = "image" if found == Layout.of(image) else "crop"
        raise ImageError(f"the {what} is {found}, but {wanted} is needed here")


def measure_objects(image: np.ndarray, mask: np.ndarray | None, recipe: Recipe) -> tuple[list[Measurement], np.ndarray]:
    """Measure and crop the objects of an image.

    Raises
    ------
    ImageError
        If there are none, or too many.
    """
    measure = recipe.measure
    count = 0
    if image.shape[0] * image.shape[1] > MOST_OBJECTS:  # then noise may have more objects than memory has room for
        frame = as_frame(image, measure, mask)
        foreground = find_foreground(frame, find_threshold(frame, measure))
        count = int(np.count_nonzero(label_foreground(foreground)[1][1:] >= measure.min_area))
    if count <= MOST_OBJECTS:
        measurements, crops = measure_and_crop_all(image, recipe.size, measure, mask=mask)
        count = len(measurements)
    if not count:
        raise ImageError("no object found")
    if count > MOST_OBJECTS:
        raise ImageError(f"{count} objects found, over {MOST_OBJECTS}: are they noise? raise sigma or min_area")
    return measurements, crops


def _numbers(found: Measurement, *others: object) -> tuple[object, ...]:
    """Return a measurement, and what follows it, in the order of the catalogue's columns."""
    return (
        int(found.flags), found.threshold, *found.sky, found.row, found.col, found.major_axis, found.minor_axis,
        found.orientation, found.area, *found.bbox, found.window_row, found.window_col, found.side,
        found.height, found.width, *others,
    )  # fmt: skip


def explain_failure(error: Exception, source: Source) -> str:
    """Return in one line why an image could not be used.

    Raises
    ------
    BatchError
        If it is not for the image.
    """
    if isinstance(error, OSError):
        if error.errno in MACHINE_ERRORS:
            raise BatchError(f"{source.container}: {MACHINE_ERRORS[error.errno]}") from error
        message = error.strerror or str(error) or type(error).__name__
    elif isinstance(error, MemoryError):
        message = "not enough memory for this image"
    elif isinstance(error, ImageError):
        message = str(error)
    else:
        message = f"{type(error).__name__}: {error}"
    return printable(" ".join(message.split())) or "unknown error"
