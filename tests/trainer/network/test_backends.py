"""The same tests on the other Keras backends, and several devices; one process each, as Keras has one backend."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
SHARED = ["network/test_layers.py", "answers/test_losses.py", "network/test_networks.py",
          "network/test_augmentation.py", "training/test_training.py",
          "answers/test_targets.py::test_resuming_ends_with_the_same_bits"]  # fmt: skip
# Not again: what is about files or rows rather than the backend; one kill between two files stands for all of them.
NOT_AGAIN = " and not ".join((
    "not sigkill", "refuses", "fit", "the_same_again", "whole", "damaged", "two_processes", "learning_rates",
    "to_finish_on",
    "(exact and not 3-after)",
))  # fmt: skip


# Most of the time goes into XLA's optimisations, which are not what is tested.
JAX = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


def python(code_or_options, **environment):
    return subprocess.run(
        [sys.executable, *code_or_options], cwd=HERE, capture_output=True, text=True, check=False,
        env={**os.environ, **JAX, **environment},
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_same_tests_pass_on(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    # JAX compiles every network anew for every test otherwise, which takes four times as long.
    compiled = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
    }
    options = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *SHARED, "-k", NOT_AGAIN]
    result = python(options, KERAS_BACKEND=backend, **compiled)
    assert result.returncode == 0, result.stdout[-3000:]
    assert " passed" in result.stdout


DEVICES = """
import json, sys
sys.path.insert(0, {here!r})
if {backend!r} == "tensorflow":
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from conftest import sky_blobs, write_cache  # which starts Keras
import galaxy_trainer
images, labels = sky_blobs(60, size=16)
cache = write_cache({folder!r} + "/cache.h5", {{"normalized": images}}, labels=labels)
losses = [
    galaxy_trainer.train(
        cache, {folder!r} + f"/run{{n}}", devices=n, width=0.05, epochs=2, dropout=0.0, batch_size=8
    ).history
    for n in (1, 2)
]
try:
    galaxy_trainer.train(cache, {folder!r} + "/run3", devices=3, width=0.05, epochs=1)
except galaxy_trainer.TrainerError as error:
    losses.append(str(error))
print(json.dumps(losses))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_give_the_loss_of_one(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    code = DEVICES.format(here=str(HERE), backend=backend, folder=str(tmp_path))
    flags = "--xla_force_host_platform_device_count=2"
    result = python(["-c", code], KERAS_BACKEND=backend, XLA_FLAGS=flags)
    assert result.returncode == 0, result.stderr[-3000:]
    one, two, error = json.loads(result.stdout.splitlines()[-1])
    for a, b in zip(one, two, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
        assert a["val_loss"] == pytest.approx(b["val_loss"], rel=1e-4)
    assert error.startswith("3 devices asked for, there are 2")
    assert not (tmp_path / "run3").exists()


@pytest.mark.slow
def test_commands_are_quiet_under_jax(cache, tmp_path):
    """Keras imports TensorFlow for its batches there too, whose C++ parts write to the file descriptor."""
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed")
    code = "import sys; from galaxy_trainer.commands import train; sys.exit(train.main(sys.argv[1:]))"
    options = [str(cache), "-o", str(tmp_path / "run"), "--width", "0.05", "--epochs", "1", "--quiet"]
    result = python(["-c", code, *options], KERAS_BACKEND="jax", TF_CPP_MIN_LOG_LEVEL="")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
