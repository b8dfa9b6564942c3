"""The work itself: rows of a part from their sources. The same in a thread, a process or on another machine."""

from __future__ import annotations

import errno
import hashlib
import pickle
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .cache import format as fmt
from .cache.part import Head, Rows, Store, band_sums, compressed, write_part
from .crop import measure_and_crop
from .images import DecodeOptions, ImageError, decode_masked
from .measure import Measurement
from .options import MeasureOptions
from .plan import stat_or_zero

if TYPE_CHECKING:
    from .sources import Reader, Source, Sources

#: Errors of the machine, not of one image: the run stops, and goes on from its finished parts later.
_MACHINE_ERRORS = {
    errno.ENOENT: "it has vanished since the inputs were listed",
    errno.ESTALE: "its file system has gone away",
    errno.EMFILE: "too many open files (see ulimit -n)",
    errno.ENFILE: "too many open files on this machine",
    errno.ENOMEM: "the machine is out of memory",
}


class BatchError(RuntimeError):
    """A run cannot start or go on. What is finished is kept; the message says what to do."""


class Stopped(Exception):
    """Raised in worker threads when the run is being stopped."""


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
    """

    head: Head
    measure: MeasureOptions
    decode: DecodeOptions


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
    from .sources import open_reader

    part = Path(task.path)
    if not part.exists():
        rows = Rows.empty(recipe.head, len(task.sources))
        with open_reader() as reader:
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
    layout = recipe.head.layout
    fixed = (recipe.head.view_names, recipe.head.crop_shape[0], (np.dtype(layout.dtype), layout.bands))
    for row, source in enumerate(sources, start):
        if stop is not None and stop.is_set():
            raise Stopped
        message = _fill_row(rows, row, source, recipe, reader, *fixed)
        if message:
            for view in rows.views:
                view[row] = 0
        status = b"failed" if message else b"ok"
        rows.text[row] = (source.id.encode(), source.name.encode(), status, fmt.encode(message))
    end = start + len(sources)
    for number, view in enumerate(rows.views):
        rows.sums[number, start:end] = band_sums(view[start:end])
        if recipe.head.compress:
            rows.chunks[number][start:end] = [compressed(crop) for crop in view[start:end]]


def _fill_row(
    rows: Rows, row: int, source: Source, recipe: Recipe, reader: Reader,
    view_names: list[str], size: int, layout: tuple[np.dtype, int],
) -> str:  # fmt: skip
    """Fill one row but for its text; return what went wrong, or nothing."""
    sha256 = b""
    rows.inputs[row] = stat_or_zero(reader, source)
    try:
        data = reader.read(source)
        sha256 = hashlib.sha256(data).hexdigest().encode()
        image, mask = decode_masked(data, source.name, recipe.decode)
        flat = image.ndim == 2
        if (image.dtype, 1 if flat else image.shape[2]) != layout:
            raise ImageError(f"the image is {fmt.Layout.of(image)}, but this cache holds {recipe.head.layout}")
        out = [view[row, :, :, 0] if flat else view[row] for view in rows.views]
        measurement, _ = measure_and_crop(image, view_names, size, recipe.measure, mask=mask, out=out)
    except OSError as error:
        if error.errno in _MACHINE_ERRORS:
            raise BatchError(f"{source.container}: {_MACHINE_ERRORS[error.errno]}") from error
        message = error.strerror or str(error) or type(error).__name__
    except MemoryError:
        message = "not enough memory for this image"
    except ImageError as error:
        message = str(error)
    except Exception as error:  # whatever one image does, the run goes on and says so
        message = f"{type(error).__name__}: {error}"
    else:
        rows.numbers[row] = _numbers(measurement, sha256)
        return ""
    rows.numbers[row] = np.zeros((), rows.numbers.dtype)
    rows.numbers["sha256"][row] = sha256
    return " ".join(message.split()) or "unknown error"


def _numbers(found: Measurement, sha256: bytes) -> tuple[object, ...]:
    """Return a measurement in the order of the catalogue's columns."""
    return (
        int(found.flags), found.threshold, *found.sky, found.row, found.col, found.major_axis, found.minor_axis,
        found.orientation, found.area, *found.bbox, found.window_row, found.window_col, found.side,
        found.height, found.width, sha256,
    )  # fmt: skip
