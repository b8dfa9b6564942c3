"""What a cache file holds: names, types, settings and the digest. ``docs/cache.rst`` says it in words."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..files.names import CACHE_FORMAT

FORMAT = CACHE_FORMAT
FORMAT_VERSION = 1

#: Raised by one whenever the same image and options give other values than before: rows made by two
#: methods must not meet in one file.
METHOD_VERSION = 1

OK, FAILED = "ok", "failed"

#: Text columns are as wide as the longest value they hold, in bytes of UTF-8.
TEXT_COLUMNS = ("id", "source", "status", "message")

_MOST_INPUTS = 32_000  # characters

INPUTS_DTYPE = np.dtype([("size", "<i8"), ("mtime_ns", "<i8")])


@dataclass(frozen=True)
class Layout:
    """What all crops of one cache share."""

    dtype: str  # NumPy name of the pixel type, such as "uint8" or "float32"
    bands: int

    @classmethod
    def of(cls, image: np.ndarray, dtype: np.dtype | None = None) -> Layout:
        """Return the layout that crops of `image` ((H, W) or (H, W, C)) have, if they are of `dtype` (the image's)."""
        return _layout(dtype or image.dtype, 1 if image.ndim == 2 else image.shape[2])

    def __str__(self) -> str:
        return f"{self.dtype} with {self.bands} band{'s' if self.bands > 1 else ''}"


@functools.cache  # NumPy makes the name anew every time, which takes longer than to open a file
def _layout(dtype: np.dtype, bands: int) -> Layout:
    return Layout(dtype.newbyteorder("=").name, bands)


#: Further columns of stamps, which were cut from tiles: their first row and column there, and the centroid on the sky.
STAMP_COLUMNS = [("stamp_row", "<i4"), ("stamp_col", "<i4"), ("ra", "<f8"), ("dec", "<f8")]


#: Settings of stamps only: their side, the table's columns of sides and of the galaxies' sizes, and the unit of these.
STAMP_SETTINGS = ("stamp", "stamp_from", "side_from", "side_unit")

#: Settings that only some caches have: also the names of files of one band, and the digest of the cache of the windows.
SPECIAL_SETTINGS = (*STAMP_SETTINGS, "band_files", "windows_from")


def has_stamps(settings: Mapping[str, Any]) -> bool:
    """Whether the images of a cache of these settings were cut from tiles."""
    return "stamp" in settings or "stamp_from" in settings


def number_columns(bands: int, *, stamps: bool = False) -> list[tuple[str, str]]:
    """Return the catalogue's columns that hold numbers, with their types, in file order."""
    return [
        ("flags", "<u4"),
        ("threshold", "<f8"),
        *((f"sky_{band}", "<f8") for band in range(bands)),
        ("row", "<f8"),
        ("col", "<f8"),
        ("major_axis", "<f8"),
        ("minor_axis", "<f8"),
        ("orientation", "<f8"),
        ("area", "<i8"),
        *((f"bbox_{edge}", "<i4") for edge in range(4)),
        ("window_row", "<f8"),
        ("window_col", "<f8"),
        ("side", "<f8"),
        ("height", "<i4"),
        ("width", "<i4"),
        *(STAMP_COLUMNS if stamps else ()),
        ("sha256", "S64"),
    ]


#: Units of the catalogue's columns, as ECSV and FITS name them; positions are (row, col) from 0 at pixel centres.
UNITS = {
    **dict.fromkeys(("row", "col", "major_axis", "minor_axis", "window_row", "window_col", "side", "height", "width",
                     "stamp_row", "stamp_col"), "pix"),
    "ra": "deg", "dec": "deg", "orientation": "rad", "area": "pix2",
}  # fmt: skip


def catalog_dtype(bands: int, widths: Mapping[str, int], *, stamps: bool) -> np.dtype:
    """Return the type of one catalogue row, given the byte widths of the text columns."""
    import h5py

    text = [(name, h5py.string_dtype("utf-8", max(1, widths.get(name, 1)))) for name in TEXT_COLUMNS]
    return np.dtype(text + number_columns(bands, stamps=stamps))


def canonical_json(settings: Mapping[str, Any]) -> str:
    """Return settings as one JSON text that is the same for the same values."""
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)


def inputs_json(inputs: Iterable[str]) -> str:
    """Return inputs as JSON, each once, and no more than an attribute of an HDF5 file can hold."""
    known = list(dict.fromkeys(inputs))
    while len(text := json.dumps(known)) > _MOST_INPUTS:
        known = known[: len(known) // 2]
    return text


def settings_hash(settings: Mapping[str, Any]) -> str:
    """Return the SHA-256 of settings (hexadecimal)."""
    return hashlib.sha256(canonical_json(settings).encode()).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any], *, word: str = ", now") -> list[str]:
    """Return one text per option that differs, such as ``"size: 64, now 32"``."""
    names = [*new, *(name for name in old if name not in new)]
    plain_old, plain_new = json.loads(canonical_json(old)), json.loads(canonical_json(new))
    return [
        f"{name}: {as_text(plain_old.get(name))}{word} {as_text(plain_new.get(name))}"
        for name in names
        if plain_old.get(name) != plain_new.get(name)
    ]


def as_text(value: Any) -> str:
    """Return the value of a setting as on the command line."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def row_stamp(rows: np.ndarray) -> str:
    """Return a hash of what catalogue rows say: with the settings it fixes the pixels too.

    A virtual cache stores it for each of its parts, and so notices a part that was replaced.
    """
    digest = hashlib.sha256()
    for column in _column_bytes(rows):
        digest.update(column)
    return digest.hexdigest()


def digest(views: Iterable[tuple[str, Iterable[np.ndarray]]], catalog: Iterable[np.ndarray],
           labels: Iterable[np.ndarray] | None, classes: Mapping[str, Any] | None = None) -> str:  # fmt: skip
    """Return the SHA-256 (hexadecimal) over the values of a cache, as ``docs/cache.rst`` defines it.

    Views, in the order of their names, catalogue and labels come in blocks of rows. Neither the size of the blocks
    nor the width of text columns matters.
    """
    lines = [f"views/{name} {_hash_of(blocks)}" for name, blocks in views]
    columns: dict[str, Any] = {}
    for rows in catalog:
        for name, data in zip(rows.dtype.names or (), _column_bytes(rows), strict=True):
            columns.setdefault(name, hashlib.sha256()).update(data)
    lines += [f"catalog/{name} {column.hexdigest()}" for name, column in columns.items()]
    if labels is not None:
        lines.append(f"labels {_hash_of(labels)}")
    if classes:
        lines.append(f"classes {settings_hash(classes)}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _hash_of(blocks: Iterable[np.ndarray]) -> str:
    result = hashlib.sha256()
    for number, block in enumerate(blocks):
        if number == 0:
            result.update(f"{block.dtype.name} {block.shape[1:]}".encode())
        result.update(np.ascontiguousarray(block, block.dtype.newbyteorder("<")).data)
    return result.hexdigest()


def _column_bytes(rows: np.ndarray) -> Iterable[bytes]:
    for name in rows.dtype.names or ():
        column = rows[name]
        if column.dtype.kind == "S":
            yield b"".join(value + b"\0" for value in column.tolist())
        else:
            yield column.astype(column.dtype.newbyteorder("<"), copy=False).tobytes()
