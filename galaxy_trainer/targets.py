"""What a network learns to answer: one object that knows its labels, last layers, loss, scores and tables.

Whoever needs to know what is answered asks a target: nothing else in this package depends on its kind.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from galaxy_trainer.errors import TrainerError
from galaxy_trainer.labels import Columns
from galaxy_trainer.questions import Tree, first_few, read_tree, shipped

LEAST_CLASS = 2
"""Members of a class: one to train on, one to test on."""


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
        differences = self._in_units(ops.where(known, truth, 0.0) - answers)
        return ops.mean(ops.where(known, ops.square(differences), 0.0), axis=-1) * _share(known)

    def _in_units(self, differences: Any) -> Any:
        return differences

    def squares(self, answers: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Return the error of each answer, NaN where it is not known; their mean is `main`."""
        return (answers - truth) ** 2

    def errors(self, answers: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Return the mean error of each galaxy over its known answers, shape (n,)."""
        return np.asarray(np.nanmean(self.squares(answers, truth), axis=1))

    def error(self, answers: np.ndarray, truth: np.ndarray) -> float:
        """Return the mean error over all known answers."""
        return float(np.nanmean(self.squares(answers, truth)))

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
        errors, count = nanmean(self.squares(answers, truth)), (~np.isnan(truth)).sum(axis=0)

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

    def baselines(self, mean_answers: Sequence[float], truth: np.ndarray) -> dict[str, np.ndarray]:
        """Return answers that need no network, to compare with."""
        return {"mean_answer": np.array(mean_answers)}

    def table(self, answers: np.ndarray) -> dict[str, Any]:
        """Return the columns to write for answers, by name."""
        return {name: answers[:, i] for i, name in enumerate(self.names)}

    def figures(self) -> dict[str, tuple[Callable[[], Any], str]]:
        """Return figures of the target itself, with captions, by name."""
        return {}

    def score_figures(self, score: dict[str, Any]) -> dict[str, Callable[[], Any]]:
        """Return figures of a `score`, by name."""
        return {}

    def described(self) -> dict[str, Any]:
        """Return what `target_from_json` makes it from again."""
        return {"kind": self.kind, "columns": list(self.columns)}


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
        from galaxy_trainer.layers import TreeHead

        return TreeHead(self.tree.described(), name="answers", dtype="float32")

    def baselines(self, mean_answers: Sequence[float], truth: np.ndarray) -> dict[str, np.ndarray]:
        """Return the mean answers, and zeros."""
        return {**super().baselines(mean_answers, truth), "zero": np.zeros_like(truth)}

    def table(self, answers: np.ndarray) -> dict[str, Any]:
        """Return the answers, as the competition of Galaxy Zoo 2 wants them; for other trees also in words."""
        words = {} if self == GALAXY_ZOO_2 else {"leading": np.array(self.tree.in_words(answers))}
        return {**super().table(answers), **words}

    def figures(self) -> dict[str, tuple[Callable[[], Any], str]]:
        """Return the tree."""
        from galaxy_trainer.figures import tree_figure

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
        return replace(self, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    def head(self, name: str) -> Any:
        """Return a layer from standardised values to those of the columns."""
        from galaxy_trainer.layers import Unstandardise

        return Unstandardise(self.mean, self.std, name="values", dtype="float32")

    def _in_units(self, differences: Any) -> Any:
        from keras import ops

        return differences / ops.convert_to_tensor(self.std, "float32")

    def squares(self, answers: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Return squared errors in units of each column's variance."""
        return ((answers - truth) / np.array(self.std)) ** 2

    def score(self, answers: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Return also the mean absolute error of each column in its unit, and R2."""
        result = super().score(answers, truth)
        answers = np.broadcast_to(answers, truth.shape)
        variance = nanmean((truth - nanmean(truth)) ** 2)
        squares = nanmean((answers - truth) ** 2)
        for i, name in enumerate(self.names):
            varies = variance[i] > 0
            result["answers"][name] |= {
                "mae": float(nanmean(np.abs(answers - truth)[:, i : i + 1])[0]),
                "r2": float(1 - squares[i] / variance[i]) if varies else math.nan,
            }
        return result

    def described(self) -> dict[str, Any]:
        """Return also mean and deviation."""
        return {**super().described(), "mean": list(self.mean), "std": list(self.std)}


@dataclass(frozen=True)
class ClassesTarget(Target):
    """One of several classes.

    Parameters
    ----------
    classes : tuple of str
        Their names.
    weights : tuple of float
        What an error on a galaxy of each class counts.
    balanced : bool
        Choose `weights` so that every class counts the same, however many members it has.
    """

    classes: tuple[str, ...]
    weights: tuple[float, ...] = ()
    balanced: bool = False

    kind = "classes"
    main = "cross_entropy"
    measure = "cross-entropy"

    @property
    def names(self) -> tuple[str, ...]:
        """The classes."""
        return self.classes

    def truth(self, labels: Columns) -> np.ndarray:
        """Return 1 for the class and 0 for the others; NaN in rows without one."""
        codes, classes = _as_classes(labels, self.columns[0])
        unknown = sorted(set(classes) - set(self.classes))
        if unknown:
            raise TrainerError(
                f"{labels.source}: column {self.columns[0]!r} has classes that are not answered: {first_few(unknown)}"
            )
        place = np.array([*(self.classes.index(name) for name in classes), -1])
        which = place[np.where(np.isnan(codes), len(classes), codes).astype(int)]
        return np.where(which[:, None] < 0, np.nan, which[:, None] == np.arange(len(self.classes)))

    def fitted(self, truth: np.ndarray) -> "ClassesTarget":
        """Return this target with the weights of its classes."""
        count = np.nansum(truth, axis=0)
        if (count == 0).any():
            raise TrainerError(f"class {self.classes[int(np.argmin(count))]!r} has no member to train on")
        weights = count.sum() / count / len(count) if self.balanced else np.ones(len(count))
        return replace(self, weights=tuple(weights.tolist()))

    def strata(self, truth: np.ndarray) -> np.ndarray:
        """Return the class of each; one too small for training and test is refused."""
        count = np.nansum(truth, axis=0)
        for name, members in zip(self.classes, count.tolist(), strict=True):
            if members < LEAST_CLASS:
                raise TrainerError(
                    f"class {name!r} has {members:.0f} member{'s' * (members != 1)} with a good image; "
                    f"{LEAST_CLASS} are needed, to train and to test on"
                )
        return np.argmax(truth, axis=1)

    def head(self, name: str) -> Any:
        """Return a softmax."""
        import keras

        return keras.layers.Softmax(name="classes", dtype="float32")

    def loss(self, truth: Any, answers: Any) -> Any:
        """Return the cross-entropy of each galaxy, times the weight of its class."""
        from keras import ops

        weighted = truth * ops.convert_to_tensor(self.weights, "float32")
        return -ops.sum(weighted * ops.log(ops.maximum(answers, 1e-7)), axis=-1)

    def squares(self, answers: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Return the cross-entropy of each galaxy, shape (n, 1)."""
        return np.asarray(-np.log(np.maximum((answers * truth).sum(axis=1, keepdims=True), 1e-7)))

    def derived(self, error: float) -> dict[str, float]:
        """Return nothing."""
        return {}

    def score(self, answers: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Return cross-entropy, accuracy, balanced accuracy, mean F1, all per class, and the confusion matrix.

        Rows of ``confusion`` are the true classes, columns the answered ones.
        """
        answers = np.broadcast_to(answers, truth.shape)
        true, said = np.argmax(truth, axis=1), np.argmax(answers, axis=1)
        n = len(self.classes)
        confusion = np.bincount(n * true + said, minlength=n * n).reshape(n, n)
        right = np.diagonal(confusion)
        members, answered = confusion.sum(axis=1), confusion.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            recall = right / members
            f1 = 2 * right / (members + answered)
        entropies = self.squares(answers, truth)[:, 0]
        per_class = {
            name: {
                self.main: float(entropies[true == i].mean()) if members[i] else math.nan,
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "members": int(members[i]),
            }
            for i, name in enumerate(self.classes)
        }
        return {
            self.main: float(entropies.mean()),
            "accuracy": float(right.sum() / len(true)),
            "balanced_accuracy": float(np.nanmean(recall)),
            "f1": float(np.nanmean(f1)),
            "questions": per_class,
            "confusion": confusion.tolist(),
        }

    def table(self, answers: np.ndarray) -> dict[str, Any]:
        """Return the most probable class under the name of its column, and the probability of each."""
        named = np.array(self.classes)[np.argmax(answers, axis=1)]
        return {self.columns[0]: named, **{f"p_{name}": answers[:, i] for i, name in enumerate(self.classes)}}

    def score_figures(self, score: dict[str, Any]) -> dict[str, Callable[[], Any]]:
        """Return the confusion matrix."""
        from galaxy_trainer.figures import confusion_figure

        return {"confusion": lambda: confusion_figure(np.array(score["confusion"]), self.classes)}

    def described(self) -> dict[str, Any]:
        """Return also the classes and their weights."""
        return {
            **super().described(),
            "classes": list(self.classes),
            "weights": list(self.weights),
            "balanced": self.balanced,
        }


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a user says of the target; the labels decide the rest.

    Parameters
    ----------
    kind : {"tree", "values", "classes"}
        What is answered.
    tree : str or Path
        Name in `galaxy_trainer.questions.SHIPPED`, or a TOML file of a tree.
    columns : sequence of str, optional
        Columns of the labels to answer. Default: all, or those of the tree.
    ignore_columns : sequence of str
        Columns to leave out.
    balanced : bool
        Of classes: every class counts the same.
    """

    kind: str = "tree"
    tree: str | Path = "galaxy_zoo_2"
    columns: Sequence[str] | None = None
    ignore_columns: Sequence[str] = ()
    balanced: bool = False

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if self.kind not in KINDS:
            raise TrainerError(f"unknown target {self.kind!r}; known: {', '.join(KINDS)}")
        if self.kind == "tree" and (self.columns is not None or self.ignore_columns):
            raise TrainerError("the columns of a decision tree are named by its file: leave out --columns")
        if self.kind != "tree" and self.tree != "galaxy_zoo_2":
            raise TrainerError(f"--tree goes with --target tree, not {self.kind}")
        if self.balanced and self.kind != "classes":
            raise TrainerError(f"--class-weights goes with --target classes, not {self.kind}")

    def target(self, labels: "Columns | None", names: Sequence[str], source: str, aside: Sequence[str]) -> Target:
        """Return the target that labels with columns `names` hold; `aside` are columns with another use.

        Called first without `labels`, to know which columns to read, then with them.
        """
        if self.kind == "tree":
            tree = read_tree(self.tree)
            missing = [name for name in tree.names if name not in names]
            if missing:
                raise TrainerError(
                    f"{source}: columns of the decision tree are missing: {first_few(missing)}; for other labels use "
                    "--target values or classes, or --tree FILE"
                )
            return TreeTarget(tree.names, tree)
        chosen = [name for name in names if name not in aside] if self.columns is None else list(self.columns)
        unknown = [name for name in [*chosen, *self.ignore_columns] if name not in names]
        if unknown:
            raise TrainerError(f"{source}: no column {unknown[0]!r}; it has: {first_few(names, 8)}")
        chosen = [name for name in chosen if name not in self.ignore_columns]
        if not chosen:
            raise TrainerError(f"{source}: no columns are left to answer")
        if self.kind == "values":
            return ValuesTarget(tuple(chosen))
        if len(chosen) > 1:
            raise TrainerError(
                f"{source}: classes are in one column, here are {len(chosen)}: {first_few(chosen)}; use --columns"
            )
        if labels is None:
            return ClassesTarget((chosen[0],), ())
        codes, classes = _as_classes(labels, chosen[0])
        there = {int(code) for code in codes[np.isfinite(codes)]}
        found = tuple(name for code, name in enumerate(classes) if code in there)
        if len(found) < 2:
            raise TrainerError(f"{source}: column {chosen[0]!r} needs two classes or more, has: {first_few(found)}")
        return ClassesTarget((chosen[0],), found, balanced=self.balanced)


KINDS: Mapping[str, type[Target]] = {"tree": TreeTarget, "values": ValuesTarget, "classes": ClassesTarget}
"""Targets by name."""

DEFAULT = Choice()
"""The decision tree of Galaxy Zoo 2."""

GALAXY_ZOO_2 = TreeTarget(shipped("galaxy_zoo_2").names, shipped("galaxy_zoo_2"))
"""What is answered unless something else is asked for."""


def target_from_json(values: Mapping[str, Any] | None) -> Target:
    """Return the target that `Target.described` turned into `values`; None is that of runs of earlier versions."""
    if values is None:
        return GALAXY_ZOO_2
    rest = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in values.items()
        if key not in ("kind", "tree")
    }
    if values["kind"] == "tree":
        tree = Tree.parse(values["tree"])
        return TreeTarget(tree.names, tree)
    return KINDS[values["kind"]](**rest)


def _as_classes(labels: Columns, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return codes, NaN where there is none, and the names of the classes; numbers are taken for names."""
    values = labels.column(name)
    classes = labels.classes.get(name)
    if classes is None:
        known = np.unique(values[np.isfinite(values)])
        if (known != np.floor(known)).any() or len(known) > max(50, len(values) / 2):
            raise TrainerError(
                f"{labels.source}: column {name!r} holds numbers like {known[-1]:g}, not classes: use --target values"
            )
        classes = tuple(f"{value:.0f}" for value in known)
        values = np.where(np.isnan(values), np.nan, np.searchsorted(known, np.nan_to_num(values)))
    lower: dict[str, str] = {}
    for text in classes:
        if lower.setdefault(text.lower(), text) != text:
            raise TrainerError(
                f"{labels.source}: the classes {lower[text.lower()]!r} and {text!r} of {name!r} differ in case only: "
                "write them alike"
            )
    return values, classes


def _share(known: Any) -> Any:
    """Return how many times fewer answers are known than there are: 1 where all are, so that nothing is rounded."""
    from keras import ops

    count = ops.sum(ops.cast(known, "float32"))
    return ops.cast(ops.size(known), "float32") / ops.maximum(count, 1.0)


def nanmean(values: np.ndarray) -> np.ndarray:
    """Return means over rows of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
