"""A run folder: what was asked for, what happened, and the weights.

::

    config.json    all options, versions, the cache and its digest          written first, with split.csv
    start.npz      weights taken over from another network, if it started from one
    split.csv      id, part (train, finish or test; source: see `Run.seen`) and picture (16 digits of a hash)
    state.npz      weights, optimizer and history after the last epoch      replaced whole after every epoch
    history.csv    one row per epoch
    best.keras     the network with the lowest validation loss so far
    metrics.json   the scores, at the end
    curves.png     losses and learning rate by epoch
    tensorboard/   logs, if asked for

`state.npz` alone decides where a run resumes; the files after it are made from it again if need be.
"""

import csv
import dataclasses
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

import galaxy_trainer.network.layers  # noqa: F401  (registers the layers that saved networks name)
from galaxy_trainer.answers.choices import target_from_json
from galaxy_trainer.answers.targets import Target
from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.files.writing import write_json, write_rows, write_whole
from galaxy_trainer.network.networks import LINEAR, paper_network
from galaxy_trainer.network.recipes import Recipe, optimizer_of, recipe_from_json
from scalenorm.files.signals import signals_held
from scalenorm.files.writing import flush

POLICIES: Mapping[str, str] = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
"""Keras dtype policies by the name of a precision."""

KERAS_LEAST = 1e-7
"""The least that ``keras.layers.Normalization`` divides by: the standardisation of runs of earlier versions."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """All options of a run, and what they met.

    Parameters
    ----------
    cache : str
        Absolute path of the cache.
    cache_digest : str
        Its digest when the run began.
    labels : str or None
        Absolute path of a CSV file of answers, if not those of the cache.
    labels_digest : str
        SHA-256 of the answers used, in row order.
    views : tuple of str
        Views the network sees.
    recipe : Recipe
        How to train.
    seed : int
        Of weights, order, augmentation and dropout.
    precision : str
        Name in `POLICIES`.
    devices : int
        Devices each batch is split over.
    in_memory : bool or None
        As in `galaxy_trainer.data.galaxies.open_galaxies`.
    tensorboard, augmented_validation : bool
        What is logged.
    size, channels : int
        Of the images.
    mean, std : list of lists of float
        Of the training pixels, per view and channel.
    mean_answers : list of float
        Of the training galaxies: the baseline.
    backend : str
        Keras backend.
    versions : dict of str to str
        Of Python and the packages that matter; and "threads" and "oneDNN" (``TF_ENABLE_ONEDNN_OPTS``), as these two
        decide the order of sums.
    dtype : str
        Of the images. Runs that do not say are from before any but 8-bit ones were told apart.
    cache_settings : dict or None
        The settings of the cache; None in runs of earlier versions.
    answered : dict or None
        What is answered, as from `galaxy_trainer.answers.targets.Target.described`; None: the tree of Galaxy Zoo 2.
    start : str or None
        The trained network that it started from.
    freeze : {"none", "trunk"}
        Whether only the last layer is trained.
    unanswered : int
        Galaxies with a good image that were left out because they have no answer.
    """

    cache: str
    cache_digest: str
    labels: str | None
    labels_digest: str
    views: tuple[str, ...]
    recipe: Recipe
    seed: int
    precision: str
    devices: int
    in_memory: bool | None
    tensorboard: bool
    augmented_validation: bool
    size: int
    channels: int
    mean: list[list[float]]
    std: list[list[float]]
    mean_answers: list[float]
    backend: str
    versions: dict[str, str]
    dtype: str = "uint8"
    cache_settings: dict[str, Any] | None = None
    answered: dict[str, Any] | None = None
    start: str | None = None
    freeze: str = "none"
    unanswered: int = 0

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Config":
        """Return the configuration that `dataclasses.asdict` turned into `values`."""
        changed = {"views": tuple(values["views"]), "recipe": recipe_from_json(values["recipe"])}
        if "cache_settings" not in values:  # from before; it was standardised by Keras, which divides by no less
            changed["std"] = [[max(value, KERAS_LEAST) for value in view] for view in values["std"]]
        return cls(**{**values, **changed})

    @property
    def target(self) -> Target:
        """What is answered."""
        return target_from_json(self.answered)

    def network(self) -> keras.Model:
        """Return the network with its initial weights."""
        recipe, target = self.recipe, self.target
        network = paper_network(
            self.size,
            trunk=recipe.network,
            channels=self.channels,
            views=len(self.views),
            rotations=recipe.rotations,
            width=recipe.width,
            pieces=recipe.pieces,
            dropout=recipe.dropout,
            head=target.head(recipe.head),
            answers=target.outputs,
            mean=self.mean,
            std=self.std,
            seed=self.seed,
            dtype=POLICIES[self.precision],
        )
        for layer in network.layers:
            layer.trainable = self.freeze == "none" or layer.name == LINEAR
        return network


@dataclass(frozen=True)
class State:
    """Where a run stands after its last finished epoch.

    Parameters
    ----------
    history : list of dict
        One row per finished epoch.
    weights, optimizer : list of ndarray
        Values of the network's weights and the optimizer's variables.
    """

    history: list[dict[str, float]]
    weights: list[np.ndarray]
    optimizer: list[np.ndarray]

    @property
    def best_epoch(self) -> int:
        """The first epoch, counted from 1, with the lowest validation loss."""
        return 1 + min(range(len(self.history)), key=lambda i: self.history[i]["val_loss"])

    def save(self, path: Path) -> None:
        """Write the state, whole or not at all."""
        arrays: dict[str, Any] = {
            "history": np.array(json.dumps(self.history)),
            **{f"weight_{i:04d}": value for i, value in enumerate(self.weights)},
            **{f"optimizer_{i:04d}": value for i, value in enumerate(self.optimizer)},
        }
        write_whole(path, lambda part: np.savez(part, **arrays))

    @classmethod
    def load(cls, path: Path) -> "State":
        """Read a state; `TrainerError` if it is damaged."""
        try:
            # Opened here, as np.load leaves a file open that is no archive.
            with open(path, "rb") as opened, np.load(opened) as file:
                names = sorted(file.files)
                return cls(
                    json.loads(str(file["history"])),
                    [file[name] for name in names if name.startswith("weight_")],
                    [file[name] for name in names if name.startswith("optimizer_")],
                )
        except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
            raise TrainerError(f"{path} is damaged: {error}") from None


SOURCE = "source"
"""What is in place of a part for galaxies that only the run that was started from was trained on."""


def split_of(rows: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
    """Return the fields of a `Run` that its `Run.split` was made from."""
    own = {name: row for name, row in rows.items() if row[0] != SOURCE}
    return {
        "parts": {name: row[0] for name, row in own.items()},
        "pictures": {name: row[1] for name, row in own.items()},
        "seen": {name: row[1] for name, row in rows.items() if row[0] == SOURCE},
    }


@dataclass(frozen=True)
class Run:
    """A training, finished or interrupted.

    Parameters
    ----------
    folder : Path
        The run folder.
    config : Config
        All options.
    parts : dict of str to str
        For the id of every galaxy used "test", "finish" (trained on to the end) or "train" (trained on, but for
        the last epochs if the recipe has a `finish`).
    pictures : dict of str to str
        For the id of every galaxy used `data.galaxies.Galaxies.pictures`; empty in runs of earlier versions.
    seen : dict of str to str
        Pictures, by id, of further galaxies that the network was trained on before, in the run that it started from.
    """

    folder: Path
    config: Config
    parts: dict[str, str]
    pictures: dict[str, str]
    seen: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def trained(self) -> dict[str, str]:
        """The pictures of the galaxies trained on, by id."""
        own = {name: self.pictures.get(name, "") for name, part in self.parts.items() if part != "test"}
        return {**self.seen, **own}

    @property
    def split(self) -> dict[str, tuple[str, str]]:
        """Part and picture of every galaxy by id; those of `seen` have the part "source"."""
        own = {name: (part, self.pictures.get(name, "")) for name, part in self.parts.items()}
        return {**{name: (SOURCE, picture) for name, picture in self.seen.items()}, **own}

    @property
    def cache(self) -> str:
        """Path of the cache it was trained on."""
        return self.config.cache

    @property
    def state_path(self) -> Path:
        """Path of the resume state."""
        return self.folder / "state.npz"

    @property
    def history(self) -> list[dict[str, float]]:
        """One row per finished epoch: epoch, loss, val_loss, learning_rate and what else was logged."""
        return State.load(self.state_path).history if self.state_path.exists() else []

    def epoch(self, weights: str = "best") -> int:
        """Return the epoch, counted from 1, that the weights are of."""
        history = self.history
        return State(history, [], []).best_epoch if weights == "best" else len(history)

    @property
    def finished(self) -> bool:
        """Whether all is done, the metrics included."""
        return (self.folder / "metrics.json").exists()

    @property
    def metrics(self) -> dict[str, Any]:
        """The scores that were computed at the end of the training."""
        if not self.finished:
            raise TrainerError(f"{self.folder} is not finished; resume it with galaxy-train --resume {self.folder}")
        result: dict[str, Any] = json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))
        return result

    def untrained(self) -> keras.Model:
        """Return the network as it is before the first epoch."""
        network = self.config.network()
        if self.config.start is not None:
            path = self.folder / "start.npz"
            try:
                with open(path, "rb") as opened, np.load(opened) as file:
                    put_weights(network, dict(file))
            except (OSError, zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
                raise TrainerError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
        return network

    def network(self, weights: str = "best") -> keras.Model:
        """Return the trained network.

        Parameters
        ----------
        weights : {"best", "last"}
            Of the epoch with the lowest validation loss, or of the last epoch.

        Returns
        -------
        keras.Model
            From raw images (n, size, size, channels) to answers (n, answers); with several views from a dict of
            them.

        Raises
        ------
        TrainerError
            If there is no finished epoch yet, its file is damaged, or `weights` is neither.
        """
        if weights not in ("best", "last"):
            raise TrainerError(f"weights must be best or last, got {weights!r}")
        path = self.folder / "best.keras"
        if not path.exists():
            raise TrainerError(f"{self.folder} has no finished epoch yet; resume it with --resume {self.folder}")
        # Built from the configuration: what a version of Keras saves of a model others may not understand, but weights.
        network = self.config.network()
        if weights == "best":
            try:
                with signals_held():
                    network.load_weights(path)
            except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
                raise TrainerError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
            return network
        state = State.load(self.state_path)
        network.set_weights(state.weights)
        if self.config.recipe.ema is not None:
            set_average(network, self.config.recipe, state.optimizer)
        return network


def set_average(network: keras.Model, recipe: Recipe, values: Sequence[np.ndarray]) -> None:
    """Set the trainable weights to their moving averages, which are among the values of the optimizer's variables."""
    optimizer = optimizer_of(recipe, [1] * recipe.epochs)
    optimizer.build(network.trainable_variables)
    for variable, value in zip(optimizer.variables, values, strict=True):
        variable.assign(value)
    type(optimizer).finalize_variable_values(optimizer, network.trainable_variables)  # that of Keras, not the recipe's


def put_weights(network: keras.Model, values: Mapping[str, np.ndarray]) -> None:
    """Set the weights of those layers of which there are values, under the names ``LAYER/NUMBER``."""
    for layer in network.layers:
        if f"{layer.name}/0" in values:
            layer.set_weights([values[f"{layer.name}/{i}"] for i in range(len(layer.weights))])


def create(run: Run, start: Mapping[str, np.ndarray] | None = None) -> None:
    """Make the folder of a run, with the weights to start from if there are some; it appears whole or not at all.

    Raises
    ------
    TrainerError
        If there is something of this name.
    """
    folder = run.folder
    refuse_existing(folder)
    part = folder.with_name(f".{folder.name}.part")
    if part.exists():
        shutil.rmtree(part)
    part.mkdir(parents=True)
    write_json(part / "config.json", dataclasses.asdict(run.config))
    rows = [{"id": name, "part": value, "picture": picture} for name, (value, picture) in run.split.items()]
    write_rows(part / "split.csv", rows)
    if start is not None:
        values: dict[str, Any] = dict(start)
        write_whole(part / "start.npz", lambda path: np.savez(path, **values))
    part.rename(folder)
    flush(folder.parent)


def refuse_existing(folder: Path) -> None:
    """Raise if there is something of this name."""
    if (folder / "config.json").exists():
        raise TrainerError(f"{folder} already exists; resume it with --resume {folder}, or choose another name")
    if folder.exists():
        raise TrainerError(f"{folder} exists and is not a run; choose another name")


def load_run(folder: str | Path) -> Run:
    """Open a run folder.

    Parameters
    ----------
    folder : str or Path
        What `train` or ``galaxy-train -o`` wrote.

    Returns
    -------
    Run

    Raises
    ------
    TrainerError
        If it is not a run folder, or damaged.

    Examples
    --------
    >>> load_run("run").network().predict(images)  # doctest: +SKIP
    """
    folder = Path(folder)
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        with open(folder / "split.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        split = {row["id"]: (row["part"], row.get("picture", "")) for row in rows}
        return Run(folder, Config.from_json(values), **split_of(split))
    except (FileNotFoundError, NotADirectoryError):
        raise TrainerError(f"{folder} is not a run folder: no config.json and split.csv in it") from None
    except (ValueError, KeyError, TypeError) as error:
        raise TrainerError(f"{folder} is damaged, or of another program or version: {error!r}") from None
