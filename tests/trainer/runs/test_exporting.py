"""Networks in files of other programs answer there as they do here, and say how their crops are made."""

import dataclasses
import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from conftest import sky_blobs, write_cache

import galaxy_trainer
from galaxy_trainer import TrainerError, train
from galaxy_trainer.commands import export as galaxy_export
from galaxy_trainer.labels.questions import shipped
from galaxy_trainer.runs import exporting

pytestmark = pytest.mark.slow  # a training in each worker, and more

IMAGES, LABELS = sky_blobs(24, size=16)
tensorflow_only = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="written by TensorFlow")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two views, four rotations, a tree: every layer that there is, but one."""
    folder = tmp_path_factory.mktemp("run")
    views = {"normalized": IMAGES, "center-64": IMAGES[:, ::-1].copy()}
    cache = write_cache(folder / "own.h5", views, labels=LABELS, settings={"margin": 1.5})
    recipe = {"network": "compact", "rotations": 4, "head": "tree", "width": 0.05, "epochs": 1, "dropout": 0.2}
    return train(cache, folder / "run", view=list(views), **recipe)


@pytest.fixture(scope="module")
def inputs():
    return {"view_0": IMAGES[:5].astype("f4"), "view_1": IMAGES[:5, ::-1].astype("f4")}


@pytest.fixture(scope="module")
def expected(run, inputs):
    return run.network().predict(inputs, verbose=0)


def check_description(text, run):
    about = json.loads(text)
    assert about["input"] == {"view_0": "normalized", "view_1": "center-64"}
    assert about["shape"] == [16, 16, 3]
    assert about["settings"]["margin"] == 1.5
    assert about["output"] == list(shipped("galaxy_zoo_2").names)
    assert about["credit"] == "simulated"


def in_another_process(code, *arguments, inputs, tmp_path):
    """Answers of a program that never imports this package unless the code does."""
    np.savez(tmp_path / "inputs.npz", **inputs)
    start = f"import numpy, sys\ninputs = dict(numpy.load({str(tmp_path / 'inputs.npz')!r}))\n"
    end = f"\nnumpy.save({str(tmp_path / 'answers.npy')!r}, answers)\nprint('galaxy_trainer' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", start + code + end, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.load(tmp_path / "answers.npy"), done.stdout.split()[-1] == "True"


def test_keras_loads_it_after_one_import(run, inputs, expected, tmp_path):
    path = tmp_path / "small.keras"
    options = ["-o", str(path), "--format", "keras", "--credit", "simulated", "--quiet"]
    assert galaxy_export.main([str(run.folder), *options]) == 0
    code = "import galaxy_trainer.network.layers, keras\nmodel = keras.models.load_model(sys.argv[1])\n"
    found, _ = in_another_process(code + "answers = model.predict(inputs, verbose=0)", str(path), inputs=inputs,
                                  tmp_path=tmp_path)  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with zipfile.ZipFile(path) as archive:
        check_description(archive.read(exporting.NAME), run)


@tensorflow_only
def test_savedmodel_needs_tensorflow_only(run, inputs, expected, tmp_path):
    path = tmp_path / "small"
    galaxy_trainer.export(run, path, format="savedmodel", credit="simulated")
    code = "import tensorflow\nmodel = tensorflow.saved_model.load(sys.argv[1])\nanswers = model.serve(inputs).numpy()"
    found, imported = in_another_process(code, str(path), inputs=inputs, tmp_path=tmp_path)
    assert not imported
    np.testing.assert_allclose(found, expected, atol=1e-5)
    check_description((path / exporting.NAME).read_text(), run)
    with pytest.raises(TrainerError, match="already exists"):
        galaxy_trainer.export(run, path, format="savedmodel")
    galaxy_trainer.export(run, path, format="savedmodel", credit="another", overwrite=True)
    assert json.loads((path / exporting.NAME).read_text())["credit"] == "another"


@tensorflow_only
def test_onnx_needs_nothing_of_keras(run, inputs, expected, tmp_path):
    pytest.importorskip("tf2onnx", reason="the extra onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    path = tmp_path / "small.onnx"
    galaxy_trainer.export(run, path, format="onnx", credit="simulated")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert {given.name for given in session.get_inputs()} == set(inputs)
    np.testing.assert_allclose(session.run(None, inputs)[0], expected, atol=1e-5)
    check_description(session.get_modelmeta().custom_metadata_map[exporting.NAME], run)


def test_it_calculates_in_32_bits(run, inputs, expected, tmp_path):
    config = dataclasses.replace(run.config, precision="bfloat16")
    galaxy_trainer.export(dataclasses.replace(run, config=config), tmp_path / "small.keras", format="keras")
    found = keras.models.load_model(tmp_path / "small.keras").predict(inputs, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_messages(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    for name, options, message in (
        ("a.h5", {"format": "keras"}, "a.h5: a network in the format keras is a file that ends in .keras"),
        ("a.pt", {"format": "torch"}, "unknown format 'torch'; known: stored, keras, savedmodel, onnx"),
        ("a.onnx", {"format": "onnx"}, r"pip install 'scalenorm\[onnx\]'|KERAS_BACKEND=tensorflow"),
    ):
        with pytest.raises(TrainerError, match=message):
            galaxy_trainer.export(run, tmp_path / name, **options)
    (tmp_path / "mine").mkdir()
    with pytest.raises(TrainerError, match="mine"):
        galaxy_trainer.export(run, tmp_path / "mine", format="savedmodel", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]
