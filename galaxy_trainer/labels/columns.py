"""Columns of labels, lined up with the rows of a cache."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.labels.questions import first_few
from scalenorm.files.errors import TableError
from scalenorm.sources import labels as tables


@dataclass(frozen=True)
class Columns:
    """Some columns of labels.

    Parameters
    ----------
    source : str
        What they come from, for messages.
    ids : tuple of str
        The n ids.
    names : tuple of str
        The columns.
    values : ndarray of float64, shape (n, columns)
        NaN where there is none; of classes their number.
    classes : dict of str to tuple of str
        The names of classes, by column.
    """

    source: str
    ids: tuple[str, ...]
    names: tuple[str, ...]
    values: np.ndarray
    classes: dict[str, tuple[str, ...]]

    def column(self, name: str) -> np.ndarray:
        """Return the values of one column."""
        return np.asarray(self.values[:, self.names.index(name)])

    def only(self, names: Sequence[str]) -> "Columns":
        """Return some of the columns."""
        values = self.values[:, [self.names.index(name) for name in names]]
        classes = {name: self.classes[name] for name in names if name in self.classes}
        return Columns(self.source, self.ids, tuple(names), np.ascontiguousarray(values), classes)

    def refuse_classes(self, names: Sequence[str]) -> None:
        """Raise `TrainerError` if some of the columns hold text."""
        text = [name for name in names if name in self.classes]
        if text:
            raise TrainerError(
                f"{self.source}: the answers {first_few(text)} are text, not numbers: leave them out "
                "(--ignore-columns), or use --target classes"
            )


def read_columns(
    path: str | Path, ids: Sequence[str], wanted: Callable[[Sequence[str], str], Sequence[str]]
) -> Columns:
    """Read columns of a table of labels as ``scalenorm-batch`` does.

    Parameters
    ----------
    path : str or Path
        The file.
    ids : sequence of str
        The galaxies wanted: labels of others are not looked at.
    wanted : callable
        From the names of all columns and the source to those to read.

    Returns
    -------
    Columns

    Raises
    ------
    TrainerError
        If it cannot be read, columns are missing, a value is no number, an id occurs twice with different values, or no
        id is among those wanted.
    """
    try:
        table = tables.read_labels(path)
        table = table.only(wanted(table.names, str(path)))
        coded = np.array([name.encode("utf-8", "surrogateescape") for name in ids])
        order = np.argsort(coded)
        found = table.join(coded[order])
    except TableError as error:
        raise TrainerError(str(error)) from None
    values = np.full((len(ids), len(table.names)), np.nan)
    values[order[found.rows]] = found.values
    if np.isnan(values).all():
        raise TrainerError(f"{path}: no labels; expected a header and one row per galaxy")
    return Columns(str(path), tuple(ids), table.names, values, found.classes)


def cache_columns(cache: Any, ids: tuple[str, ...], wanted: Callable[[Sequence[str], str], Sequence[str]]) -> Columns:
    """Return columns of the labels in a cache; `TrainerError` if they are missing or empty."""
    source = str(cache.path)
    every = Columns(source, ids, tuple(cache.label_names), np.asarray(cache.labels, np.float64), cache.classes)
    found = every.only(wanted(every.names, source))
    if np.isnan(found.values).all():
        raise TrainerError(f"{source}: none of its galaxies ({first_few(ids)}) has labels")
    return found
