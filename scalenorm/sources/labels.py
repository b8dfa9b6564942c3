"""Labels: a CSV file with one id and its answers per line, read line by line."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ..files.errors import LabelsError

#: Names that the column of ids is looked for under, in this order; upper and lower case alike.
ID_COLUMNS = ("GalaxyID", "id", "dr7objid", "objid")

#: A column that has no name, or the one that pandas gives it.
_UNNAMED = re.compile(r"(Unnamed: \d+)?")

_SHOWN = 5
_MOST_COLUMNS = 8


@dataclass(frozen=True)
class LabelFile:
    """A labels file whose header was read."""

    path: Path
    id_index: int  # number of the column of ids
    indices: tuple[int, ...]  # numbers of the answers' columns
    names: tuple[str, ...]  # names of the answers
    sha256: str  # of the file and of the choice of columns

    def only(self, names: Sequence[str]) -> LabelFile:
        """Return this file with the answers of some columns only, in the order given; it must have them."""
        indices = tuple(self.indices[self.names.index(name)] for name in names)
        return replace(self, names=tuple(names), indices=indices)

    def join(self, ids: np.ndarray) -> Iterator[tuple[int | None, str, np.ndarray]]:
        """Yield for each line its row, the place of its id among the sorted `ids`, its id, and its answers.

        A line whose id is not among them has no row, and its answers are not looked at.
        """
        seen = np.zeros(len(ids), bool)
        row = -1
        for identifier, cells, line in self.rows():
            wanted = identifier.encode("utf-8", "surrogateescape")
            # Files are mostly in the order of the ids, so the next one is a good guess.
            row += 1
            if row >= len(ids) or ids[row] != wanted:
                row = bisect_left(ids, wanted)
            if row == len(ids) or ids[row] != wanted:
                row -= 1
                yield None, identifier, np.array([])
                continue
            if seen[row]:
                raise LabelsError(f"{self.path}, line {line}: duplicate id {identifier!r}")
            seen[row] = True
            yield row, identifier, self._numbers(cells, line)

    def compare(self, ids: np.ndarray, *, required: bool = True) -> Joined:
        """Count which images have labels, before any is cropped; if `required`, some must have."""
        missing = np.ones(len(ids), bool)
        surplus = 0
        surplus_ids: list[str] = []
        for row, identifier, _ in self.join(ids):
            if row is not None:
                missing[row] = False
            else:
                surplus += 1
                surplus_ids += [identifier] if surplus <= _SHOWN else []
        if required and missing.all():
            theirs = f"ids like {surplus_ids[0]!r}" if surplus_ids else "no ids"
            raise LabelsError(
                f"{self.path}: no id in common with the images: the file has {theirs}, "
                f"the images have ids like {ids[0].decode()!r}"
            )
        missing_ids = [name.decode() for name in ids[missing][:_SHOWN].tolist()]
        lacking = int(missing.sum())
        return Joined(len(ids) - lacking, lacking, surplus, missing_ids, surplus_ids)

    def rows(self) -> Iterator[tuple[str, list[str], int]]:
        """Yield id, answers as text, and line number, line by line."""
        with _opened(self.path) as file:
            reader = csv.reader(file)
            width = len(next(reader))
            for cells in _readable(self.path, reader):
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) <= max(self.id_index, *self.indices):
                    raise LabelsError(
                        f"{self.path}, line {reader.line_num}: only {len(cells)} columns, the header has more"
                    )
                if any(cell.strip() for cell in cells[width:]):  # such as numbers with a decimal comma
                    raise LabelsError(
                        f"{self.path}, line {reader.line_num}: {len(cells)} columns, the header has {width}"
                    )
                yield cells[self.id_index].strip(), [cells[index] for index in self.indices], reader.line_num

    def _numbers(self, cells: list[str], line: int) -> np.ndarray:
        values = np.full(len(cells), np.nan)
        for number, cell in enumerate(cells):
            try:
                values[number] = float(cell) if cell.strip() else np.nan
            except ValueError:
                raise LabelsError(
                    f"{self.path}, line {line}: column {self.names[number]!r} holds {cell!r}, not a number; "
                    "if it is no answer, name those that are with scalenorm-batch --label-columns (label_columns=)"
                ) from None
        return values


@dataclass(frozen=True)
class Joined:
    """How labels and images fit together."""

    matched: int  # images with a label
    missing: int  # images without one
    surplus: int  # labels without an image
    missing_ids: list[str]  # the first few
    surplus_ids: list[str]  # the first few


def read_labels(
    path: str | os.PathLike[str], *, id_column: str | None = None, columns: Sequence[str] | None = None
) -> LabelFile:
    """Read the header of a CSV file of labels.

    Without `id_column` the ids are in the first of GalaxyID, id, dr7objid, objid that there is; without `columns` the
    answers are in all other columns that have a name. So the index that ``DataFrame.to_csv()`` writes is neither.
    """
    path = Path(path)
    try:
        with _opened(path) as file:
            header = [cell.strip() for cell in next(_readable(path, csv.reader(file)), [])]
        with path.open("rb") as binary:
            sha256 = hashlib.file_digest(binary, "sha256")
    except OSError as error:
        raise LabelsError(f"{path}: cannot read it: {error.strerror or error}") from None
    first = ",".join(header)
    if any(sign < " " and sign not in "\t\r\n" for sign in first) or "\udc80" <= first[:1] <= "\udcff":
        raise LabelsError(f"{path}: not a CSV file in UTF-8: its first line is {first[:20]!a}")
    if not header:
        raise LabelsError(f"{path}: the file is empty; expected a header line with an id column")
    id_index = _id_index(path, header, id_column)
    others = [name for index, name in enumerate(header) if index != id_index and not _UNNAMED.fullmatch(name)]
    names = tuple(others if columns is None else columns)
    for name in names:
        if header.count(name) != 1:
            found = "more than one" if name in header else "no"
            raise LabelsError(f"{path}: {found} column {name!r}; its columns are {_some(header)}")
        if names.count(name) > 1:
            raise LabelsError(f"{path}: column {name!r} is named twice in --label-columns (label_columns=)")
    if not names:
        raise LabelsError(f"{path}: no columns besides the ids")
    sha256.update("\0".join([header[id_index], *names]).encode())
    indices = tuple(header.index(name) for name in names)
    return LabelFile(path, id_index, indices, names, sha256.hexdigest())


def _id_index(path: Path, header: list[str], id_column: str | None) -> int:
    if id_column is not None:
        if id_column not in header:
            raise LabelsError(f"{path}: no column {id_column!r}; its columns are {_some(header)}")
        return header.index(id_column)
    if (index := _usual_index(header)) is not None:
        return index
    if len(header) == 1 and (found := next((sign for sign in ";\t|" if sign in header[0]), None)):
        raise LabelsError(f"{path}: columns are separated by {found!r}; use commas")
    raise LabelsError(
        f"{path}: no id column ({', '.join(ID_COLUMNS)}) among {_some(header)}: rename it, or name it with "
        "scalenorm-batch --id-column (id_column=)"
    )


def _usual_index(header: list[str]) -> int | None:
    lower = [name.lower() for name in header]
    return next((lower.index(name.lower()) for name in ID_COLUMNS if name.lower() in lower), None)


def read_ids(path: str | os.PathLike[str]) -> list[str]:
    """Read a list of ids: one per line, empty lines and ``#`` comments aside, or the ids of a CSV file as of labels."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise LabelsError(f"{path}: not a text in UTF-8; expected one id per line") from None
    lines = [line.strip() for line in text.splitlines()]
    first = next((line for line in lines if line), "")
    header = [cell.strip() for cell in next(csv.reader([first]), [])]
    if (index := _usual_index(header)) is None:
        return [line for line in lines if line and not line.startswith("#")]
    with _opened(path) as file:
        ids = [cells[index].strip() for cells in _readable(path, csv.reader(file)) if len(cells) > index]
    return [identifier for identifier in ids[1:] if identifier]


def _some(header: list[str]) -> str:
    more = len(header) - _MOST_COLUMNS
    return ", ".join(header[:_MOST_COLUMNS]) + (f" and {more} more" if more > 0 else "")


def _opened(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", newline="", errors="surrogateescape")


def _readable(path: Path, reader: Any) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise LabelsError(f"{path}, line {reader.line_num}: not CSV: {error}") from None
