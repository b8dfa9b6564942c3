"""The epochs of a run, each kept before the next begins."""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from galaxy_trainer.asking.evaluation import evaluate, passes_of, seed_dropout
from galaxy_trainer.asking.predicting import answers_of
from galaxy_trainer.data.galaxies import Batches, Galaxies, epoch_order
from galaxy_trainer.drawing.curves import draw_curves, draw_figure
from galaxy_trainer.drawing.safely import try_to_draw
from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.files.writing import write_json, write_rows, write_whole
from galaxy_trainer.network import backend
from galaxy_trainer.network.augmentation import Augmentation, Augmented, Draws, draw
from galaxy_trainer.network.recipes import Recipe, optimizer_of
from galaxy_trainer.runs.run import Config, Run, State, set_average

Report = Callable[[str], object]


def train_epochs(run: Run, galaxies: Galaxies, report: Report, progress: bool) -> Run:
    """Train from the last finished epoch to the end, then write scores and pictures."""
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
        network = run.untrained()
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
    draw_run(run, history)
    for name, (figure, _) in config.target.score_figures(metrics["deterministic"]).items():
        path = run.folder / f"{name}.png"
        try_to_draw(path, lambda path=path, figure=figure: draw_figure(figure(), path))  # type: ignore[misc]
    return run


def draw_run(run: Run, history: Sequence[Mapping[str, float]]) -> None:
    """Draw the curves of a run."""
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
    write_rows(run.folder / "history.csv", state.history)


def _array(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable))
