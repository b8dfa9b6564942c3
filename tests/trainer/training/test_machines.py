"""A run that goes on elsewhere: another node, another place of its cache, another Keras, another keras.json."""

import dataclasses
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from conftest import sky_blobs, write_cache
from typed import run as typed

from galaxy_trainer import evaluate, load_run, predict, resume, train
from galaxy_trainer.commands import compare as galaxy_compare
from galaxy_trainer.commands import evaluate as galaxy_evaluate
from galaxy_trainer.commands import predict as galaxy_predict
from galaxy_trainer.commands import train as galaxy_train
from galaxy_trainer.experiment.workers import side_by_side
from galaxy_trainer.runs.run import State
from galaxy_trainer.training import train as training

TINY = {"width": 0.05, "epochs": 2, "learning_rate": 0.01, "seed": 2}


@pytest.fixture(scope="module")
def finished(cache, tmp_path_factory):
    return train(cache, tmp_path_factory.mktemp("machines") / "run", **TINY)


@pytest.fixture
def begun(finished, tmp_path):
    """A copy that lacks its scores."""
    folder = shutil.copytree(finished.folder, tmp_path / "run")
    (folder / "metrics.json").unlink()
    return folder


def weights(run):
    return [value.tobytes() for value in State.load(run.state_path).weights]


@pytest.mark.slow
def test_sigterm_ends_a_training_so_that_another_node_resumes(finished, cache, tmp_path):
    folder = tmp_path / "run"
    code = (
        "import sys, time; from galaxy_trainer.commands import train\n"
        "tell = train.tell\n"
        "train.tell = lambda line: (tell(line), time.sleep(1))\n"
        "sys.exit(train.main(sys.argv[1:]))"
    )
    options = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]
    command = [sys.executable, "-c", code, str(cache), "-o", str(folder), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not (folder / "state.npz").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        error = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert error.splitlines()[-1] == f"galaxy-train: interrupted; resume with galaxy-train --resume {folder}"
    assert not (folder / ".lock").exists()
    assert len(load_run(folder).history) == 1
    assert weights(resume(folder)) == weights(finished)


@pytest.mark.slow
def test_sigterm_ends_trainings_side_by_side(monkeypatch):
    """It reaches the parent alone, which would wait for hours of training."""
    monkeypatch.setenv("KERAS_BACKEND", "numpy")  # starts sooner

    def interrupt(_number, _frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(6)
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            side_by_side([functools.partial(time.sleep, 60)] * 2, 2)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_a_cache_that_moved(finished, begun, cache, tmp_path, capsys):
    """The run is told where it is; another cache is refused."""
    config = json.loads((begun / "config.json").read_text())
    (begun / "config.json").write_text(json.dumps({**config, "cache": str(tmp_path / "before.h5")}))
    with pytest.raises(OSError, match=r"before\.h5"):
        resume(begun)
    images, labels = sky_blobs(96, size=16, seed=9)
    other = write_cache(tmp_path / "other.h5", {"normalized": images, "center-64": images}, labels=labels)
    code, _, lines = typed(capsys, "train", "--resume", begun, other)
    assert code == 1
    assert lines == [
        f"galaxy-train: error: {other} is not the cache that {begun} was started with, {tmp_path / 'before.h5'} "
        "(another digest)"
    ]
    assert json.loads((begun / "config.json").read_text())["cache"] == str(tmp_path / "before.h5")
    moved = shutil.copy(cache, tmp_path / "moved.h5")
    assert typed(capsys, "train", "--quiet", "--resume", begun, moved) == (0, [], [])
    assert load_run(begun).config == dataclasses.replace(finished.config, cache=str(moved))
    assert weights(load_run(begun)) == weights(finished)
    assert evaluate(begun, passes=0)["cache"] == str(moved)


@pytest.mark.slow
def test_what_changes_last_digits_is_said_at_resume(begun, monkeypatch):
    config = json.loads((begun / "config.json").read_text())
    assert config["versions"].keys() >= {"threads", "oneDNN"}
    config["versions"] |= {"threads": "64", "keras": "3.9.0"}
    (begun / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    said = []
    monkeypatch.setattr(training, "warn", said.append)
    resume(begun)
    assert len(said) == 1
    for text in ("keras 3.9.0, now 3.", "threads 64, now ", "oneDNN default, now 0"):
        assert text in said[0]


@pytest.mark.slow
def test_a_run_does_not_need_the_keras_that_saved_its_network(finished, cache, monkeypatch):
    """What older versions fail on is deserialisation of the model."""

    def fail(*_, **__):
        raise TypeError("Unrecognized keyword arguments passed to Dense: {'quantization_config': None}")

    expected = predict(finished, cache).answers
    monkeypatch.setattr(keras.saving, "load_model", fail)
    monkeypatch.setattr(keras.Model, "from_config", fail)
    np.testing.assert_array_equal(predict(finished, cache).answers, expected)


@pytest.mark.slow
@pytest.mark.skipif("SCALENORM_OLD_KERAS" not in os.environ, reason="SCALENORM_OLD_KERAS names no folder of packages")
def test_a_run_under_an_older_keras(finished, cache, tmp_path):
    """The folder is what ``pip install --no-deps --target FOLDER keras==3.9.2`` makes."""
    paths = os.pathsep.join([os.environ["SCALENORM_OLD_KERAS"], os.environ.get("PYTHONPATH", "")])
    code = (
        "import sys, keras, numpy, galaxy_trainer as g\n"
        "print(keras.__version__)\n"
        "numpy.save(sys.argv[3], g.predict(sys.argv[1], sys.argv[2]).answers)"
    )
    arguments = [str(finished.folder), str(cache), str(tmp_path / "answers.npy")]
    environment = {**os.environ, "PYTHONPATH": paths}
    said = subprocess.run([sys.executable, "-c", code, *arguments], env=environment, check=True, stdout=subprocess.PIPE)
    assert said.stdout.decode().strip() != keras.__version__
    np.testing.assert_array_equal(np.load(arguments[2]), predict(finished, cache).answers)


@pytest.mark.slow
def test_a_users_keras_json_changes_no_training(finished, cache, tmp_path):
    """Nor a score: its order of axes would turn (rows, columns, bands) as if they were (bands, rows, columns)."""
    (tmp_path / "keras.json").write_text('{"floatx": "float16", "epsilon": 0.1, "image_data_format": "channels_first"}')
    code = (
        "import json, sys, keras, galaxy_trainer as g\n"
        "assert keras.config.floatx() == 'float16'\n"
        "g.train(sys.argv[1], sys.argv[2], **json.loads(sys.argv[3]))\n"
        "scores = g.evaluate(sys.argv[2], passes=1, orientations=8)\n"
        "assert keras.config.floatx() == 'float16' and keras.config.epsilon() == 0.1\n"
        "for trunk in ('paper', 'compact'):\n"
        "    assert g.paper_network(16, width=0.05, trunk=trunk).input.dtype == 'float32'\n"
        "json.dump(scores, open(sys.argv[4], 'w'))\n"
    )
    arguments = [str(cache), str(tmp_path / "run"), json.dumps(TINY), str(tmp_path / "scores.json")]
    subprocess.run(
        [sys.executable, "-c", code, *arguments], env={**os.environ, "KERAS_HOME": str(tmp_path)}, check=True
    )
    run = load_run(tmp_path / "run")
    assert weights(run) == weights(finished)
    assert (run.history, run.metrics) == (finished.history, finished.metrics)
    scores, expected = json.loads((tmp_path / "scores.json").read_text()), evaluate(finished, passes=1, orientations=8)
    for name in ("deterministic", "non_deterministic", "orientations"):
        assert scores[name]["mse"] == pytest.approx(expected[name]["mse"], rel=1e-6)


@pytest.mark.parametrize("command", [galaxy_train.main, galaxy_evaluate.main, galaxy_predict.main, galaxy_compare.main])
def test_no_output_is_no_success(command, capsys, monkeypatch):
    """As for scalenorm's commands: standard output that is closed."""
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as caught:
        command(["--help"])
    assert caught.value.code == 1
    assert "standard output: it is closed" in capsys.readouterr().err
