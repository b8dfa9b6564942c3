"""Numbers of votes as what a network learns to answer: how the votes for each question of a tree are distributed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from galaxy_trainer.answers.targets import Target, TreeTarget, nanmean, share_of_known
from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.labels.columns import Columns
from galaxy_trainer.labels.questions import Tree


@dataclass(frozen=True)
class VotesTarget(TreeTarget):
    """The votes for the answers of a decision tree.

    Answers are the shares of the votes that are expected for the answers of each question, and for how many votes'
    worth of certainty the network stands: the sum of the concentrations of a Dirichlet distribution, whose
    Dirichlet-multinomial likelihood the network learns (Walmsley et al. 2022, MNRAS 509, 3966, equations 6 and 7). A
    galaxy with 3 votes so counts less than one with 40.
    """

    kind = "votes"
    main = "nll"
    measure = "negative log-likelihood of the votes for a question"
    bounded = False

    @property
    def names(self) -> tuple[str, ...]:
        """``NAME_fraction`` for each column, ``QUESTION_votes`` for each question."""
        shares = tuple(f"{name}_fraction" for name in self.tree.names)
        return shares + tuple(f"{question.name}_votes" for question in self.tree.questions)

    @property
    def outputs(self) -> int:
        """One per column: a concentration."""
        return len(self.tree.names)

    @property
    def parts(self) -> dict[str, tuple[str, slice]]:
        """The questions, which have one likelihood each."""
        return {q.name: (q.text, slice(i, i + 1)) for i, q in enumerate(self.tree.questions)}

    def truth(self, labels: Columns) -> np.ndarray:
        """Return shares and numbers of votes; NaN for questions without votes, or without those for all answers."""
        labels.refuse_classes(self.columns)
        values = labels.values
        wrong = ~(np.isnan(values) | (values >= 0) & (values < np.inf) & (values == np.floor(values)))
        if wrong.any():
            row, column = np.argwhere(wrong)[0].tolist()
            raise TrainerError(
                f"{labels.source}: {self.columns[column]!r} of {labels.ids[row]} is {values[row, column]:g}, not a "
                f"number of votes (in {wrong.any(axis=1).sum()} rows): --loss counts is for votes, not fractions"
            )
        totals = np.stack([values[:, q.columns].sum(axis=1) for q in self.tree.questions], axis=1)
        totals[totals == 0] = np.nan
        sizes = [len(q.answers) for q in self.tree.questions]
        return np.concatenate([values / np.repeat(totals, sizes, axis=1), totals], axis=1)

    def head(self, name: str) -> Any:
        """Return a layer from numbers of any size to shares and votes."""
        from galaxy_trainer.network.layers import VotesHead

        return VotesHead(self.tree.described(), name="votes", dtype="float32")

    def loss(self, truth: Any, answers: Any) -> Any:
        """Return the mean negative log-likelihood of each galaxy's questions; those without votes take no part."""
        from keras import ops

        from galaxy_trainer.network import backend

        known = ops.isfinite(truth[:, self.outputs :])
        votes = ops.where(ops.isfinite(truth), truth, 0.0)

        def add(values: Any) -> Any:
            return ops.sum(values, axis=-1)

        found = ops.stack(self._surprises(votes, answers, backend.log_gamma, add), axis=-1)
        return ops.mean(ops.where(known, found, 0.0), axis=-1) * share_of_known(known)

    def squares(self, answers: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Return the negative log-likelihood of the votes for each question, shape (n, questions)."""
        from scipy.special import gammaln

        answers = np.maximum(np.broadcast_to(answers, truth.shape), 1e-4)  # of mean answers; no network answers less
        found = self._surprises(np.nan_to_num(truth), answers, gammaln, lambda values: np.sum(values, axis=-1))
        return np.stack(found, axis=-1)

    def _surprises(
        self, votes: Any, answers: Any, log_gamma: Callable[[Any], Any], add: Callable[[Any], Any]
    ) -> list[Any]:
        found = []
        for i, question in enumerate(self.tree.questions):
            total, certainty = (values[:, self.outputs + i] for values in (votes, answers))
            counts, concentrations = (
                values[:, question.columns] * values[:, self.outputs + i : self.outputs + i + 1]
                for values in (votes, answers)
            )
            found.append(
                log_gamma(total + certainty) - log_gamma(certainty) - log_gamma(total + 1)
                - add(log_gamma(counts + concentrations) - log_gamma(concentrations) - log_gamma(counts + 1))
            )  # fmt: skip
        return found

    def known(self, truth: np.ndarray) -> np.ndarray:
        """Return which questions have votes, shape (n, questions)."""
        return np.isfinite(truth[:, self.outputs :])

    def differences(self, answers: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Return those of the shares; how certain a network is is neither right nor wrong."""
        found = answers - truth
        found[:, self.outputs :] = np.nan
        return found

    def derived(self, error: float) -> dict[str, float]:
        """Return nothing."""
        return {}

    def score(self, answers: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Return the negative log-likelihood, and mean squared errors of the shares."""
        squares = self.differences(np.broadcast_to(answers, truth.shape), truth)[:, : self.outputs] ** 2
        found = nanmean(squares)
        return {
            self.main: self.error(answers, truth),
            "mse": float(np.nanmean(squares)),
            "questions": {name: {self.main: value} for name, value in self.part_errors(answers, truth).items()},
            "answers": {name: {"mse": float(value)} for name, value in zip(self.names, found, strict=False)},
        }

    def baselines(self, mean_answers: Any, truth: np.ndarray) -> dict[str, np.ndarray]:
        """Return the mean answers, as certain as the mean number of votes."""
        return Target.baselines(self, mean_answers, truth)

    def words(self, answers: np.ndarray) -> dict[str, list[str]]:
        """Return the leading answers."""
        return super().words(answers[:, : self.outputs])


def votes_for(tree: Tree) -> VotesTarget:
    """Return the target of votes for the answers of a tree, whatever its own answers sum to."""
    return VotesTarget(tree.names, replace(tree, conditional=True))
