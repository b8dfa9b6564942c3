"""Files that are there whole or not at all."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from galaxy_trainer.files.errors import TrainerError
from scalenorm.exporting.tables import Table, check_table, write_table
from scalenorm.files.errors import OutputError
from scalenorm.files.signals import signals_held
from scalenorm.files.writing import check_output, new_file


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name, flush it to the disk, and rename it.

    Ctrl-C and SIGTERM wait until the file is there: Keras saves through HDF5, in which they would be lost.

    Parameters
    ----------
    path : Path
        The file; its ending is kept in the temporary name, as some writers look at it.
    write : callable
        Called with the temporary path; writes the contents.
    """
    with signals_held(), new_file(path, temporary=path.with_name(f".{path.stem}.part{path.suffix}")) as temporary:
        write(temporary)


def check_new(path: Path, *, overwrite: bool) -> None:
    """Raise `TrainerError` for a file that exists or cannot be written, before hours of work for it."""
    try:
        check_output(path, overwrite=overwrite)
    except OutputError as error:
        raise TrainerError(str(error)) from None


def check_png(path: Path, *, overwrite: bool) -> None:
    """As `check_new`, for a picture."""
    if path.suffix.lower() != ".png":
        raise TrainerError(f"{path}: a picture is a file that ends in .png")
    check_new(path, overwrite=overwrite)


def check_answers(path: str | Path, *, overwrite: bool) -> None:
    """Raise `TrainerError` also if answers cannot be written in the format of the file's ending."""
    try:
        check_table(path, overwrite=overwrite)
    except OutputError as error:
        raise TrainerError(str(error)) from None


def write_columns(path: str | Path, name: str, columns: Mapping[str, np.ndarray], *, overwrite: bool) -> None:
    """Write columns as a table of this name in the format of the file's ending, whole or not at all."""
    columns = {
        title: np.char.encode(values, "utf-8") if values.dtype.kind == "U" else values
        for title, values in columns.items()
    }
    count = len(next(iter(columns.values())))
    rows = np.empty(count, [(title, values.dtype) for title, values in columns.items()])
    for title, values in columns.items():
        rows[title] = values
    try:
        write_table(Table(name=name, dtype=rows.dtype, count=count, blocks=lambda: [rows]), path, overwrite=overwrite)
    except OutputError as error:
        raise TrainerError(str(error)) from None


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes, whole or not at all."""
    write_whole(path, lambda part: part.write_bytes(data))


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows as CSV with a header, whole or not at all; floats with all their digits."""

    def write(part: Path) -> None:
        with open(part, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    write_whole(path, write)
