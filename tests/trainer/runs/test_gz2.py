"""The network that comes with the package: it answers, and on real galaxies as well as its page says."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import sky_blobs, write_cache

import galaxy_trainer
import scalenorm
from galaxy_trainer.runs.stored import shipped

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def network():
    return galaxy_trainer.load("gz2")


@pytest.mark.slow
def test_it_tells_round_galaxies_from_discs(network):
    """On simulated ones, which it never saw, it is better than one answer for all."""
    sample = scalenorm.make_galaxies(40, seed=3)
    found = network.predict(list(sample.images))
    assert found.answers.shape == (40, 37)
    np.testing.assert_allclose(found.answers[:, :3].sum(axis=1), 1, atol=1e-5)
    assert np.corrcoef(found.answers[:, 0], sample.answers[:, 0])[0, 1] > 0.5


def test_it_is_small_and_says_where_it_comes_from(network):
    path = shipped()["gz2"]
    assert path.stat().st_size <= 6e6
    assert "Galaxy Zoo 2" in network.run.about["credit"]
    assert "SDSS" in network.run.about["credit"]
    with np.load(path) as file:
        assert "/" not in json.loads(str(file["about"]))["config"]["cache"]
        assert "/tmp/" not in str(file["about"])
    recorded = json.loads((ROOT / "benchmarks" / "results" / "network.json").read_text())
    assert recorded["deterministic"]["mse"] == pytest.approx(network.run.metrics["deterministic"]["mse"], rel=1e-3)


MEMORY = """
import sys
from galaxy_trainer.commands import predict
assert predict.main(sys.argv[1:]) == 0
with open("/proc/self/status") as status:  # ru_maxrss counts the process that started this one
    peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
print(peak, *sys.modules)
import matplotlib, sklearn
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow, the default")
def test_the_command_takes_less_than_a_gigabyte(network, tmp_path):
    """And imports nothing that Keras has a use for and it has not; afterwards that can be imported."""
    cache = write_cache(tmp_path / "many.h5", {"normalized": sky_blobs(160)[0]})
    options = ["gz2", str(cache), "-o", str(tmp_path / "answers.csv"), "--any-settings", "--quiet"]
    done = subprocess.run([sys.executable, "-c", MEMORY, *options], capture_output=True, text=True, check=True)
    peak, *modules = done.stdout.split()
    assert int(peak) < 0.9e6  # kB; measuring images takes 0.1 GB more
    assert not {"cv2", "jax", "matplotlib", "pandas", "sklearn"} & set(modules)


@pytest.mark.slow
@pytest.mark.skipif("SCALENORM_GALAXYZOO" not in os.environ, reason="SCALENORM_GALAXYZOO names no folder of images")
def test_real_galaxies_that_it_was_not_trained_on(network):
    folder = Path(os.environ["SCALENORM_GALAXYZOO"])
    tested = sorted(name for name, part in network.run.parts.items() if part == "test")[::4]
    with (folder / "labels.csv").open(newline="") as file:
        truth = {row.pop("GalaxyID"): list(map(float, row.values())) for row in csv.DictReader(file)}
    found = network.predict([folder / "images" / f"{name}.jpg" for name in tested])
    assert list(found.ids) == tested
    errors = ((found.answers - np.array([truth[name] for name in tested])) ** 2).mean(axis=1)
    assert errors.mean() == pytest.approx(
        network.run.metrics["deterministic"]["mse"], abs=3 * errors.std() / len(errors) ** 0.5
    )
    assert errors.mean() < 0.012
