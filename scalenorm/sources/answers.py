"""The answers of one column of a table of labels: numbers, or the names of classes."""

from __future__ import annotations

import math

import numpy as np

from ..files.errors import TableError
from .tables import MISSING, Table, held
from .text import MOST_EXACT, Block

_CHOOSE = "name the answers with scalenorm-batch --label-columns (label_columns=)"
_FEW = 50  # rows of which each may be a class of its own
_TRUTHS = {"true": 1.0, "false": 0.0}


class Answers:
    """The answers of one column."""

    def __init__(self, table: Table, name: str) -> None:
        self.name = name
        self.is_class: bool | None = None  # None while all are missing
        self._table = table
        self._codes: dict[str, int] = {}  # of classes, in the order in which they are found
        self._rows = 0  # of the table that have a class

    def read(self, block: Block, wanted: Block, number: int) -> np.ndarray:
        """Return the values of the wanted rows of a block; the names of classes are those of all rows."""
        if self.is_class is not False:
            self._look(block.columns[number])
        column = wanted.columns[number]
        if column.dtype.kind != "O":
            return self._exact(column, wanted.rows)
        if self.is_class:
            return np.array([self._codes.get(text, math.nan) for text in column.tolist()], float)
        if (values := _plain_numbers(column)) is not None:
            return values
        pairs = zip(column.tolist(), wanted.rows.tolist(), strict=True)
        return np.array([self._number(text, row) for text, row in pairs], float)

    def _look(self, column: np.ndarray) -> None:
        """Note the classes of a block, or that there are none."""
        if column.ndim > 1 or column.dtype.kind not in "biufO":
            raise TableError(
                f"{self._table.path}: column {self.name!r} holds {held(column)}, not a number or a class "
                f"in each row; {_CHOOSE}"
            )
        texts = [text for text in column.tolist() if text not in MISSING] if column.dtype.kind == "O" else []
        if self.is_class is None and (texts or column.dtype.kind != "O"):
            self.is_class = bool(texts) and not any(map(_is_number, texts))
        if not self.is_class:
            return
        self._rows += len(texts)
        for text in dict.fromkeys(texts):
            if any("\ud800" <= sign <= "\udfff" for sign in text):
                raise TableError(
                    f"{self._table.path}: column {self.name!r} holds {text!r}, not UTF-8: save it as UTF-8"
                )
            self._codes.setdefault(text, len(self._codes))
        if len(self._codes) > max(_FEW, self._rows / 2):
            raise TableError(
                f"{self._table.path}: column {self.name!r} holds texts like {texts[0]!r}, most of them different, so "
                f"they are no classes; {_CHOOSE}"
            )

    def _number(self, text: str, row: int) -> float:
        place = f"{self._table.path}, {self._table.row} {row}: column {self.name!r} holds {text!r},"
        if text in MISSING:
            return math.nan
        if text.lower() in _TRUTHS:
            return _TRUTHS[text.lower()]
        if not _is_number(text):
            raise TableError(f"{place} not a number; if it is no answer, {_CHOOSE}")
        value = float(text)
        if math.isinf(value):
            raise TableError(f"{place} which is infinite")
        if abs(value) >= MOST_EXACT and text.lstrip("+-").isdecimal() and int(text) != int(value):
            raise TableError(f"{place} which has more digits than a float64 holds; if it is no answer, {_CHOOSE}")
        return value

    def _exact(self, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        numbers = values.astype(np.float64)
        wrong = np.isinf(numbers)
        if values.dtype.kind in "iu":
            for large in np.flatnonzero(np.abs(numbers) >= MOST_EXACT):
                wrong[large] = int(numbers[large]) != int(values[large])
        if wrong.any():
            at = int(np.argmax(wrong))
            why = "is infinite" if np.isinf(numbers[at]) else "has more digits than a float64 holds"
            place = f"{self._table.path}, {self._table.row} {rows[at]}: column {self.name!r} holds {values[at]}"
            raise TableError(f"{place}, which {why}; if it is no answer, {_CHOOSE}")
        return numbers

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in order."""
        return tuple(sorted(self._codes))

    def sort_classes(self, values: np.ndarray) -> None:
        """Make values that were read the places of the classes among their sorted names."""
        if self.is_class:
            place = {name: number for number, name in enumerate(self.classes)}
            new = np.array([*(place[name] for name in self._codes), math.nan])
            values[:] = new[np.where(np.isnan(values), len(new) - 1, values).astype(int)]


def _plain_numbers(texts: np.ndarray) -> np.ndarray | None:
    """Return texts that are all numbers of less than 2**53, quickly; None for others."""
    try:
        values = texts.astype(float)
    except ValueError:
        return None
    return None if (np.abs(values) >= MOST_EXACT).any() or "_" in "".join(texts.tolist()) else values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.lower() in _TRUTHS
    return "_" not in text  # which only Python allows
