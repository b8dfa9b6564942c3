"""Label tables: read, checked against the decision tree, lined up with the rows of a cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galaxy_trainer.errors import TrainerError
from galaxy_trainer.questions import ANSWER_NAMES, check_answers, first_few
from scalenorm.files.errors import LabelsError
from scalenorm.sources import labels as tables


@dataclass(frozen=True)
class Labels:
    """The answers of some galaxies.

    Parameters
    ----------
    ids : tuple of str
        Galaxy ids.
    values : ndarray of float64, shape (n, 37)
        Probabilities in the order of `ANSWER_NAMES`.
    """

    ids: tuple[str, ...]
    values: np.ndarray


def read_labels(path: str | Path) -> Labels:
    """Read a CSV file of answers as ``scalenorm-batch`` does: a column of ids, and Class1.1 ... Class11.6.

    Parameters
    ----------
    path : str or Path
        The file, UTF-8, with a header; its ids are in the first column of the name GalaxyID, id, dr7objid or objid.

    Returns
    -------
    Labels
        Columns in the order of `ANSWER_NAMES`.

    Raises
    ------
    TrainerError
        If it cannot be read, is not CSV in UTF-8, columns are missing, a value is no number, an id occurs twice, or
        answers break the tree.

    Examples
    --------
    >>> read_labels("labels.csv").values.shape  # doctest: +SKIP
    (7952, 37)
    """
    ids: list[str] = []
    rows: list[list[float]] = []
    try:
        table = tables.read_labels(path)
        columns = columns_of(table.names, source=str(path))
        for identifier, cells, line in table.rows():
            try:
                rows.append([float(cells[column]) for column in columns])
            except ValueError as error:
                raise TrainerError(f"{path}, line {line}: {error}") from None
            ids.append(identifier)
    except LabelsError as error:
        raise TrainerError(str(error)) from None
    if not ids:
        raise TrainerError(f"{path}: no labels; expected a header and one row per galaxy")
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        twice = [name for name in ids if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
        raise TrainerError(f"{path}: duplicate ids: {first_few(twice)}")
    values = np.array(rows)
    check_answers(values, ids, source=str(path))
    return Labels(tuple(ids), values)


def columns_of(names: Sequence[str], *, source: str) -> list[int]:
    """Return where the 37 answers stand among `names`.

    Parameters
    ----------
    names : sequence of str
        Column names.
    source : str
        What they come from, for the message.

    Returns
    -------
    list of int
        Positions, in the order of `ANSWER_NAMES`.

    Raises
    ------
    TrainerError
        If some are missing.

    Examples
    --------
    >>> columns_of(ANSWER_NAMES[::-1], source="example")[:2]
    [36, 35]
    """
    position = {name: i for i, name in enumerate(names)}
    missing = [name for name in ANSWER_NAMES if name not in position]
    if missing:
        raise TrainerError(f"{source}: columns of the decision tree are missing: {first_few(missing)}")
    return [position[name] for name in ANSWER_NAMES]


def align_labels(labels: Labels, ids: Sequence[str], *, source: str) -> np.ndarray:
    """Line labels up with ids.

    Parameters
    ----------
    labels : Labels
        What is known.
    ids : sequence of str
        The n ids wanted.
    source : str
        Where the labels come from, for the message.

    Returns
    -------
    ndarray of float64, shape (n, 37)
        NaN in the rows whose id has no label.

    Raises
    ------
    TrainerError
        If no id has a label.

    Examples
    --------
    >>> align_labels(Labels(("7",), np.ones((1, 37))), ["6", "7"], source="example")[:, 0]
    array([nan,  1.])
    """
    row = {name: i for i, name in enumerate(labels.ids)}
    values = np.full((len(ids), len(ANSWER_NAMES)), np.nan)
    for i, name in enumerate(ids):
        if name in row:
            values[i] = labels.values[row[name]]
    if np.isnan(values).all():
        raise TrainerError(f"{source}: none of its ids ({first_few(labels.ids)}) is in the cache ({first_few(ids)})")
    return values
