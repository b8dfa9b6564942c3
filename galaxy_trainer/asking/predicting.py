"""Ask trained networks about the galaxies of a cache: answers, averaged over orientations, as arrays or a table."""

from collections.abc import Callable, Mapping
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
from galaxy_trainer.network.augmentation import Augmented, Draws, orientations
from galaxy_trainer.network.recipes import Recipe
from galaxy_trainer.runs.checks import check_layout, check_settings, check_unit
from galaxy_trainer.runs.run import Run
from galaxy_trainer.runs.stored import open_run

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
        return answer_batches(network, batches), None
    model = network if isinstance(network, Augmented) else Augmented(network)
    first: np.ndarray | None = None
    total = moved = spread = np.zeros((len(rows), 1))
    for transform in orientations(count, galaxies.size):

        def turned(batch: int, n: int, transform: np.ndarray = transform) -> Draws:
            return Draws(np.tile(transform, (n, 1)), np.ones(n, np.float32))

        batches = Batches(galaxies, rows, batch_size=batch_size, draws=turned)
        answers = answer_batches(model, batches)
        first = answers if first is None else first
        total, moved, spread = total + answers, moved + (answers - first), spread + (answers - first) ** 2
    return total / count, np.sqrt(np.maximum(spread / count - (moved / count) ** 2, 0))


def answer_batches(model: keras.Model, batches: Batches) -> np.ndarray:
    """Return a model's answers, float64.

    Batch by batch, as under TensorFlow ``Model.predict`` keeps in memory what it was given (Keras 3.15), and starts a
    pipeline for every call. Of a batch that is shared by devices each answers all: one answer is enough.
    """
    size = batches.batch_size
    found = [np.asarray(model.predict_on_batch(batches[i][0]))[:size] for i in range(batches.num_batches)]
    return np.concatenate(found)[: len(batches.rows)].astype(np.float64)


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

    return answer(opened, ask, output, orientations=orientations, deviation=deviation, clip=clip, overwrite=overwrite)


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
