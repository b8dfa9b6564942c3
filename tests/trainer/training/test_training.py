"""Training: exact resume after a kill between any two files, and what a run folder holds."""

import csv
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import sky_blobs, write_cache

import galaxy_trainer
from galaxy_trainer import Augmentation, Recipe, TrainerError, load_run, resume, train
from galaxy_trainer.data.galaxies import epoch_order
from galaxy_trainer.network.recipes import optimizer_of
from galaxy_trainer.runs.run import State, set_average
from galaxy_trainer.training import epochs
from galaxy_trainer.training import train as training

TINY = {"width": 0.05, "epochs": 3, "batch_size": 16}


class Killed(BaseException):
    """Nothing may catch it, as nothing catches a kill."""


def kill_at(monkeypatch, number, when):
    """Stop before or after the given rename of a finished file (0: the first)."""
    real, count = os.replace, iter(range(1000))

    def replace(source, target):
        now = next(count) == number
        if now and when == "before":
            raise Killed
        real(source, target)
        if now:
            raise Killed

    monkeypatch.setattr(os, "replace", replace)


def outcome(run):
    """Everything that has to agree between a disturbed and an undisturbed run."""
    state = State.load(run.state_path)
    return (
        [w.tobytes() for w in state.weights],
        [w.tobytes() for w in state.optimizer],
        [w.tobytes() for w in run.network("best").get_weights()],
        (run.folder / "history.csv").read_bytes(),
        (run.folder / "metrics.json").read_bytes(),
    )


@pytest.fixture(scope="module")
def recipe():
    return Recipe(**TINY, ema=0.9, schedule="cosine", warmup_epochs=1, clip_norm=1.0)


@pytest.fixture(scope="module")
def undisturbed(cache, recipe, tmp_path_factory):
    return train(cache, tmp_path_factory.mktemp("undisturbed") / "run", recipe=recipe, seed=5)


@pytest.mark.slow
def test_run_folder(undisturbed, cache):
    names = sorted(path.name for path in undisturbed.folder.iterdir())
    assert names == [
        "best.keras", "config.json", "curves.png", "history.csv", "metrics.json", "split.csv", "state.npz",
    ]  # fmt: skip
    config = json.loads((undisturbed.folder / "config.json").read_text())
    assert config["cache"] == str(cache)
    assert config["recipe"]["augmentation"]["shift"] == 12.0
    assert config["versions"].keys() >= {"python", "keras", "scalenorm"}
    with open(undisturbed.folder / "split.csv") as file:
        parts = [(row["id"], row["part"]) for row in csv.DictReader(file)]
    assert len(parts) == 94
    assert sum(part == "test" for _, part in parts) == 9
    assert "000007" not in dict(parts)
    with open(undisturbed.folder / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["epoch"]) for row in rows] == [1, 2, 3]
    assert [{k: float(v) for k, v in row.items()} for row in rows] == undisturbed.history
    assert load_run(undisturbed.folder) == undisturbed


@pytest.mark.slow
def test_the_same_again(undisturbed, cache, recipe, tmp_path):
    """In memory or not: the same bits. Another seed: others."""
    again = train(cache, tmp_path / "again", recipe=recipe, seed=5, in_memory=False)
    assert outcome(again) == outcome(undisturbed)
    assert train(cache, tmp_path / "other", recipe=recipe, seed=6, epochs=1).history != again.history[:1]


# Renames: 0 config, 1 split, then per epoch state, best (if better) and history, at the end metrics and curves.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "when"),
    [(2, "before"), (2, "after"), (3, "after"), (5, "after"), (11, "before")],
)
def test_resume_is_exact(number, when, undisturbed, cache, recipe, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        kill_at(patch, number, when)
        with pytest.raises(Killed):
            train(cache, folder, recipe=recipe, seed=5)
    assert not load_run(folder).finished
    assert outcome(resume(folder)) == outcome(undisturbed)


@pytest.mark.slow
def test_a_kill_before_the_folder_is_whole(cache, recipe, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        kill_at(patch, 1, "before")
        with pytest.raises(Killed):
            train(cache, tmp_path / "run", recipe=recipe, epochs=1)
    with pytest.raises(TrainerError, match="not a run folder"):
        resume(tmp_path / "run")
    run = train(cache, tmp_path / "run", recipe=recipe, epochs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert run.finished


@pytest.mark.slow
def test_resume_after_sigkill(undisturbed, cache, recipe, tmp_path):
    folder = tmp_path / "run"
    code = (
        "import sys, time, galaxy_trainer as g\n"
        "from galaxy_trainer.network.start import silent_start\n"
        "with silent_start(to_train=True): pass\n"  # twice as fast as without
        "r = g.Recipe(width=0.05, epochs=3, batch_size=16, ema=0.9, schedule='cosine', warmup_epochs=1,"
        " clip_norm=1.0)\n"
        "g.train(sys.argv[1], sys.argv[2], recipe=r, seed=5, report=lambda line: time.sleep(1.0))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(cache), str(folder)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (folder / "state.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(load_run(folder).history) < 3
    assert outcome(resume(folder)) == outcome(undisturbed)


@pytest.mark.slow
def test_two_processes_do_not_train_in_one_folder(undisturbed, tmp_path):
    folder = shutil.copytree(undisturbed.folder, tmp_path / "run")
    (folder / "metrics.json").unlink()
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(TrainerError, match=r"run: another run is"):
            resume(folder)
    assert outcome(resume(folder)) == outcome(undisturbed)
    assert not (folder / ".lock").exists()


@pytest.mark.slow
def test_complete_runs_are_left_alone(undisturbed):
    before = outcome(undisturbed)
    lines = []
    resume(undisturbed.folder, report=lines.append)
    assert lines == [f"{undisturbed.folder} is complete: 3 epochs"]
    assert outcome(undisturbed) == before


@pytest.mark.slow
def test_best_is_the_epoch_with_the_lowest_validation_loss(cache, tmp_path):
    """A learning rate that ruins what the first epochs reached must not replace them."""
    seen = {}

    def look(line):
        if line.startswith("epoch"):
            seen[len(seen) + 1] = load_run(tmp_path / "run").network("best").get_weights()

    recipe = Recipe(**{**TINY, "epochs": 4}, learning_rate=0.02, drop_epoch=3, drop_factor=100.0)
    run = train(cache, tmp_path / "run", recipe=recipe, report=look)
    losses = [row["val_loss"] for row in run.history]
    best = int(np.argmin(losses)) + 1
    assert best < 4, losses
    assert run.metrics["epoch"] == best
    assert all(np.array_equal(a, b) for a, b in zip(seen[4], seen[best], strict=True))
    assert run.metrics["deterministic"]["mse"] == pytest.approx(min(losses), rel=1e-6)


@pytest.mark.slow
def test_learning_rates_and_validation_in_the_history(cache, tmp_path):
    recipe = Recipe(**TINY, drop_epoch=2)
    run = train(cache, tmp_path / "run", recipe=recipe, augmented_validation=True, tensorboard=True)
    assert [row["learning_rate"] for row in run.history] == [0.1, 0.01, 0.01]
    assert all(row["val_loss_augmented"] != row["val_loss"] for row in run.history)
    names = {name for name in run.history[0] if name != "epoch"}
    logged = logged_scalars(run.folder / "tensorboard")
    assert logged.keys() == {(step, name) for step in (1, 2, 3) for name in names}
    for (step, name), value in logged.items():
        assert value == pytest.approx(run.history[step - 1][name], rel=1e-6)


def logged_scalars(folder):
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    found = {}
    for record in tf.data.TFRecordDataset([str(path) for path in sorted(folder.iterdir())]):
        event = event_pb2.Event.FromString(record.numpy())
        found.update({(event.step, v.tag): float(tf.make_ndarray(v.tensor)) for v in event.summary.value})
    return found


@pytest.mark.slow
def test_nan_keeps_the_last_good_state(cache, tmp_path):
    recipe = Recipe(**TINY, learning_rate=1e-3, drop_epoch=2, drop_factor=1e20)
    with pytest.raises(TrainerError, match=r"NaN or infinite in epoch 2 .*1e\+17.*after epoch 1 is kept"):
        train(cache, tmp_path / "run", recipe=recipe)
    run = load_run(tmp_path / "run")
    assert len(run.history) == 1
    assert all(np.isfinite(w).all() for w in run.network("last").get_weights())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_moving_average_of_the_weights(optimizer):
    """Against the average taken step by step; the optimizers keep it among different other variables."""
    recipe = Recipe(optimizer=optimizer, ema=0.8, learning_rate=0.05)
    network = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
    trained = optimizer_of(recipe, [9] * recipe.epochs)
    trained.build(network.trainable_variables)
    rng = np.random.default_rng(1)
    average = None
    for _ in range(9):
        gradients = [keras.ops.convert_to_tensor(rng.normal(size=w.shape), "float32") for w in network.weights]
        trained.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        weights = network.get_weights()
        average = weights if average is None else [0.8 * a + 0.2 * w for a, w in zip(average, weights, strict=True)]
    set_average(network, recipe, [keras.ops.convert_to_numpy(v) for v in trained.variables])
    for found, expected, last in zip(network.get_weights(), average, weights, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
        assert not np.allclose(found, last, rtol=1e-3)


@pytest.mark.slow
def test_last_weights_are_the_average(undisturbed):
    """`last` is the moving average, not the weights that went on training."""
    state = State.load(undisturbed.state_path)
    for average, weights in zip(undisturbed.network("last").get_weights(), state.weights, strict=True):
        if average.size > 100:
            assert 0 < np.abs(average - weights).max() < 0.2


@pytest.mark.slow
def test_several_views_tree_and_bfloat16(cache, tmp_path):
    run = train(
        cache, tmp_path / "run", view=["normalized", "center-64"], head="tree", precision="bfloat16",
        width=0.05, epochs=2, augmentation=Augmentation(shift=2),
    )  # fmt: skip
    answers = galaxy_trainer.predict(run, cache).answers
    np.testing.assert_allclose(answers[:, 13:15].sum(axis=1), 1, rtol=1e-5)
    assert run.metrics["deterministic"]["mse"] < run.metrics["baselines"]["zero"]["mse"]


@pytest.mark.slow
def test_it_learns(tmp_path):
    """On galaxies whose answers follow from their shape the network beats the mean answer."""
    images, labels = sky_blobs(400, size=16, seed=3)
    path = write_cache(tmp_path / "cache.h5", {"normalized": images}, labels=labels)
    run = train(
        path, tmp_path / "run", width=0.1, epochs=9, dropout=0.0, optimizer="adam", learning_rate=3e-3,
        schedule="cosine", augmentation=Augmentation(shift=1),
    )  # fmt: skip
    assert run.metrics["deterministic"]["mse"] < 0.4 * run.metrics["baselines"]["mean_answer"]["mse"]


@pytest.mark.slow
def test_a_training_in_another_unit_ends_the_same(tmp_path):
    """Times a power of two nothing is rounded, so it ends with the same bits."""
    images, labels = sky_blobs(40, size=16)
    found = []
    for unit in (1.0, 2.0**-98, 2.0**98):  # about 3e-30 and 3e29
        fluxes = images.astype("f4") * np.float32(unit)
        path = write_cache(tmp_path / f"{unit}.h5", {"normalized": fluxes}, labels=labels, sky=20.0 * unit)
        run = train(path, tmp_path / f"{unit}", width=0.05, epochs=1, augmentation=Augmentation(brightness=0.1))
        found.append((run.history, galaxy_trainer.predict(run, path).answers.tolist()))
        assert run.metrics["deterministic"]["mse"] > 0
    assert found[0] == found[1] == found[2]


@pytest.mark.slow
def test_what_does_not_fit_is_one_line(cache, undisturbed, tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    for error, arguments in {
        "unknown recipe 'fast'; known: paper, long": {"recipe": "fast"},
        "a recipe has no field 'depth'": {"depth": 3},
        "unknown head 'none'; known: linear, tree": {"head": "none"},
        "epochs must be positive, got 0": {"epochs": 0},
        "unknown precision 'half'": {"precision": "half"},
        "no view 'side'": {"view": "side"},
        "training images are less than a batch": {"batch_size": 100},
        "test_fraction must be between 0 and 1": {"test_fraction": 1.5},
        "seed must not be negative, got -1": {"seed": -1},
    }.items():
        with pytest.raises(TrainerError, match=error) as caught:
            train(cache, tmp_path / "run", **arguments)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run").exists()
    with pytest.raises(TrainerError, match="exists and is not a run"):
        train(cache, tmp_path / "there")
    with pytest.raises(TrainerError, match="already exists; resume it with --resume"):
        train(cache, undisturbed.folder)
    odd = write_cache(tmp_path / "odd.h5", {"normalized": sky_blobs(40, size=12)[0]}, labels=sky_blobs(40, size=12)[1])
    with pytest.raises(TrainerError, match="multiple of 8"):
        train(odd, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_backend_that_only_predicts(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(training.backend, "name", lambda: "numpy")
    with pytest.raises(TrainerError, match="does not train on the backend numpy"):
        train(cache, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_damaged_runs_are_one_line(undisturbed, tmp_path):
    folder = shutil.copytree(undisturbed.folder, tmp_path / "run")
    for name, read in (
        ("best.keras", lambda: load_run(folder).network("best")),
        ("state.npz", lambda: load_run(folder).network("last")),
        ("config.json", lambda: load_run(folder)),
    ):
        whole = (folder / name).read_bytes()
        for damaged in (whole[: len(whole) // 2], b"", b"{}"):
            (folder / name).write_bytes(damaged)
            with pytest.raises(TrainerError, match=r"run\b.* (is damaged|cannot be read)") as caught:
                read()
            assert "\n" not in str(caught.value)
    with pytest.raises(TrainerError, match=r"state\.npz is not a run folder"):
        load_run(folder / "state.npz")


@pytest.mark.slow
def test_resume_refuses_another_cache_or_backend(undisturbed, cache, tmp_path):
    folder = shutil.copytree(undisturbed.folder, tmp_path / "run")
    (folder / "metrics.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    images, labels = sky_blobs(96, size=16, seed=1)
    other = write_cache(tmp_path / "other.h5", {"normalized": images}, labels=labels)
    for changes, error in (
        ({"cache": str(other)}, "another digest"),
        ({"backend": "numpy"}, "set KERAS_BACKEND=numpy"),
        ({"labels_digest": "0"}, "labels changed"),
    ):
        (folder / "config.json").write_text(json.dumps({**config, **changes}))
        with pytest.raises(TrainerError, match=error):
            resume(folder)
    with pytest.raises(TrainerError, match="not a run folder"):
        load_run(Path(tmp_path))


@pytest.mark.slow
def test_the_last_epochs_see_the_ids_to_finish_on_alone(cache, tmp_path, monkeypatch):
    listed = [f"{i:06d}" for i in range(0, 96, 2)]
    (tmp_path / "finish.txt").write_text("\n".join(listed))
    seen = []

    def recorded(rows, *, seed, epoch):
        seen.append(sorted(rows.tolist()))
        return epoch_order(rows, seed=seed, epoch=epoch)

    monkeypatch.setattr(epochs, "epoch_order", recorded)
    lines = []
    run = train(
        cache, tmp_path / "run", **{**TINY, "epochs": 4}, finish=0.5, schedule="cosine", optimizer="adam",
        finish_ids=tmp_path / "finish.txt", report=lines.append,
    )  # fmt: skip
    everyone = sorted(int(name) for name, part in run.parts.items() if part != "test")
    chosen = [i for i in everyone if i % 2 == 0]
    assert len(chosen) < len(everyone) < 94
    assert seen == [everyone, everyone, chosen, chosen]
    assert lines[0] == "left out: 1 of 95 galaxies, as they have no answer"
    assert f"{len(chosen)} from epoch 3 on" in lines[1]
    assert run.metrics["galaxies"] == 94 - len(everyone)
    # 5 + 5 steps, then 2 + 2: the cosine is at zero behind the last.
    steps = 2 * (len(everyone) // 16) + 2 * (len(chosen) // 16)
    assert int(State.load(run.state_path).optimizer[0]) == steps
    rate = 0.5 * 0.1 * (1 + np.cos(np.pi * (steps - len(chosen) // 16) / steps))
    assert run.history[-1]["learning_rate"] == pytest.approx(rate, rel=1e-4)

    (tmp_path / "run" / "metrics.json").unlink()
    again = resume(tmp_path / "run")
    assert again.metrics == run.metrics


def test_too_few_ids_to_finish_on(cache, tmp_path):
    (tmp_path / "finish.txt").write_text("000001\n000002\n")
    with pytest.raises(TrainerError, match=r"finish.txt: .* to finish on are less than a batch of 16"):
        train(cache, tmp_path / "run", **TINY, finish=0.5, finish_ids=tmp_path / "finish.txt")
    assert not (tmp_path / "run").exists()
