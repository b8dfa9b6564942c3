"""Decision trees: questions, their answers, and the answer that leads to each; read from TOML files."""

import functools
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from galaxy_trainer.files.errors import TrainerError

TOLERANCE = 5e-4
"""Deviation from the rules of the tree that rounding explains: of seven answers and their parent, each by 5e-5."""

SHIPPED = ("galaxy_zoo_2", "galaxy_zoo_decals")
"""Trees that come with this package."""


@dataclass(frozen=True)
class Question:
    """One question of a tree.

    Parameters
    ----------
    number : int
        Its number, from 1.
    name : str
        What it is scored under.
    text : str
        The question as the volunteers saw it.
    names : tuple of str
        The columns of its answers.
    answers : tuple of str
        The answers in words.
    first : int
        Column of the first answer among all of the tree.
    parent : int or None
        Column of the answer that leads here. None: always asked.
    """

    number: int
    name: str
    text: str
    names: tuple[str, ...]
    answers: tuple[str, ...]
    first: int
    parent: int | None

    @property
    def columns(self) -> slice:
        """The columns of this question's answers."""
        return slice(self.first, self.first + len(self.answers))


@dataclass(frozen=True)
class Tree:
    """A decision tree.

    Parameters
    ----------
    title : str
        What it is called.
    questions : tuple of Question
        In the order of the file.
    conditional : bool
        Answers of a question sum to 1, among those who were asked it. Else to the answer that leads to it.
    """

    title: str
    questions: tuple[Question, ...]
    conditional: bool

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, in the order used everywhere in this package."""
        return tuple(name for question in self.questions for name in question.names)

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, votes: bool = False) -> "Tree":
        """Return the tree that the contents of a TOML file describe; `TrainerError` if they describe none.

        With `votes` its columns are those of votes, whose names do not have the file's ``ending`` of fractions.
        """
        try:
            listed = [_Listed(**item) for item in values["questions"]]
            ending = "" if votes else str(values.get("ending", ""))
            title, sums = str(values.get("title", "")), values["sums"]
        except (KeyError, TypeError) as error:
            raise TrainerError(
                f"a tree has a title, sums and questions with name, text, answers and perhaps a parent: {error}"
            ) from None
        if sums not in ("parent", "one") or not listed:
            raise TrainerError(f'a tree has questions, and sums = "parent" or "one", got {sums!r}')
        column: dict[str, int] = {}
        firsts = []
        for item in listed:
            if not isinstance(item.answers, dict) or len(item.answers) < 2:
                raise TrainerError(f"question {item.name!r} needs a table of two answers or more: column to words")
            firsts.append(len(column))
            for name in item.answers:
                if name in column:
                    raise TrainerError(f"column {name!r} is an answer twice")
                column[name] = len(column)
        for item in listed:
            if item.parent is not None and item.parent not in column:
                raise TrainerError(f"question {item.name!r}: its parent {item.parent!r} is no column of the tree")
        if len({item.name for item in listed}) < len(listed):
            raise TrainerError("two questions have the same name")
        tree = cls(title, tuple(
            Question(i + 1, item.name, item.text, tuple(f"{name}{ending}" for name in item.answers),
                     tuple(map(str, item.answers.values())), first,
                     None if item.parent is None else column[item.parent])
            for i, (item, first) in enumerate(zip(listed, firsts, strict=True))
        ), sums == "one")  # fmt: skip
        tree.from_root()
        return tree

    def described(self) -> dict[str, Any]:
        """Return what `parse` makes the tree from."""
        names = self.names
        return {
            "title": self.title,
            "sums": "one" if self.conditional else "parent",
            "questions": [
                {"name": q.name, "text": q.text, "answers": dict(zip(q.names, q.answers, strict=True))}
                | ({} if q.parent is None else {"parent": names[q.parent]})
                for q in self.questions
            ],
        }

    def from_root(self) -> tuple[Question, ...]:
        """Return the questions so that each comes after the one its parent answer belongs to.

        Examples
        --------
        >>> [question.number for question in shipped("galaxy_zoo_2").from_root()]
        [1, 6, 2, 7, 8, 3, 4, 5, 9, 10, 11]
        """
        known: set[int | None] = {None}
        ordered: list[Question] = []
        while len(ordered) < len(self.questions):
            ready = [q for q in self.questions if q not in ordered and q.parent in known]
            if not ready:
                left = [q.name for q in self.questions if q not in ordered]
                raise TrainerError(f"the parents of {first_few(left)} make a circle")
            ordered += ready
            known.update(column for q in ready for column in range(q.first, q.first + len(q.answers)))
        return tuple(ordered)

    def check(
        self, values: np.ndarray, ids: Sequence[str], *, tolerance: float = TOLERANCE, source: str = "labels"
    ) -> None:
        """Check that answers obey the tree: within [0, 1], answers of a question sum to what they must.

        Parameters
        ----------
        values : ndarray of float, shape (n, answers)
            Answers in the order of `names`, NaN where there is none.
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
        """

        def refuse(deviation: np.ndarray, rule: str) -> None:
            rows = np.flatnonzero(deviation > tolerance)
            if len(rows):
                raise TrainerError(
                    f"{source}: {rule} (by up to {deviation[rows].max():.2g}; {tolerance:g} is allowed) in {len(rows)} "
                    f"rows; first ids: {first_few([ids[i] for i in rows.tolist()])}"
                )

        names = self.names
        outside = np.abs(values - np.clip(values, 0, 1))
        refuse(np.nan_to_num(outside, posinf=np.inf).max(axis=1, initial=0), "answers outside 0 to 1")
        for question in self.questions:
            answers = values[:, question.columns]
            expected, parent = np.ones(len(values)), "1"
            if question.parent is not None and not self.conditional:
                expected, parent = values[:, question.parent], names[question.parent]
            total = np.nansum(answers, axis=1)
            whole = np.isfinite(answers).all(axis=1) & np.isfinite(expected)
            most = np.where(np.isfinite(expected), expected, 1.0)  # of what is known of a question with gaps
            refuse(
                np.where(whole, np.abs(total - expected), total - most),
                f"the answers of question {question.name} do not sum to {parent}",
            )

    def in_words(self, answers: np.ndarray) -> list[str]:
        """Return the leading answers of each row: from the questions always asked down to where no answer leads on.

        Parameters
        ----------
        answers : ndarray of float, shape (n, answers)
            In the order of `names`.

        Returns
        -------
        list of str
        """
        lead = {q.number: q.first + np.argmax(answers[:, q.columns], axis=1) for q in self.questions}
        words = []
        for row in range(len(answers)):
            taken: set[int | None] = {None}
            said = []
            for question in self.from_root():
                if question.parent in taken:
                    column = int(lead[question.number][row])
                    taken.add(column)
                    said.append(f"{question.name}: {question.answers[column - question.first]}")
            words.append("; ".join(said))
        return words


@dataclass(frozen=True, kw_only=True)
class _Listed:
    """A question as a file has it."""

    name: str
    text: str
    answers: dict[str, str]
    parent: str | None = None


def read_tree(path: str | Path, *, votes: bool = False) -> Tree:
    """Read a tree: the name of one in `SHIPPED`, or a TOML file like those; see `Tree.parse`."""
    if str(path) in SHIPPED:
        return shipped(str(path), votes=votes)
    try:
        with open(path, "rb") as file:
            return Tree.parse(tomllib.load(file), votes=votes)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainerError(f"{path}: not a TOML file: {error}") from None
    except TrainerError as error:
        raise TrainerError(f"{path}: {error}") from None


@functools.cache
def shipped(name: str, *, votes: bool = False) -> Tree:
    """Return a tree of `SHIPPED`."""
    text = resources.files(__package__).joinpath(f"trees/{name}.toml").read_text("utf-8")
    return Tree.parse(tomllib.loads(text), votes=votes)


def first_few(ids: Iterable[str], count: int = 3) -> str:
    """Return the first ids, comma separated, with an ellipsis where more follow (for error messages)."""
    names = list(ids)
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")
