"""What the trunk of a network makes of galaxies, in files, and who is like whom by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galaxy_trainer.drawing.curves import draw_figure
from galaxy_trainer.drawing.safely import default_settings
from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.files.writing import check_answers, check_new, write_columns, write_text, write_whole


@dataclass(frozen=True)
class Features:
    """Features of galaxies.

    Parameters
    ----------
    ids : tuple of str
        The n galaxies.
    values : ndarray of float32, shape (n, features)
        NaN where an image failed.
    messages : dict of str to str
        Why images failed, by id.
    """

    ids: tuple[str, ...]
    values: np.ndarray
    messages: Mapping[str, str]


@dataclass(frozen=True)
class Neighbours:
    """Galaxies that are like another one.

    Parameters
    ----------
    query : str
        The id or file of that one.
    crop : ndarray
        Its crop.
    ids : tuple of str
        The others, most similar first.
    distances : ndarray of float, shape (n,)
        How far their features are; two galaxies taken at random are about 1.4 apart.
    crops : ndarray, shape (n, size, size, C)
        Their crops.
    """

    query: str
    crop: np.ndarray
    ids: tuple[str, ...]
    distances: np.ndarray
    crops: np.ndarray

    def draw(self, path: str | Path) -> None:
        """Draw it, and the others, into a PNG file that is replaced if it exists."""
        with default_settings():
            from galaxy_trainer.drawing.target_figures import neighbours_figure

            draw_figure(neighbours_figure(self), Path(path))


def check_features(output: str | Path, *, overwrite: bool) -> None:
    """Raise `TrainerError` if features cannot be written to this file, or the ids beside it."""
    path = Path(output)
    if path.suffix.lower() != ".npy":
        check_answers(path, overwrite=overwrite)
        return
    for file in (path, _ids_beside(path)):
        check_new(file, overwrite=overwrite)


def write_features(path: Path, features: Features) -> None:
    """Write features as ``.npy`` with the ids beside, or as a table; what is there is replaced."""
    if path.suffix.lower() == ".npy":
        write_whole(path, lambda part: np.save(part, features.values))
        write_text(_ids_beside(path), "".join(f"{name}\n" for name in features.ids))
        return
    columns = {f"feature_{i:04d}": column for i, column in enumerate(features.values.T)}
    write_columns(path, "FEATURES", {"id": np.array(features.ids), **columns}, overwrite=True)


def _ids_beside(path: Path) -> Path:
    return path.with_suffix(".ids.txt")


def nearest(values: np.ndarray, query: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that are nearest to a query, nearest first, and their distances.

    Parameters
    ----------
    values : ndarray, shape (n, features)
        Features; every one counts in units of its standard deviation, those that never vary not at all.
    query : ndarray, shape (features,)
        What they are compared with.
    count : int
        How many.

    Returns
    -------
    rows : ndarray of int
    distances : ndarray of float

    Examples
    --------
    >>> rows, distances = nearest(np.array([[0.0, 7], [10, 7], [2, 7]]), np.array([1.5, 7]), 2)
    >>> rows.tolist()
    [2, 0]
    """
    deviation = values.std(axis=0)
    varying = deviation > 0
    if not varying.any():
        raise TrainerError("all galaxies have the same features: there is nothing to compare")
    distances = np.sqrt((((values - query)[:, varying] / deviation[varying]) ** 2).mean(axis=1))
    rows = np.argsort(distances, kind="stable")[:count]
    return rows, distances[rows]
