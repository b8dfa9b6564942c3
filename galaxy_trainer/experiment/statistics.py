"""What an experiment says in numbers: scores, ratios and their intervals."""

import csv
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galaxy_trainer.answers.targets import GALAXY_ZOO_2, Target
from galaxy_trainer.files.writing import write_json, write_rows

RESAMPLES = 2000
"""Bootstrap samples of the galaxies behind every interval."""

SCORES: Mapping[str, str] = {
    "deterministic": "dropout and augmentation off, weights after the last epoch",
    "non_deterministic": "dropout and augmentation on, mean over passes",
    "oriented": "as deterministic, answers averaged over 8 rotations and flips",
    "best": "as deterministic, weights of the epoch with the lowest validation loss (chosen on the test set)",
    "ensemble": "as deterministic, answers averaged over the seeds",
    "oriented_ensemble": "answers averaged over the seeds and 8 rotations and flips",
}
"""The scores of an arm, all mean errors over answers and test galaxies."""


@dataclass(frozen=True)
class Result:
    """What one training of an experiment gave.

    Parameters
    ----------
    arm : str
        Name of the arm.
    seed, fold : int
        Seed and number of the test set.
    history : list of dict
        One row per epoch.
    answers : dict of ndarray
        As from `galaxy_trainer.experiment.compare.answers`.
    target : Target
        What was answered.
    """

    arm: str
    seed: int
    fold: int
    history: list[dict[str, float]]
    answers: dict[str, np.ndarray]
    target: Target = GALAXY_ZOO_2

    @classmethod
    def load(cls, folder: Path, arm: str, seed: int, fold: int, name: str, target: Target) -> "Result":
        """Read the result of the run `name` of an experiment folder."""
        with open(folder / "runs" / name / "history.csv", newline="", encoding="utf-8") as file:
            history = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
        with np.load(folder / "answers" / f"{name}.npz") as file:
            return cls(arm, seed, fold, history, {key: file[key] for key in file.files}, target)

    def errors(self, score: str) -> np.ndarray:
        """Return the mean error of every test galaxy, shape (n,)."""
        if score == "non_deterministic":
            return np.asarray(self.answers[score].mean(axis=1))
        return self.target.errors(self.answers[score], self.answers["truth"])


def errors_of(results: Sequence[Result], score: str) -> np.ndarray:
    """Return the mean error of every test galaxy of one arm.

    Parameters
    ----------
    results : sequence of Result
        All of one arm: the same seeds for every test set.
    score : str
        Name in `SCORES`.

    Returns
    -------
    ndarray, shape (n, seeds)
        The galaxies of all test sets in order; one column for the scores of an ensemble.
    """
    folds = []
    for _, part in itertools.groupby(sorted(results, key=lambda r: (r.fold, r.seed)), key=lambda r: r.fold):
        runs = list(part)
        if score.endswith("ensemble"):
            single = "oriented" if score.startswith("oriented") else "deterministic"
            mean = np.mean([run.answers[single] for run in runs], axis=0)
            folds.append(runs[0].target.errors(mean, runs[0].answers["truth"])[:, None])
        else:
            folds.append(np.stack([run.errors(score) for run in runs], axis=1))
    return np.concatenate(folds)


def resamples(n: int) -> np.ndarray:
    """Return how often each of n galaxies is drawn in each bootstrap sample, shape (`RESAMPLES`, n); fixed seed."""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the central 95% of bootstrap values."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def ratio(upper: np.ndarray, lower: np.ndarray) -> dict[str, float]:
    """Compare two arms on the same galaxies.

    Parameters
    ----------
    upper, lower : ndarray, shape (n, seeds)
        Errors of the same galaxies, as from `errors_of`.

    Returns
    -------
    dict
        ``ratio`` of the mean errors; ``low`` and ``high``, its 95% interval by paired bootstrap: the same
        galaxies are drawn for both, the seeds averaged; ``seed_std``, the standard deviation of the ratio from
        seed to seed (NaN for one seed).

    Examples
    --------
    >>> errors = np.array([[1.0, 1.0], [2.0, 2.0]])
    >>> ratio(0.5 * errors, errors)
    {'ratio': 0.5, 'low': 0.5, 'high': 0.5, 'seed_std': 0.0}
    """
    counts = resamples(len(upper))
    low, high = interval((counts @ upper.mean(axis=1)) / (counts @ lower.mean(axis=1)))
    return {
        "ratio": float(upper.mean() / lower.mean()),
        "low": low,
        "high": high,
        "seed_std": _std(upper.mean(axis=0) / lower.mean(axis=0)),
    }


def _std(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def summary(results: Sequence[Result]) -> dict[str, Any]:
    """Return all numbers of an experiment.

    Parameters
    ----------
    results : sequence of Result
        The runs of all arms: the same seeds and test sets for each.

    Returns
    -------
    dict
        ``main``, ``measure``, ``questions``: what the target is measured by, and the names of its parts in words.
        ``galaxies``: how many were tested on; ``seeds``, ``folds``: how many; ``mean_answer``: error of the
        training set's mean answers. ``arms``: for every arm and score of `SCORES` ``mse``, ``low`` and ``high``
        (95%, bootstrap over galaxies), ``per_seed`` and ``seed_std``; ``questions``, the deterministic error per
        question; ``epochs``, mean over the runs of loss, val_loss and val_loss_augmented per epoch.
        ``ratios``: for both main scores and every two arms as from `ratio`, with their names.
    """
    names = list(dict.fromkeys(result.arm for result in results))
    by_arm = {name: [result for result in results if result.arm == name] for name in names}
    first = by_arm[names[0]]
    baseline = [
        r.target.errors(r.answers["mean_answers"], r.answers["truth"]) for r in first if r.seed == first[0].seed
    ]
    errors = {name: {score: errors_of(by_arm[name], score) for score in SCORES} for name in names}
    target = first[0].target
    return {
        "main": target.main,
        "measure": target.measure,
        "questions": {name: text for name, (text, _) in target.parts.items()},
        "galaxies": sum(map(len, baseline)),
        "seeds": len({result.seed for result in results}),
        "folds": len(baseline),
        "mean_answer": float(np.concatenate(baseline).mean()),
        "arms": {
            name: {
                **{score: _score(errors[name][score], target.main) for score in SCORES},
                "questions": _questions(by_arm[name]),
                "epochs": _epochs(by_arm[name]),
            }
            for name in names
        },
        "ratios": [
            {"score": score, "arm": a, "to": b, **ratio(errors[a][score], errors[b][score])}
            for score in ("deterministic", "non_deterministic")
            for a, b in itertools.combinations(names, 2)
        ],
    }


def _score(errors: np.ndarray, main: str) -> dict[str, Any]:
    low, high = interval(resamples(len(errors)) @ errors.mean(axis=1) / len(errors))
    per_seed = errors.mean(axis=0)
    return {
        main: float(errors.mean()),
        "low": low,
        "high": high,
        "seed_std": _std(per_seed),
        "per_seed": per_seed.tolist(),
    }


def _questions(results: Sequence[Result]) -> dict[str, float]:
    pairs = [(r.answers["deterministic"], r.answers["truth"]) for r in results]
    answers, truth = (np.concatenate(both) for both in zip(*pairs, strict=True))
    return results[0].target.part_errors(answers, truth)


def _epochs(results: Sequence[Result]) -> list[dict[str, float]]:
    rows = zip(*(result.history for result in results), strict=True)
    return [{key: float(np.mean([row[key] for row in same])) for key in same[0]} for same in rows]


def write_tables(table: dict[str, Any], folder: Path) -> None:
    """Write ``table.json`` with everything, and ``table.csv``, ``ratios.csv`` and ``questions.csv``."""
    write_json(folder / "table.json", _finite(table))
    columns = (table["main"], "low", "high", "seed_std")
    scores = [
        {"arm": name, "score": score, **{key: arm[score][key] for key in columns}}
        for name, arm in table["arms"].items()
        for score in SCORES
    ]
    questions = [{"arm": name, **arm["questions"]} for name, arm in table["arms"].items()]
    for name, rows in (("table", scores), ("ratios", table["ratios"]), ("questions", questions)):
        write_rows(folder / f"{name}.csv", rows)


def _finite(value: Any) -> Any:
    """Replace NaN, which JSON does not have, by None."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def as_text(table: dict[str, Any]) -> str:
    """Return the main numbers as lines of text.

    Parameters
    ----------
    table : dict
        As from `summary`.

    Returns
    -------
    str
    """
    width = max(12, *(len(name) for name in table["arms"]))
    main = table["main"]
    lines = [
        f"{table['galaxies']} test galaxies, {table['folds']} test set(s), {table['seeds']} seed(s); "
        f"{main.replace('mse', 'MSE').replace('_', '-')} [95% interval]; mean answer {table['mean_answer']:.5f}",
        f"{'':<{width}}  {'deterministic':<28}{'non-deterministic':<28}{'ensemble, 8 orientations':<28}",
    ]
    for name, arm in table["arms"].items():
        cells = (arm[score] for score in ("deterministic", "non_deterministic", "oriented_ensemble"))
        lines.append(
            f"{name:<{width}}  " + "".join(f"{c[main]:.5f} [{c['low']:.5f}, {c['high']:.5f}]".ljust(28) for c in cells)
        )
    lines += [
        f"{r['score'].replace('_', '-')}: {r['arm']} / {r['to']} = {r['ratio']:.3f} [{r['low']:.3f}, {r['high']:.3f}]"
        + ("" if math.isnan(r["seed_std"]) else f", from seed to seed +- {r['seed_std']:.3f}")
        for r in table["ratios"]
    ]
    return "\n".join(lines)
