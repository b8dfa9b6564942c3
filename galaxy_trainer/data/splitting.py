"""Which galaxies are tested on: a function of ids and seed, that keeps together what belongs together."""

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from galaxy_trainer.data.galaxies import Galaxies
from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.labels.questions import first_few

SIDES = ("train", "test")
"""What a column that says the split holds; other galaxies are left out."""


def split_galaxies(
    galaxies: Galaxies,
    rows: np.ndarray,
    *,
    fraction: float,
    seed: int,
    test_ids: Sequence[str] | None = None,
    group: str | None = None,
    column: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the test set among some galaxies: named, as a column says, whole groups by hash, or each by hash.

    Parameters
    ----------
    galaxies : Galaxies
        The galaxies, opened with `group` and `column` aside.
    rows : ndarray of int
        The labelled ones.
    fraction, seed, test_ids
        As in `split`.
    group, column : str, optional
        As in `galaxy_trainer.train`.

    Returns
    -------
    rows, test : ndarray
        Those used, and True for the test set.

    Raises
    ------
    TrainerError
        If two ways are asked for, or the training or the test set would be empty.
    """
    if column is not None and (test_ids is not None or group is not None):
        raise TrainerError("--split-column names the test set: leave out --test-ids and --group")
    ids = [galaxies.ids[i] for i in rows]
    if column is not None:
        texts = _texts(galaxies, column)
        sides = np.array([texts[i].lower() for i in rows])
        used = np.isin(sides, SIDES)
        if set(SIDES) - set(sides):
            said = first_few(sorted({side or "nothing" for side in sides.tolist()}), 8)
            raise TrainerError(f"column {column!r} must say both train and test, it says: {said}")
        return rows[used], sides[used] == "test"
    if group is not None:
        names = group_names(galaxies, rows, group)
        if test_ids is None:
            members = Counter(names)
            chosen, count = set[str](), 0
            for name in sorted(members, key=lambda name: seeded_hash(seed, name)):
                if count < round(fraction * len(names)):
                    chosen.add(name)
                    count += members[name]
            test_ids = [name for name, there in zip(ids, names, strict=True) if there in chosen]
        tested = np.isin(ids, list(test_ids))
        both = sorted(set(np.array(names)[tested]) & set(np.array(names)[~tested]))
        if both:
            raise TrainerError(
                f"--test-ids lists some galaxies of {group} {first_few(both)} and leaves others to train on: list all "
                "of a group, or none"
            )
    strata = None if test_ids is not None or galaxies.target is None else galaxies.target.strata(galaxies.answers(rows))
    return rows, split(ids, fraction=fraction, seed=seed, test_ids=test_ids, strata=strata)


def split(
    ids: Sequence[str],
    *,
    fraction: float = 0.1,
    seed: int = 0,
    test_ids: Sequence[str] | None = None,
    strata: np.ndarray | None = None,
) -> np.ndarray:
    """Choose the test set: the round(fraction * n) ids with the smallest seeded hash, or those named.

    The choice depends on the ids and the seed only, so it is the same for every view and every cache of
    these ids.

    Parameters
    ----------
    ids : sequence of str
        The n ids with image and labels.
    fraction : float in (0, 1)
        Size of the test set.
    seed : int
        Another seed chooses another test set.
    test_ids : sequence of str, optional
        The test set, in place of the hash.
    strata : ndarray of int, shape (n,), optional
        Numbers of groups that are each split alike, with one member or more on both sides.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for the test set.

    Raises
    ------
    TrainerError
        If the training or the test set would be empty.

    Examples
    --------
    >>> int(split([str(i) for i in range(61578)]).sum())
    6158
    """
    test = np.zeros(len(ids), bool)
    if test_ids is not None:
        wanted = set(test_ids)
        test[:] = [name in wanted for name in ids]
    else:
        for number in [0] if strata is None else np.unique(strata):
            members = list(range(len(ids))) if strata is None else np.flatnonzero(strata == number).tolist()
            members.sort(key=lambda i: seeded_hash(seed, ids[i]))
            count = round(fraction * len(members))
            test[members[: count if strata is None else min(max(count, 1), len(members) - 1)]] = True
    if test.all() or not test.any():
        raise TrainerError(f"{test.sum()} of {len(ids)} labelled galaxies would be tested on: both sets need some")
    return test


def group_names(galaxies: Galaxies, rows: np.ndarray, group: str) -> list[str]:
    """Return the group of each of some rows; without one, a group of its own."""
    texts = _texts(galaxies, group)
    return [texts[i] or f"/{galaxies.ids[i]}" for i in rows]


def seeded_hash(seed: int, name: str) -> bytes:
    """Return what names are ordered by to draw test sets."""
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


def _texts(galaxies: Galaxies, name: str) -> list[str]:
    """Return a column of labels as texts, empty where there is none."""
    if galaxies.aside is None:
        return [""] * len(galaxies.ids)
    values, classes = galaxies.aside.column(name), galaxies.aside.classes.get(name)
    return ["" if np.isnan(value) else classes[int(value)] if classes else f"{value:.17g}" for value in values.tolist()]
