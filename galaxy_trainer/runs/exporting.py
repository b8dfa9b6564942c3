"""A trained network in files of other programs: Keras, TensorFlow's SavedModel, ONNX."""

import dataclasses
import importlib
import json
import shutil
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.files.writing import check_new, write_text, write_whole
from galaxy_trainer.network import backend
from galaxy_trainer.runs.run import Run
from galaxy_trainer.runs.stored import credit_of, open_run, save_stored

NAME = "galaxy_trainer.json"
"""Name of the description in an exported file or folder."""


def description(run: Run, credit: str) -> dict[str, Any]:
    """Return what must be known to use a network without this package."""
    config = run.config
    return {
        "input": {f"view_{i}": name for i, name in enumerate(config.views)},
        "shape": [config.size, config.size, config.channels],
        "pixels": f"{config.dtype}, as they are in the crops: standardisation is part of the network; given as float32",
        "crops": "scalenorm.stream or scalenorm.convert with these settings; scalenorm's documentation explains them",
        "settings": config.cache_settings,
        "output": list(config.target.names),
        "target": config.target.described(),
        "credit": credit,
    }


@backend.keras_defaults()
def export(
    network: str | Path | Run,
    path: str | Path,
    *,
    format: str = "stored",
    weights: str = "best",
    credit: str = "",
    overwrite: bool = False,
) -> None:
    """Write a trained network to a file or folder, to be used elsewhere; it calculates in 32 bits there.

    Parameters
    ----------
    network : str, Path or Run
        A run, a stored network, or the name of one that comes with this package.
    path : str or Path
        What to write.
    format : {"stored", "keras", "savedmodel", "onnx"}
        "stored": an ``.npz`` that all of this package takes in place of a run, the weights in 16 bits. "keras": a
        ``.keras`` for ``keras.models.load_model`` after ``import galaxy_trainer.network.layers``. "savedmodel" (a
        folder) and "onnx" (an ``.onnx``) need nothing of this package.
    weights : {"best", "last"}
        As in `Run.network`.
    credit : str
        Whose data it was trained on, and under which licence.
    overwrite : bool
        Replace what there is.

    Raises
    ------
    TrainerError
        If `path` exists or has another ending, or what writes the format is not installed.

    Examples
    --------
    >>> export("run", "galaxies.onnx", format="onnx")  # doctest: +SKIP
    """
    output = Path(path)
    if format == "stored":
        save_stored(network, output, weights=weights, credit=credit, overwrite=overwrite)
        return
    if format not in FORMATS:
        raise TrainerError(f"unknown format {format!r}; known: stored, {', '.join(FORMATS)}")
    suffix, write = FORMATS[format]
    if suffix and output.suffix != suffix:
        raise TrainerError(f"{output}: a network in the format {format} is a file that ends in {suffix}")
    if (output / NAME).exists():  # a folder that this wrote
        if not overwrite:
            raise TrainerError(f"{output} already exists: choose another name, or use --overwrite to replace it")
    else:
        check_new(output, overwrite=overwrite)
    run = open_run(network)
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, precision="float32"))
    model = run.network(weights)
    # Keras exports only what was called.
    model(keras.tree.map_structure(lambda given: keras.ops.zeros((1, *given.shape[1:])), model.input))
    write(model, output, json.dumps(description(run, credit or credit_of(run)), indent=2))


def _write_keras(model: keras.Model, output: Path, about: str) -> None:
    def write(part: Path) -> None:
        model.save(part)
        with zipfile.ZipFile(part, "a") as archive:
            archive.writestr(NAME, about)

    write_whole(output, write)


def _write_savedmodel(model: keras.Model, output: Path, about: str) -> None:
    _needs_tensorflow()
    part = output.with_name(f".{output.name}.part")
    if part.exists():
        shutil.rmtree(part)
    model.export(part, format="tf_saved_model", verbose=False)
    write_text(part / NAME, about)
    if output.is_dir():
        shutil.rmtree(output)
    part.rename(output)


def _write_onnx(model: keras.Model, output: Path, about: str) -> None:
    _needs_tensorflow()
    try:
        onnx = importlib.import_module("onnx")
        importlib.import_module("tf2onnx")
    except ImportError as error:
        raise TrainerError(f"ONNX files need {error.name}: pip install 'scalenorm[onnx]'") from None

    def write(part: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tf2onnx's own, on NumPy's names
            model.export(part, format="onnx", verbose=False)
        proto = onnx.load(part)
        entry = proto.metadata_props.add()
        entry.key, entry.value = NAME, about
        onnx.save(proto, part)

    write_whole(output, write)


def _needs_tensorflow() -> None:
    if backend.name() != "tensorflow":
        raise TrainerError(f"this format is written by TensorFlow, not {backend.name()}: set KERAS_BACKEND=tensorflow")


FORMATS: Mapping[str, tuple[str, Callable[[keras.Model, Path, str], None]]] = {
    "keras": (".keras", _write_keras),
    "savedmodel": ("", _write_savedmodel),
    "onnx": (".onnx", _write_onnx),
}
"""Endings and writers of formats by name."""
