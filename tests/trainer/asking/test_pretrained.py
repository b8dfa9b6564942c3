"""Networks asked about images: the answers are those for a cache of them, however the images come."""

import csv
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from conftest import ANSWER_NAMES, sky_blobs
from PIL import Image

import galaxy_trainer
import scalenorm
from galaxy_trainer import TrainerError, predict, train
from galaxy_trainer.asking import predicting, pretrained
from galaxy_trainer.commands import predict as galaxy_predict
from galaxy_trainer.commands import similar as galaxy_similar
from galaxy_trainer.runs import stored
from scalenorm.files.errors import InputError, OptionError

pytestmark = pytest.mark.slow  # a training in each worker, and more

SETTINGS = {"size": 16, "margin": 1.4, "views": ["normalized", "center-32"]}


def write_labels(path, labels):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["GalaxyID", *ANSWER_NAMES])
        writer.writerows([f"g{i:03d}", *row] for i, row in enumerate(labels.tolist()))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of forty pictures, a cache of them, a run on it and the network in one file."""
    folder = tmp_path_factory.mktemp("place")
    images, labels = sky_blobs(40, size=48)
    (folder / "images").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / "images" / f"g{i:03d}.png")
    labels = write_labels(folder / "labels.csv", labels)
    scalenorm.convert(folder / "images", folder / "own.h5", labels=labels, **SETTINGS)
    train(folder / "own.h5", folder / "run", view=["center-32", "normalized"], width=0.05, epochs=1)
    stored.save_stored(folder / "run", folder / "small.npz")
    return folder


@pytest.fixture(scope="module")
def network(place):
    return galaxy_trainer.load(place / "small.npz")


@pytest.fixture(scope="module")
def expected(place):
    return predict(place / "small.npz", place / "own.h5")


def assert_same(found, expected):
    assert found.ids == expected.ids
    np.testing.assert_allclose(found.answers, expected.answers, atol=1e-6)


def test_answers_are_those_for_a_cache(place, network, expected, tmp_path):
    assert np.ptp(expected.answers, axis=0).max() > 1e-3
    found = network.predict(place / "images")
    assert_same(found, expected)
    assert (found.failed, found.deviation) == ((), None)
    shutil.make_archive(str(tmp_path / "images"), "zip", place / "images")
    assert_same(network.predict(tmp_path / "images.zip"), expected)
    assert_same(network.predict(sorted((place / "images").iterdir())), expected)
    assert_same(network.predict(place / "own.h5"), expected)


def test_images_in_memory(place, network, expected):
    images = [np.asarray(Image.open(path)) for path in sorted((place / "images").iterdir())]
    for given in (images, np.stack(images)):
        np.testing.assert_allclose(network.predict(given).answers, expected.answers, atol=1e-6)
    one = network.predict(images[3])
    assert one.ids == ("000000",)
    np.testing.assert_allclose(one.answers[0], expected.answers[3], atol=1e-6)


def test_what_a_network_says_of_itself(network):
    assert network.columns == ANSWER_NAMES
    assert {name: network.settings[name] for name in SETTINGS} == {**SETTINGS, "views": ("center-32", "normalized")}
    assert "37 answers from center-32, normalized (16 x 16, 3 x uint8)" in repr(network)


def test_orientations(place, network):
    expected = predict(place / "small.npz", place / "own.h5", orientations=4)
    found = network.predict(place / "images", orientations=4)
    assert_same(found, expected)
    np.testing.assert_allclose(found.deviation, expected.deviation, atol=1e-6)


def test_failed_images_are_rows_of_nan(place, expected, tmp_path, capsys):
    folder = shutil.copytree(place / "images", tmp_path / "images")
    (folder / "a.jpg").write_bytes(b"no picture")
    Image.new("L", (40, 40)).save(folder / "black.png")
    np.save(folder / "flux.npy", np.ones((30, 30), np.float32))
    output = tmp_path / "answers.csv"
    assert galaxy_predict.main([str(place / "small.npz"), str(folder), "-o", str(output)]) == 3
    said = capsys.readouterr()
    assert said.out == f"43 galaxies written to {output}\n"
    assert said.err.startswith("without answers, as 2 images failed: a (not a JPEG")
    assert "flux (the image is float32 with 1 band, but uint8 with 3 bands is needed here)" in said.err
    assert len(said.err.splitlines()) == 1
    with output.open() as file:
        rows = {row["GalaxyID"]: row for row in csv.DictReader(file)}
    assert list(rows) == sorted(["a", "black", "flux", *expected.ids])
    for i, name in enumerate(expected.ids):
        assert float(rows[name]["Class1.1"]) == pytest.approx(expected.answers[i, 0], abs=1e-6)
    assert rows["a"]["Class1.1"] == rows["flux"]["Class7.3"] == "nan"
    assert np.isfinite(float(rows["black"]["Class1.1"]))


def test_cache_is_kept(place, expected, tmp_path, capsys):
    folder = shutil.copytree(place / "images", tmp_path / "images")
    (folder / "a.jpg").write_bytes(b"no picture")
    command = [str(place / "small.npz"), str(folder), "-o", str(tmp_path / "a.csv"), "--cache", str(tmp_path / "a.h5")]
    assert galaxy_predict.main(command) == 3
    assert "without answers, as 1 image failed: a (not a JPEG" in capsys.readouterr().err
    cache = scalenorm.open_cache(tmp_path / "a.h5")
    assert (cache.settings["margin"], cache.view_names) == (1.4, ("center-32", "normalized"))
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["GalaxyID"] for row in rows] == ["a", *expected.ids]
    assert [float(row["Class1.1"]) for row in rows[1:]] == pytest.approx(expected.answers[:, 0].tolist(), abs=1e-6)
    assert rows[0]["Class1.1"] == "nan"
    scalenorm.convert(place / "images", tmp_path / "other.h5", margin=1.0, size=16, views=SETTINGS["views"])
    command = [str(place / "small.npz"), str(tmp_path / "other.h5"), "-o", str(tmp_path / "b.csv")]
    assert galaxy_predict.main(command) == 1
    assert "made with other settings" in capsys.readouterr().err


def test_positions_in_tiles(place, network, expected, tmp_path):
    """Four of the pictures in one tile, each found at its position again."""
    tile = np.full((150, 150, 3), 20, np.uint8)
    rows = [["id", "row", "col"]]
    for number, (top, left) in enumerate([(10, 10), (10, 90), (90, 10), (90, 90)]):
        tile[top : top + 48, left : left + 48] = np.asarray(Image.open(place / "images" / f"g{number:03d}.png"))
        rows.append([f"g{number:03d}", top + 23.5, left + 23.5])
    Image.fromarray(tile).save(tmp_path / "tile.png")
    with (tmp_path / "places.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    found = network.predict(tmp_path / "tile.png", positions=tmp_path / "places.csv", stamp=48)
    assert found.ids == expected.ids[:4]
    np.testing.assert_allclose(found.answers, expected.answers[:4], atol=1e-6)
    command = [str(place / "small.npz"), str(tmp_path / "tile.png"), "-o", str(tmp_path / "a.csv")]
    assert galaxy_predict.main([*command, "--positions", str(tmp_path / "places.csv"), "--stamp", "48", "--quiet"]) == 0
    with (tmp_path / "a.csv").open() as file:
        written = [float(row["Class1.1"]) for row in csv.DictReader(file)]
    assert written == pytest.approx(expected.answers[:4, 0].tolist(), abs=1e-6)


def test_features_are_what_the_last_layer_sees(place, network, expected, tmp_path, capsys):
    folder = shutil.copytree(place / "images", tmp_path / "images")
    (folder / "a.jpg").write_bytes(b"no picture")
    found = network.features(folder, tmp_path / "a.npy")
    kernel, bias = network.model.get_layer("linear").get_weights()
    np.testing.assert_allclose(found.values[1:] @ kernel + bias, expected.answers, atol=1e-5)
    assert found.ids == ("a", *expected.ids)
    assert np.isnan(found.values[0]).all()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), found.values)
    assert (tmp_path / "a.ids.txt").read_text().split() == list(found.ids)
    small = str(place / "small.npz")
    assert galaxy_predict.main([small, str(folder), "--features", "-o", str(tmp_path / "a.csv"), "--quiet"]) == 3
    assert "without answers, as 1 image failed: a (not a JPEG" in capsys.readouterr().err
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", *(f"feature_{i:04d}" for i in range(found.values.shape[1]))]
    np.testing.assert_array_equal(np.array([row[1:] for row in rows[1:]], np.float32), found.values)
    np.testing.assert_allclose(network.features(place / "own.h5").values, found.values[1:], atol=1e-6)
    with pytest.raises(TrainerError, match=r"a.ids.txt already exists"):
        network.features(folder, (tmp_path / "a.npy").rename(tmp_path / "b.npy").with_name("a.npy"))


def test_similar_galaxies(place, network, tmp_path, capsys):
    small, cache, picture = (str(place / name) for name in ("small.npz", "own.h5", "images/g007.png"))
    values = network.features(cache).values.astype(float)
    deviation = values.std(axis=0)
    values = values[:, deviation > 0] / deviation[deviation > 0]
    distances = [np.sqrt(np.mean((row - values[7]) ** 2)) for row in values]
    order = sorted(range(40), key=lambda i: distances[i])
    assert order[0] == 7
    drawn = tmp_path / "similar.png"
    assert galaxy_similar.main([cache, "g007", "--network", small, "-n", "3", "-o", str(drawn)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == [f"g{i:03d}" for i in order[1:4]]
    assert [float(line.split()[0]) for line in lines] == pytest.approx([distances[i] for i in order[1:4]], rel=0.03)
    with Image.open(drawn) as image:
        assert np.ptp(np.asarray(image.convert("L"))) > 100
    assert galaxy_similar.main([cache, picture, "--network", small, "-n", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "0.000  g007"
    assert lines[1].split()[1] == f"g{order[1]:03d}"
    assert galaxy_similar.main([cache, "g999", "--network", small]) == 1
    assert "g999 is neither a galaxy of" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_crops_are_let_go():
    """Many blocks take no more memory than a few, which `Model.predict` under TensorFlow does not manage."""
    inputs = keras.Input((64, 64, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))

    def ask(blocks):
        for _ in range(blocks):
            catalog = np.zeros(256, [("id", "S6"), ("status", "S6"), *((f"sky_{band}", "f8") for band in range(3))])
            crops = np.full((256, 64, 64, 3), 7, np.uint8)
            galaxies = pretrained._galaxies(catalog, [crops], SimpleNamespace(size=64, channels=3, views=("a",)))
            answers, _ = predicting.oriented(model, galaxies, np.arange(256), count=1)
        assert (answers == 7).all()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    few = ask(5)
    assert ask(40) - few < 40 * 256 * 64 * 64 * 3 / 4


def test_messages(place, network, expected, tmp_path, capsys, monkeypatch):
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no images in"):
        network.predict(tmp_path / "none")
    with pytest.raises(OptionError, match="stamp needs positions"):
        network.predict(place / "images", stamp=64)
    with pytest.raises(TrainerError, match=r"own.h5 is a cache already: leave out stamp"):
        network.predict(place / "own.h5", stamp=64)
    with pytest.raises(TrainerError, match=r"own.h5 is a cache already: leave out stamp, cache"):
        network.predict(place / "own.h5", stamp=64, jobs=1, cache=tmp_path / "again.h5")
    assert network.predict(place / "own.h5", jobs=1).ids == expected.ids
    with pytest.raises(TrainerError, match=r"--any-settings .* goes with a cache: images are cropped as those that"):
        network.predict(place / "images", any_settings=True)
    with monkeypatch.context() as patch:
        patch.setitem(network.run.config.cache_settings, "windows_from", "0" * 64)
        with pytest.raises(TrainerError, match=r"was trained on windows from another cache: give windows_from, or"):
            network.predict(place / "images")
    with pytest.raises(TrainerError, match="nor a network that comes with this package"):
        galaxy_trainer.load("gz3")
    fluxes = tmp_path / "fluxes"
    fluxes.mkdir()
    for i in range(3):
        np.save(fluxes / f"{i}.npy", np.ones((30, 30), np.float32))
    reason = "none of the 3 images can .* 0: the image is float32 with 1 band, .* trained on .* bands .colour pictures"
    with pytest.raises(TrainerError, match=reason):
        network.predict(fluxes)
    small = str(place / "small.npz")
    for arguments, code, message in (
        ([small, "-o", "a.csv"], 2, "give IMAGES, or say where they are"),
        ([small, str(tmp_path / "none"), "-o", "a.csv"], 1, "no images in"),
        ([small, str(fluxes), "-o", "a.txt"], 1, "a.txt: the file extension must be one of"),
    ):
        if code == 2:
            with pytest.raises(SystemExit, match="2"):
                galaxy_predict.main(arguments)
        else:
            assert galaxy_predict.main(arguments) == code
        assert message in capsys.readouterr().err
