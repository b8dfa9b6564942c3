"""Classes as what a network learns to answer."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from galaxy_trainer.answers.targets import Target
from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.labels.columns import Columns
from galaxy_trainer.labels.questions import first_few

LEAST_CLASS = 2
"""Members of a class: one to train on, one to test on."""


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
        codes, classes = as_classes(labels, self.columns[0])
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

    def known(self, truth: np.ndarray) -> np.ndarray:
        """Return which galaxies have a class, shape (n, 1)."""
        return ~np.isnan(truth[:, :1])

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

    def part_errors(self, answers: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        """Return the cross-entropy of the members of each class."""
        per_class = self.score(answers, truth)["questions"]
        return {name: per_class[name][self.main] for name in self.classes}

    @property
    def written(self) -> tuple[str, ...]:
        """``p_NAME`` for the probability of each class."""
        return tuple(f"p_{name}" for name in self.classes)

    def words(self, answers: np.ndarray) -> dict[str, list[str]]:
        """Return the most probable class, under the name of its column."""
        return {self.columns[0]: [self.classes[i] for i in np.argmax(answers, axis=1).tolist()]}

    def score_figures(self, score: dict[str, Any]) -> dict[str, tuple[Callable[[], Any], str]]:
        """Return the confusion matrix."""
        from galaxy_trainer.drawing.target_figures import confusion_figure

        return {
            "confusion": (
                lambda: confusion_figure(np.array(score["confusion"]), self.classes),
                "How often each class (rows) was taken for each (columns); shades are shares of a row.",
            )
        }

    def described(self) -> dict[str, Any]:
        """Return also the classes and their weights."""
        return {
            **super().described(),
            "classes": list(self.classes),
            "weights": list(self.weights),
            "balanced": self.balanced,
        }


def as_classes(labels: Columns, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return codes of a column, NaN where there is none, and the names of the classes; numbers are taken for names."""
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
