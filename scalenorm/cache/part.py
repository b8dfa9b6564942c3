"""Write cache files: made whole under a temporary name, flushed to the disk, then renamed."""

from __future__ import annotations

import datetime
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..files.writing import flush, new_file
from . import format as fmt
from .format import Layout
from .hdf5 import writing

#: Pixels start on a page of memory, so that a file system may share blocks instead of copying them.
ALIGNMENT = 4096

_COMPRESSION_LEVEL = 4


@dataclass(frozen=True)
class Head:
    """What a cache says about itself, apart from its rows.

    Parameters
    ----------
    settings : Mapping
        The options that the values depend on; ``views`` and ``size`` among them.
    layout : Layout
        Pixel type and number of bands.
    source : str
        Where the images came from, for people.
    compress : bool
        Store every crop as a gzip chunk of its own instead of contiguously.
    inputs : sequence of str
        Folders, archives and stacks that hold the images.
    """

    settings: Mapping[str, Any]
    layout: Layout
    source: str = ""
    compress: bool = False
    inputs: Sequence[str] = ()

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


@dataclass(eq=False)
class Rows:
    """The rows of one part while it is made: arrays that workers fill in place."""

    views: list[np.ndarray]
    numbers: np.ndarray
    inputs: np.ndarray
    text: list[tuple[bytes, bytes, bytes, bytes]]
    sums: np.ndarray
    chunks: list[list[bytes]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def empty(cls, head: Head, count: int) -> Rows:
        """Return rows for `count` images; all their values are still to be set."""
        shape, dtype = (count, *head.crop_shape), np.dtype(head.layout.dtype)
        names = head.view_names
        return cls(
            views=[np.zeros(shape, dtype) for _ in names],
            numbers=np.zeros(count, fmt.number_columns(head.layout.bands)),
            inputs=np.zeros(count, fmt.INPUTS_DTYPE),
            text=[(b"", b"", b"", b"")] * count,
            sums=np.zeros((len(names), count, 2, head.layout.bands)),
            chunks=[[b""] * count for _ in names] if head.compress else [],
        )

    def catalog(self, bands: int) -> np.ndarray:
        """Return the catalogue rows."""
        columns = {
            name: np.array(values, "S")
            for name, values in zip(fmt.TEXT_COLUMNS, zip(*self.text, strict=True), strict=True)
        }
        widths = {name: column.itemsize for name, column in columns.items()}
        rows = np.empty(len(self.numbers), fmt.catalog_dtype(bands, widths))
        for name in rows.dtype.names or ():
            rows[name] = columns[name] if name in columns else self.numbers[name]
        return rows


@dataclass(frozen=True)
class Store:
    """A file that has room for the pixels of all rows of a result, each at its final place.

    Parts whose pixels lie there need not be copied in the end. Nobody looks at anything else in this file
    before it is finished, so a run may be interrupted at any point of that.

    Parameters
    ----------
    path : Path
        The file.
    places : dict of str to int
        Where each view starts in it, bytes.
    """

    path: Path
    places: dict[str, int]


def write_part(path: Path, head: Head, rows: Rows, store: Store | None = None, first: int = 0) -> None:
    """Write a part: a small complete cache.

    Parameters
    ----------
    path : Path
        The file.
    head : Head
        Settings and layout.
    rows : Rows
        Its rows.
    store : Store, optional
        Where to put the pixels, instead of into the part itself.
    first : int
        Number of the first row there.

    Raises
    ------
    OSError
        If the disk is full or cannot be written; the temporary file is then removed.
    """
    catalog = rows.catalog(head.layout.bands)
    external = None
    if store is not None:
        places = {name: place + first * head.crop_bytes for name, place in store.places.items()}
        external = (store.path.name, places)
        _write_pixels(store.path, places, head, rows)
        flush(store.path)
    with new_file(path, path.parent) as temporary:
        stamp = fmt.row_stamp(catalog)
        places = create(temporary, head, len(catalog), catalog=catalog.dtype, stamp=stamp, external=external)
        good = int(np.count_nonzero(catalog["status"] == fmt.OK.encode()))
        with temporary.open("r+b") as file:
            write_at(file, places["catalog"], catalog)
            write_at(file, places["inputs"], rows.inputs)
        if store is None and not head.compress:
            _write_pixels(temporary, places, head, rows)
        chunks = (
            (name, row, chunk)
            for name, column in zip(head.view_names, rows.chunks, strict=False)
            for row, chunk in enumerate(column)
        )
        finish(temporary, head, rows.sums.sum(axis=1), good, chunks)


def _write_pixels(path: Path, places: Mapping[str, int], head: Head, rows: Rows) -> None:
    with path.open("r+b") as file:
        for name, pixels in zip(head.view_names, rows.views, strict=True):
            write_at(file, places[name], pixels)


def create(
    path: Path, head: Head, count: int, *, catalog: np.dtype | None = None, stamp: str = "",
    labels: tuple[Sequence[str], str] | None = None, parts: np.ndarray | None = None,
    external: tuple[str, Mapping[str, int]] | None = None,
) -> dict[str, int]:  # fmt: skip
    """Make a cache of `count` rows whose values are still to be written.

    Values are then written with plain writes at the returned places: a full disk is an OSError there (with
    a memory map it is a crash), other threads go on meanwhile, and HDF5 is only used from this function.

    Parameters
    ----------
    path : Path
        The file to make.
    head : Head
        Settings and layout.
    count : int
        Number of rows.
    catalog : numpy.dtype, optional
        Type of the catalogue's rows; without it the file gets views only. Views are made first, so that
        their places depend on `count`, views and layout only.
    stamp : str
        A hash of a part's catalogue, see `format.row_stamp`.
    labels : (names, sha256), optional
        Names of the answers, and hash of the file they come from.
    parts : ndarray, optional
        For a virtual cache: (path, start, first, count, rows, stamp) of each run of rows.
    external : (str, Mapping), optional
        For a part whose pixels lie in another file of its folder: that file's name, and places.

    Returns
    -------
    dict of str to int
        Where each contiguous dataset starts in the file, bytes.
    """
    places = {}
    shape, dtype = (count, *head.crop_shape), np.dtype(head.layout.dtype)
    with writing(
        path, "w", libver=("earliest", "v110"), alignment_threshold=ALIGNMENT, alignment_interval=ALIGNMENT
    ) as file:  # fmt: skip
        views = file.create_group("views")
        for name in head.view_names:
            if parts is not None:
                views.create_virtual_dataset(name, _virtual_layout(name, shape, dtype, parts))
            elif external is not None:
                there = [(external[0], external[1][name], count * head.crop_bytes)]
                views.create_dataset(name, shape, dtype, external=there)
            elif head.compress:
                views.create_dataset(name, shape, dtype, chunks=(1, *shape[1:]), compression=_COMPRESSION_LEVEL)
            else:
                places[name] = _contiguous(views, name, shape, dtype)
        if catalog is None:
            return places
        file.attrs["format"] = fmt.FORMAT
        file.attrs["format_version"] = fmt.FORMAT_VERSION
        file.attrs["settings"] = fmt.canonical_json(head.settings)
        file.attrs["settings_hash"] = fmt.settings_hash(head.settings)
        file.attrs["scalenorm_version"] = __version__
        file.attrs["created"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        file.attrs["source"] = head.source
        file.attrs["inputs"] = fmt.inputs_json(head.inputs)
        if stamp:
            file.attrs["stamp"] = stamp
        places["catalog"] = _contiguous(file, "catalog", (count,), catalog)
        places["inputs"] = _contiguous(file, "inputs", (count,), fmt.INPUTS_DTYPE)
        if labels is not None:
            names, sha256 = labels
            places["labels"] = _contiguous(file, "labels", (count, len(names)), np.dtype("<f8"))
            file["labels"].attrs["names"] = json.dumps(list(names))
            file["labels"].attrs["sha256"] = sha256
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


def finish(path: Path, head: Head, sums: np.ndarray, good: int, chunks: Iterable[tuple[str, int, bytes]] = ()) -> None:
    """Write what is known only at the end: the statistics of each view, and compressed crops.

    Parameters
    ----------
    path : Path
        A file that `create` made.
    head : Head
        Settings and layout.
    sums : ndarray, (views, 2, C)
        Sum and sum of squares of the crops of good images.
    good : int
        Their number.
    chunks : iterable of (str, int, bytes)
        With ``head.compress``: view, row, compressed crop.
    """
    pixels = max(1, good * head.crop_shape[0] * head.crop_shape[1])
    with writing(path, "r+") as file:
        views = {name: file["views"][name] for name in head.view_names}
        for view, (total, squares) in zip(views.values(), sums, strict=True):
            mean = total / pixels
            view.attrs["mean"] = mean
            view.attrs["std"] = np.sqrt(np.maximum(squares / pixels - mean**2, 0.0))
            view.attrs["sum"], view.attrs["sum_of_squares"] = total, squares
        for name, row, chunk in chunks:
            views[name].id.write_direct_chunk((row, 0, 0, 0), chunk)


def band_sums(crops: np.ndarray) -> np.ndarray:
    """Return sum and sum of squares per band of some crops (n, size, size, C), float64, (n, 2, C)."""
    from ..kernels.sums import band_sums as add

    result = np.empty((len(crops), 2, crops.shape[-1]))
    if crops.dtype.kind == "f" and crops.dtype.itemsize not in (4, 8):  # Numba has no others
        crops = crops.astype(np.float64)
    exact = crops.dtype.kind in "iu" and crops.dtype.itemsize <= 2
    one = np.int64(1) if exact else np.float64(1)
    add(crops.reshape(len(crops), -1), crops.shape[-1], one, result[:, 0], result[:, 1])
    return result


def compressed(crop: np.ndarray) -> bytes:
    """Return a crop as one chunk of a compressed view."""
    return zlib.compress(crop.tobytes(), _COMPRESSION_LEVEL)


def write_at(file: Any, place: int, values: np.ndarray) -> None:
    """Write an array's bytes at a place in an open file."""
    file.seek(place)
    file.write(np.ascontiguousarray(values).view(np.uint8).reshape(-1).data)
