"""The Galaxy Zoo 2 decision tree: 11 questions, 37 answers, and which answer leads to which question."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from galaxy_trainer.errors import TrainerError


@dataclass(frozen=True, slots=True)
class Question:
    """One question of the tree.

    Parameters
    ----------
    number : int
        1 to 11, as in the column names ``Class<number>.<answer>``.
    text : str
        The question as the volunteers saw it.
    answers : tuple of str
        The answers, in column order.
    first : int
        Column of the first answer among the 37.
    parent : int or None
        Column of the answer that leads here; its probability is what the answers sum to. None: always asked,
        sum 1.
    """

    number: int
    text: str
    answers: tuple[str, ...]
    first: int
    parent: int | None

    @property
    def columns(self) -> slice:
        """The columns of this question's answers among the 37."""
        return slice(self.first, self.first + len(self.answers))

    @property
    def names(self) -> tuple[str, ...]:
        """The column names, for instance ``("Class2.1", "Class2.2")``."""
        return tuple(f"Class{self.number}.{i + 1}" for i in range(len(self.answers)))


# Willett et al. 2013, MNRAS 435, 2835, table 2; number, text, answers, parent as (question, answer).
_TREE: tuple[tuple[int, str, tuple[str, ...], tuple[int, int] | None], ...] = (
    (1, "Is the galaxy simply smooth and rounded, with no sign of a disk?",
     ("smooth", "features or disk", "star or artifact"), None),
    (2, "Could this be a disk viewed edge-on?", ("yes", "no"), (1, 2)),
    (3, "Is there a sign of a bar feature through the centre of the galaxy?", ("yes", "no"), (2, 2)),
    (4, "Is there any sign of a spiral arm pattern?", ("yes", "no"), (2, 2)),
    (5, "How prominent is the central bulge, compared with the rest of the galaxy?",
     ("no bulge", "just noticeable", "obvious", "dominant"), (2, 2)),
    (6, "Is there anything odd?", ("yes", "no"), None),
    (7, "How rounded is it?", ("completely round", "in between", "cigar-shaped"), (1, 1)),
    (8, "Is the odd feature a ring, or is the galaxy disturbed or irregular?",
     ("ring", "lens or arc", "disturbed", "irregular", "other", "merger", "dust lane"), (6, 1)),
    (9, "Does the galaxy have a bulge at its centre? If so, what shape?", ("rounded", "boxy", "no bulge"), (2, 1)),
    (10, "How tightly wound do the spiral arms appear?", ("tight", "medium", "loose"), (4, 1)),
    (11, "How many spiral arms are there?", ("1", "2", "3", "4", "more than 4", "cannot tell"), (4, 1)),
)  # fmt: skip


def _questions() -> tuple[Question, ...]:
    first: dict[int, int] = {}
    column = 0
    for number, _, answers, _ in _TREE:
        first[number] = column
        column += len(answers)
    return tuple(
        Question(number, text, answers, first[number], None if parent is None else first[parent[0]] + parent[1] - 1)
        for number, text, answers, parent in _TREE
    )


QUESTIONS: tuple[Question, ...] = _questions()
"""The tree, in the order of the question numbers."""

ANSWER_NAMES: tuple[str, ...] = tuple(name for question in QUESTIONS for name in question.names)
"""The 37 column names, Class1.1 ... Class11.6, in the order used everywhere in this package."""


TOLERANCE = 5e-4
"""Deviation from the rules of the tree that rounding explains: of seven answers and their parent, each by 5e-5."""


def from_root() -> tuple[Question, ...]:
    """Return the questions so that each comes after the one its parent answer belongs to.

    Returns
    -------
    tuple of Question

    Examples
    --------
    >>> [question.number for question in from_root()]
    [1, 6, 2, 7, 8, 3, 4, 5, 9, 10, 11]
    """
    known: set[int | None] = {None}
    ordered: list[Question] = []
    while len(ordered) < len(QUESTIONS):
        ready = [q for q in QUESTIONS if q not in ordered and q.parent in known]
        ordered += ready
        known.update(column for q in ready for column in range(q.first, q.first + len(q.answers)))
    return tuple(ordered)


def check_answers(
    values: np.ndarray, ids: Sequence[str], *, tolerance: float = TOLERANCE, source: str = "labels"
) -> None:
    """Check that answers obey the tree: finite, within [0, 1], answers of a question sum to their parent.

    Parameters
    ----------
    values : ndarray of float, shape (n, 37)
        Probabilities in the order of `ANSWER_NAMES`.
    ids : sequence of str
        The n ids, for the message.
    tolerance : float
        Largest deviation of a sum or from the range; the default suits answers rounded to four decimals.
    source : str
        What the answers come from, for the message.

    Raises
    ------
    TrainerError
        Naming the rule, and the first offending ids.

    Examples
    --------
    >>> check_answers(np.zeros((0, 37)), [])
    """

    def refuse(deviation: np.ndarray, rule: str) -> None:
        rows = np.flatnonzero(~(deviation <= tolerance))
        if len(rows):
            most = deviation[rows].max()
            by = f" (by up to {most:.2g}; {tolerance:g} is allowed)" if np.isfinite(most) else ""
            raise TrainerError(
                f"{source}: {rule}{by} in {len(rows)} rows; first ids: {first_few([ids[i] for i in rows.tolist()])}"
            )

    refuse(np.where(np.isfinite(values).all(axis=1), 0, np.nan), "answers that are not finite numbers")
    refuse(np.abs(values - np.clip(values, 0, 1)).max(axis=1), "answers outside 0 to 1")
    for question in QUESTIONS:
        expected, parent = np.ones(len(values)), "1"
        if question.parent is not None:
            expected, parent = values[:, question.parent], ANSWER_NAMES[question.parent]
        refuse(
            np.abs(values[:, question.columns].sum(axis=1) - expected),
            f"the answers of question {question.number} do not sum to {parent}",
        )


def first_few(ids: Iterable[str], count: int = 3) -> str:
    """Return the first ids, comma separated, with an ellipsis where more follow (for error messages)."""
    names = list(ids)
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")
