"""Tables in the formats that others read: one writer for catalogues and for answers of networks."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..files.errors import OutputError
from ..files.optional import optional_package
from ..files.writing import check_output, whole_file


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table to be written.

    Parameters
    ----------
    name : str
        What it is called in FITS.
    dtype : dtype
        The columns; text is UTF-8.
    count : int
        The number of rows.
    blocks : callable
        Gives the rows in blocks, as structured arrays; called once or twice.
    units : mapping
        Units of some of the columns.
    notes : mapping
        Texts to be kept with it, by name.
    """

    name: str
    dtype: np.dtype
    count: int
    blocks: Callable[[], Iterable[np.ndarray]]
    units: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, np.dtype]:
        """The types of the columns by name."""
        return {name: self.dtype[name] for name in self.dtype.names or ()}


def check_table(output: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Raise `OutputError` if the file exists or cannot be written, or its format is not known or needs a package."""
    path = Path(output)
    check_output(path, overwrite=overwrite)
    ending = path.suffix.lower()
    if ending not in _WRITERS:
        raise OutputError(f"{path}: the file extension must be one of {', '.join(_WRITERS)}")
    if ending in _PACKAGES:
        optional_package(*_PACKAGES[ending])


def write_table(table: Table, output: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Write a table in the format that the file's ending names, whole or not at all; see `check_table`."""
    path = Path(output)
    check_table(path, overwrite=overwrite)
    with whole_file(path) as file:
        _WRITERS[path.suffix.lower()](file, table)


def _values(column: np.ndarray) -> list[Any]:
    """Return a column as Python objects, text as str; of 32-bit floats the nine digits that give them back."""
    if column.dtype.kind == "S":
        return [value.decode() for value in column.tolist()]
    return [f"{value:.9g}" for value in column.tolist()] if column.dtype == np.float32 else column.tolist()


def _write_csv(file: IO[bytes], table: Table, *, header: bool = True) -> None:
    text = io.TextIOWrapper(file, "utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(table.columns)
    for rows in table.blocks():
        writer.writerows(zip(*(_values(rows[name]) for name in table.columns), strict=True))
    text.detach()


def _write_ecsv(file: IO[bytes], table: Table) -> None:
    empty = optional_package(*_PACKAGES[".ecsv"]).Table(
        {name: np.empty(0, str if kind.kind == "S" else kind) for name, kind in table.columns.items()},
        meta={"scalenorm": dict(table.notes)} if table.notes else {},
    )
    for name in empty.colnames:
        empty[name].unit = table.units.get(name)
    header = io.StringIO()
    empty.write(header, format="ascii.ecsv", delimiter=",")
    file.write(header.getvalue().encode())
    _write_csv(file, table, header=False)


def _write_fits(file: IO[bytes], table: Table) -> None:
    fits = optional_package(*_PACKAGES[".fits"])
    widths = dict.fromkeys(table.columns, 1)
    for rows in table.blocks():
        for name, width in widths.items():
            if rows.dtype[name].kind == "S":
                widths[name] = max(width, *map(len, _ascii(rows[name])), 1)
    kinds = {"u4": ">i4"}  # FITS has no unsigned integers, and no flag needs the last bit
    named = {name: name.encode("unicode_escape").decode() for name in table.columns}  # as headers are ASCII too
    dtype = np.dtype(
        [
            (named[name], f"S{widths[name]}" if kind.kind == "S" else kinds.get(kind.str[1:], kind.newbyteorder(">")))
            for name, kind in table.columns.items()
        ]
    )
    header = fits.BinTableHDU(np.empty(0, dtype), name=table.name).header
    for number, name in enumerate(table.columns, 1):
        if name in table.units:
            header[f"TUNIT{number}"] = table.units[name]
    header["NAXIS2"] = table.count
    if "settings_hash" in table.notes:
        header["SETHASH"] = (table.notes["settings_hash"][:32], "scalenorm settings")
    file.write(fits.PrimaryHDU().header.tostring().encode() + header.tostring().encode())
    for rows in table.blocks():
        block = np.zeros(len(rows), dtype)
        for name in table.columns:
            block[named[name]] = _ascii(rows[name]) if rows.dtype[name].kind == "S" else rows[name]
        file.write(block.tobytes())
    file.write(b"\0" * (-table.count * dtype.itemsize % 2880))


def _ascii(column: np.ndarray) -> list[bytes]:
    return [value.decode().encode("ascii", "backslashreplace") for value in column.tolist()]


def _write_parquet(file: IO[bytes], table: Table) -> None:
    arrow = optional_package(*_PACKAGES[".parquet"])
    parquet = optional_package("pyarrow.parquet", "parquet")
    schema = arrow.schema(
        [
            (name, arrow.string() if kind.kind == "S" else arrow.from_numpy_dtype(kind))
            for name, kind in table.columns.items()
        ],
        {f"scalenorm_{name}": text for name, text in table.notes.items()},
    )
    with parquet.ParquetWriter(file, schema) as writer:
        for rows in table.blocks():
            columns = [
                _values(rows[name]) if kind.kind == "S" else np.ascontiguousarray(rows[name])
                for name, kind in table.columns.items()
            ]
            writer.write_table(arrow.table(columns, schema=schema))


_PACKAGES = {
    ".ecsv": ("astropy.table", "fits"),
    ".fits": ("astropy.io.fits", "fits"),
    ".parquet": ("pyarrow", "parquet"),
}

_WRITERS: dict[str, Callable[[IO[bytes], Table], None]] = {
    ".csv": _write_csv,
    ".ecsv": _write_ecsv,
    ".fits": _write_fits,
    ".parquet": _write_parquet,
}
