"""Labels: a table with an id and its answers in each row, joined with the ids of images."""

from __future__ import annotations

import fnmatch
import hashlib
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..files.errors import TableError
from ..images.options import image_suffix
from .tables import Block, Table, is_missing, open_table

#: Names that the column of ids is looked for under, in this order; upper and lower case alike.
ID_COLUMNS = (
    "GalaxyID", "id", "dr7objid", "objid", "SourceID", "source_id", "object_id", "objectid", "id_str", "iauname",
    "asset_id", "NUMBER", "label",
)  # fmt: skip

#: A column that has no name, or the one that pandas gives it.
_UNNAMED = re.compile(r"(Unnamed: \d+)?")
#: Ids that a program took for numbers: it may have written all digits, or lost some.
_FLOAT = re.compile(r"\d+\.0*")
_ROUNDED = re.compile(r"\d\.\d+[eE]\+?\d+|\d[eE]\+\d+")

_SHOWN = 5
_MOST_EXACT = 1 << 53
_FEW = 50  # rows of which each may be a class of its own


@dataclass(frozen=True)
class Joined:
    """How labels and images fit together."""

    matched: int  # images with a label
    missing: int  # images without one
    surplus: int  # labels without an image
    missing_ids: list[str]  # the first few
    surplus_ids: list[str]  # the first few


@dataclass(frozen=True)
class Labels:
    """The labels of images."""

    rows: np.ndarray  # numbers of the images that have labels, in order
    values: np.ndarray  # float64, (rows, answers); of a class its number
    classes: dict[str, tuple[str, ...]]  # the names of classes, by answer
    joined: Joined


@dataclass(frozen=True)
class LabelFile:
    """A table of labels whose columns are known."""

    table: Table
    id_column: str
    names: tuple[str, ...]  # of the answers
    sha256: str  # of the file and of the choice of columns
    id_map: IdMap | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self.table.path

    def only(self, names: Sequence[str]) -> LabelFile:
        """Return this file with the answers of some columns only, in the order given."""
        return replace(self, names=tuple(names))

    def ids(self) -> list[str]:
        """Return all ids, as they are."""
        return [name for block in self.table.blocks([self.id_column]) for name in read_id_column(self.table, block)]

    def join(self, ids: np.ndarray, *, required: bool = True) -> Labels:
        """Find the labels of images, whose `ids` are in order, UTF-8; if `required`, some must have one.

        Answers of other ids are not looked at. Ids are compared as text; one that ends as images do is also looked for
        without its ending.

        Raises
        ------
        TableError
            If none has a label, ids have lost digits, an id has two different labels, or an answer cannot be used.
        """
        answers = [_Answers(name) for name in self.names]
        found: list[np.ndarray] = []
        kept: list[np.ndarray] = []
        surplus, surplus_ids = 0, list[str]()
        stray: set[str] = set()
        seen = np.zeros(len(ids), bool)
        for block in self.table.blocks([self.id_column, *self.names]):
            names = read_id_column(self.table, block)
            rows = _find(ids, names if self.id_map is None else self.id_map.apply(names))
            others = [name for name, row in zip(names, rows.tolist(), strict=True) if row < 0]
            surplus += len(others)
            surplus_ids += others[: _SHOWN - len(surplus_ids)]
            stray.update(name for name in others if name.isdecimal())
            wanted = rows >= 0
            for answer, column in zip(answers, block.columns[1:], strict=True):
                answer.add(self.table, column, wanted, block.rows)
            found.append(rows[wanted])
            kept.append(block.rows[wanted])
            seen[rows[wanted]] = True
        if not found:
            raise TableError(f"{self.path}: a table without rows")
        self._check_zeros(ids[~seen], stray)
        rows = np.concatenate(found)
        if required and not len(rows):
            theirs = f"ids like {surplus_ids[0]!r}" if surplus_ids else "no ids"
            raise TableError(
                f"{self.path}: no id in common with the images: the file has {theirs}, "
                f"the images have ids like {ids[0].decode()!r}"
            )
        values = np.column_stack([answer.values(self.table) for answer in answers])
        rows, values = self._once(ids, rows, values, np.concatenate(kept))
        classes = {answer.name: answer.classes() for answer in answers if answer.is_class}
        missing_ids = [name.decode() for name in ids[~seen][:_SHOWN].tolist()]
        joined = Joined(len(rows), len(ids) - len(rows), surplus, missing_ids, surplus_ids)
        return Labels(rows, values, classes, joined)

    def _once(
        self, ids: np.ndarray, rows: np.ndarray, values: np.ndarray, lines: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return rows in order, each once; twins must be equal."""
        order = np.argsort(rows, kind="stable")
        rows, values, lines = rows[order], values[order], lines[order]
        twin, differs = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
        twin[1:] = rows[1:] == rows[:-1]
        differs[1:] = twin[1:] & ~_same(values[1:], values[:-1])
        if differs.any():
            at = np.flatnonzero(differs)[np.argmin(lines[differs])]
            name = ids[rows[at]].decode()
            raise TableError(
                f"{self.path}, {self.table.row} {lines[at]}: the id {name!r} is there twice, with different answers"
            )
        return rows[~twin], values[~twin]

    def _check_zeros(self, missing: np.ndarray, stray: set[str]) -> None:
        """Refuse ids that a program took for numbers, so that zeros in front are gone."""
        if not stray:
            return
        for name in missing.tolist():
            text = name.decode()
            short = text.lstrip("0")
            if short != text and text.isdecimal() and short in stray:
                raise TableError(
                    f"{self.path}: ids have lost zeros in front: it has {short!r}, the images {text!r}; read and write "
                    "the column of ids as text"
                )


def _same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return ((one == other) | (np.isnan(one) & np.isnan(other))).all(axis=1)


class _Answers:
    """The answers of one column, as they are read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_class: bool | None = None  # None while all are missing
        self._codes: dict[str, int] = {}
        self._parts: list[np.ndarray] = []
        self._rows = 0  # of the table that are not missing

    def add(self, table: Table, column: np.ndarray, wanted: np.ndarray, rows: np.ndarray) -> None:
        """Add a block; only the `wanted` ones are kept, but classes are those of all."""
        if column.ndim > 1 or column.dtype.kind not in "biufO":
            raise TableError(f"{table.path}: column {self.name!r} holds {column.dtype} arrays, not a value in each row")
        if column.dtype.kind != "O":
            self._parts.append(self._exact(table, column[wanted], rows[wanted]))
            self.is_class = False
            return
        texts = column.tolist()
        present = [not is_missing(text) for text in texts]
        self._rows += sum(present)
        if self.is_class is None and any(present):
            self.is_class = not any(_is_number(text) for text, there in zip(texts, present, strict=True) if there)
        if self.is_class:
            codes = self._codes
            self._parts.append(np.array([
                codes.setdefault(text, len(codes)) if there else math.nan
                for text, there in zip(texts, present, strict=True)
            ])[wanted])  # fmt: skip
            if len(codes) > max(_FEW, self._rows / 2):
                raise TableError(
                    f"{table.path}: column {self.name!r} holds texts like {texts[0]!r}, nearly all different, so they "
                    "are no classes; name the answers with scalenorm-batch --label-columns (label_columns=)"
                )
            return
        numbers = np.full(int(wanted.sum()), np.nan)
        for place, row in enumerate(np.flatnonzero(wanted).tolist()):
            if present[row]:
                numbers[place] = self._number(table, texts[row], rows[row])
        self._parts.append(numbers)

    def _number(self, table: Table, text: str, row: int) -> float:
        try:
            value = float(text)
        except ValueError:
            value = {"true": 1.0, "false": 0.0}.get(text.lower(), math.inf)
            if value == math.inf:
                raise TableError(
                    f"{table.path}, {table.row} {row}: column {self.name!r} holds {text!r}, not a number; if it is no "
                    "answer, name those that are with scalenorm-batch --label-columns (label_columns=)"
                ) from None
        if math.isinf(value):
            raise TableError(f"{table.path}, {table.row} {row}: column {self.name!r} holds {text!r}, which is infinite")
        return value

    def _exact(self, table: Table, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        numbers = values.astype(np.float64)
        wrong = np.isinf(numbers)
        if values.dtype.kind in "iu":
            wrong |= numbers.astype(values.dtype) != values
        if wrong.any():
            at = int(np.argmax(wrong))
            why = "is infinite" if np.isinf(numbers[at]) else "has more digits than a float64 holds"
            raise TableError(
                f"{table.path}, {table.row} {rows[at]}: column {self.name!r} holds {values[at]!r}, which {why}"
            )
        return numbers

    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes, in order."""
        return tuple(sorted(self._codes))

    def values(self, table: Table) -> np.ndarray:
        """Return all answers; of classes their place among the sorted names."""
        values = np.concatenate(self._parts)
        if not self.is_class:
            return values
        place = {name: number for number, name in enumerate(self.classes())}
        new = np.array([*(place[name] for name in self._codes), math.nan])
        return new[np.where(np.isnan(values), len(new) - 1, values).astype(int)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.lower() in ("true", "false")
    return True


def _find(ids: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return for each name the number of its id, or -1."""
    if not len(ids):
        return np.full(len(names), -1)
    rows = _places(ids, names)
    for number in np.flatnonzero(rows < 0).tolist():
        if suffix := image_suffix(names[number]):
            rows[number] = _places(ids, [names[number][: -len(suffix)]])[0]
    return rows


def _places(ids: np.ndarray, names: Sequence[str]) -> np.ndarray:
    wanted = np.array([name.encode("utf-8", "surrogateescape") for name in names])
    at = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return np.where((ids[at] == wanted) & (wanted != b""), at, -1)


def read_id_column(table: Table, block: Block) -> list[str]:
    """Return ids, the first column of a block, as text; refuse those that have lost digits."""
    column = block.columns[0]
    if column.dtype.kind in "iu":
        return [str(value) for value in column.tolist()]
    if column.dtype.kind == "f":
        whole = np.isnan(column) | ((column == np.floor(column)) & (np.abs(column) < _MOST_EXACT))
        if not whole.all():
            at = int(np.argmin(whole))
            raise _digits_lost(table, block.rows[at], repr(float(column[at])))
        return ["" if math.isnan(value) else str(int(value)) for value in column.tolist()]
    if column.dtype.kind != "O":
        raise TableError(f"{table.path}: the column of ids holds {column.dtype}, not text or whole numbers")
    names: list[str] = column.tolist()
    if any(_ROUNDED.fullmatch(name) for name in names):
        at = next(number for number, name in enumerate(names) if _ROUNDED.fullmatch(name))
        raise _digits_lost(table, block.rows[at], names[at])
    if all(_FLOAT.fullmatch(name) or not name for name in names) and any(names):  # integers beside gaps, as floats
        names = [name.partition(".")[0] for name in names]
        for number, name in enumerate(names):
            if name and int(name) >= _MOST_EXACT:
                raise _digits_lost(table, block.rows[number], name + ".0")
    return names


def _digits_lost(table: Table, row: Any, text: str) -> TableError:
    return TableError(
        f"{table.path}, {table.row} {row}: the id {text} was stored as a floating-point number and has lost digits: "
        "read and write the column of ids as text"
    )


@dataclass(frozen=True)
class IdMap:
    """Which id stands for which other one."""

    ids: dict[str, str]
    sha256: str  # of the table and of the choice of columns

    @classmethod
    def read(cls, path: str | os.PathLike[str], columns: Sequence[str]) -> IdMap:
        """Read a table with a column of the labels' ids and one of the images'."""
        if len(columns) != 2:
            raise TableError(f"{path}: id_map_columns must name two columns, the labels' ids first, got {columns!r}")
        table = open_table(path)
        ids: dict[str, str] = {}
        for block in table.blocks(columns):
            first, second = (read_id_column(table, Block([column], block.rows)) for column in block.columns)
            for number, (name, other) in enumerate(zip(first, second, strict=True)):
                if name and ids.setdefault(name, other) != other:
                    raise TableError(f"{path}, {table.row} {block.rows[number]}: the id {name!r} stands for two others")
        return cls(ids, hashlib.sha256("\0".join([table.sha256, *columns]).encode()).hexdigest())

    def apply(self, names: Sequence[str]) -> list[str]:
        """Return the ids that these stand for, "" for none."""
        return [self.ids.get(name, "") for name in names]


def read_labels(
    path: str | os.PathLike[str],
    *,
    id_column: str | None = None,
    columns: Sequence[str] | None = None,
    id_map: IdMap | None = None,
) -> LabelFile:
    """Find the columns of a table of labels.

    Without `id_column` the ids are in the first of `ID_COLUMNS` that there is; without `columns`, names or patterns
    such as ``t01_*_debiased``, the answers are in all other columns that have a name. So the index that
    ``DataFrame.to_csv()`` writes is neither.
    """
    table = open_table(path)
    ids = find_id_column(table, id_column)
    others = [name for name in table.names if name != ids and not _UNNAMED.fullmatch(name)]
    names = tuple(others if columns is None else _chosen(table, others, columns))
    for name in names:
        table.number(name)
        if names.count(name) > 1:
            raise TableError(f"{path}: column {name!r} is named twice in --label-columns (label_columns=)")
    if not names:
        raise TableError(f"{path}: no columns besides the ids")
    about = [table.sha256, ids, *names, *([id_map.sha256] if id_map else [])]
    return LabelFile(table, ids, names, hashlib.sha256("\0".join(about).encode()).hexdigest(), id_map)


def _chosen(table: Table, others: Sequence[str], columns: Sequence[str]) -> list[str]:
    names: list[str] = []
    for name in columns:
        if any(sign in name for sign in "*?[") and name not in table.names:
            found = [other for other in others if fnmatch.fnmatch(other.lower(), name.lower())]
            if not found:
                raise TableError(f"{table.path}: no column matches {name!r}; its columns are {table.some_names()}")
            names += [other for other in found if other not in names]
        else:
            names.append(table.names[table.number(name)])
    return names


def find_id_column(table: Table, given: str | None = None) -> str:
    """Return the name of the column of ids: the one `given`, or the first of the usual ones that there is."""
    if given is not None:
        return table.names[table.number(given)]
    if (name := _usual_id_column(table.names)) is not None:
        return table.names[table.number(name)]
    raise TableError(
        f"{table.path}: no id column ({', '.join(ID_COLUMNS[:4])}, ...) among {table.some_names()}: rename it, or name "
        "it with scalenorm-batch --id-column (id_column=)"
    )


def _usual_id_column(names: Sequence[str]) -> str | None:
    lower = {name.lower() for name in names}
    return next((name for name in ID_COLUMNS if name.lower() in lower), None)


def read_ids(path: str | os.PathLike[str]) -> list[str]:
    """Read a list of ids: one per line, empty lines and ``#`` comments aside, or the ids of a table as of labels."""
    with open(path, "rb") as file:
        plain = file.read(4096)
    try:
        lines = [line.strip() for line in plain.decode("utf-8-sig", "ignore").splitlines()]
        first = next((line for line in lines if line), "")
        is_table = b"\0" in plain or plain[:2] in (b"\x1f\x8b", b"PK", b"BZ") or plain.startswith(b"# %ECSV")
        if not is_table and _usual_id_column([cell.strip('" ') for cell in re.split(r"[,;\t]", first)]) is None:
            text = Path(path).read_text(encoding="utf-8-sig")
            return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    except UnicodeDecodeError:
        raise TableError(f"{path}: not a text in UTF-8; expected one id per line") from None
    table = open_table(path)
    blocks: Iterator[Block] = table.blocks([find_id_column(table)])
    return [name for block in blocks for name in read_id_column(table, block) if name]
