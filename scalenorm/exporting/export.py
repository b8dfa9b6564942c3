"""The ways out of a cache: its catalogue as a table, its crops as image files."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..cache import Cache
from ..cache.format import OK
from ..cropping.views import center_window, parse_view
from ..files.errors import OutputError
from ..files.names import file_names
from ..files.writing import check_output, whole_file

_ROWS = 4096

UNITS = {
    **dict.fromkeys(
        ("row", "col", "major_axis", "minor_axis", "window_row", "window_col", "side", "height", "width"), "pix"
    ),
    "orientation": "rad",
    "area": "pix2",
}
"""Units of the catalogue's columns, as ECSV and FITS name them; positions are (row, col) from 0 at pixel centres."""

UNLABELLED = "unlabelled"


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
    >>> from scalenorm.exporting.export import write_catalog
    >>> write_catalog(scalenorm.open_cache("galaxies.h5"), "galaxies.ecsv")  # doctest: +SKIP
    7952
    """
    path = Path(output)
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise OutputError(f"{path}: the ending must be one of {', '.join(_WRITERS)}")
    check_output(path, overwrite=overwrite)
    with whole_file(path) as file:
        writer(file, cache)
    return len(cache)


def _blocks(cache: Cache) -> Iterator[np.ndarray]:
    for start in range(0, max(len(cache), 1), _ROWS):
        yield cache.read("catalog", start, start + _ROWS)


def _columns(rows: np.ndarray) -> Iterator[tuple[str, list[Any]]]:
    """Yield the columns' names and values as Python objects, text as str."""
    for name in rows.dtype.names or ():
        values = rows[name].tolist()
        yield name, [value.decode() for value in values] if rows.dtype[name].kind == "S" else values


def _write_csv(file: IO[bytes], cache: Cache) -> None:
    text = io.TextIOWrapper(file, "utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    for number, rows in enumerate(_blocks(cache)):
        columns = dict(_columns(rows))
        if number == 0:
            writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    text.flush()
    text.detach()


def _write_ecsv(file: IO[bytes], cache: Cache) -> None:
    table = _needed("astropy.table", "fits")
    for number, rows in enumerate(_blocks(cache)):
        columns = dict(_columns(rows))
        if number == 0:
            empty = table.Table(
                {
                    name: np.empty(0, str if rows.dtype[name].kind == "S" else rows.dtype[name])
                    for name in rows.dtype.names or ()
                },
                meta={"scalenorm": {"settings": json.dumps(cache.settings), "settings_hash": cache.settings_hash}},
            )
            for name, unit in UNITS.items():
                empty[name].unit = unit
            header = io.StringIO()
            empty.write(header, format="ascii.ecsv", delimiter=",")
            file.write(header.getvalue().encode())
        block = io.StringIO()
        csv.writer(block, lineterminator="\n").writerows(zip(*columns.values(), strict=True))
        file.write(block.getvalue().encode())


def _write_fits(file: IO[bytes], cache: Cache) -> None:
    fits = _needed("astropy.io.fits", "fits")
    widths = dict.fromkeys(cache.read("catalog", 0, 0).dtype.names or (), 1)
    for rows in _blocks(cache):
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
    for rows in _blocks(cache):
        block = np.zeros(len(rows), dtype)
        for name in widths:
            block[name] = _ascii(rows[name]) if rows.dtype[name].kind == "S" else rows[name]
        file.write(block.tobytes())
    file.write(b"\0" * (-len(cache) * dtype.itemsize % 2880))


def _ascii(column: np.ndarray) -> list[bytes]:
    return [value.decode().encode("ascii", "backslashreplace") for value in column.tolist()]


def _write_parquet(file: IO[bytes], cache: Cache) -> None:
    arrow, parquet = _needed("pyarrow", "parquet"), _needed("pyarrow.parquet", "parquet")
    writer = None
    for rows in _blocks(cache):
        table = arrow.table(
            {
                name: values if rows.dtype[name].kind == "S" else np.ascontiguousarray(rows[name])
                for name, values in _columns(rows)
            }
        )
        if writer is None:
            about = {"scalenorm_settings": json.dumps(cache.settings), "scalenorm_settings_hash": cache.settings_hash}
            table = table.replace_schema_metadata(about)
            writer = parquet.ParquetWriter(file, table.schema)
        writer.write_table(table.cast(writer.schema))
    if writer is not None:
        writer.close()


_WRITERS: dict[str, Callable[[IO[bytes], Cache], None]] = {
    ".csv": _write_csv,
    ".ecsv": _write_ecsv,
    ".fits": _write_fits,
    ".parquet": _write_parquet,
}


def _needed(module: str, extra: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise OutputError(f"this format needs {package}: pip install 'scalenorm[{extra}]'") from None


def write_images(
    cache: Cache,
    folder: str | os.PathLike[str],
    *,
    view: str | None = None,
    image_format: str | None = None,
    by_label: bool = False,
    label_columns: Sequence[str] | None = None,
    overwrite: bool = False,
) -> tuple[int, int]:
    """Write each crop of one view as a file of its own; failed images have none.

    Parameters
    ----------
    cache : Cache
        The cache.
    folder : path
        Where to; made if it does not exist.
    view : str, optional
        One of ``cache.view_names``; by default the first.
    image_format : {"png", "fits"}, optional
        PNG holds 8-bit crops of 1, 3 or 4 bands and 16-bit ones of 1 band; FITS (needs astropy) holds all, bands
        first, with keywords that map pixels back to the original (``LTV``, ``LTM``). By default PNG where it can.
    by_label : bool
        One folder per class: the answer with the highest label, ties to the first, ``unlabelled`` without labels.
    label_columns : sequence of str, optional
        The answers to choose among; by default those of the first question, which are the ones whose names begin
        as the first's up to its last dot (``Class1.1``, ``Class1.2``, ``Class1.3``), or all if it has no dot.
    overwrite : bool
        Write into a folder that holds files, replacing those of the same name.

    Returns
    -------
    written, failed : int
        Files written, and failed images left out.

    Raises
    ------
    OutputError
        If an option does not fit to the cache, the folder is not empty, or a file cannot be written.

    Notes
    -----
    A file is named for its image's id, see `scalenorm.files.names.file_names`.
    """
    view = cache.view_names[0] if view is None else view
    if view not in cache.view_names:
        raise OutputError(f"no view {view!r} in {cache.path}: it has {', '.join(cache.view_names)}")
    if image_format is None:
        image_format = "png" if _fits_png(cache) else "fits"
    if image_format == "png" and not _fits_png(cache):
        raise OutputError(f"PNG cannot hold crops of {cache.layout}: use the format fits")
    if label_columns is not None and not by_label:
        raise OutputError("label columns are for the layout by label only")
    classes = _classes(cache, label_columns) if by_label else None
    save = _save_png if image_format == "png" else _fits_saver(cache, view)
    top = Path(folder)
    _make_folder(top, overwrite)
    names = file_names(cache.ids)
    class_names = None if classes is None else file_names([*classes[0], UNLABELLED])
    written = failed = 0
    for start in range(0, len(cache), _ROWS):
        rows, crops = cache.read("catalog", start, start + _ROWS), cache.view(view)
        for row, found in enumerate(rows, start):
            if found["status"] != OK.encode():
                failed += 1
                continue
            place = top
            if classes is not None and class_names is not None:
                place = top / class_names[classes[1][row]]
                place.mkdir(exist_ok=True)
            _write(place / f"{names[row]}.{image_format}", save(crops[row], found), overwrite)
            written += 1
    return written, failed


def _write(path: Path, data: bytes, overwrite: bool) -> None:
    try:
        with path.open("wb" if overwrite else "xb") as file:
            file.write(data)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}") from error


def _make_folder(folder: Path, overwrite: bool) -> None:
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise OutputError(f"{folder} is a file: give the name of a folder")
    try:
        folder.mkdir(exist_ok=True)
        if not overwrite and any(folder.iterdir()):
            raise OutputError(f"{folder} is not empty: give a new folder, or --overwrite to replace files in it")
    except FileNotFoundError:
        raise OutputError(f"{folder.parent}: no such folder; make it first") from None
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror or error}") from error


def _classes(cache: Cache, columns: Sequence[str] | None) -> tuple[list[str], np.ndarray]:
    """Return the answers to choose among, and for each row the number of its answer (their count: no label)."""
    labels = cache.labels
    if labels is None:
        raise OutputError(f"{cache.path} holds no labels: scalenorm-batch --labels adds them")
    if columns is None:
        question, dot, _ = cache.label_names[0].rpartition(".")
        columns = [name for name in cache.label_names if not dot or name.rpartition(".")[:2] == (question, dot)]
    for name in columns:
        if name not in cache.label_names:
            raise OutputError(f"no label {name!r} in {cache.path}: it has {', '.join(cache.label_names)}")
    chosen = labels[:, [cache.label_names.index(name) for name in columns]]
    missing = np.isnan(chosen)
    best = np.where(missing, -np.inf, chosen).argmax(axis=1)
    return list(columns), np.where(missing.all(axis=1), len(columns), best)


def _fits_png(cache: Cache) -> bool:
    bands = cache.layout.bands
    return (cache.layout.dtype == "uint8" and bands in (1, 3, 4)) or (cache.layout.dtype == "uint16" and bands == 1)


def _save_png(crop: np.ndarray, _found: np.void) -> bytes:
    from PIL import Image

    pixels = crop[:, :, 0] if crop.shape[2] == 1 else crop
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return file.getvalue()


def _fits_saver(cache: Cache, view: str) -> Callable[[np.ndarray, np.void], bytes]:
    fits = _needed("astropy.io.fits", "fits")
    pixels = parse_view(view)

    def save(crop: np.ndarray, found: np.void) -> bytes:
        if pixels is None:
            row, col, side = (float(found[name]) for name in ("window_row", "window_col", "side"))
        else:
            row, col, side, _ = center_window(int(found["height"]), int(found["width"]), pixels)
        data = crop[:, :, 0] if crop.shape[2] == 1 else np.moveaxis(crop, 2, 0)
        if data.dtype.kind == "f" and data.dtype.itemsize not in (4, 8):  # FITS has no others
            data = data.astype(np.float32 if data.dtype.itemsize == 2 else np.float64)
        header = fits.Header()
        for name, field in (("IMAGEID", "id"), ("SOURCE", "source")):
            header[name] = found[field].decode().encode("unicode_escape").decode()
        header["VIEW"] = view
        header["FLAGS"] = (int(found["flags"]), "see scalenorm.Flag")
        scale = cache.size / side
        # FITS pixels count from 1 at the centre: x of the crop = LTM1_1 * x of the original + LTV1.
        header["LTM1_1"], header["LTM2_2"] = scale, scale
        header["LTV1"] = 0.5 - scale * (col - side / 2 + 1)
        header["LTV2"] = 0.5 - scale * (row - side / 2 + 1)
        file = io.BytesIO()
        fits.PrimaryHDU(np.ascontiguousarray(data), header).writeto(file)
        return file.getvalue()

    return save
