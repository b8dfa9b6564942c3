"""What a network learns to answer: one object that knows its labels, last layers, loss, scores and tables.

Whoever needs to know what is answered asks a target: nothing else in this package depends on its kind.
"""

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.labels.columns import Columns
from galaxy_trainer.labels.questions import Tree, shipped


@dataclass(frozen=True)
class Target:
    """What is answered. This class holds what decision trees and values share: numbers, and their squared errors.

    Parameters
    ----------
    columns : tuple of str
        The columns of labels it is made from.
    """

    columns: tuple[str, ...]

    kind: ClassVar[str]
    main: ClassVar[str] = "mse"
    measure: ClassVar[str] = "mean squared error"
    bounded: ClassVar[bool] = True

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the answers, one per output of the network."""
        return self.columns

    @property
    def outputs(self) -> int:
        """How many numbers the last linear layer gives."""
        return len(self.names)

    @property
    def units(self) -> np.ndarray:
        """What differences of the answers are counted in."""
        return np.ones(1)

    @property
    def parts(self) -> dict[str, tuple[str, slice]]:
        """Answers that are scored together: by name, in words, and where they are."""
        return {name: (name, slice(i, i + 1)) for i, name in enumerate(self.names)}

    def truth(self, labels: Columns) -> np.ndarray:
        """Return what the network ought to answer, float64 (n, answers), NaN where it is not known."""
        return labels.values

    def fitted(self, truth: np.ndarray) -> "Target":
        """Return this target with what it needs to know of the galaxies trained on."""
        return self

    def strata(self, truth: np.ndarray) -> np.ndarray | None:
        """Return numbers of groups that test sets are drawn from in proportion, or None for one of all."""
        return None

    def head(self, name: str) -> Any:
        """Return what follows the last linear layer; `name` is the recipe's, for targets that leave a choice."""
        return "linear"

    def loss(self, truth: Any, answers: Any) -> Any:
        """Return the loss of each galaxy of a batch, as tensors; what is not known takes no part."""
        from keras import ops

        known = ops.isfinite(truth)
        units = ops.convert_to_tensor(self.units, "float32")
        differences = (ops.where(known, truth, 0.0) - answers) / units
        return ops.mean(ops.where(known, ops.square(differences), 0.0), axis=-1) * share_of_known(known)

    def differences(self, answers: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Return answers less what is true, in `units`, NaN where that is not known."""
        return np.asarray((answers - truth) / self.units)

    def squares(self, answers: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Return the error of each answer, where it is known; their mean is `main`."""
        return self.differences(answers, truth) ** 2

    def known(self, truth: np.ndarray) -> np.ndarray:
        """Return which of the `squares` are of known answers. Those of a network that answers NaN are among them."""
        return ~np.isnan(truth)

    def errors(self, answers: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Return the mean error of each galaxy over its known answers, shape (n,)."""
        return np.asarray(_mean_of(self.squares(answers, truth), self.known(truth), 1))

    def error(self, answers: np.ndarray, truth: np.ndarray) -> float:
        """Return the mean error over all known answers."""
        return float(_mean_of(self.squares(answers, truth), self.known(truth)))

    def derived(self, error: float) -> dict[str, float]:
        """Return what follows from a mean error."""
        return {"rmse": math.sqrt(error)}

    def score(self, answers: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Return the scores over all answers, per part ("questions") and per answer.

        Parameters
        ----------
        answers, truth : ndarray of float, shape (n, answers)
            In the order of `names`; `truth` is NaN where it is not known, and that takes no part.

        Returns
        -------
        dict
        """
        known = self.known(truth)
        errors, count = _column_means(self.squares(answers, truth), known), known.sum(axis=0)

        def over(at: slice) -> dict[str, float]:
            # Weights are exactly 1 where all is known.
            share = count[at] * len(count[at]) / max(1, count[at].sum())
            error = float(np.mean(np.where(count[at] > 0, errors[at], 0) * share)) if count[at].any() else math.nan
            return {self.main: error, **self.derived(error)}

        return {
            **over(slice(None)),
            "questions": {name: over(at) for name, (_, at) in self.parts.items()},
            "answers": {name: over(slice(i, i + 1)) for i, name in enumerate(self.names)},
        }

    def part_errors(self, answers: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        """Return the mean error over the known answers of each part."""
        squares, known = self.squares(answers, truth), self.known(truth)
        return {name: float(_mean_of(squares[:, at], known[:, at])) for name, (_, at) in self.parts.items()}

    def baselines(self, mean_answers: Sequence[float], truth: np.ndarray) -> dict[str, np.ndarray]:
        """Return answers that need no network, to compare with."""
        return {"mean_answer": np.array(mean_answers)}

    @property
    def written(self) -> tuple[str, ...]:
        """Names of the answers in tables."""
        return self.names

    def words(self, answers: np.ndarray) -> dict[str, list[str]]:
        """Return columns that say in words what is answered, by name."""
        return {}

    def table(
        self, ids: Sequence[str], answers: np.ndarray, deviation: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Return the columns to write, by name: ids, the answers in words, the answers, and their deviations."""
        columns = {"id": np.array(ids)}
        for name, words in self.words(answers).items():
            columns[_new(name, columns)] = np.where(np.isnan(answers).any(axis=1), "", np.array(words))
        for ending, values in (("", answers), ("_std", deviation)):
            if values is not None:
                for name, column in zip(self.written, values.T, strict=True):
                    columns[_new(name + ending, columns)] = column
        return columns

    def figures(self) -> dict[str, tuple[Callable[[], Any], str]]:
        """Return figures of the target itself, with captions, by name."""
        return {}

    def score_figures(self, score: dict[str, Any]) -> dict[str, tuple[Callable[[], Any], str]]:
        """Return figures of a `score`, with captions, by name."""
        return {}

    def described(self) -> dict[str, Any]:
        """Return what `parse` makes it from again."""
        return {"kind": self.kind, "columns": list(self.columns)}

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> "Target":
        """Return the target that `described` turned into `values`."""
        rest = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        del rest["kind"]
        return cls(**rest)


@dataclass(frozen=True)
class TreeTarget(Target):
    """The answers of a decision tree.

    Parameters
    ----------
    tree : Tree
        The tree.
    """

    tree: Tree

    kind = "tree"

    @property
    def parts(self) -> dict[str, tuple[str, slice]]:
        """The questions."""
        return {q.name: (q.text, q.columns) for q in self.tree.questions}

    def truth(self, labels: Columns) -> np.ndarray:
        """Return the answers, checked against the tree."""
        labels.refuse_classes(self.columns)
        known = np.flatnonzero(np.isfinite(labels.values).any(axis=1))
        self.tree.check(labels.values[known], [labels.ids[i] for i in known.tolist()], source=labels.source)
        return labels.values

    def head(self, name: str) -> Any:
        """Return the recipe's, with this tree in it."""
        if name == "linear" or self.tree == shipped("galaxy_zoo_2"):
            return name
        from galaxy_trainer.network.layers import TreeHead

        return TreeHead(self.tree.described(), name="answers", dtype="float32")

    def baselines(self, mean_answers: Sequence[float], truth: np.ndarray) -> dict[str, np.ndarray]:
        """Return the mean answers, and zeros."""
        return {**super().baselines(mean_answers, truth), "zero": np.zeros_like(truth)}

    def words(self, answers: np.ndarray) -> dict[str, list[str]]:
        """Return the leading answers, from the questions always asked down to where no answer leads on."""
        return {"leading": self.tree.in_words(answers)}

    def table(
        self, ids: Sequence[str], answers: np.ndarray, deviation: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Return the columns; of Galaxy Zoo 2 without deviations exactly those that the competition wants."""
        columns = super().table(ids, answers, deviation)
        if self == GALAXY_ZOO_2:
            columns = {"GalaxyID": columns.pop("id"), **columns}
            if deviation is None:
                del columns["leading"]
        return columns

    def figures(self) -> dict[str, tuple[Callable[[], Any], str]]:
        """Return the tree."""
        from galaxy_trainer.drawing.target_figures import tree_figure

        always = [str(q.number) for q in self.tree.questions if q.parent is None]
        asked = f"Questions {' and '.join(always)} are" if len(always) > 1 else f"Question {always[0]} is"
        sums = "that question sum to " + ("1" if self.tree.conditional else "it")
        return {
            "tree": (
                lambda: tree_figure(self.tree),
                "The decision tree (the paper's figure 1). An orange answer leads to another question; the answers of "
                f"{sums}. {asked} always asked.",
            )
        }

    def described(self) -> dict[str, Any]:
        """Return the tree itself, as its file may change."""
        return {"kind": self.kind, "tree": self.tree.described()}

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> "TreeTarget":
        """Return the target of a tree."""
        tree = Tree.parse(values["tree"])
        return cls(tree.names, tree)


@dataclass(frozen=True)
class ValuesTarget(Target):
    """Numbers in any units; errors are counted in each column's deviation among the galaxies trained on.

    Parameters
    ----------
    mean, std : tuple of float
        Of the columns, among the galaxies trained on; empty before they are known.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    kind = "values"
    measure = "mean squared error (1: the variance of a column)"
    bounded = False

    @property
    def units(self) -> np.ndarray:
        """The deviation of each column."""
        return np.array(self.std)

    def truth(self, labels: Columns) -> np.ndarray:
        """Return the values, which must be numbers."""
        labels.refuse_classes(self.columns)
        return labels.values

    def fitted(self, truth: np.ndarray) -> "ValuesTarget":
        """Return this target with mean and deviation of the columns."""
        mean, std = nanmean(truth), np.sqrt(nanmean((truth - nanmean(truth)) ** 2))
        for name, deviation, middle in zip(self.columns, std.tolist(), mean.tolist(), strict=True):
            if not deviation > 1e-12 * abs(middle):
                what = "has no value" if math.isnan(deviation) else f"is always {middle:g}"
                raise TrainerError(
                    f"column {name!r} {what} among the galaxies to train on: leave it out (--ignore-columns)"
                )
            if not (1e-35 < deviation < 1e35 and abs(middle) < 1e35):
                raise TrainerError(
                    f"column {name!r} has a mean of {middle:g} and a deviation of {deviation:g}; a network calculates "
                    "in 32 bits, between 1e-35 and 1e35: use another unit"
                )
        return replace(self, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    def head(self, name: str) -> Any:
        """Return a layer from standardised values to those of the columns."""
        from galaxy_trainer.network.layers import Unstandardise

        return Unstandardise(self.mean, self.std, name="values", dtype="float32")

    def score(self, answers: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Return also the mean absolute error of each column in its unit, and R2."""
        result = super().score(answers, truth)
        answers = np.broadcast_to(answers, truth.shape)
        variance = nanmean((truth - nanmean(truth)) ** 2)
        known = self.known(truth)
        squares = _column_means((answers - truth) ** 2, known)
        absolute = _column_means(np.abs(answers - truth), known)
        for i, name in enumerate(self.names):
            varies = variance[i] > 0
            result["answers"][name] |= {
                "mae": float(absolute[i]),
                "r2": float(1 - squares[i] / variance[i]) if varies else math.nan,
            }
        return result

    def described(self) -> dict[str, Any]:
        """Return also mean and deviation."""
        return {**super().described(), "mean": list(self.mean), "std": list(self.std)}


GALAXY_ZOO_2 = TreeTarget(shipped("galaxy_zoo_2").names, shipped("galaxy_zoo_2"))
"""What is answered unless something else is asked for."""


def share_of_known(known: Any) -> Any:
    """Return how many times fewer answers are known than there are: 1 where all are, so that nothing is rounded."""
    from keras import ops

    count = ops.sum(ops.cast(known, "float32"))
    return ops.cast(ops.size(known), "float32") / ops.maximum(count, 1.0)


def _new(name: str, taken: Container[str]) -> str:
    """Return a name for a column, with underscores behind it where labels have a column of that name."""
    while name in taken:
        name += "_"
    return name


def nanmean(values: np.ndarray) -> np.ndarray:
    """Return means over rows of what is not NaN; NaN where nothing is."""
    return _column_means(values, ~np.isnan(values))


def _mean_of(values: np.ndarray, known: np.ndarray, axis: int | None = None) -> Any:
    """Return the mean of what is known, as NumPy sums it where all is; NaN where nothing is."""
    if known.all():
        return np.mean(values, axis=axis)
    if axis is None:
        return _column_means(values.reshape(-1, 1), known.reshape(-1, 1))[0]
    return _column_means(values.T, known.T)


def _column_means(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
