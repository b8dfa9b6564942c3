"""Label tables: read, checked against the decision tree, lined up with the rows of a cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galaxy_trainer.errors import TrainerError
from galaxy_trainer.questions import ANSWER_NAMES, check_answers, first_few
from scalenorm.files.errors import TableError
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


def read_labels(path: str | Path, ids: Sequence[str] | None = None) -> Labels:
    """Read a CSV file of answers as ``scalenorm-batch`` does: a column of ids, and Class1.1 ... Class11.6.

    Parameters
    ----------
    path : str or Path
        The file, UTF-8, with a header; its ids are in the first column of the name GalaxyID, id, dr7objid or objid.
    ids : sequence of str, optional
        The galaxies wanted: answers of others are not looked at. Default: all of the file.

    Returns
    -------
    Labels
        Columns in the order of `ANSWER_NAMES`; galaxies without any answer are left out.

    Raises
    ------
    TrainerError
        If it cannot be read, is not CSV in UTF-8, columns are missing, a value is no number, an id occurs twice, no id
        is among those wanted, or answers break the tree.

    Examples
    --------
    >>> read_labels("labels.csv").values.shape  # doctest: +SKIP
    (7952, 37)
    """
    try:
        table = tables.read_labels(path)
        columns_of(table.names, source=str(path))
        table = table.only(ANSWER_NAMES)
        wanted = np.unique([name.encode("utf-8", "surrogateescape") for name in (table.ids() if ids is None else ids)])
        found = table.join(wanted)
    except TableError as error:
        raise TrainerError(str(error)) from None
    if found.classes:
        raise TrainerError(f"{path}: the answers {first_few(list(found.classes))} are text, not numbers")
    labelled = ~np.isnan(found.values).all(axis=1)
    if not labelled.any():
        raise TrainerError(f"{path}: no labels; expected a header and one row per galaxy")
    known = [name.decode("utf-8", "surrogateescape") for name in wanted[found.rows[labelled]].tolist()]
    check_answers(found.values[labelled], known, source=str(path))
    return Labels(tuple(known), found.values[labelled])


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
