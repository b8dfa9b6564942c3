"""Trainings that start from a trained network: what is taken over, what is new, and that they resume to the bit."""

import shutil
import warnings

import numpy as np
import pytest
from conftest import sky_blobs, write_cache

import scalenorm
from galaxy_trainer import Choice, TrainerError, TrainerWarning, evaluate, load_run, resume, train
from galaxy_trainer.commands import train as galaxy_train
from galaxy_trainer.network.recipes import recipe_of
from galaxy_trainer.runs import stored
from galaxy_trainer.training.starting import recipe_from

pytestmark = pytest.mark.slow  # a training in each worker, and more

IMAGES, LABELS = sky_blobs(56, size=16)
PICTURES = [f"image {i}" for i in range(56)]
VALUES = np.stack([LABELS[:, 0], LABELS[:, 3] ** 2], axis=1)
SMALL = {"network": "paper", "width": 0.05, "head": "tree"}
TUNED = {"epochs": 2, "batch_size": 8, "target": Choice(kind="values"), "ema": 0.9, "optimizer": "adam"}


def cache_of(path, images, labels, pictures=PICTURES, **options):
    return write_cache(path, {"normalized": images, "center-64": images[:, ::-1].copy()}, labels=labels,
                       pictures=pictures, ids=pictures, **options)  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    cache = cache_of(folder / "first.h5", IMAGES[:32], LABELS[:32], PICTURES[:32])
    run = train(cache, folder / "run", view=["center-64", "normalized"], width=0.05, head="tree", epochs=1)
    stored.save_stored(run, folder / "small.npz")
    return run


@pytest.fixture(scope="module")
def others(source):
    """A cache of other galaxies, with other answers."""
    path = source.folder.parent / "others.h5"
    return cache_of(path, IMAGES[32:], VALUES[32:], PICTURES[32:], names=["round", "flat"])


@pytest.fixture(scope="module")
def tuned(source, others):
    with warnings.catch_warnings():
        warnings.simplefilter("error", TrainerWarning)
        return train(others, source.folder.parent / "tuned", start=source.folder, **TUNED)


def weights(network):
    return {f"{layer.name}/{i}": value for layer in network.layers for i, value in enumerate(layer.get_weights())}


def test_orientations_follow_the_source_unless_changed(source):
    assert recipe_from(source, "best", {"epochs": 3}) == recipe_of("best", {**SMALL, "epochs": 3, "rotations": 1})
    assert recipe_from(source, "best", {"rotations": 16}) == recipe_of("best", {**SMALL, "rotations": 16})


def test_all_but_the_last_layer_is_taken_over(source, tuned):
    theirs, begun, ended = weights(source.network()), weights(tuned.untrained()), weights(tuned.network())
    assert begun["linear/1"].shape == (2,)
    last = ("linear/0", "linear/1")
    assert len(begun) > 20
    for name, value in begun.items():
        assert np.array_equal(value, theirs[name]) == (name not in last), name
        assert not np.array_equal(value, ended[name])
    assert (tuned.config.mean, tuned.config.std) == (source.config.mean, source.config.std)
    assert tuned.config.views == source.config.views
    assert tuned.config.recipe.width == 0.05
    assert len(tuned.metrics["deterministic"]["questions"]) == 2


def test_what_the_source_was_trained_on_is_not_scored_on(source, tuned, tmp_path):
    """Nor further down a chain, nor from a stored file."""
    theirs = {name for name, part in source.parts.items() if part != "test"}
    stored.save_stored(tuned, tmp_path / "tuned.npz")
    for run in (tuned, load_run(tuned.folder), stored.open_run(tmp_path / "tuned.npz")):
        assert theirs < set(run.trained)
        assert not theirs & set(run.parts)
    every = cache_of(tmp_path / "every.h5", IMAGES, VALUES, names=["round", "flat"])
    left = [name for name in PICTURES if name not in tuned.trained]
    assert evaluate(tuned, every, passes=0, any_settings=True)["galaxies"] == len(left) > 0
    again = train(every, tmp_path / "again", start=tuned, allow_duplicates=True, **{**TUNED, "epochs": 1})
    assert theirs < set(load_run(again.folder).trained) | {name for name, part in again.parts.items() if part == "test"}


def test_a_frozen_trunk_stays_as_it_was(source, others, tmp_path):
    small = source.folder.parent / "small.npz"
    command = [str(others), "--from", str(small), "--freeze", "trunk", "-o", str(tmp_path / "run"),
               "--target", "values", "--epochs", "1", "--batch-size", "8", "--quiet"]  # fmt: skip
    assert galaxy_train.main(command) == 0
    run = load_run(tmp_path / "run")
    theirs, begun, ended = weights(stored.open_run(small).network()), weights(run.untrained()), weights(run.network())
    for name, value in ended.items():
        assert np.array_equal(value, begun[name]) == (not name.startswith("linear")), name
        assert name.startswith("linear") or np.array_equal(value, theirs[name])
    for name, value in weights(run.network("last")).items():
        np.testing.assert_array_equal(value, ended[name])


def test_the_same_answers_keep_the_last_layer(source, tmp_path):
    cache = cache_of(tmp_path / "more.h5", IMAGES[32:], LABELS[32:], PICTURES[32:])
    run = train(cache, tmp_path / "run", start=source, epochs=1, batch_size=8)
    theirs = weights(source.network())
    for name, value in weights(run.untrained()).items():
        np.testing.assert_array_equal(value, theirs[name])


@pytest.mark.parametrize("after", [0, 1])
def test_resumed_to_the_bit_without_the_source(source, others, tuned, tmp_path, after):
    moved = shutil.copytree(source.folder, tmp_path / "source")

    def stop(line):
        if line.startswith(f"epoch {after}/") or not after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(others, tmp_path / "run", start=moved, report=stop, **TUNED)
    shutil.rmtree(moved)
    run = resume(tmp_path / "run")
    for which in ("best", "last"):
        found, expected = weights(run.network(which)), weights(tuned.network(which))
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value)
    assert run.metrics["deterministic"] == tuned.metrics["deterministic"]


def test_galaxies_that_the_source_was_trained_on_are_warned_of(source, tmp_path):
    cache = cache_of(tmp_path / "same.h5", IMAGES, VALUES, names=["a", "b"], settings={"margin": 2.0})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TrainerWarning)
        train(cache, tmp_path / "run", start=source, split_seed=1, **{**TUNED, "epochs": 1})
    said = [str(one.message) for one in caught if issubclass(one.category, TrainerWarning)]
    parts = load_run(tmp_path / "run").parts
    seen = [name for name, part in parts.items() if part == "test" and name in source.trained]
    assert seen
    assert len(said) == 2
    assert "made with other settings than what" in said[0]
    assert "margin: 1.0, here 2.0" in said[0]
    assert f"was trained on {len(seen)} of 6 galaxies to test on (such as {seen[0]})" in said[1]


def test_messages(source, others, tmp_path, capsys):
    for options, message in (
        ({"width": 0.5}, "width 0.5 is not that of .*run, 0.05: leave it out"),
        ({"view": "normalized"}, "run sees the views center-64 normalized, not normalized: leave them out"),
        ({"freeze": "head"}, "freeze must be none, or trunk"),
        ({"start": tmp_path / "no"}, "neither a run folder"),
        ({"start": None, "freeze": "trunk"}, "freeze must be none, or trunk with a network to start from"),
    ):
        with pytest.raises(TrainerError, match=message):
            train(others, tmp_path / "run", **{"start": source, "target": Choice(kind="values"), **options})
    images, _ = sky_blobs(24, size=24)
    with pytest.raises(TrainerError, match=r"has images of 24 x 24 .* was trained on 16 x 16"):
        train(cache_of(tmp_path / "large.h5", images, LABELS[:24], PICTURES[:24]), tmp_path / "run", start=source,
              batch_size=8)  # fmt: skip
    assert not (tmp_path / "run").exists()
    with pytest.raises(SystemExit, match="2"):
        galaxy_train.main(["--resume", str(source.folder), "--from", "gz2"])
    assert "leave out --from" in capsys.readouterr().err
    assert scalenorm.open_cache(others).label_names == ("round", "flat")
