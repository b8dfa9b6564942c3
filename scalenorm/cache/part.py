"""Write cache files: made whole under a temporary name, flushed to the disk, then renamed."""

from __future__ import annotations

import datetime
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..files.names import visible
from ..files.writing import new_file
from . import format as fmt
from .format import Layout
from .hdf5 import writing

#: Pixels start on a page of memory, so that a file system may share blocks instead of copying them.
ALIGNMENT = 4096

_COMPRESSION_LEVEL = 4


@dataclass(frozen=True)
class LabelHead:
    """What a cache says about its labels, apart from the values."""

    names: Sequence[str]  # of the answers
    sha256: str  # of the file that all come from; "" if they come from several
    classes: Mapping[str, Sequence[str]]  # the names of the classes, in the order of their codes, by answer


@dataclass(frozen=True)
class Head:
    """What a cache says about itself, apart from its rows."""

    settings: Mapping[str, Any]  # the options that the values depend on, ``views`` and ``size`` among them
    layout: Layout
    source: str = ""  # where the images came from, for people
    compress: bool = False  # every crop is a gzip chunk of its own
    inputs: Sequence[str] = ()  # folders, archives and stacks that hold the images

    @property
    def stamps(self) -> bool:
        """Whether the images are stamps of tiles."""
        return fmt.has_stamps(self.settings)

    @property
    def view_names(self) -> list[str]:
        """Names of the views."""
        return list(self.settings["views"])

    @property
    def crop_shape(self) -> tuple[int, int, int]:
        """Shape of one crop, (size, size, C)."""
        return (self.settings["size"], self.settings["size"], self.layout.bands)

    @property
    def crop_bytes(self) -> int:
        """Size of one crop in bytes."""
        return int(np.prod(self.crop_shape)) * np.dtype(self.layout.dtype).itemsize


class Rows:
    """The rows of one part while it is made. Crops are filled in place; there is more room for them if need be."""

    def __init__(self, head: Head, room: int) -> None:
        self.head = head
        self.views = [np.zeros((room, *head.crop_shape), head.layout.dtype) for _ in head.view_names]
        self._text: list[tuple[str, str, str, str]] = []  # id, source, status, message
        self._inputs: list[tuple[int, int]] = []
        self._numbers: list[tuple[Any, ...]] = []  # all columns that are not text
        self._columns = fmt.number_columns(head.layout.bands, stamps=head.stamps)

    def __len__(self) -> int:
        return len(self._text)

    def next_crops(self) -> list[np.ndarray]:
        """Return where the crops of the next row go, (size, size, C) per view."""
        if len(self) == len(self.views[0]):
            self.views = [np.concatenate([view, np.zeros_like(view)]) for view in self.views]
        return [view[len(self)] for view in self.views]

    def add(self, identifier: str, source: str, stat: tuple[int, int], numbers: tuple[Any, ...]) -> None:
        """Add a row; its crops are where `next_crops` said."""
        self._add((identifier, source, fmt.OK, ""), stat, numbers)

    def add_failed(self, identifier: str, source: str, stat: tuple[int, int], message: str, sha256: bytes) -> None:
        """Add the row of a failed image."""
        for crop in self.next_crops():
            crop[...] = 0
        self._add((identifier, source, fmt.FAILED, message), stat, (0,) * (len(self._columns) - 1) + (sha256,))

    def _add(self, text: tuple[str, str, str, str], stat: tuple[int, int], numbers: tuple[Any, ...]) -> None:
        self._text.append(text)
        self._inputs.append(stat)
        self._numbers.append(numbers)

    def finished(self) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
        """Return catalogue, views by name and inputs, in the order of the ids."""
        catalog = self._catalog()
        order: Any = np.argsort(catalog["id"], kind="stable")
        if (np.diff(order) == 1).all():
            order = slice(len(self))  # no crop is copied
        views = {name: view[order] for name, view in zip(self.head.view_names, self.views, strict=True)}
        return catalog[order], views, np.array(self._inputs, fmt.INPUTS_DTYPE)[order]

    def write(self, path: Path) -> None:
        """Write the part, a small complete cache, in the order of the ids."""
        head = self.head
        catalog, views, inputs = self.finished()
        with new_file(path) as temporary:
            places = create(temporary, head, len(self), catalog=catalog.dtype, stamp=fmt.row_stamp(catalog))
            with temporary.open("r+b") as file:
                write_at(file, places["catalog"], catalog)
                write_at(file, places["inputs"], inputs)
                for name, view in views.items():
                    if not head.compress:
                        write_at(file, places[name], view)
            if head.compress:
                crops = ((name, row, crop) for name, view in views.items() for row, crop in enumerate(view))
                write_chunks(temporary, ((name, row, compressed(crop)) for name, row, crop in crops))

    def _catalog(self) -> np.ndarray:
        columns = {
            name: np.array([visible(text).encode() for text in texts])
            for name, texts in zip(fmt.TEXT_COLUMNS, zip(*self._text, strict=True), strict=True)
        }
        widths = {name: column.itemsize for name, column in columns.items()}
        numbers = np.array(self._numbers, self._columns)
        rows = np.empty(len(self), fmt.catalog_dtype(self.head.layout.bands, widths, stamps=self.head.stamps))
        for name in rows.dtype.names or ():
            rows[name] = columns[name] if name in columns else numbers[name]
        return rows


def create(
    path: Path, head: Head, count: int, *, catalog: np.dtype, stamp: str = "",
    labels: LabelHead | None = None, parts: np.ndarray | None = None,
) -> dict[str, int]:  # fmt: skip
    """Make a cache of `count` rows whose values are still to be written; return where each contiguous dataset starts.

    Values are then written with plain writes at these places, in bytes: a full disk is an OSError there (with
    a memory map it is a crash), other threads go on meanwhile, and HDF5 is only used from this function.

    `stamp` is that of a part, see `format.row_stamp`; `parts` makes the cache virtual: (path, start, first, count,
    rows, stamp) of each run of rows.
    """
    places = {}
    shape, dtype = (count, *head.crop_shape), np.dtype(head.layout.dtype)
    with writing(
        path, "w", libver=("earliest", "v110"), alignment_threshold=ALIGNMENT, alignment_interval=ALIGNMENT
    ) as file:
        views = file.create_group("views")
        for name in head.view_names:
            if parts is not None:
                views.create_virtual_dataset(name, _virtual_layout(name, shape, dtype, parts))
            elif head.compress:
                views.create_dataset(name, shape, dtype, chunks=(1, *shape[1:]), compression=_COMPRESSION_LEVEL)
            else:
                places[name] = _contiguous(views, name, shape, dtype)
        file.attrs.update({
            "format": fmt.FORMAT,
            "format_version": fmt.FORMAT_VERSION,
            "settings": fmt.canonical_json(head.settings),
            "settings_hash": fmt.settings_hash(head.settings),
            "scalenorm_version": __version__,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "source": head.source,
            "inputs": fmt.inputs_json(head.inputs),
            **({"stamp": stamp} if stamp else {}),
        })  # fmt: skip
        places["catalog"] = _contiguous(file, "catalog", (count,), catalog)
        places["inputs"] = _contiguous(file, "inputs", (count,), fmt.INPUTS_DTYPE)
        if labels is not None:
            places["labels"] = _contiguous(file, "labels", (count, len(labels.names)), np.dtype("<f8"))
            file["labels"].attrs["names"] = json.dumps(list(labels.names))
            file["labels"].attrs["sha256"] = labels.sha256
            if labels.classes:
                file["labels"].attrs["classes"] = json.dumps(labels.classes)
        if parts is not None:
            file["parts"] = parts
    return places


def _contiguous(group: Any, name: str, shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Add a dataset whose place in the file is fixed at once, and return that place."""
    from h5py import h5d, h5p, h5s, h5t

    options = h5p.create(h5p.DATASET_CREATE)
    options.set_layout(h5d.CONTIGUOUS)
    options.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    options.set_fill_time(h5d.FILL_TIME_NEVER)
    kind = h5t.py_create(dtype, logical=True)
    return h5d.create(group.id, name.encode(), kind, h5s.create_simple(shape), options).get_offset()


def _virtual_layout(name: str, shape: tuple[int, ...], dtype: np.dtype, parts: np.ndarray) -> Any:
    import h5py

    layout = h5py.VirtualLayout(shape, dtype)
    for part in parts:
        start, first, count = int(part["start"]), int(part["first"]), int(part["count"])
        whole = (int(part["rows"]), *shape[1:])
        # HDF5 takes a single % for the start of a pattern.
        path = part["path"].decode().replace("%", "%%")
        source = h5py.VirtualSource(path, f"views/{name}", shape=whole, dtype=dtype)
        layout[start : start + count] = source[first : first + count]
    return layout


def write_chunks(path: Path, chunks: Iterable[tuple[str, int, bytes]]) -> None:
    """Write compressed crops, (view, row, crop), to a file that `create` made."""
    from h5py._objects import phil  # the lock of h5py, which this one call of it does not take

    with writing(path, "r+") as file:
        for name, row, chunk in chunks:
            view = file["views"][name].id
            with phil:
                view.write_direct_chunk((row, 0, 0, 0), chunk)


def compressed(crop: np.ndarray) -> bytes:
    """Return a crop as one chunk of a compressed view."""
    return zlib.compress(crop.tobytes(), _COMPRESSION_LEVEL)


def write_at(file: Any, place: int, values: np.ndarray) -> None:
    """Write an array's bytes at a place in an open file."""
    file.seek(place)
    file.write(np.ascontiguousarray(values))
