"""Scores of trained networks: on galaxies that they were not trained on, with dropout and augmentation off and on."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from galaxy_trainer.asking.predicting import (
    answer_batches,
    answers_of,
    check_clip,
    check_orientations,
    clipped,
    galaxies_for,
    oriented,
)
from galaxy_trainer.data.galaxies import Batches, Galaxies
from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.network import backend
from galaxy_trainer.network.augmentation import Augmentation, Augmented, Draws, draw
from galaxy_trainer.network.networks import derived_seed
from galaxy_trainer.runs.checks import twins, warn_of_twins
from galaxy_trainer.runs.run import Run
from galaxy_trainer.runs.stored import Stored, open_run


def calibration(deviation: np.ndarray, errors: np.ndarray, *, bins: int = 10) -> list[dict[str, float]]:
    """Return what the deviation between orientations says of the error: in bins of equally many answers.

    Parameters
    ----------
    deviation, errors : ndarray of float, shape (n, answers)
        In the same unit; errors of answers that are not known are NaN.
    bins : int
        How many; fewer where there are fewer answers.

    Returns
    -------
    list of dict
        From small to large deviations: ``deviation`` and ``error``, root mean squares, and the number of ``answers``.

    Examples
    --------
    >>> calibration(np.array([[1.0, 3.0]]), np.array([[-2.0, 4.0]]), bins=1)
    [{'deviation': 2.23606797749979, 'error': 3.1622776601683795, 'answers': 2}]
    """
    known = ~np.isnan(errors)
    pairs = np.stack([deviation[known], errors[known]])
    parts = np.array_split(pairs[:, np.argsort(pairs[0], kind="stable")], min(bins, pairs.shape[1]), axis=1)
    return [
        {"deviation": math.sqrt(square), "error": math.sqrt(error), "answers": part.shape[1]}
        for part in parts
        for square, error in [np.mean(part**2, axis=1).tolist()]
    ]


def passes_of(
    network: keras.Model,
    galaxies: Galaxies,
    rows: np.ndarray,
    augmentation: Augmentation,
    *,
    seed: int,
    count: int,
    first: int = 0,
    batch_size: int = 128,
) -> Iterator[np.ndarray]:
    """Yield the network's answers with dropout and augmentation on, once per pass.

    Parameters
    ----------
    network : keras.Model
        From raw images to answers.
    galaxies : Galaxies
        The galaxies.
    rows : ndarray of int
        The n rows wanted.
    augmentation : Augmentation
        What is drawn.
    seed : int
        Pass p is a function of (seed, p, batch_size).
    count, first : int
        Passes first ... first + count - 1.
    batch_size : int
        Images per batch.

    Yields
    ------
    ndarray of float64, shape (n, answers)
    """
    model = Augmented(network, stochastic=True)
    for number in range(first, first + count):
        seed_dropout(network, seed, number, 1)

        def drawn(batch: int, n: int, number: int = number) -> Draws:
            return draw(augmentation, n, galaxies.size, np.random.default_rng([seed, number, batch, 1]))

        batches = Batches(galaxies, rows, batch_size=min(batch_size, len(rows)), draws=drawn)
        yield answer_batches(model, batches)


def seed_dropout(network: keras.Model, *keys: int) -> None:
    """Set the seed of every dropout layer to a function of the keys and the layer, and its step count to 0."""
    for i, layer in enumerate(network.layers):
        if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
            layer.seed_generator.state.assign([derived_seed(*keys, i), 0])


@backend.keras_defaults()
def evaluate(
    run: str | Path | Run,
    cache: str | Path | None = None,
    *,
    labels: str | Path | None = None,
    passes: int = 10,
    orientations: int = 1,
    weights: str = "best",
    clip: bool = False,
    any_settings: bool = False,
    allow_duplicates: bool = False,
) -> dict[str, Any]:
    """Score a run on the galaxies of a cache that it was not trained on.

    Parameters
    ----------
    run : str, Path or Run
        The run.
    cache : str or Path, optional
        Another cache than the run's own. Scored are its labelled galaxies whose id is not in the training
        set; for the run's own cache this is the test set.
    labels : str or Path, optional
        CSV file of answers. Default: the run's for its own cache, else those in the cache.
    passes : int
        Passes of the non-deterministic score; 0 leaves it out.
    orientations : int
        Above 1 (an even number) also scores the average over so many rotations and flips.
    weights : {"best", "last"}
        As in `Run.network`. "best" was chosen by the validation loss on the test set, which flatters it a
        little.
    clip : bool
        Set answers below 0 to 0 and those above 1 to 1, which the linear head also gives.
    any_settings : bool
        Take a cache that was made with other settings than the run's.
    allow_duplicates : bool
        Do not warn of galaxies whose picture the run was trained on, under another id.

    Returns
    -------
    dict
        ``deterministic``: dropout and augmentation off, as from `galaxy_trainer.answers.targets.Target.score`.
        ``non_deterministic``: both on, the mean of the passes' scores (``mse``, or what the target has),
        with ``mse_std`` their standard deviation, ``mse_of_mean`` the error of the mean answers. ``orientations``: as
        ``deterministic``, with ``count`` and what `calibration` returns. ``baselines``: the training set's mean
        answers, and zeros for trees.

    Raises
    ------
    TrainerError
        If the cache does not fit the run or was made with other settings, or no galaxy is left to score on.

    Examples
    --------
    >>> evaluate("run")["deterministic"]["mse"]  # doctest: +SKIP
    """
    opened = open_run(run)
    if passes < 0:
        raise TrainerError(f"passes must not be negative, got {passes}")
    config, target = opened.config, opened.config.target
    check_orientations(orientations, config.recipe)
    if clip:
        check_clip(target)
    score = target.score
    if cache is None and labels is None:
        labels = config.labels
    galaxies = galaxies_for(opened, cache, labels, target, any_settings=any_settings)
    trained = opened.trained
    rows = np.array([i for i in galaxies.labelled if galaxies.ids[i] not in trained], int)
    if not len(rows):
        raise TrainerError(f"{galaxies.cache.path}: no labelled galaxy that {opened.folder} was not trained on")
    if not allow_duplicates:
        warn_of_twins(twins(galaxies.pictures(rows), trained), len(rows), galaxies.cache.path)
    truth = galaxies.answers(rows)
    network = opened.network(weights)
    cut = clipped if clip else np.asarray
    result: dict[str, Any] = {
        "cache": str(galaxies.cache.path),
        "views": list(config.views),
        "galaxies": len(rows),
        "weights": opened.about["weights"] if isinstance(opened, Stored) else weights,
        "epoch": opened.epoch(weights),
        "deterministic": score(cut(answers_of(network, galaxies, rows)), truth),
    }
    if passes:
        total = np.zeros_like(truth)
        scores = []
        drawn = passes_of(network, galaxies, rows, config.recipe.augmentation, seed=config.seed, count=passes)
        for answers in map(cut, drawn):
            scores.append(target.error(answers, truth))
            total += answers
        result["non_deterministic"] = {
            "passes": passes,
            target.main: float(np.mean(scores)),
            f"{target.main}_std": float(np.std(scores)),
            **target.derived(float(np.mean(scores))),
            f"{target.main}_of_mean": target.error(total / passes, truth),
        }
    if orientations > 1:
        answers, deviation = oriented(network, galaxies, rows, count=orientations)
        answers = cut(answers)
        result["orientations"] = {
            "count": orientations,
            **score(answers, truth),
            "calibration": calibration(deviation / target.units, target.differences(answers, truth)),
        }
    baselines = target.baselines(config.mean_answers, truth)
    result["baselines"] = {name: score(answers, truth) for name, answers in baselines.items()}
    return result
