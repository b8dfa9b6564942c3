"""Train a network on a cache, exactly resumable after every epoch.

Nothing random is carried from step to step: the order is a function of (seed, epoch), augmentation of (seed,
epoch, batch), dropout of (seed, epoch, layer, step in the epoch). So the weights, the optimizer's variables
and the history after an epoch are the whole state.
"""

import contextlib
import dataclasses
import functools
import hashlib
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

import scalenorm
from galaxy_trainer import backend
from galaxy_trainer.augmentation import Augmentation, Augmented, Draws, draw
from galaxy_trainer.checks import twins, warn_of_twins
from galaxy_trainer.curves import draw_curves, draw_figure
from galaxy_trainer.data import Batches, Galaxies, epoch_order, open_galaxies, pixel_statistics, read_ids
from galaxy_trainer.drawing import try_to_draw
from galaxy_trainer.errors import TrainerError, warn
from galaxy_trainer.evaluation import answers_of, evaluate, passes_of, seed_dropout
from galaxy_trainer.files import write_json, write_whole
from galaxy_trainer.recipes import Recipe, optimizer_of, recipe_of
from galaxy_trainer.runs import (
    POLICIES,
    Config,
    Run,
    State,
    create,
    load_run,
    refuse_existing,
    set_average,
    write_table,
)
from galaxy_trainer.splitting import split_galaxies
from galaxy_trainer.targets import GALAXY_ZOO_2, Choice, nanmean
from scalenorm.cache.format import differences
from scalenorm.files.errors import LockedError
from scalenorm.files.lock import locked

Report = Callable[[str], object]


@backend.keras_defaults()
def train(
    cache: str | Path,
    run: str | Path,
    *,
    view: str | Sequence[str] = "normalized",
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
        Folder to make; see `galaxy_trainer.runs`.
    view : str or sequence of str
        View, or several views of a galaxy that the network sees at once.
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
        File with one id per line: the test set. Default: by hash, see `galaxy_trainer.data.split`.
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
        Do not warn of pictures that are in the training and in the test set, under two ids.
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
    chosen = recipe_of(recipe, changes)
    if precision not in POLICIES:
        raise TrainerError(f"unknown precision {precision!r}; known: {', '.join(POLICIES)}")
    if not 0 < test_fraction < 1:
        raise TrainerError(f"test_fraction must be between 0 and 1, got {test_fraction}")
    backend.check_can_train()
    if seed < 0:
        raise TrainerError(f"seed must not be negative, got {seed}")
    if tensorboard:
        backend.check_can_log()
    views = (view,) if isinstance(view, str) else tuple(view)
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
    if not allow_duplicates:
        sides = [{galaxies.ids[i]: pictures[galaxies.ids[i]] for i in rows[side]} for side in (test, ~test)]
        warn_of_twins(twins(*sides), int(test.sum()), cache)
    mean, std = pixel_statistics(galaxies, rows[~test])
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
    )
    # Building once here shows what does not fit before the folder is made.
    try:
        with backend.on_devices(devices):
            config.network()
    except ValueError as error:
        raise TrainerError(str(error)) from None
    names = np.where(test, "test", np.where(finish, "finish", "train")).tolist()
    parts = {galaxies.ids[i]: part for i, part in zip(rows, names, strict=True)}
    opened = create(folder, config, parts, pictures)
    with _locked_run(opened):
        return _train_epochs(opened, galaxies, report or _silent, progress)


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
            _draw_curves(opened, opened.history)
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
        return _train_epochs(opened, galaxies, report or _silent, progress)


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


def _train_epochs(run: Run, galaxies: Galaxies, report: Report, progress: bool) -> Run:
    config, recipe = run.config, run.config.recipe
    backend.make_deterministic()
    row = {name: i for i, name in enumerate(galaxies.ids)}
    train_rows = np.array([row[name] for name, part in run.parts.items() if part != "test"])
    finish_rows = np.array([row[name] for name, part in run.parts.items() if part == "finish"], int)
    if not len(finish_rows):
        finish_rows = train_rows
    first_of_finish = recipe.epochs - recipe.finish_epochs
    seen = [train_rows if epoch < first_of_finish else finish_rows for epoch in range(recipe.epochs)]
    test_rows = np.array([row[name] for name, part in run.parts.items() if part == "test"])
    steps = [len(rows) // recipe.batch_size for rows in seen]
    with backend.on_devices(config.devices):
        network = config.network()
        model = Augmented(network)
        optimizer = optimizer_of(recipe, steps)
        optimizer.build(network.trainable_variables)
        model.compile(optimizer=optimizer, loss=config.target.loss, jit_compile=backend.compile_step())
        history: list[dict[str, float]] = []
        if run.state_path.exists():
            state = State.load(run.state_path)
            history = state.history
            network.set_weights(state.weights)
            for variable, value in zip(optimizer.variables, state.optimizer, strict=True):
                variable.assign(value)
            _write_derived(run, state, network)
        report(
            f"{len(train_rows)} galaxies to train on, {len(test_rows)} to test on; "
            + (f"{len(finish_rows)} from epoch {first_of_finish + 1} on; " if recipe.finish_epochs else "")
            + f"{network.count_params():,} parameters; epochs {len(history) + 1} to {recipe.epochs}"
        )
        for epoch in range(len(history), recipe.epochs):
            began = time.monotonic()
            rate = float(f"{_array(optimizer.learning_rate):.6g}")
            loss = _train_epoch(model, galaxies, seen[epoch], run, epoch, progress)
            seconds = time.monotonic() - began
            values = {"epoch": epoch + 1, "loss": loss}
            state = State(history, network.get_weights(), [_array(v) for v in optimizer.variables])
            with _averaged(network, state, recipe):
                values |= _validate(network, galaxies, test_rows, config, epoch)
            values["learning_rate"] = rate
            _refuse_nan(values, run, epoch)
            if config.tensorboard:
                logged = {key: value for key, value in values.items() if key != "epoch"}
                backend.log_scalars(run.folder / "tensorboard", epoch + 1, logged)
            history.append(values)
            state.save(run.state_path)
            _write_derived(run, state, network)
            report(
                f"epoch {epoch + 1}/{recipe.epochs}: loss {loss:.5f}, validation {values['val_loss']:.5f}"
                f"{' (best)' if state.best_epoch == epoch + 1 else ''}, "
                f"{steps[epoch] * recipe.batch_size / seconds:.0f} images/s"
            )
    metrics = evaluate(run, any_settings=True, allow_duplicates=True)
    write_json(run.folder / "metrics.json", metrics)
    _draw_curves(run, history)
    for name, figure in config.target.score_figures(metrics["deterministic"]).items():
        path = run.folder / f"{name}.png"
        try_to_draw(path, lambda path=path, figure=figure: draw_figure(figure(), path))  # type: ignore[misc]
    return run


def _draw_curves(run: Run, history: Sequence[Mapping[str, float]]) -> None:
    path = run.folder / "curves.png"
    try_to_draw(path, lambda: draw_curves(history, path, run.config.target.measure))


def _train_epoch(model: Augmented, galaxies: Galaxies, rows: np.ndarray, run: Run, epoch: int, progress: bool) -> float:
    recipe, seed = run.config.recipe, run.config.seed
    seed_dropout(model.network, seed, epoch)
    batches = Batches(
        galaxies,
        epoch_order(rows, seed=seed, epoch=epoch),
        batch_size=recipe.batch_size,
        train=True,
        draws=functools.partial(
            epoch_draws, augmentation=recipe.augmentation, size=galaxies.size, seed=seed, epoch=epoch
        ),
    )
    # disable=None: no bar where stderr is not a terminal.
    with tqdm(
        total=batches.num_batches, desc=f"epoch {epoch + 1}", leave=False, disable=None if progress else True
    ) as bar:
        logs = model.fit(batches, epochs=1, shuffle=False, verbose=0, callbacks=[_Watch(model, bar)])
    return float(logs.history["loss"][0])


def epoch_draws(batch: int, n: int, *, augmentation: Augmentation, size: int, seed: int, epoch: int) -> Draws:
    """Return the augmentation of one batch, a function of (seed, epoch, batch) only."""
    return draw(augmentation, n, size, np.random.default_rng([seed, epoch, batch]))


class _Watch(keras.callbacks.Callback):
    """Move the bar, and stop at the first loss that is no number."""

    # Lets Keras call it from a thread, so that no step waits for the loss of the one before.
    async_safe = True

    def __init__(self, trained: keras.Model, bar: Any) -> None:
        super().__init__()
        # Not `self.model`: on JAX that property takes over the state of the step, which the next step has freed.
        self.trained = trained
        self.bar = bar

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.bar.update()
        if logs and not math.isfinite(logs["loss"]):
            self.trained.stop_training = True


def _refuse_nan(values: dict[str, float], run: Run, epoch: int) -> None:
    if all(math.isfinite(value) for value in values.values()):
        return
    kept = f"the state after epoch {epoch} is kept" if epoch else "no epoch was finished"
    raise TrainerError(
        f"the loss became NaN or infinite in epoch {epoch + 1} at learning rate {values['learning_rate']:g} "
        f"({kept} in {run.folder}): train again with a lower --learning-rate, or clip gradients"
    )


@contextlib.contextmanager
def _averaged(network: keras.Model, state: State, recipe: Recipe) -> Iterator[None]:
    """Hold the moving averages in place of the weights, where the recipe asks for them."""
    if recipe.ema is None:
        yield
        return
    set_average(network, recipe, state.optimizer)
    try:
        yield
    finally:
        network.set_weights(state.weights)


def _validate(
    network: keras.Model, galaxies: Galaxies, rows: np.ndarray, config: Config, epoch: int
) -> dict[str, float]:
    truth, target = galaxies.answers(rows), config.target
    values = {"val_loss": target.error(answers_of(network, galaxies, rows), truth)}
    if config.augmented_validation:
        answers = next(
            passes_of(network, galaxies, rows, config.recipe.augmentation, seed=config.seed, first=epoch, count=1)
        )
        values["val_loss_augmented"] = target.error(answers, truth)
    return values


def _write_derived(run: Run, state: State, network: keras.Model) -> None:
    """Write what follows from the state; the same again after an interruption between the files."""
    if state.best_epoch == len(state.history):
        with _averaged(network, state, run.config.recipe):
            write_whole(run.folder / "best.keras", network.save)
    write_table(run.folder / "history.csv", state.history)


def _array(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable))


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
