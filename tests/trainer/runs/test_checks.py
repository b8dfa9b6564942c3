"""What a run is asked about against what it was trained on: settings of crops, pictures under other ids."""

import contextlib
import json
import re
import shutil
import warnings

import keras
import numpy as np
import pytest
from conftest import sky_blobs, write_cache

from galaxy_trainer import TrainerError, TrainerWarning, evaluate, load_run, predict, resume, train
from galaxy_trainer.commands import evaluate as galaxy_evaluate
from galaxy_trainer.commands import predict as galaxy_predict
from galaxy_trainer.data.galaxies import open_galaxies
from galaxy_trainer.experiment.arms import arms_of
from galaxy_trainer.experiment.compare import compare
from galaxy_trainer.network.recipes import Recipe
from galaxy_trainer.runs.checks import twins

IMAGES, LABELS = sky_blobs(40, size=16)
VIEWS = {"normalized": IMAGES}
NAMES = [f"image {i}" for i in range(40)]
TINY = {"width": 0.05, "epochs": 1}


def made(path, **options):
    return write_cache(path, VIEWS, labels=LABELS, **{"pictures": NAMES, **options})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return train(made(folder / "own.h5", settings={"sigma": 2.0}), folder / "run", **TINY)


@contextlib.contextmanager
def warned(match):
    """One `TrainerWarning` and no other; `pytest.warns` would also see what Keras warns itself of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TrainerWarning)
        yield
    (one,) = caught
    assert re.search(match, str(one.message))


def old(run, folder):
    """The run as an earlier version would have left it: no settings, no pictures, standardised by Keras."""
    shutil.copytree(run.folder, folder)
    config = json.loads((folder / "config.json").read_text())
    del config["cache_settings"]
    (folder / "config.json").write_text(json.dumps(config))
    lines = (folder / "split.csv").read_text().splitlines()
    (folder / "split.csv").write_text("".join(line.rsplit(",", 1)[0] + "\n" for line in lines))
    standardised = keras.layers.Normalization(mean=config["mean"][0], variance=np.square(config["std"][0]))
    network = run.network()
    x = inputs = keras.Input((16, 16, 3))
    for layer in network.layers[1:]:
        x = standardised(x) if layer.name == "standardise_0" else layer(x)
    keras.Model(inputs, x).save(folder / "best.keras")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "differing"),
    [
        ({"sigma": 2.0, "margin": 3.0}, r"\(margin: 1\.0, here 3\.0\)"),
        ({"sigma": 3.0}, r"\(sigma: 2\.0, here 3\.0\)"),
        ({}, r"\(sigma: 2\.0, here 1\.0\)"),
        ({"sigma": 2.0, "all_objects": True}, r"\(all_objects: False, here True\)"),
        ({"sigma": 1.0, "center": "galaxy"}, r"\(sigma: 2\.0, here 1\.0; center: image, here galaxy\)|"
         r"\(center: image, here galaxy; sigma: 2\.0, here 1\.0\)"),
    ],
)  # fmt: skip
def test_crops_made_with_other_settings_are_refused(run, settings, differing, tmp_path):
    path = made(tmp_path / "other.h5", settings=settings, ids=[f"x{i:02d}" for i in range(40)], pictures=None)
    for ask in (evaluate, predict):
        with pytest.raises(TrainerError, match=rf"trained on {differing}: make .* or use --any-settings"):
            ask(run, path)
    assert len(predict(run, path, any_settings=True).ids) == 40


@pytest.mark.slow
def test_other_settings_on_the_command_line(run, tmp_path, capsys):
    path = made(tmp_path / "other.h5", settings={"sigma": 2.0, "margin": 3.0}, ids=[f"x{i:02d}" for i in range(40)])
    evaluating = (galaxy_evaluate.main, [str(run.folder), str(path), "--passes", "0", "--allow-duplicates"])
    predicting = (galaxy_predict.main, [str(run.folder), str(path), "-o", str(tmp_path / "answers.csv")])
    for command, arguments in (evaluating, predicting):
        assert command(arguments) == 1
        assert "(margin: 1.0, here 3.0): make a cache" in capsys.readouterr().err
        assert command([*arguments, "--any-settings"]) == 0
        assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_pixels_in_another_unit_are_warned_of(tmp_path):
    def fluxes(unit, seed=0):
        images, labels = sky_blobs(40, size=16, seed=seed)
        views = {"normalized": images.astype("f4") * np.float32(unit)}
        return write_cache(tmp_path / f"{unit}{seed}.h5", views, labels=labels)

    run = train(fluxes(1.0), tmp_path / "run", **TINY)
    predict(run, fluxes(2.0, seed=1))  # a warning is an error here
    for unit, ratio in ((1e-17, r"[\d.]+e-1[78]"), (1e9, r"[\d.]+e\+0[89]")):
        with warned(rf"pixels vary {ratio} times as much .* another unit\?"):
            predict(run, fluxes(unit))
        predict(run, fluxes(unit), any_settings=True)


@pytest.mark.slow
def test_what_changes_no_crop_may_differ(run, tmp_path):
    """More views, ids from paths, another HDU, an option at its default that an earlier version did not store."""
    settings = {
        "sigma": 2.0,
        "id_from": "path",
        "margin": 1.0,
        "method": 1,
        "hdu": "SCI",
        "views": ["normalized", "center-64"],
    }
    views = {**VIEWS, "center-64": IMAGES}
    path = write_cache(tmp_path / "more.h5", views, settings=settings)
    assert len(predict(run, path).ids) == 40


@pytest.mark.slow
def test_runs_of_earlier_versions_are_read(run, tmp_path, capsys):
    before = load_run(old(run, tmp_path / "old"))
    cache = run.config.cache
    with warned("old is of an earlier version, which did not keep the settings"):
        found = predict(before, cache)
    for weights in ("best", "last"):
        found = predict(before, cache, weights=weights, any_settings=True)
        expected = predict(run, cache, weights=weights)
        np.testing.assert_allclose(found.answers, expected.answers, atol=1e-6)
    arguments = [str(before.folder), "--passes", "0"]
    assert galaxy_evaluate.main(arguments) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line[:43] for line in lines] == [f"galaxy-evaluate: warning: {before.folder}"[:43]]
    assert galaxy_evaluate.main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_networks_of_earlier_versions_divide_by_no_less_than_keras_did(run, tmp_path):
    folder = old(run, tmp_path / "old")
    config = json.loads((folder / "config.json").read_text())
    config["std"] = [[1e-17, 2.0, 1e-7]]
    (folder / "config.json").write_text(json.dumps(config))
    assert load_run(folder).config.std == [[1e-7, 2.0, 1e-7]]


@pytest.mark.slow
def test_a_cache_made_anew_with_other_settings_is_not_trained_on_any_further(run, tmp_path):
    folder = shutil.copytree(run.folder, tmp_path / "run")
    (folder / "metrics.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    config["cache"] = str(made(tmp_path / "again.h5", settings={"sigma": 3.0}, sky=21.0))
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(TrainerError, match=r"not the cache .* started with \(another digest; sigma: 2\.0, now 3\.0\)"):
        resume(folder)


@pytest.mark.slow
def test_one_picture_on_both_sides_of_the_split(tmp_path):
    listed = tmp_path / "test.txt"
    listed.write_text("000001\n000002\n000003\n000004\n")
    twice = [*NAMES[:4], *NAMES[:2], "image 0", *NAMES[7:]]  # the pictures of rows 0 and 1 are those of 4, 5 and 6 too
    path = made(tmp_path / "twice.h5", pictures=twice)
    expected = r"2 of 4 galaxies to test on show the same picture .* \(such as 000001 and 000005\)"
    with warned(expected):
        run = train(path, tmp_path / "run", test_ids=listed, **TINY)
    with warned(expected):
        evaluate(run, passes=0)
    evaluate(run, passes=0, allow_duplicates=True)  # a warning is an error here


@pytest.mark.slow
def test_training_galaxies_under_new_names(run, tmp_path, capsys):
    new = [f"x{i:02d}" for i in range(40)]
    path = made(tmp_path / "new.h5", settings={"sigma": 2.0}, ids=new, pictures=[*NAMES[:30], *["other"] * 10])
    trained = sum(name in [f"{i:06d}" for i in range(30)] for name in run.trained)
    arguments = [str(run.folder), str(path), "--passes", "0"]
    assert galaxy_evaluate.main(arguments) == 0
    said = capsys.readouterr().err
    assert said.startswith(
        f"galaxy-evaluate: warning: {path}: {trained} of 40 galaxies to test on show the same picture"
    )
    assert said.count("\n") == 1
    assert galaxy_evaluate.main([*arguments, "--allow-duplicates"]) == 0
    assert capsys.readouterr().err == ""


def test_objects_of_one_image_are_different_pictures(tmp_path):
    def found(name, places):
        fields = ["field 1", "field 2"] * 20
        path = made(tmp_path / name, places=places, settings={"all_objects": True}, pictures=fields)
        galaxies = open_galaxies(path, ["normalized"])
        return twins(galaxies.pictures(np.arange(20)), galaxies.pictures(np.arange(20, 40)))

    assert found("fields.h5", range(40)) == []
    assert len(found("copied.h5", [i % 20 for i in range(40)])) == 20


def test_pictures_without_a_hash_are_no_twins(tmp_path):
    for all_objects in (False, True):
        path = made(tmp_path / f"{all_objects}.h5", pictures=None, settings={"all_objects": all_objects})
        galaxies = open_galaxies(path, ["normalized"])
        assert set(galaxies.pictures(np.arange(40)).values()) == {""}
        assert twins(galaxies.pictures(np.arange(20)), galaxies.pictures(np.arange(20, 40))) == []


def test_comparisons_warn_once(tmp_path, monkeypatch):
    def stop(*_):
        raise TrainerError("stopped")

    monkeypatch.setattr("galaxy_trainer.experiment.compare.side_by_side", stop)
    path = write_cache(tmp_path / "two.h5", {**VIEWS, "center-64": IMAGES}, labels=LABELS, pictures=["one"] * 40)
    arms = arms_of(path, views=None, recipe=Recipe(**TINY))
    with warned("8 of 8 galaxies to test on"), pytest.raises(TrainerError, match="stopped"):
        compare(arms, tmp_path / "experiment", folds=2)
    with pytest.raises(TrainerError, match="stopped"):
        compare(arms, tmp_path / "experiment", folds=2, allow_duplicates=True)
