"""What a cache must be: checked once, when it is opened, whoever wrote it; and its rows as ours are."""

from __future__ import annotations

import contextlib
import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files.errors import CacheError
from ..files.names import visible
from . import format as fmt

if TYPE_CHECKING:
    import h5py

_ITEMS = {"views", "catalog", "labels", "inputs", "parts"}
_ABOUT = ("scalenorm_version", "created", "source")
_ATTRIBUTES = {"format", "format_version", "settings", "settings_hash", "inputs", "stamp", *_ABOUT}


@dataclass(frozen=True)
class Stored:
    """How a view is stored."""

    shape: tuple[int, ...]
    dtype: np.dtype  # in the machine's byte order, whatever the file has
    offset: int | None  # where its bytes start, if they are what we would write; else None
    gzip: bool  # chunks of one crop as we write them
    virtual: bool


@dataclass(frozen=True)
class Checked:
    """What a file says about itself, found right."""

    settings: dict[str, Any]
    settings_hash: str
    inputs: list[str]
    attributes: dict[str, Any]
    views: dict[str, Stored]
    columns: dict[str, np.dtype | None]  # of the catalogue; None is text
    label_names: tuple[str, ...]
    classes: dict[str, tuple[str, ...]]  # the names of classes, by label
    labels_sha256: str
    has_inputs: bool  # the dataset
    parts: np.ndarray | None
    added: tuple[str, ...]  # what is in the file and not of a cache


def check_file(file: h5py.File, attributes: Mapping[str, Any]) -> Checked:
    """Check that a file is a cache, reading no values; `ValueError` with the reason if it is none."""
    settings = _settings(attributes)
    views = _views(file, settings)
    count, _, _, bands = next(iter(views.values())).shape
    ours = _our_columns(bands, stamps=fmt.has_stamps(settings))
    columns = _columns(dataset(file, "catalog"), count, ours)
    further = list(columns)[len(ours) :]
    names, classes, sha256 = _labels(file, count)
    return Checked(
        settings,
        fmt.settings_hash(settings),  # not the attribute, which another program may have left as it was
        _texts(attributes.get("inputs", "[]"), "attribute inputs"),
        {**dict.fromkeys(_ABOUT, "unknown"), **_others(attributes)},
        views,
        columns,
        names,
        classes,
        sha256,
        _has_inputs(file, count),
        _parts(file, views),
        tuple(_added(file, attributes, settings["views"], further)),
    )


def attributes_of(file: h5py.File) -> dict[str, Any]:
    """Return a file's attributes, see `plain`."""
    attributes: dict[str, Any] = {}
    found = file.attrs
    for name in found:
        attributes[name] = None
        with contextlib.suppress(OSError, TypeError, ValueError):  # of a type that NumPy lacks: none of ours
            attributes[name] = plain(found[name])
    return attributes


def plain(value: Any) -> Any:
    """Return an attribute as Python's own type: other writers store text in a fixed length, and arrays of one."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _others(attributes: Mapping[str, Any]) -> dict[str, Any]:
    known = _ATTRIBUTES - {*_ABOUT, "stamp"}
    return {name: value for name, value in attributes.items() if name not in known}


def _json(text: Any, what: str) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise ValueError(f"its {what} is not JSON: {str(text)[:60]!r}") from None


def _texts(text: Any, what: str) -> list[str]:
    return _text_list(_json(text, what), what)


def _text_list(value: Any, what: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"its {what} is not a list of texts: {str(value)[:60]!r}")
    return value


def _settings(attributes: Mapping[str, Any]) -> dict[str, Any]:
    if "settings" not in attributes:
        raise ValueError("it has no settings")
    settings = _json(attributes["settings"], "attribute settings")
    if not isinstance(settings, dict):
        raise ValueError(f"its settings are not a JSON object: {str(attributes['settings'])[:60]!r}")
    views, size = settings.get("views"), settings.get("size")
    if not isinstance(views, list) or not views or not all(isinstance(name, str) and name for name in views):
        raise ValueError(f"its settings name no views: {views!r}")
    if len(set(views)) < len(views):
        raise ValueError(f"its settings name a view twice: {', '.join(views)}")
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(f"the size in its settings is no number of pixels: {size!r}")
    return settings


def dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset whose values lie in this file."""
    import h5py

    try:
        found = file[name]
    except KeyError:
        raise ValueError(f"it has no dataset {name}") from None
    if not isinstance(found, h5py.Dataset):
        raise ValueError(f"its {name} is no dataset")
    # Such a file may be missing or change without notice, and HDF5 looks for it in the working folder.
    linked = h5py.h5o.get_info(found.id).fileno != h5py.h5o.get_info(file.id).fileno
    if linked or found.id.get_create_plist().get_external_count():
        raise ValueError(f"its {name} lies in another file: write the values into this one")
    return found


def _views(file: h5py.File, settings: Mapping[str, Any]) -> dict[str, Stored]:
    end = file.id.get_filesize()
    views = {name: _stored(dataset(file, f"views/{name}"), f"views/{name}", end) for name in settings["views"]}
    first = next(iter(views))
    shape, dtype, size = views[first].shape, views[first].dtype, settings["size"]
    for name, view in views.items():
        if view.shape[1:3] != (size, size):
            raise ValueError(f"its views/{name} has the shape {view.shape}, but the size in its settings is {size}")
        if (view.shape, view.dtype) != (shape, dtype):
            raise ValueError(
                f"its views differ: {first} has the shape {shape} of {dtype}, {name} {view.shape} of {view.dtype}"
            )
    return views


def _stored(view: h5py.Dataset, name: str, end: int) -> Stored:
    from h5py import h5d, h5t, h5z

    shape, dtype = view.shape, view.dtype.newbyteorder("=")
    if dtype.kind not in "uif":
        raise ValueError(f"its {name} holds no pixels, but values of type {dtype}")
    if shape is None or len(shape) != 4 or 0 in shape:
        raise ValueError(f"its {name} has the shape {shape}, not (rows, size, size, bands)")
    options = view.id.get_create_plist()
    layout = options.get_layout()
    filters = [options.get_filter(number)[0] for number in range(options.get_nfilters())]
    for code in filters:
        if not h5z.filter_avail(code):
            raise ValueError(f"its {name} is compressed by the HDF5 filter {code}, which is not installed here")
    # The bytes of another order, precision or float format mean other numbers.
    native = view.id.get_type().equal(h5t.py_create(dtype))
    offset = view.id.get_offset() if native and layout == h5d.CONTIGUOUS else None
    if offset is not None and offset + math.prod(shape) * dtype.itemsize > end:
        raise ValueError(f"its {name} ends beyond the file")
    crops = layout == h5d.CHUNKED and options.get_chunk() == (1, *shape[1:])
    gzip = native and crops and filters == [h5z.FILTER_DEFLATE]
    return Stored(shape, dtype, offset, gzip, layout == h5d.VIRTUAL)


def _columns(catalog: h5py.Dataset, count: int, ours: Mapping[str, np.dtype | None]) -> dict[str, np.dtype | None]:
    """Return the catalogue's columns, ours in our order before others, with the types that they are read as."""
    found = catalog.dtype
    if not found.names:
        raise ValueError(f"its catalog is no table, but of type {found}")
    _check_rows(catalog, "catalog", (count,))
    for name in ours:
        if name not in found.names:
            raise ValueError(f"its catalog lacks the column {name}")
    others = [name for name in found.names if name not in ours]
    return {name: _column(name, found[name], ours) for name in [*ours, *others]}


@functools.cache
def _our_columns(bands: int, *, stamps: bool) -> dict[str, np.dtype | None]:
    numbers = {name: np.dtype(kind) for name, kind in fmt.number_columns(bands, stamps=stamps)}
    return {**dict.fromkeys(fmt.TEXT_COLUMNS), **numbers, "sha256": None}


def _column(name: str, found: np.dtype, ours: Mapping[str, np.dtype | None]) -> np.dtype | None:
    """Return the type that a column is read as, None for text; refuse one that would lose by it."""
    from h5py import check_string_dtype

    wanted = ours.get(name)
    if wanted is not None and found == wanted:
        return wanted
    native = found.newbyteorder("=")
    if check_string_dtype(found) is not None:
        kind, fits = None, wanted is None
    elif name in ours:
        kind, fits = wanted, wanted is not None and found.kind in "uif" and np.can_cast(native, wanted, "safe")
    else:
        kind, fits = native, found.kind in "uifb"
    if not fits:
        meant = wanted or ("text" if name in ours else "one number or text")
        raise ValueError(f"the column {name} of its catalog is of type {found}, not {meant}")
    return kind


def _labels(file: h5py.File, count: int) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]], str]:
    if not file.id.links.exists(b"labels"):
        return (), {}, ""
    labels = dataset(file, "labels")
    if labels.dtype.kind not in "fui":
        raise ValueError(f"its labels are no numbers, but of type {labels.dtype}")
    names = _texts(plain(labels.attrs.get("names")), "attribute names of the labels")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"the names of its labels are not one or more different ones: {', '.join(names[:9])}")
    _check_rows(labels, "labels", (count, len(names)))
    classes = _json(plain(labels.attrs.get("classes", "{}")), "attribute classes of the labels")
    if not isinstance(classes, dict) or not set(classes) <= set(names):
        raise ValueError("the attribute classes of its labels does not name classes of labels")
    known = {name: tuple(_text_list(found, f"classes of the label {name}")) for name, found in classes.items()}
    for name, found in known.items():
        if len(set(found)) < len(found):
            raise ValueError(f"the classes of the label {name} are not different: {', '.join(found[:9])}")
    return tuple(names), known, str(plain(labels.attrs.get("sha256", "")))


def check_codes(path: Path, labels: np.ndarray, names: Sequence[str], classes: Mapping[str, Sequence[str]]) -> None:
    """Raise `CacheError` where labels that are classes are no numbers of these."""
    for name, found in classes.items():
        codes = labels[:, names.index(name)]
        if not (np.isnan(codes) | np.isin(codes, np.arange(len(found)))).all():
            raise CacheError(f"{path}: the labels {name!r} hold other numbers than those of its {len(found)} classes")


def _has_inputs(file: h5py.File, count: int) -> bool:
    if not file.id.links.exists(b"inputs"):
        return False
    inputs = dataset(file, "inputs")
    for name in fmt.INPUTS_DTYPE.names or ():
        found = (inputs.dtype.fields or {}).get(name)
        if found is None or not np.can_cast(found[0].newbyteorder("="), fmt.INPUTS_DTYPE[name], "safe"):
            raise ValueError(f"its inputs have no column {name} of int64")
    _check_rows(inputs, "inputs", (count,))
    return True


def _check_rows(found: h5py.Dataset, name: str, shape: tuple[int, ...]) -> None:
    if found.shape != shape:
        raise ValueError(f"its {name} has the shape {found.shape}, not {shape} as its views of {shape[0]} rows demand")


def _parts(file: h5py.File, views: Mapping[str, Stored]) -> np.ndarray | None:
    """Return the list of parts, if any view lies in them."""
    virtual = [name for name, view in views.items() if view.virtual]
    if not virtual:
        return None
    if not file.id.links.exists(b"parts"):
        raise ValueError(f"its views/{virtual[0]} is virtual, and no dataset parts says over which files")
    parts = dataset(file, "parts")[:]
    columns: dict[str, np.dtype | None] = {"path": None, "stamp": None}
    columns |= dict.fromkeys(("start", "first", "count", "rows"), np.dtype(np.int64))
    for name in columns:
        if name not in (parts.dtype.names or ()):
            raise ValueError(f"its parts lack the column {name}")
    parts, place = as_ours(parts, columns), 0
    for part in parts:
        if part["start"] != place or part["count"] < 1 or not 0 <= part["first"] <= part["rows"] - part["count"]:
            raise ValueError(f"its parts do not follow each other at row {place}")
        place += int(part["count"])
    if place != views[virtual[0]].shape[0]:
        raise ValueError(f"its parts have {place} rows, its views {views[virtual[0]].shape[0]}")
    return parts


def _added(file: h5py.File, attributes: Mapping[str, Any], views: list[str], columns: list[str]) -> Iterator[str]:
    yield from (name for name in file if name not in _ITEMS)
    known = {name.partition("/")[0] for name in views}
    yield from (f"views/{name}" for name in file["views"] if name not in known)
    yield from (f"the column {name} of catalog" for name in columns)
    yield from (f"the attribute {name}" for name in attributes if name not in _ATTRIBUTES)


def as_ours(rows: np.ndarray, columns: Mapping[str, np.dtype | None]) -> np.ndarray:
    """Return rows of a table with the columns and types given: numbers in native order, text as UTF-8 bytes."""
    stored = {name: rows[name] for name in columns}
    found = {name: as_column(stored[name], kind) for name, kind in columns.items()}
    if rows.dtype.names == tuple(columns) and all(found[name] is stored[name] for name in columns):
        return rows
    result = np.empty(len(rows), [(name, column.dtype) for name, column in found.items()])
    for name, column in found.items():
        result[name] = column
    return result


def as_column(column: np.ndarray, kind: np.dtype | None) -> np.ndarray:
    """Return a column as the type given; None is text. One that is so already is not copied."""
    if kind is not None:
        return column.astype(kind, copy=False)
    if column.dtype.kind == "S" and column.tobytes().isascii():
        return column
    return np.array([_utf8(value) for value in column.tolist()], np.bytes_)


def _utf8(value: bytes | str) -> bytes:
    text = value if isinstance(value, str) else value.decode(errors="surrogateescape")
    return visible(text).encode()
