"""Networks in one file: they answer as the run does, know what it was trained on, and damage is told."""

import json
import zipfile

import numpy as np
import pytest
from conftest import sky_blobs, write_cache

from galaxy_trainer import TrainerError, evaluate, predict, train
from galaxy_trainer.commands import export as galaxy_export
from galaxy_trainer.runs import stored

pytestmark = pytest.mark.slow  # a training in each worker, and more

IMAGES, LABELS = sky_blobs(40, size=16)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    path = tmp_path_factory.mktemp("cache") / "own.h5"
    views = {"normalized": IMAGES, "center-64": IMAGES[:, ::-1].copy()}
    names = [f"image {i}" for i in range(40)]
    return write_cache(path, views, labels=LABELS, pictures=names, settings={"sigma": 2.0})


@pytest.fixture(scope="module")
def run(cache, tmp_path_factory):
    views = ["center-64", "normalized"]
    return train(cache, tmp_path_factory.mktemp("run") / "run", view=views, width=0.05, epochs=2, head="tree")


@pytest.fixture(scope="module")
def file(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "small.npz"
    assert galaxy_export.main([str(run.folder), "-o", str(path), "--credit", "simulated", "--quiet"]) == 0
    return path


def test_answers_are_those_of_the_run(cache, run, file):
    kept, expected = stored.open_run(file), run.network().get_weights()
    for value, weight in zip(kept.network().get_weights(), expected, strict=True):
        np.testing.assert_allclose(value, weight, rtol=2**-11, atol=2**-25)
    np.testing.assert_allclose(predict(file, cache).answers, predict(run, cache).answers, atol=1e-3)
    assert not np.array_equal(predict(file, cache).answers, predict(run, cache).answers)


def test_scores_are_of_galaxies_not_trained_on(cache, run, file):
    ours, its = evaluate(file, cache, passes=0), evaluate(run, passes=0)
    assert ours["galaxies"] == its["galaxies"] == 4
    assert ours["deterministic"]["mse"] == pytest.approx(its["deterministic"]["mse"], abs=1e-4)
    assert ours["epoch"] == its["epoch"]
    assert stored.open_run(file).metrics["deterministic"] == run.metrics["deterministic"]


def test_credit_goes_on(file, tmp_path):
    stored.save_stored(file, tmp_path / "again.npz")
    assert stored.open_run(tmp_path / "again.npz").about["credit"] == "simulated"
    stored.save_stored(file, tmp_path / "other.npz", credit="others")
    assert stored.open_run(tmp_path / "other.npz").about["credit"] == "others"


def test_crops_made_otherwise_are_refused(file, tmp_path):
    views = {"normalized": IMAGES, "center-64": IMAGES}
    other = write_cache(tmp_path / "other.h5", views, labels=LABELS, settings={"sigma": 3.0})
    with pytest.raises(TrainerError, match=r"other settings than what .*small.npz was trained on \(sigma: 2.0, here 3"):
        predict(file, other)


def test_nothing_of_the_machine_is_in_it(run, file, cache):
    with np.load(file) as arrays:
        about = json.loads(str(arrays["about"]))
        assert all(arrays[name].dtype == np.float16 for name in arrays.files if name.startswith("weight"))
    assert str(cache.parent) not in json.dumps(about)
    assert about["credit"] == "simulated"
    assert about["config"]["cache_settings"]["sigma"] == 2.0


def test_a_file_stands_before_a_shipped_network_of_its_name(file, tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "shipped", lambda: {"gz2": file})
    monkeypatch.chdir(tmp_path)
    assert stored.open_run("gz2").folder == file
    (tmp_path / "gz2").write_text("another")
    with pytest.raises(TrainerError, match="gz2 is not a stored network, or damaged"):
        stored.open_run("gz2")


def test_messages(run, file, tmp_path, capsys):
    for arguments, message in (
        ([str(file), "-o", str(tmp_path / "a.txt")], "a.txt: a stored network is a file that ends in .npz"),
        ([str(tmp_path / "no"), "-o", str(tmp_path / "a.npz")], "is neither a run folder"),
        ([str(file), "-o", str(file)], "small.npz already exists"),
    ):
        assert galaxy_export.main(arguments) == 1
        assert message in capsys.readouterr().err
    with pytest.raises(TrainerError, match=r"is without the cache it was trained on \(own.h5\): name a CACHE"):
        evaluate(file)
    data = file.read_bytes()
    with zipfile.ZipFile(file) as archive:  # behind the local header of a member, whose name is 30 bytes in
        place = archive.getinfo("weight_0000.npy").header_offset + 30 + len("weight_0000.npy") + 40
    damaged = data[:place] + b"\xff\xff\xff" + data[place + 3 :]
    contents = {"half.npz": data[: len(data) // 2], "empty.npz": b"", "text.npz": b"weights", "bytes.npz": damaged}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TrainerError, match=f"{name} is not a stored network, or damaged"):
            stored.open_run(tmp_path / name)
    np.savez(tmp_path / "later.npz", about=json.dumps({"format": stored.FORMAT, "format_version": 2}), split="{}")
    with pytest.raises(TrainerError, match="later version"):
        stored.open_run(tmp_path / "later.npz")
