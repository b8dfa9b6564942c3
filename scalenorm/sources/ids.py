"""Ids in tables: text as it is, and numbers whose digits are all there."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from ..files.errors import TableError
from .tables import Table
from .text import MOST_EXACT, Block

#: Ids that a program took for numbers: it may have written all digits, or lost some.
_FLOAT = re.compile(r"\d+\.0*")
_ROUNDED = re.compile(r"\d\.\d+[eE]\+?\d+|\d[eE]\+\d+")


def read_id_column(table: Table, block: Block, number: int = 0) -> list[str]:
    """Return ids, a column of a block, as text; refuse those that have lost digits."""
    column = block.columns[number]
    if column.dtype.kind in "iu":
        return [str(value) for value in column.tolist()]
    if column.dtype.kind == "f":
        whole = np.isnan(column) | ((column == np.floor(column)) & (np.abs(column) < MOST_EXACT))
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
            if name and int(name) >= MOST_EXACT:
                raise _digits_lost(table, block.rows[number], name + ".0")
    return names


def _digits_lost(table: Table, row: Any, text: str) -> TableError:
    return TableError(
        f"{table.path}, {table.row} {row}: the id {text} was stored as a floating-point number and has lost digits: "
        "read and write the column of ids as text"
    )
