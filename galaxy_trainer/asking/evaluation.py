"""Scores and predictions of trained networks."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from galaxy_trainer.answers.targets import GALAXY_ZOO_2, Target
from galaxy_trainer.data.galaxies import Batches, Galaxies, open_galaxies
from galaxy_trainer.files.errors import TrainerError, warn
from galaxy_trainer.files.writing import check_answers, write_columns
from galaxy_trainer.network import backend
from galaxy_trainer.network.augmentation import Augmentation, Augmented, Draws, draw, orientations
from galaxy_trainer.network.networks import derived_seed
from galaxy_trainer.network.recipes import Recipe
from galaxy_trainer.runs.checks import check_layout, check_settings, check_unit, twins, warn_of_twins
from galaxy_trainer.runs.run import Run
from galaxy_trainer.runs.stored import Stored, open_run

BATCH = 16
"""Images per batch where nothing is learned: on a processor no slower than more, and a fraction of the memory."""


@dataclass(frozen=True)
class Predictions:
    """Answers for galaxies.

    Parameters
    ----------
    ids : tuple of str
        The n galaxies, in the cache's order; those of a cache without its failed images.
    answers : ndarray of float32, shape (n, answers)
        In the order of the target's names.
    failed : tuple of str
        Ids of failed images, whose answers are missing or NaN.
    target : Target
        What was answered.
    deviation : ndarray of float32, shape (n, answers), or None
        The standard deviation of each answer between orientations; None of one orientation.
    messages : dict of str to str
        Why images failed, by id.
    """

    ids: tuple[str, ...]
    answers: np.ndarray
    failed: tuple[str, ...]
    target: Target = GALAXY_ZOO_2
    deviation: np.ndarray | None = None
    messages: Mapping[str, str] = field(default_factory=dict)


class Said(NamedTuple):
    """What a model says of images: their ids, float32 values, deviations between orientations; why others failed."""

    ids: tuple[str, ...]
    values: np.ndarray
    deviation: np.ndarray | None
    messages: Mapping[str, str]


def answers_of(
    network: keras.Model, galaxies: Galaxies, rows: np.ndarray, *, count: int = 1, batch_size: int = BATCH
) -> np.ndarray:
    """Return the network's answers without dropout, averaged over `count` orientations.

    Parameters
    ----------
    network : keras.Model
        From raw images to answers.
    galaxies : Galaxies
        The galaxies.
    rows : ndarray of int
        The n rows wanted.
    count : int
        1, or an even number; see `galaxy_trainer.network.augmentation.orientations`.
    batch_size : int
        Images per batch.

    Returns
    -------
    ndarray of float64, shape (n, answers)
    """
    return oriented(network, galaxies, rows, count=count, batch_size=batch_size)[0]


def oriented(
    network: keras.Model, galaxies: Galaxies, rows: np.ndarray, *, count: int, batch_size: int = BATCH
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return what `answers_of` does, and the standard deviation of each answer between orientations (None of one)."""
    batch_size = min(batch_size, len(rows))
    if count == 1:
        batches = Batches(galaxies, rows, batch_size=batch_size)
        return _answers(network, batches), None
    model = network if isinstance(network, Augmented) else Augmented(network)
    first: np.ndarray | None = None
    total = moved = spread = np.zeros((len(rows), 1))
    for transform in orientations(count, galaxies.size):

        def turned(batch: int, n: int, transform: np.ndarray = transform) -> Draws:
            return Draws(np.tile(transform, (n, 1)), np.ones(n, np.float32))

        batches = Batches(galaxies, rows, batch_size=batch_size, draws=turned)
        answers = _answers(model, batches)
        first = answers if first is None else first
        total, moved, spread = total + answers, moved + (answers - first), spread + (answers - first) ** 2
    return total / count, np.sqrt(np.maximum(spread / count - (moved / count) ** 2, 0))


def _answers(model: keras.Model, batches: Batches) -> np.ndarray:
    """Return a model's answers, float64.

    Batch by batch, as under TensorFlow ``Model.predict`` keeps in memory what it was given (Keras 3.15), and starts a
    pipeline for every call. Of a batch that is shared by devices each answers all: one answer is enough.
    """
    size = batches.batch_size
    found = [np.asarray(model.predict_on_batch(batches[i][0]))[:size] for i in range(batches.num_batches)]
    return np.concatenate(found)[: len(batches.rows)].astype(np.float64)


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
        yield _answers(model, batches)


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


@backend.keras_defaults()
def predict(
    run: str | Path | Run,
    cache: str | Path,
    output: str | Path | None = None,
    *,
    orientations: int = 1,
    deviation: bool = True,
    weights: str = "best",
    clip: bool = False,
    any_settings: bool = False,
    overwrite: bool = False,
) -> Predictions:
    """Answer for every galaxy of a cache, with or without labels.

    Parameters
    ----------
    run : str, Path or Run
        The run.
    cache : str or Path
        The cache.
    output : str or Path, optional
        File to write, in the format of its ending: .csv, .ecsv, .fits or .parquet. Rows are in the cache's order,
        failed images are left out; see `galaxy_trainer.answers.targets.Target.table` for the columns.
    orientations : int
        Average over so many rotations and flips; 1, or an even number.
    deviation : bool
        Of several orientations, give the deviation between them too.
    weights : {"best", "last"}
        As in `Run.network`.
    clip : bool
        As in `evaluate`.
    any_settings : bool
        Take a cache that was made with other settings than the run's.
    overwrite : bool
        Replace `output` if it exists.

    Returns
    -------
    Predictions

    Raises
    ------
    TrainerError
        If the cache does not fit the run, was made with other settings or has no good image, or `output` exists or
        cannot be written.

    Examples
    --------
    >>> predict("run", "galaxies.h5", "predictions.csv").answers.shape  # doctest: +SKIP
    """
    opened = open_run(run)

    def ask() -> Said:
        return ask_cache(opened, opened.network(weights), cache, count=orientations, any_settings=any_settings)

    return answer(
        opened, ask, output, orientations=orientations, deviation=deviation, clip=clip, overwrite=overwrite
    )


def answer(
    run: Run,
    ask: Callable[[], Said],
    output: str | Path | None,
    *,
    orientations: int,
    deviation: bool,
    clip: bool,
    overwrite: bool,
) -> Predictions:
    """Return, and write, what a network says when it is asked; the options, those of `predict`, are checked before."""
    if output is not None:
        check_answers(output, overwrite=overwrite)
    target = run.config.target
    check_orientations(orientations, run.config.recipe)
    if clip:
        check_clip(target)
    said = ask()
    predictions = Predictions(
        ids=said.ids,
        answers=clipped(said.values) if clip else said.values,
        failed=tuple(said.messages),
        target=target,
        deviation=said.deviation if deviation else None,
        messages=said.messages,
    )
    if output is not None:
        write_answers(output, predictions, overwrite=overwrite)
    return predictions


def ask_cache(run: Run, model: Any, cache: str | Path, *, count: int, any_settings: bool) -> Said:
    """Return what a model says of the good images of a cache, on average over `count` orientations."""
    galaxies = galaxies_for(run, cache, None, None, any_settings=any_settings)
    rows = np.flatnonzero(galaxies.good)
    if not len(rows):
        raise TrainerError(f"{galaxies.cache.path}: no good image to answer for")
    failed = galaxies.cache.catalog[~galaxies.good]
    messages = {row["id"].decode(): row["message"].decode() for row in failed}
    values, spread = oriented(model, galaxies, rows, count=count)
    ids = tuple(galaxies.ids[i] for i in rows)
    return Said(ids, values.astype(np.float32), None if spread is None else spread.astype(np.float32), messages)


def write_answers(output: str | Path, predictions: Predictions, *, overwrite: bool = False) -> None:
    """Write predictions as a table in the format of the file's ending, whole or not at all."""
    columns = predictions.target.table(predictions.ids, predictions.answers, predictions.deviation)
    write_columns(output, "ANSWERS", columns, overwrite=overwrite)


def check_clip(target: Target) -> None:
    """Raise `TrainerError` if answers of this kind have no bounds."""
    if not target.bounded:
        raise TrainerError(f"--clip (clip=True) is for answers between 0 and 1, this run answers {target.kind}")


def clipped(answers: np.ndarray) -> np.ndarray:
    """Return answers within 0 and 1."""
    return np.clip(answers, 0, 1)


def check_orientations(count: int, recipe: Recipe) -> None:
    """Raise `TrainerError` unless it is 1 or even; warn if a network of this recipe sees all of them anyway."""
    try:
        orientations(count, 8)
    except ValueError as error:
        raise TrainerError(str(error)) from None
    if recipe.rotations >= 8 and count in (2, 4, 8):
        warn(
            f"this network averages over {recipe.rotations} orientations already, {count} of which change no answer "
            "and say nothing of its deviation: use 12, turns by 60 degrees"
        )


def galaxies_for(
    run: Run, cache: str | Path | None, labels: str | Path | None, target: Target | None, *, any_settings: bool
) -> Galaxies:
    """Open a cache, or the run's own, with what a run needs of it; `TrainerError` if it does not fit the run."""
    config = run.config
    galaxies = open_galaxies(
        run.cache if cache is None else cache,
        config.views,
        labels=labels,
        target=target,
        in_memory=config.in_memory,
    )
    check_layout(run, galaxies)
    if not any_settings:
        check_settings(run, galaxies)
        check_unit(run, galaxies)
    return galaxies
