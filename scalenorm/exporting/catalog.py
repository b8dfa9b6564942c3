"""The catalogue of a cache as a table in other formats."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..cache import Cache
from ..cache.format import UNITS
from ..files.errors import OutputError
from ..files.optional import optional_package
from ..files.writing import check_output, whole_file


def write_catalog(cache: Cache, output: str | os.PathLike[str], *, overwrite: bool = False) -> int:
    """Write the catalogue as a table in the format that the file's ending names.

    ``.csv`` (comma-separated UTF-8), ``.ecsv`` (with types and units; needs astropy), ``.fits`` (a binary table with
    units; needs astropy; text that is not ASCII is escaped as in Python, because FITS has ASCII only) or
    ``.parquet`` (needs pyarrow). Rows are streamed, failed images included: see the column ``status``.

    Parameters
    ----------
    cache : Cache
        The cache.
    output : path
        The file.
    overwrite : bool
        Replace the file if it exists.

    Returns
    -------
    int
        The number of rows written.

    Raises
    ------
    OutputError
        If the ending is none of these, the file exists, cannot be written, or a package is missing.

    Examples
    --------
    >>> import scalenorm
    >>> from scalenorm.exporting.catalog import write_catalog
    >>> write_catalog(scalenorm.open_cache("galaxies.h5"), "galaxies.ecsv")  # doctest: +SKIP
    7952
    """
    path = Path(output)
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise OutputError(f"{path}: the file extension must be one of {', '.join(_WRITERS)}")
    check_output(path, overwrite=overwrite)
    with whole_file(path) as file:
        writer(file, cache)
    return len(cache)


def _dtype(cache: Cache) -> np.dtype:
    return cache.read("catalog", 0, 0).dtype


def _values(column: np.ndarray) -> list[Any]:
    """Return a column as Python objects, text as str."""
    return [value.decode() for value in column.tolist()] if column.dtype.kind == "S" else column.tolist()


def _write_csv(file: IO[bytes], cache: Cache, *, header: bool = True) -> None:
    text = io.TextIOWrapper(file, "utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    names = _dtype(cache).names or ()
    if header:
        writer.writerow(names)
    for rows in cache.row_blocks("catalog"):
        writer.writerows(zip(*(_values(rows[name]) for name in names), strict=True))
    text.detach()


def _write_ecsv(file: IO[bytes], cache: Cache) -> None:
    table = optional_package("astropy.table", "fits")
    dtype = _dtype(cache)
    empty = table.Table(
        {name: np.empty(0, str if dtype[name].kind == "S" else dtype[name]) for name in dtype.names or ()},
        meta={"scalenorm": {"settings": json.dumps(cache.settings), "settings_hash": cache.settings_hash}},
    )
    for name in empty.colnames:
        empty[name].unit = UNITS.get(name)
    header = io.StringIO()
    empty.write(header, format="ascii.ecsv", delimiter=",")
    file.write(header.getvalue().encode())
    _write_csv(file, cache, header=False)


def _write_fits(file: IO[bytes], cache: Cache) -> None:
    fits = optional_package("astropy.io.fits", "fits")
    widths = dict.fromkeys(_dtype(cache).names or (), 1)
    for rows in cache.row_blocks("catalog"):
        for name, width in widths.items():
            if rows.dtype[name].kind == "S":
                widths[name] = max(width, *map(len, _ascii(rows[name])), 1)
    kinds = {"u4": ">i4"}  # FITS has no unsigned integers, and no flag needs the last bit
    dtype = np.dtype(
        [
            (name, f"S{width}" if kind.kind == "S" else kinds.get(kind.str[1:], kind.newbyteorder(">")))
            for (name, width), kind in zip(widths.items(), [rows.dtype[name] for name in widths], strict=True)
        ]
    )
    table = fits.BinTableHDU(np.empty(0, dtype), name="CATALOG")
    for number, name in enumerate(widths, 1):
        if name in UNITS:
            table.header[f"TUNIT{number}"] = UNITS[name]
    table.header["NAXIS2"] = len(cache)
    table.header["SETHASH"] = (cache.settings_hash[:32], "scalenorm settings")
    file.write(fits.PrimaryHDU().header.tostring().encode() + table.header.tostring().encode())
    for rows in cache.row_blocks("catalog"):
        block = np.zeros(len(rows), dtype)
        for name in widths:
            block[name] = _ascii(rows[name]) if rows.dtype[name].kind == "S" else rows[name]
        file.write(block.tobytes())
    file.write(b"\0" * (-len(cache) * dtype.itemsize % 2880))


def _ascii(column: np.ndarray) -> list[bytes]:
    return [value.decode().encode("ascii", "backslashreplace") for value in column.tolist()]


def _write_parquet(file: IO[bytes], cache: Cache) -> None:
    arrow, parquet = optional_package("pyarrow", "parquet"), optional_package("pyarrow.parquet", "parquet")
    dtype = _dtype(cache)
    kinds = {name: dtype[name] for name in dtype.names or ()}
    schema = arrow.schema(
        [(name, arrow.string() if kind.kind == "S" else arrow.from_numpy_dtype(kind)) for name, kind in kinds.items()],
        {"scalenorm_settings": json.dumps(cache.settings), "scalenorm_settings_hash": cache.settings_hash},
    )
    with parquet.ParquetWriter(file, schema) as writer:
        for rows in cache.row_blocks("catalog"):
            columns = [
                _values(rows[name]) if kind.kind == "S" else np.ascontiguousarray(rows[name])
                for name, kind in kinds.items()
            ]
            writer.write_table(arrow.table(columns, schema=schema))


_WRITERS: dict[str, Callable[[IO[bytes], Cache], None]] = {
    ".csv": _write_csv,
    ".ecsv": _write_ecsv,
    ".fits": _write_fits,
    ".parquet": _write_parquet,
}
