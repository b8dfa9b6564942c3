"""The work itself: rows of a part from their sources. The same in a thread, a process or on another machine."""

from __future__ import annotations

import hashlib
import itertools
import pickle
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..cache import format as fmt
from ..cache.part import Head, Rows, Store, band_sums, compressed, write_part
from ..cropping.crop import measure_and_crop
from ..cropping.fields import measure_and_crop_all
from ..files.errors import MACHINE_ERRORS, BatchError, ImageError, Stopped
from ..images.decoding import decode_masked
from ..images.options import DecodeOptions
from ..measuring.measure import Measurement
from ..measuring.options import MeasureOptions
from ..sources.listing import MOST_OBJECTS
from .plan import stat_or_zero

if TYPE_CHECKING:
    from ..sources.listing import Source, Sources
    from ..sources.reader import Reader


@dataclass(frozen=True)
class Recipe:
    """How to make rows.

    Parameters
    ----------
    head : Head
        Settings and layout of the cache.
    measure : MeasureOptions
        How to measure.
    decode : DecodeOptions
        How to decode.
    all_objects : bool
        Rows are objects of images, not images.
    """

    head: Head
    measure: MeasureOptions
    decode: DecodeOptions
    all_objects: bool = False


@dataclass(frozen=True)
class Task:
    """One part to make: the unit of work. Pickled it is small enough to send anywhere.

    Parameters
    ----------
    path : str
        The part's file.
    rows : ndarray of int
        The rows of the result that it holds; not sent.
    sources : Sources
        Their sources.
    store : Store, optional
        Where their pixels go, instead of into the part.
    """

    path: str
    rows: np.ndarray
    sources: Sources
    store: Store | None = None

    def __reduce__(self) -> tuple[object, ...]:
        packed = zlib.compress(pickle.dumps(self.sources))
        return _unpack, (self.path, int(self.rows[0]), packed, self.store)

    def write(self, recipe: Recipe, rows: Rows) -> None:
        """Write the part."""
        write_part(Path(self.path), recipe.head, rows, self.store, int(self.rows[0]))


def _unpack(path: str, first: int, packed: bytes, store: Store | None) -> Task:
    sources = pickle.loads(zlib.decompress(packed))
    return Task(path, np.arange(first, first + len(sources)), sources, store)


def make_part(task: Task, recipe: Recipe) -> str:
    """Make one part in the calling process; return its path.

    A part that is there already is left alone. An engine that takes a worker for lost gives its task to another,
    and the run may be reading the part of the one while the other is still at it.
    """
    from ..sources.reader import open_reader

    part = Path(task.path)
    if not part.exists():
        rows = Rows.empty(recipe.head, len(task.sources))
        with open_reader(max_bytes=recipe.decode.max_bytes) as reader:
            fill_rows(rows, 0, task.sources, recipe, reader)
        if not part.exists():
            task.write(recipe, rows)
    return task.path


def fill_rows(
    rows: Rows, start: int, sources: Sources, recipe: Recipe, reader: Reader, stop: threading.Event | None = None
) -> None:  # fmt: skip
    """Fill the rows from `start` on, one per source.

    Raises
    ------
    BatchError
        If the machine, not an image, fails.
    Stopped
        If `stop` was set meanwhile.
    """
    fill = _fill_objects if recipe.all_objects else _fill_images
    for row, source, message in fill(rows, start, sources, recipe, reader):
        if message:
            sha256 = rows.numbers["sha256"][row]
            rows.numbers[row] = np.zeros((), rows.numbers.dtype)
            rows.numbers["sha256"][row] = sha256
            for view in rows.views:
                view[row] = 0
        status = b"failed" if message else b"ok"
        rows.text[row] = (source.id.encode(), source.name.encode(), status, fmt.encode(message))
        if stop is not None and stop.is_set():
            raise Stopped
    end = start + len(sources)
    for number, view in enumerate(rows.views):
        rows.sums[number, start:end] = band_sums(view[start:end])
        if recipe.head.compress:
            rows.chunks[number][start:end] = [compressed(crop) for crop in view[start:end]]


def _fill_images(
    rows: Rows, start: int, sources: Sources, recipe: Recipe, reader: Reader
) -> Iterator[tuple[int, Source, str]]:
    """Fill rows but for their text; yield what went wrong, or nothing, with each."""
    view_names, size = recipe.head.view_names, recipe.head.crop_shape[0]
    for row, source in enumerate(sources, start):
        rows.inputs[row] = stat_or_zero(reader, source)
        sha256, message = b"", ""
        try:
            data = reader.read(source)
            sha256 = hashlib.sha256(data).hexdigest().encode()
            image, mask = decoded(data, source, recipe)
            out = [view[row, :, :, 0] if image.ndim == 2 else view[row] for view in rows.views]
            measurement, _ = measure_and_crop(image, view_names, size, recipe.measure, mask=mask, out=out)
            rows.numbers[row] = _numbers(measurement, sha256)
        except Exception as error:  # whatever one image does, the run goes on and says so
            message = explain_failure(error, source)
            rows.numbers["sha256"][row] = sha256
        yield row, source, message


def _fill_objects(
    rows: Rows, start: int, sources: Sources, recipe: Recipe, reader: Reader
) -> Iterator[tuple[int, Source, str]]:
    """As `_fill_images` for objects; those of one image that follow each other are found together."""
    view = rows.views[0]
    for _, group in itertools.groupby(enumerate(sources, start), lambda item: item[1].place):
        members = list(group)
        source = members[0][1]
        stat, sha256, failure = stat_or_zero(reader, source), b"", ""
        try:
            data = reader.read(source)
            sha256 = hashlib.sha256(data).hexdigest().encode()
            measurements, crops = _objects(data, [member for _, member in members], recipe)
        except BatchError:
            raise
        except Exception as error:  # whatever one image does, the run goes on and says so
            failure = explain_failure(error, source)
        for number, (row, member) in enumerate(members):
            message = failure
            if not failure:
                rows.numbers[row] = _numbers(measurements[number], sha256)
                view[row] = crops[number].reshape(view[row].shape)
            rows.inputs[row] = stat
            rows.numbers["sha256"][row] = sha256
            yield row, member, message


def _objects(data: bytes, members: list[Source], recipe: Recipe) -> tuple[list[Measurement], np.ndarray]:
    """Measure and crop objects of an image; one that was listed without any is an `ImageError` that says why."""
    image, mask = decoded(data, members[0], recipe)
    measurements, crops = measure_and_crop_all(image, recipe.head.crop_shape[0], recipe.measure, mask=mask)
    count = len(measurements)
    numbers = [member.object for member in members if member.object is not None]
    if not numbers and not count:
        raise ImageError("no object found")
    if not numbers and count > MOST_OBJECTS:
        raise ImageError(f"{count} objects found, over {MOST_OBJECTS}: are they noise? raise sigma or min_area")
    if not numbers or max(numbers) >= count:
        raise BatchError(f"{members[0].container}: it has changed since its objects were counted: run again to resume")
    return [measurements[number] for number in numbers], crops[numbers]


def decoded(data: bytes, source: Source, recipe: Recipe) -> tuple[np.ndarray, np.ndarray | None]:
    """Return image and mask.

    Raises
    ------
    ImageError
        If it cannot be decoded, or has not the layout of the cache.
    """
    image, mask = decode_masked(data, source.name, recipe.decode)
    layout = fmt.Layout.of(image)
    if layout != recipe.head.layout:
        raise ImageError(f"the image is {layout}, but this cache holds {recipe.head.layout}")
    return image, mask


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
    return " ".join(message.split()) or "unknown error"


def _numbers(found: Measurement, sha256: bytes) -> tuple[object, ...]:
    """Return a measurement in the order of the catalogue's columns."""
    return (
        int(found.flags), found.threshold, *found.sky, found.row, found.col, found.major_axis, found.minor_axis,
        found.orientation, found.area, *found.bbox, found.window_row, found.window_col, found.side,
        found.height, found.width, sha256,
    )  # fmt: skip
