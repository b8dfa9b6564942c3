"""Tables of any format, read by columns: labels, lists of ids, positions.

Text (comma, tab or semicolon; quoted; UTF-8 or UTF-16; compressed) is read here, block by block, because ids must stay
the text that they are, and since a message should name the line. FITS, ECSV, VOTable and SExtractor's catalogues are
read by astropy (extra ``fits``), Parquet and Feather by pyarrow (extra ``parquet``).
"""

from __future__ import annotations

import bz2
import contextlib
import csv
import gzip
import hashlib
import io
import lzma
import math
import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..files.errors import TableError, reason

#: What stands for a missing value in text.
MISSING = frozenset(["", "nan", "na", "n/a", "null", "none", "--"])

_BLOCK = 20_000  # rows
_DELIMITERS = ",\t;|"
_SHOWN = 8
_WIDEST = 10_000  # columns of a text file: more are something else

_COMPRESSED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_SEXTRACTOR = re.compile(rb"#\s+1\s+[A-Z]\w*")


@dataclass(frozen=True)
class Block:
    """Some rows of some columns.

    Parameters
    ----------
    columns : list of ndarray
        Text is an array of str objects, "" where it is missing; numbers have their own type, with NaN.
    rows : ndarray of int
        The line of each row in a text file; its number, from 1, in another one.
    """

    columns: list[np.ndarray]
    rows: np.ndarray


@dataclass(frozen=True)
class Table:
    """A table whose columns are known; the rows are read when they are asked for."""

    path: Path
    names: tuple[str, ...]
    source: Any  # what reads it: a `_Text` or a `_Columns`
    row: str = "row"  # what a row is called: "line" in text

    def blocks(self, names: Sequence[str]) -> Iterator[Block]:
        """Yield the rows of some columns, block by block."""
        numbers = [self.number(name) for name in names]
        with _errors(self.path):
            yield from self.source.blocks(numbers)

    def number(self, name: str) -> int:
        """Return the number of a column; another case will do where only one column has the name then."""
        for candidates in ([n for n, found in enumerate(self.names) if found == name],
                           [n for n, found in enumerate(self.names) if found.lower() == name.lower()]):  # fmt: skip
            if len(candidates) > 1:
                raise TableError(f"{self.path}: more than one column {name!r}")
            if candidates:
                return candidates[0]
        raise TableError(f"{self.path}: no column {name!r}; its columns are {self.some_names()}")

    def some_names(self) -> str:
        """Return the first names of columns, for a message."""
        more = len(self.names) - _SHOWN
        return ", ".join(self.names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file (hexadecimal)."""
        with _errors(self.path), self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def open_table(path: str | os.PathLike[str]) -> Table:
    """Open a table; the format is told from the content.

    Raises
    ------
    TableError
        It cannot be read, or has no columns.
    """
    path = Path(path)
    with _errors(path):
        with path.open("rb") as file:
            begin = file.read(512)
        for start, reader in _READERS.items():
            if begin.startswith(start):
                columns = reader(path)
                return Table(path, columns.names, columns)
        if _SEXTRACTOR.match(begin):
            columns = _by_astropy(path, "ascii.sextractor")
            return Table(path, columns.names, columns)
        text = _Text(path, begin)
        return Table(path, text.names, text, "line")


def is_missing(text: str) -> bool:
    """Whether a cell of a text file stands for a missing value."""
    return text.lower() in MISSING


def to_numbers(table: Table, column: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return a column as float64, NaN where a value is missing; `TableError` names the row of what is no number."""
    if column.ndim > 1 or column.dtype.kind not in "biufO":
        raise TableError(f"{table.path}: a column holds {column.dtype} arrays, not a number in each row")
    if column.dtype.kind != "O":
        return column.astype(np.float64)
    values = np.empty(len(column))
    for place, text in enumerate(column.tolist()):
        try:
            values[place] = math.nan if is_missing(text) else float(text)
        except ValueError:
            raise TableError(f"{table.path}, {table.row} {rows[place]}: {text!r} is not a number") from None
    return values


@contextlib.contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except TableError:
        raise
    except OSError as error:
        raise TableError(f"{path}: cannot read it: {reason(error)}") from error
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise TableError(f"{path}: the compressed file is damaged or cut short: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: not text in UTF-8 or UTF-16: {reason(error)}") from error
    except csv.Error as error:
        raise TableError(f"{path}: not CSV: {error}") from error


class _Text:
    """A text file with a header and a row to a line."""

    def __init__(self, path: Path, begin: bytes) -> None:
        self.path = path
        with self._opened() as file:
            head = file.readline()
            while head and not head.strip():
                head = file.readline()
            self.delimiter = _delimiter(path, head)
            names = [name.strip() for name in next(csv.reader([head], delimiter=self.delimiter), [])]
        if head.startswith("#"):  # as numpy.savetxt writes it
            names[0] = names[0].lstrip("# ")
        first = "".join(names)
        if any(sign < " " for sign in first) or "\udc80" <= first[:1] <= "\udcff":
            raise TableError(f"{path}: not a table: it begins with {begin[:20]!r}")
        if not names:
            raise TableError(f"{path}: the file is empty; expected a header line")
        if any("\ud800" <= sign <= "\udfff" for sign in first):
            raise TableError(f"{path}: the names of its columns are not in UTF-8: save it as UTF-8")
        if len(names) > _WIDEST:
            raise TableError(f"{path}: {len(names)} columns; a table of labels has at most {_WIDEST}")
        self.names = tuple(names)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[IO[str]]:
        with contextlib.ExitStack() as stack:
            file: Any = stack.enter_context(self.path.open("rb"))
            begin = file.read(8)
            file.seek(0)
            if begin.startswith(b"PK\3\4"):
                archive = stack.enter_context(zipfile.ZipFile(file))
                members = [info for info in archive.infolist() if not info.is_dir()]
                if len(members) != 1:
                    raise TableError(f"{self.path}: {len(members)} files in the archive: unpack the one that is meant")
                file = stack.enter_context(archive.open(members[0]))
            for start, opener in _COMPRESSED.items():
                if begin.startswith(start):
                    file = stack.enter_context(opener(file))
            buffered = io.BufferedReader(file)
            utf16 = buffered.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff")
            yield stack.enter_context(
                io.TextIOWrapper(
                    buffered, "utf-16" if utf16 else "utf-8-sig", "strict" if utf16 else "surrogateescape", newline=""
                )
            )

    def blocks(self, numbers: Sequence[int]) -> Iterator[Block]:
        """Yield some columns as text."""
        least, width = max(numbers, default=-1) + 1, len(self.names)
        with self._opened() as file:
            reader = csv.reader(file, delimiter=self.delimiter)
            header = True
            kept: list[list[str]] = []
            lines: list[int] = []
            for cells in _rows(self.path, reader):
                if not any(cells) or not any(map(str.strip, cells)):
                    continue
                if header:
                    header = False
                    continue
                if len(cells) < least or (len(cells) > width and any(map(str.strip, cells[width:]))):
                    raise TableError(
                        f"{self.path}, line {reader.line_num}: {len(cells)} columns, the header has {width}"
                    )
                kept.append(cells)
                lines.append(reader.line_num)
                if len(kept) == _BLOCK:
                    yield _text_block(kept, lines, numbers)
                    kept, lines = [], []
            if kept:
                yield _text_block(kept, lines, numbers)


def _rows(path: Path, reader: Any) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise TableError(f"{path}, line {reader.line_num}: not CSV: {error}") from None


def _text_block(cells: list[list[str]], lines: list[int], numbers: Sequence[int]) -> Block:
    columns = []
    for number in numbers:
        column = np.empty(len(cells), object)
        column[:] = [row[number].strip() for row in cells]
        columns.append(column)
    return Block(columns, np.array(lines))


def _delimiter(path: Path, head: str) -> str:
    """Return what separates the columns of a header line."""
    found = [sign for sign in _DELIMITERS if len(next(csv.reader([head], delimiter=sign), [])) > 1]
    if len(found) > 1:
        raise TableError(f"{path}: its columns may be separated by {found[0]!r} or {found[1]!r}: quote the names")
    return found[0] if found else ","


class _Columns:
    """A table that a library has opened: arrays by column."""

    def __init__(self, names: Sequence[str], count: int, column: Any) -> None:
        self.names, self.count, self._column = tuple(names), count, column

    def blocks(self, numbers: Sequence[int]) -> Iterator[Block]:
        """Yield some columns, text as str."""
        columns = [_plain(self._column(self.names[number])) for number in numbers]
        for start in range(0, self.count, _BLOCK):
            stop = min(start + _BLOCK, self.count)
            yield Block([column[start:stop] for column in columns], np.arange(start + 1, stop + 1))


def _plain(column: Any) -> np.ndarray:
    """Return a column as an array: text as str objects, "" where it is missing; numbers with NaN where they are."""
    mask = np.ma.getmaskarray(column) if isinstance(column, np.ma.MaskedArray) else None
    values = np.asarray(getattr(column, "data", column) if mask is not None else column)
    if values.ndim != 1:
        return values  # an array in each cell: whoever wants numbers says so
    if values.dtype.kind in "SUO":
        texts = np.empty(len(values), object)
        texts[:] = [_as_text(value) for value in values.tolist()]
        if mask is not None:
            texts[mask] = ""
        return texts
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if mask is not None and mask.any():
        values = np.where(mask, np.nan, values.astype(float))
    return values


def _as_text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape").strip()
    if isinstance(value, str):
        return value.strip()
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


def _fits(path: Path) -> _Columns:
    fits = _package("astropy.io.fits", path, "FITS", "fits")
    with _reader_errors(path, "FITS"), path.open("rb") as file, fits.open(file, memmap=False) as hdus:
        tables = [hdu for hdu in hdus if getattr(hdu, "columns", None) is not None]
        # SExtractor's FITS_LDAC has the header of the image as a first table.
        tables = [hdu for hdu in tables if hdu.name == "LDAC_OBJECTS"] or tables
        if not tables:
            raise TableError(f"{path}: a FITS file without a table")
        data, columns = tables[0].data, tables[0].columns
        nulls = {name: null for name, null in zip(columns.names, columns.null, strict=True) if null not in (None, "")}

    def column(name: str) -> Any:
        values = np.asarray(data[name])
        if name in nulls and values.dtype.kind in "iu":
            return np.ma.masked_equal(values, nulls[name])
        return values

    return _Columns(columns.names, len(data), column)


def _by_astropy(path: Path, form: str) -> _Columns:
    name = form.removeprefix("ascii.")
    tables = _package("astropy.table", path, name, "fits")
    with _reader_errors(path, name):
        found = tables.Table.read(path, format=form)
    return _Columns(found.colnames, len(found), lambda name: found[name])


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


def _by_pyarrow(path: Path, form: str) -> _Columns:
    module = _package(f"pyarrow.{form}", path, form.capitalize(), "parquet")
    with _reader_errors(path, form.capitalize()):
        if form == "parquet":
            names, count, found = module.read_schema(path).names, module.read_metadata(path).num_rows, None
        else:
            found = module.read_table(path, memory_map=False)
            names, count = found.column_names, found.num_rows

    def column(name: str) -> Any:
        chunked = found.column(name) if found is not None else module.read_table(path, columns=[name]).column(0)
        values = chunked.to_numpy()
        if chunked.null_count and values.dtype.kind not in "fO":
            return np.ma.masked_array(values, chunked.is_null().to_numpy())
        return values

    return _Columns(names, count, column)


def _package(module: str, path: Path, form: str, extra: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise TableError(f"{path}: reading {form} needs {package}: pip install 'scalenorm[{extra}]'") from None


_READERS = {
    b"SIMPLE": _fits,
    b"# %ECSV": lambda path: _by_astropy(path, "ascii.ecsv"),
    b"<?xml": lambda path: _by_astropy(path, "votable"),
    b"<VOTABLE": lambda path: _by_astropy(path, "votable"),
    b"PAR1": lambda path: _by_pyarrow(path, "parquet"),
    b"ARROW1": lambda path: _by_pyarrow(path, "feather"),
}
