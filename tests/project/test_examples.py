"""The examples run as a reader would run them, and what they print and write is right."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import scalenorm

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, folder, *, strict=True):
    """Run an example in an empty folder; return what it printed."""
    command = [sys.executable, *(["-W", "error"] if strict else []), str(EXAMPLES / name)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_crop_from_python(tmp_path):
    printed = run("crop_from_python.py", tmp_path)
    assert printed.startswith("(424, 424, 3) -> (64, 64, 3)\n")
    image = scalenorm.make_galaxies(1, seed=7).images[0]
    with Image.open(tmp_path / "views.png") as picture:
        shown = np.asarray(picture)
    assert shown.shape == (128, 4 * 128, 3)
    np.testing.assert_array_equal(shown[:, 128:256], scalenorm.crop(image, 128, view="center-64"))
    np.testing.assert_array_equal(shown[:, 384:], scalenorm.crop(image, 128, margin=1.5))
    # The claim on pixel (10, 20): an image of row numbers, cut with the same window, holds its row there.
    galaxy = scalenorm.measure(image)
    rows = np.repeat(np.arange(424.0)[:, None], 424, axis=1)
    mask = np.zeros((424, 424))
    top, left = round(galaxy.window_row - galaxy.side / 2 + 0.5), round(galaxy.window_col - galaxy.side / 2 + 0.5)
    mask[top : top + round(galaxy.side), left : left + round(galaxy.side)] = 1
    row, col = map(float, re.search(r"\(10, 20\) lies at \(([\d.]+), ([\d.]+)\)", printed).groups())
    assert abs(rows[mask > 0].min() + 10.5 * galaxy.side / 64 - 0.5 - row) < 1
    assert abs(left + 20.5 * galaxy.side / 64 - 0.5 - col) < 1


@pytest.mark.slow
def test_hubble_deep_field(tmp_path):
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    printed = run("hubble_deep_field.py", tmp_path)
    count = int(re.search(r"(\d+) galaxies with major axes", printed)[1])
    assert count >= 40
    with Image.open(tmp_path / "hubble.png") as picture:
        shown = np.asarray(picture, dtype=float)
    assert shown.shape == (2 * 96, 12 * 96, 3)
    # The galaxies are sorted by size: above they get smaller from left to right, below they do not.
    light = shown.mean(axis=2).reshape(2, 96, 12, 96)[:, 24:72, :, 24:72].mean(axis=(1, 3))
    assert light[0, :3].mean() > 2 * light[0, -3:].mean()
    assert light[1, -3:].mean() > 0.6 * light[1, :3].mean()
    with Image.open(tmp_path / "field.png") as picture:
        measurements, crops = scalenorm.crop_all(np.asarray(picture), min_area=30, deblend=True)
    assert f"field.h5: {len(crops)} objects" in printed
    assert f"field/000000 has {measurements[0].area} pixels" in printed
    np.testing.assert_array_equal(scalenorm.open_cache(tmp_path / "field.h5").view("normalized"), crops)


@pytest.mark.slow
def test_scikit_learn_pipeline(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    printed = run("scikit_learn_pipeline.py", tmp_path)
    assert float(re.search(r"on the test set (\S+)", printed)[1]) > 0.3


@pytest.mark.slow
def test_tf_data(tmp_path):
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    printed = run("tf_data.py", tmp_path, strict=False)
    crops = scalenorm.crop_many(scalenorm.make_galaxies(64, seed=1, size=212).images)
    means = [float(mean) for mean in re.findall(r"images \(16, 64, 64, 3\), mean ([\d.]+)", printed)]
    np.testing.assert_allclose(means, crops.reshape(4, -1).mean(axis=1) / 255, atol=6e-4)


@pytest.mark.slow
def test_torch_loader(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    printed = run("torch_loader.py", tmp_path, strict=False)
    assert printed.count("from the cache: (16, 3, 64, 64), labels (16, 37)") == 2
    crops = scalenorm.crop_many(scalenorm.make_galaxies(32, seed=1, size=212).images)
    means = [float(mean) for mean in re.findall(r"on the fly: \(16, 3, 64, 64\), mean ([\d.]+)", printed)]
    np.testing.assert_allclose(means, crops.reshape(2, -1).mean(axis=1) / 255, atol=6e-4)


@pytest.mark.slow
def test_fits_folder(tmp_path):
    table = pytest.importorskip("astropy.table", reason="astropy is not installed")
    printed = run("fits_folder.py", tmp_path)
    assert "6 images, 0 failed; crops (6, 64, 64, 1), float32" in printed
    found = table.Table.read(tmp_path / "fits-example" / "catalog.fits")
    # The dead column at 5000 is masked: were it not, it would be the brightest and the galaxies would not be found.
    np.testing.assert_allclose(found["row"], 60, atol=6)
    np.testing.assert_allclose(found["col"], 60, atol=6)
    np.testing.assert_allclose(found["sky_0"], 3.2, atol=0.3)
    assert len(re.findall(r"10h0\dm\S+ \+02d1[12]m\S+, major axis \d+\.\d arcsec", printed)) == 6
    assert len(list((tmp_path / "fits-example" / "crops").glob("*.fits"))) == 6


@pytest.mark.slow
def test_dask_cluster(tmp_path):
    pytest.importorskip("distributed", reason="Dask is not installed")
    printed = run("dask_cluster.py", tmp_path, strict=False)
    assert "40 images, 0 failed" in printed
    assert printed.endswith("the same as without a cluster: True\n")


@pytest.mark.slow
def test_own_classes(tmp_path):
    pytest.importorskip("keras", reason="Keras is not installed")
    printed = run("own_classes.py", tmp_path)
    folder = tmp_path / "own-classes"
    with (folder / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    # The true class is the folder, which is the first part of the id.
    right = np.mean([row["class"] == row["id"].partition("/")[0] for row in rows])
    assert len(rows) == 600
    assert right > 0.8
    assert float(re.search(r"deterministic +\S+ +(\S+)", printed)[1]) > 0.75
    assert (folder / "run" / "confusion.png").stat().st_size > 1000


@pytest.mark.slow
def test_regression(tmp_path):
    pytest.importorskip("keras", reason="Keras is not installed")
    printed = run("regression.py", tmp_path, strict=False)
    network, mean = (float(re.search(rf"the {name} +(\S+)", printed)[1]) for name in ("network", "mean of the others"))
    assert network < 0.6 * mean
    with (tmp_path / "regression" / "answers.csv").open(newline="") as file:
        answers = np.array([float(row["axis_ratio"]) for row in csv.DictReader(file)])
    sample = scalenorm.make_galaxies(1000, seed=3, size=128)
    assert np.corrcoef(answers, sample.minor_axis / sample.major_axis)[0, 1] > 0.8


def test_every_example_says_what_it_shows_and_is_tested_here():
    own = Path(__file__).read_text(encoding="utf-8")
    elsewhere = {"demo.py", "train_from_python.py", "not_only_galaxies.py"}
    for path in sorted(EXAMPLES.glob("*.py")):
        assert path.read_text(encoding="utf-8").startswith('"""'), path.name
        assert path.name in elsewhere or f'"{path.name}"' in own, path.name


@pytest.mark.slow
def test_cluster_features(tmp_path):
    pytest.importorskip("keras", reason="Keras is not installed")
    printed = run("cluster_features.py", tmp_path, strict=False)
    groups = re.findall(r"group \d: +(\d+) galaxies .* smooth ([\d.]+)", printed)
    assert sum(int(count) for count, _ in groups) == 400
    assert len(groups) == 4
    # Four groups of galaxies taken at random would differ by some hundredths.
    assert np.ptp([float(smooth) for _, smooth in groups]) > 0.2
