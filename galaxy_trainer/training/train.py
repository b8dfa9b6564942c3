"""Train a network on a cache, exactly resumable after every epoch.

Nothing random is carried from step to step: the order is a function of (seed, epoch), augmentation of (seed,
epoch, batch), dropout of (seed, epoch, layer, step in the epoch). So the weights, the optimizer's variables
and the history after an epoch are the whole state.
"""

import contextlib
import dataclasses
import hashlib
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

import scalenorm
from galaxy_trainer.answers.choices import Choice
from galaxy_trainer.answers.targets import GALAXY_ZOO_2, nanmean
from galaxy_trainer.data.galaxies import Galaxies, open_galaxies, pixel_statistics, read_ids
from galaxy_trainer.data.splitting import split_galaxies
from galaxy_trainer.files.errors import TrainerError, warn
from galaxy_trainer.files.writing import write_json
from galaxy_trainer.network import backend
from galaxy_trainer.network.recipes import Recipe, recipe_of
from galaxy_trainer.runs.checks import twins, warn_of_twins
from galaxy_trainer.runs.run import (
    POLICIES,
    Config,
    Run,
    create,
    load_run,
    refuse_existing,
)
from galaxy_trainer.runs.stored import open_run
from galaxy_trainer.training.epochs import Report, draw_run, train_epochs
from galaxy_trainer.training.starting import check_galaxies, recipe_from, taken_over, views_from
from scalenorm.cache.format import differences
from scalenorm.files.errors import LockedError
from scalenorm.files.lock import locked


@backend.keras_defaults()
def train(
    cache: str | Path,
    run: str | Path,
    *,
    view: str | Sequence[str] | None = None,
    recipe: str | Recipe = "paper",
    labels: str | Path | None = None,
    target: Choice | None = None,
    group: str | None = None,
    split_column: str | None = None,
    test_ids: str | Path | None = None,
    test_fraction: float = 0.1,
    finish_ids: str | Path | None = None,
    split_seed: int = 0,
    seed: int = 0,
    precision: str = "float32",
    devices: int = 1,
    in_memory: bool | None = None,
    tensorboard: bool = False,
    augmented_validation: bool = False,
    allow_duplicates: bool = False,
    start: str | Path | Run | None = None,
    freeze: str = "none",
    report: Report | None = None,
    progress: bool = False,
    **changes: Any,
) -> Run:
    """Train a network on a view of a cache.

    Parameters
    ----------
    cache : str or Path
        A cache written by `scalenorm-batch`.
    run : str or Path
        Folder to make; see `galaxy_trainer.runs.run`.
    view : str or sequence of str, optional
        View, or several views of a galaxy that the network sees at once. Default: "normalized".
    recipe : str or Recipe
        "paper", "long", another name in `galaxy_trainer.RECIPES`, or a recipe.
    labels : str or Path, optional
        Table of answers. Default: those in the cache.
    target : galaxy_trainer.Choice, optional
        What to answer. Default: the decision tree of Galaxy Zoo 2.
    group : str, optional
        Column of the labels; galaxies with the same value there are on one side of the split.
    split_column : str, optional
        Column of the labels that says "train" or "test"; galaxies that say neither are left out.
    test_ids : str or Path, optional
        File with one id per line: the test set. Default: by hash, see `galaxy_trainer.data.splitting.split`.
    test_fraction : float
        Share of the labelled galaxies that is tested on and never trained on.
    finish_ids : str or Path, optional
        File with one id per line: of the galaxies that are trained on, those that the last epochs see alone, if the
        recipe has a ``finish``. Default: all.
    split_seed : int
        Another one chooses another test set.
    seed : int
        Of weights, order, augmentation and dropout.
    precision : {"float32", "bfloat16"}
        bfloat16 computes in 16 bits and keeps weights, standardisation and output in 32.
    devices : int
        Devices of this machine to split every batch over.
    in_memory : bool, optional
        Read the view into memory first. Default: if it takes less than 1 GiB.
    tensorboard : bool
        Write logs to RUN/tensorboard.
    augmented_validation : bool
        Also log ``val_loss_augmented``: validation with augmentation and dropout on.
    allow_duplicates : bool
        Do not warn of pictures that are in the training and in the test set, under two ids, nor of galaxies to test on
        that `start` was trained on.
    start : str, Path or Run, optional
        A trained network to start from: its views, architecture and standardisation, and its weights but those of the
        last layer, which are new unless the same is answered; and its number of orientations, unless ``rotations`` is
        among the changes.
    freeze : {"none", "trunk"}
        "trunk" trains the last layer only.
    report : callable, optional
        Called with a line of text at the start and after every epoch.
    progress : bool
        Show a bar on stderr during an epoch, if that is a terminal.
    **changes
        Fields of the recipe to replace, for instance ``width=0.25, epochs=5``.

    Returns
    -------
    Run
        The finished run.

    Raises
    ------
    TrainerError
        If the input does not fit, the folder exists, or the loss becomes NaN.

    Examples
    --------
    >>> run = train("galaxies.h5", "run", width=0.25, epochs=5)  # doctest: +SKIP
    >>> run.metrics["deterministic"]["mse"]  # doctest: +SKIP
    """
    folder = Path(run)
    refuse_existing(folder)
    source = None if start is None else open_run(start)
    chosen = recipe_of(recipe, changes) if source is None else recipe_from(source, recipe, changes)
    if freeze not in ("none", "trunk") or (freeze == "trunk" and source is None):
        raise TrainerError(f"freeze must be none, or trunk with a network to start from, got {freeze!r}")
    if precision not in POLICIES:
        raise TrainerError(f"unknown precision {precision!r}; known: {', '.join(POLICIES)}")
    if not 0 < test_fraction < 1:
        raise TrainerError(f"test_fraction must be between 0 and 1, got {test_fraction}")
    backend.check_can_train()
    if seed < 0:
        raise TrainerError(f"seed must not be negative, got {seed}")
    if tensorboard:
        backend.check_can_log()
    asked = (view,) if isinstance(view, str) else view
    views = tuple(asked or ("normalized",)) if source is None else views_from(source, asked)
    aside = [name for name in (group, split_column) if name is not None]
    galaxies = open_galaxies(cache, views, labels=labels, target=target or Choice(), aside=aside, in_memory=in_memory)
    rows = galaxies.labelled
    named = None if test_ids is None else read_ids(test_ids, galaxies.ids)
    rows, test = split_galaxies(
        galaxies, rows, fraction=test_fraction, seed=split_seed, test_ids=named, group=group, column=split_column
    )
    if (~test).sum() < chosen.batch_size:
        raise TrainerError(f"{(~test).sum()} training images are less than a batch of {chosen.batch_size}")
    finish = np.zeros(len(test), bool)
    if finish_ids is not None:
        listed = set(read_ids(finish_ids, galaxies.ids))
        finish = np.array([galaxies.ids[i] in listed for i in rows]) & ~test
        if finish.sum() < chosen.batch_size:
            raise TrainerError(
                f"{finish_ids}: {finish.sum()} to finish on are less than a batch of {chosen.batch_size}"
            )
    pictures = galaxies.pictures(rows)
    if source is not None:
        tested = {galaxies.ids[i]: pictures[galaxies.ids[i]] for i in rows[test]}
        check_galaxies(source, galaxies, tested, quiet=allow_duplicates)
    if not allow_duplicates:
        sides = [{galaxies.ids[i]: pictures[galaxies.ids[i]] for i in rows[side]} for side in (test, ~test)]
        warn_of_twins(twins(*sides), int(test.sum()), cache)
    mean, std = pixel_statistics(galaxies, rows[~test]) if source is None else (source.config.mean, source.config.std)
    truth = galaxies.answers(rows[~test])
    assert galaxies.target is not None
    answered = galaxies.target.fitted(truth)
    config = Config(
        cache=str(Path(cache).resolve()),
        cache_digest=galaxies.cache.digest(),
        labels=None if labels is None else str(Path(labels).resolve()),
        labels_digest=_labels_digest(galaxies),
        views=views,
        recipe=chosen,
        seed=seed,
        precision=precision,
        devices=devices,
        in_memory=in_memory,
        tensorboard=tensorboard,
        augmented_validation=augmented_validation,
        size=galaxies.size,
        channels=galaxies.channels,
        mean=mean,
        std=std,
        mean_answers=nanmean(truth).tolist(),
        backend=backend.name(),
        versions=_versions(),
        dtype=galaxies.dtype,
        cache_settings=galaxies.cache.settings,
        answered=None if answered == GALAXY_ZOO_2 else answered.described(),
        start=None if source is None else str(source.folder),
        freeze=freeze,
        unanswered=int(galaxies.good.sum()) - len(galaxies.labelled),
    )
    # Building once here shows what does not fit before the folder is made.
    try:
        with backend.on_devices(devices):
            network = config.network()
    except ValueError as error:
        raise TrainerError(str(error)) from None
    names = np.where(test, "test", np.where(finish, "finish", "train")).tolist()
    parts = {galaxies.ids[i]: part for i, part in zip(rows, names, strict=True)}
    weights = None if source is None else taken_over(source, config, network)
    seen = {} if source is None else {name: it for name, it in source.trained.items() if name not in parts}
    opened = Run(folder, config, parts, pictures, seen)
    create(opened, weights)
    report = report or _silent
    if config.unanswered:
        report(f"left out: {config.unanswered} of {galaxies.good.sum()} galaxies, as they have no answer")
    with _locked_run(opened):
        return train_epochs(opened, galaxies, report, progress)


@backend.keras_defaults()
def resume(
    run: str | Path, cache: str | Path | None = None, *, report: Report | None = None, progress: bool = False
) -> Run:
    """Resume an interrupted run after its last finished epoch; on the CPU it ends as if undisturbed.

    Parameters
    ----------
    run : str or Path
        The run folder.
    cache : str or Path, optional
        Where the run's cache is now, if it moved; the run keeps that. Default: where it was.
    report : callable, optional
        As in `train`.
    progress : bool
        As in `train`.

    Returns
    -------
    Run
        The finished run; one that was finished is returned as it is.

    Raises
    ------
    TrainerError
        If it is not a run, another process trains in it, or cache, labels or Keras backend are not those it began
        with. What may change last digits, such as versions and the number of threads, is a `TrainerWarning`.

    Examples
    --------
    >>> resume("run")  # doctest: +SKIP
    """
    opened = load_run(run)
    if cache is not None:
        opened = _moved(opened, Path(cache).resolve())
    config = opened.config
    if opened.finished:
        (report or _silent)(f"{run} is complete: {config.recipe.epochs} epochs")
        if not (opened.folder / "curves.png").exists():  # interrupted behind the scores
            draw_run(opened, opened.history)
        return opened
    if backend.name() != config.backend:
        raise TrainerError(f"{run} was started on Keras with {config.backend}: set KERAS_BACKEND={config.backend}")
    galaxies = open_galaxies(
        config.cache, config.views, labels=config.labels, target=config.target, in_memory=config.in_memory
    )
    _check_cache(galaxies.cache, opened)
    if _labels_digest(galaxies) != config.labels_digest:
        raise TrainerError(f"{config.labels or config.cache}: the labels changed since {run} was started")
    now = _versions()
    differing = [f"{name} {was}, now {now[name]}" for name, was in config.versions.items() if now.get(name, was) != was]
    if differing:
        warn(f"{run} began with {'; '.join(differing)}: its last digits may differ from those of an undisturbed run")
    with _locked_run(opened):
        return train_epochs(opened, galaxies, report or _silent, progress)


def _moved(run: Run, cache: Path) -> Run:
    """Let the run keep where its cache is now."""
    if str(cache) == run.config.cache:
        return run
    with _locked_run(run):
        _check_cache(open_galaxies(cache, run.config.views, target=None, in_memory=False).cache, run)
        config = dataclasses.replace(run.config, cache=str(cache))
        write_json(run.folder / "config.json", dataclasses.asdict(config))
    return dataclasses.replace(run, config=config)


def _check_cache(cache: Any, run: Run) -> None:
    config = run.config
    if cache.digest() == config.cache_digest:
        return
    settings = differences(config.cache_settings, cache.settings) if config.cache_settings else []
    why = "; ".join(["another digest", *settings])
    before = f", {config.cache}" if str(cache.path) != config.cache else ""
    raise TrainerError(f"{cache.path} is not the cache that {run.folder} was started with{before} ({why})")


@contextlib.contextmanager
def _locked_run(run: Run) -> Iterator[None]:
    """Keep a second process from training in the same folder; a killed one's lock is taken over."""
    try:
        with locked(run.folder / ".lock"):
            yield
    except LockedError as error:
        raise TrainerError(f"{run.folder}: {error}") from None


def _silent(line: str) -> None:
    pass


def _labels_digest(galaxies: Galaxies) -> str:
    return hashlib.sha256(np.ascontiguousarray(galaxies.answers(galaxies.labelled), "<f8").tobytes()).hexdigest()


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "scalenorm": scalenorm.__version__,
        "keras": keras.__version__,
        backend.name(): backend.version(),
        "numpy": np.__version__,
        "threads": str(backend.threads()),
        "oneDNN": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
    }
