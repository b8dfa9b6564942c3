"""A trained network in one file, small enough to be shipped: what ``galaxy-export`` writes.

An ``.npz`` archive::

    about          JSON: format, configuration of the run with the settings of its cache, scores, history, credit
    split          JSON: part and picture of every galaxy used, by id, as in a run
    weight_0000    ... the weights in 16 bits, in the order of the network's

Those in ``networks/`` beside this module are known by name.
"""

import dataclasses
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

import scalenorm
from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.files.writing import check_new, write_whole
from galaxy_trainer.network import backend
from galaxy_trainer.runs.run import Config, Run, load_run, split_of

FORMAT, FORMAT_VERSION = "galaxy-trainer-network", 1


def shipped() -> Mapping[str, Path]:
    """Return the networks that come with this package, by name."""
    return {path.stem: path for path in sorted(Path(__file__).with_name("networks").glob("*.npz"))}


@dataclass(frozen=True)
class Stored(Run):
    """A network of which there is one file, and no run folder.

    Parameters
    ----------
    about : dict
        What the file says of it.
    values : tuple of ndarray
        The weights.
    """

    about: dict[str, Any] = dataclasses.field(default_factory=dict)
    values: tuple[np.ndarray, ...] = ()

    @property
    def cache(self) -> str:
        """Of what it was trained on only the name is known."""
        raise TrainerError(f"{self.folder} is without the cache it was trained on ({self.config.cache}): name a CACHE")

    @property
    def history(self) -> list[dict[str, float]]:
        """One row per epoch."""
        return list(self.about["history"])

    @property
    def finished(self) -> bool:
        """True."""
        return True

    @property
    def metrics(self) -> dict[str, Any]:
        """The scores of the run; none of weights that are not those of its best epoch, which were scored."""
        return dict(self.about["scores"])

    def epoch(self, weights: str = "best") -> int:
        """Return the epoch that the weights are of."""
        self._check(weights)
        return int(self.about["epoch"])

    def network(self, weights: str = "best") -> keras.Model:
        """Return the network; there is one set of weights, so "last" is refused unless it is of the last epoch."""
        self._check(weights)
        network = self.config.network()
        network.set_weights([value.astype(np.float32) for value in self.values])
        return network

    def _check(self, weights: str) -> None:
        if weights not in ("best", self.about["weights"]) and self.about["epoch"] != len(self.history):
            raise TrainerError(
                f"{self.folder} holds the weights of epoch {self.about['epoch']} only: leave out --weights {weights}"
            )


def open_run(network: str | Path | Run) -> Run:
    """Open a run folder, a stored network, or one that is shipped by its name.

    Parameters
    ----------
    network : str, Path or Run
        A file or folder of this name comes before a shipped network; a `Run` is returned as it is.

    Returns
    -------
    Run

    Raises
    ------
    TrainerError
        If it is none of these.
    """
    if isinstance(network, Run):
        return network
    path, known = Path(network), shipped()
    if path.is_file():
        return read_stored(path)
    if (path / "config.json").exists():
        return load_run(path)
    if str(network) in known:
        return read_stored(known[str(network)])
    raise TrainerError(
        f"{path} is neither a run folder (with config.json and split.csv in it), nor a file that galaxy-export wrote, "
        f"nor a network that comes with this package ({', '.join(known) or 'there is none'})"
    )


def credit_of(run: Run) -> str:
    """Return whose data a network was trained on, as far as it says so."""
    return str(run.about["credit"]) if isinstance(run, Stored) else ""


def read_stored(path: Path) -> Stored:
    """Read a stored network; `TrainerError` if it is none, is damaged, or of a later version."""
    try:
        with open(path, "rb") as opened, np.load(opened) as file:
            about, split = json.loads(str(file["about"])), json.loads(str(file["split"]))
            if about["format"] != FORMAT:
                raise ValueError(f"its format is {about['format']}")
            if about["format_version"] > FORMAT_VERSION:
                raise TrainerError(f"{path} was written by a later version of this package: update it")
            names = sorted(name for name in file.files if name.startswith("weight_"))
            values = tuple(file[name] for name in names)
        config = Config.from_json(about["config"])
    except TrainerError:
        raise
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError, EOFError) as error:
        raise TrainerError(f"{path} is not a stored network, or damaged: {str(error).splitlines()[0]}") from None
    return Stored(path, config, **split_of(split), about=about, values=values)


def save_stored(
    run: str | Path | Run,
    path: str | Path,
    *,
    weights: str = "best",
    credit: str = "",
    overwrite: bool = False,
) -> None:
    """Store a trained network in one file, which all that takes a run takes.

    The weights are rounded to 16 bits, eleven of which are digits; it calculates in 32 bits, whatever it was trained
    in. Paths of this machine are left out.

    Parameters
    ----------
    run : str, Path or Run
        A finished run.
    path : str or Path
        The file to write, ending in ``.npz``.
    weights : {"best", "last"}
        As in `Run.network`.
    credit : str
        Whose data it was trained on, and under which licence. Default: what a stored network says.
    overwrite : bool
        Replace the file if it exists.

    Raises
    ------
    TrainerError
        If the run is not finished, weights are beyond 16 bits, or the file exists or cannot be written.
    """
    output = Path(path)
    if output.suffix != ".npz":
        raise TrainerError(f"{output}: a stored network is a file that ends in .npz")
    check_new(output, overwrite=overwrite)
    opened = open_run(run)
    scores = opened.metrics if opened.epoch(weights) == opened.epoch() else {}
    config = dataclasses.replace(
        opened.config, cache=Path(opened.config.cache).name, labels=None, precision="float32", devices=1,
        in_memory=None, start=opened.config.start and Path(opened.config.start).name,
    )  # fmt: skip
    values = opened.network(weights).get_weights()
    with np.errstate(over="ignore"):
        rounded = [value.astype(np.float16) for value in values]
    if not all(np.isfinite(value).all() for value in rounded):
        raise TrainerError(f"{opened.folder}: weights are beyond what 16 bits hold (65504), or no numbers")
    about = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": dataclasses.asdict(config),
        "precision": opened.about["precision"] if isinstance(opened, Stored) else opened.config.precision,
        "weights": weights,
        "epoch": opened.epoch(weights),
        "history": opened.history,
        "scores": {**scores, "cache": config.cache} if scores else {},
        "versions": {"scalenorm": scalenorm.__version__, "keras": keras.__version__, backend.name(): backend.version()},
        "credit": credit or credit_of(opened),
    }
    arrays: dict[str, Any] = {f"weight_{i:04d}": value for i, value in enumerate(rounded)}
    arrays.update(about=np.array(json.dumps(about)), split=np.array(json.dumps(opened.split)))
    write_whole(output, lambda part: np.savez_compressed(part, **arrays))
