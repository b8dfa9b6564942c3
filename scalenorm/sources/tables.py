"""Tables of any format, read by columns: labels, lists of ids, positions.

Text (comma, tab or semicolon; quoted; UTF-8 or UTF-16; compressed) is read here, block by block, because ids must stay
the text that they are, and since a message should name the line. FITS, ECSV, VOTable and SExtractor's catalogues are
read by astropy (extra ``fits``), Parquet and Feather by pyarrow (extra ``parquet``).
"""

from __future__ import annotations

import contextlib
import csv
import functools
import hashlib
import lzma
import math
import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..files.errors import TableError, reason, turned_into
from ..files.optional import optional_package
from . import parquet
from .text import BLOCK, MARKED, MOST_EXACT, Block, TextTable, decompressed

#: Ids that a program took for numbers: it may have written all digits, or lost some.
_FLOAT = re.compile(r"\d+\.0*")
_ROUNDED = re.compile(r"\d\.\d+[eE]\+?\d+|\d[eE]\+\d+")

#: What stands for a missing value in text, as pandas and astropy write and read it. ``none`` may be a class.
MISSING = frozenset(["", "nan", "NaN", "NAN", "NA", "N/A", "n/a", "#N/A", "<NA>", "null", "NULL", "None", "--"])

_SHOWN = 8
_ARRAYS = (list, tuple, dict, np.ndarray)

_SEXTRACTOR = re.compile(rb"#\s+1\s+[A-Z]\w*")


@dataclass(frozen=True)
class Table:
    """A table whose columns are known; the rows are read when they are asked for."""

    path: Path
    names: tuple[str, ...]
    source: Any  # what reads it: a `TextTable` or `Columns`
    row: str = "row"  # what a row is called: "line" in text
    id_column: str | None = None  # the column of ids, where it is known without looking for its name
    units: Mapping[str, str] = field(default_factory=dict)  # of the columns for which the file gives one

    def blocks(self, names: Sequence[str]) -> Iterator[Block]:
        """Yield the rows of some columns, block by block."""
        numbers = [self.number(name) for name in names]
        with _errors(self.path):
            yield from self.source.blocks(numbers)

    def ids(self, block: Block, number: int = 0) -> list[str]:
        """Return ids, a column of a block, as text; refuse those that have lost digits."""
        column = block.columns[number]
        if column.ndim > 1 or column.dtype.kind not in "iufO":
            raise TableError(f"{self.path}: the column of ids holds {held(column)}, not text or whole numbers")
        if column.dtype.kind in "iu":
            return [str(value) for value in column.tolist()]
        if column.dtype.kind == "f":
            whole = np.isnan(column) | ((column == np.floor(column)) & (np.abs(column) < MOST_EXACT))
            if not whole.all():
                at = int(np.argmin(whole))
                raise self._digits_lost(block.rows[at], repr(float(column[at])))
            return ["" if math.isnan(value) else str(int(value)) for value in column.tolist()]
        names: list[str] = column.tolist()
        for row, name in zip(block.rows, names, strict=True):
            if _ROUNDED.fullmatch(name):
                raise self._digits_lost(row, name)
        if all(_FLOAT.fullmatch(name) or not name for name in names) and any(names):  # whole numbers beside gaps
            names = [name.partition(".")[0] for name in names]
            for row, name in zip(block.rows, names, strict=True):
                if name and int(name) >= MOST_EXACT:
                    raise self._digits_lost(row, name + ".0")
        return names

    def _digits_lost(self, row: int, text: str) -> TableError:
        return TableError(
            f"{self.path}, {self.row} {row}: the id {text} was stored as a floating-point number and has lost digits: "
            "read and write the column of ids as text"
        )

    def number(self, name: str) -> int:
        """Return the number of a column; another case will do where only one column has the name then."""
        found = self._numbers.get(name) or self._numbers.get(name.lower(), [])
        if len(found) == 1:
            return found[0]
        if not found:
            raise TableError(f"{self.path}: no column {name!r}; its columns are {self.some_names()}")
        names = " and ".join(dict.fromkeys(repr(self.names[number]) for number in found))
        raise TableError(f"{self.path}: more than one column {name!r}" + (f": {names}" if "and" in names else ""))

    @cached_property
    def _numbers(self) -> dict[str, list[int]]:
        """Numbers of the columns of a name, and of a name in lower case where that is no column's own."""
        exact: dict[str, list[int]] = {}
        lower: dict[str, list[int]] = {}
        for number, name in enumerate(self.names):
            exact.setdefault(name, []).append(number)
            lower.setdefault(name.lower(), []).append(number)
        return lower | exact

    def some_names(self) -> str:
        """Return the first names of columns, for a message."""
        more = len(self.names) - _SHOWN
        return ", ".join(self.names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")

    def hash_of(self, names: Sequence[str]) -> str:
        """Return a SHA-256 (hexadecimal) that changes whenever one of these columns does."""
        return self.sha256

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file (hexadecimal)."""
        with _errors(self.path), self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def open_table(path: str | os.PathLike[str]) -> Table:
    """Open a table; the format is told from the content."""
    path = Path(path)
    with _errors(path):
        begin = _begin(path)
        if (read := _reader(begin)) is not None:
            columns = read(path)
            return Table(path, columns.names, columns, units=columns.units)
        text = TextTable(path, begin)
        return Table(path, text.names, text, "line")


def is_certainly_table(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a table by what it begins with, or compressed; others may be CSV or anything."""
    path = Path(path)
    with _errors(path), path.open("rb") as file:
        return file.read(8).startswith(MARKED) or _reader(_begin(path)) is not None


def _reader(begin: bytes) -> Callable[[Path], Columns] | None:
    found = (read for start, read in _READERS.items() if begin.startswith(start))
    sextractor = functools.partial(_by_astropy, form="ascii.sextractor") if _SEXTRACTOR.match(begin) else None
    return next(found, sextractor)


def _begin(path: Path) -> bytes:
    with decompressed(path) as file:
        return file.read(512)


def to_texts(table: Table, column: np.ndarray) -> list[str]:
    """Return a column as texts; `TableError` if it holds lists."""
    if column.ndim > 1:
        raise TableError(f"{table.path}: a column holds lists, not a path in each row")
    return [str(text) for text in column.tolist()]


def held(column: np.ndarray) -> str:
    """Return in words what a column holds."""
    return "lists" if column.ndim > 1 else str(column.dtype)


def to_numbers(table: Table, column: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return a column as float64, NaN where a value is missing; `TableError` names the row of what is no number."""
    if column.ndim > 1 or column.dtype.kind not in "biufO":
        raise TableError(f"{table.path}: a column holds {held(column)}, not a number in each row")
    if column.dtype.kind != "O":
        return column.astype(np.float64)
    values = np.empty(len(column))
    for place, text in enumerate(column.tolist()):
        try:
            values[place] = math.nan if text in MISSING else float(text)
        except ValueError:
            raise TableError(f"{table.path}, {table.row} {rows[place]}: {text!r} is not a number") from None
    return values


@contextlib.contextmanager
def _errors(path: Path) -> Iterator[None]:
    damaged = f"{path}: the compressed file is damaged or cut short"
    with (
        turned_into(TableError, f"{path}: cannot read it", OSError),
        turned_into(TableError, damaged, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile),
        turned_into(TableError, f"{path}: not text in UTF-8 or UTF-16", UnicodeDecodeError),
        turned_into(TableError, f"{path}: not CSV", csv.Error),
    ):
        yield


class Columns:
    """A table whose columns are arrays, read by name when they are asked for."""

    def __init__(self, names: Sequence[str], count: int, column: Any, units: Mapping[str, Any] | None = None) -> None:
        self.names, self.count, self._column = tuple(names), count, column
        self.units = {name: str(unit) for name, unit in (units or {}).items() if unit}

    def blocks(self, numbers: Sequence[int]) -> Iterator[Block]:
        """Yield some columns, text as str."""
        columns = [_plain(self._column(self.names[number])) for number in numbers]
        for start in range(0, self.count, BLOCK):
            stop = min(start + BLOCK, self.count)
            yield Block(np.arange(start + 1, stop + 1), [column[start:stop] for column in columns])


def _plain(column: Any) -> np.ndarray:
    """Return a column as an array: text as str objects, "" where it is missing; numbers with NaN where they are."""
    mask = np.ma.getmaskarray(column) if isinstance(column, np.ma.MaskedArray) else None
    values = np.asarray(getattr(column, "data", column) if mask is not None else column)
    if values.ndim != 1:
        return values  # an array in each cell: whoever wants numbers says so
    if values.dtype.kind == "O" and any(isinstance(value, _ARRAYS) and len(value) != 1 for value in values):
        return np.empty((len(values), 0), object)  # likewise; catalogues have paths in lists of one
    if values.dtype.kind in "SUO":
        texts = np.empty(len(values), object)
        texts[:] = [_as_text(value) for value in values.tolist()]
        if mask is not None:
            texts[mask] = ""
        return texts
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if mask is not None and mask.any():
        if values.dtype.kind != "f":  # as text every digit of an id stays
            return _plain(np.where(mask, "", values.astype(str)))
        values = np.where(mask, np.nan, values)
    return values


def _as_text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape").strip()
    if isinstance(value, str):
        return value.strip()
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


def _fits(path: Path) -> Columns:
    fits = optional_package("astropy.io.fits", "fits", f"{path}: reading FITS", TableError)
    with _reader_errors(path, "FITS"), decompressed(path) as file, fits.open(file, memmap=False) as hdus:
        tables = [hdu for hdu in hdus if getattr(hdu, "columns", None) is not None]
        # SExtractor's FITS_LDAC has the header of the image as a first table.
        tables = [hdu for hdu in tables if hdu.name == "LDAC_OBJECTS"] or tables
        if not tables:
            raise TableError(f"{path}: a FITS file without a table")
        data, columns = tables[0].data, tables[0].columns
        nulls = {name: null for name, null in zip(columns.names, columns.nulls, strict=True) if null not in (None, "")}

    def column(name: str) -> Any:
        values = np.asarray(data[name])
        null = nulls.get(name)
        if isinstance(null, str):  # of an ASCII table, where it stands as text
            return np.ma.array(values, mask=np.char.strip(data.view(np.ndarray)[name]) == null.strip().encode())
        return np.ma.masked_equal(values, null) if null is not None and values.dtype.kind in "iu" else values

    return Columns(columns.names, len(data), column, dict(zip(columns.names, columns.units, strict=True)))


def _by_astropy(path: Path, form: str) -> Columns:
    name = form.removeprefix("ascii.")
    tables = optional_package("astropy.table", "fits", f"{path}: reading {name}", TableError)
    with _reader_errors(path, name), decompressed(path) as file:
        found = tables.Table.read(file, format=form)
    units = {name: getattr(found[name], "unit", None) for name in found.colnames}
    return Columns(found.colnames, len(found), lambda name: found[name], units)


@contextlib.contextmanager
def _reader_errors(path: Path, form: str) -> Iterator[None]:
    """Whatever a library raises becomes a `TableError`; its remarks on style are not shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (TableError, OSError):
            raise
        except Exception as error:  # each has exceptions of its own
            raise TableError(f"{path}: cannot read it as {form}: {reason(error)}") from error


def _by_pyarrow(path: Path, form: str) -> Columns:
    name = form.capitalize()
    module = optional_package(f"pyarrow.{form}", "parquet", f"{path}: reading {name}", TableError)
    with _reader_errors(path, name):
        if form == "parquet":
            schema, count, found = module.read_schema(path), module.read_metadata(path).num_rows, None
        else:
            found = module.read_table(path, memory_map=False)
            schema, count = found.schema, found.num_rows

    def read(column: str) -> np.ndarray:
        with _reader_errors(path, f"{name}, column {column!r}"):
            chunked = found.column(column) if found is not None else module.read_table(path, columns=[column]).column(0)
            return parquet.to_array(chunked, parquet.class_names(schema).get(column))

    return Columns(schema.names, count, read)


_READERS: dict[bytes, Callable[[Path], Columns]] = {
    b"SIMPLE": _fits,
    b"# %ECSV": functools.partial(_by_astropy, form="ascii.ecsv"),
    b"<?xml": functools.partial(_by_astropy, form="votable"),
    b"<VOTABLE": functools.partial(_by_astropy, form="votable"),
    b"PAR1": functools.partial(_by_pyarrow, form="parquet"),
    b"ARROW1": functools.partial(_by_pyarrow, form="feather"),
}
