"""From a cache to batches: which rows are used, how they are split, in which order they come."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

import scalenorm
from galaxy_trainer.answers.choices import DEFAULT, Choice
from galaxy_trainer.answers.targets import Target
from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.labels.columns import Columns, cache_columns, read_columns
from galaxy_trainer.labels.questions import first_few
from galaxy_trainer.network.augmentation import Draws
from scalenorm.files.errors import TableError
from scalenorm.sources import labels as tables

SMALL = 1 << 30
"""Views of up to so many bytes together are read into memory unless told otherwise."""

BLOCK = 512
"""Rows read at once where a whole view is gone through."""

LEAST, MOST = 1e-35, 1e35
"""Deviations of pixels that a network can tell apart in 32 bits, with some room to calculate."""


@dataclass(frozen=True)
class Galaxies:
    """The galaxies of one cache.

    Parameters
    ----------
    cache : scalenorm.cache.Cache
        The cache; it may be pickled and used on both sides of a fork. Of crops that are in none, what stands for it.
    views : tuple of str
        The views in use.
    arrays : tuple of ndarray or None
        The views in memory, or None where batches are read from the file.
    ids : tuple of str
        The N ids.
    good : ndarray of bool, shape (N,)
        False for failed images.
    target : Target or None
        What is answered; None where no labels were asked for, or there are none.
    labels : ndarray of float64, shape (N, answers), or None
        What ought to be answered, in the order of the target's names, NaN where it is not known.
    aside : Columns or None
        Columns of the labels with another use, such as to group galaxies by.
    sky : ndarray of float32, shape (N, channels)
        Sky of each image and band, in the cache's units.
    """

    cache: Any
    views: tuple[str, ...]
    arrays: tuple[np.ndarray, ...] | None
    ids: tuple[str, ...]
    good: np.ndarray
    target: Target | None
    labels: np.ndarray | None
    aside: Columns | None
    sky: np.ndarray

    @property
    def size(self) -> int:
        """Height and width of the crops."""
        return int(self.cache.size)

    @property
    def channels(self) -> int:
        """Number of bands."""
        return int(self.sky.shape[1])

    @property
    def dtype(self) -> str:
        """Name of the pixels' type."""
        return str((self.arrays or [self.cache.view(self.views[0])])[0].dtype)

    @property
    def labelled(self) -> np.ndarray:
        """Rows of good images with an answer."""
        return np.flatnonzero(self.good & np.isfinite(self._known()).any(axis=1))

    def answers(self, rows: np.ndarray) -> np.ndarray:
        """Return the answers of some rows, shape (n, answers); `TrainerError` if the cache has none."""
        return self._known()[rows]

    def pictures(self, rows: np.ndarray) -> dict[str, str]:
        """Return by id what tells the pictures of some rows apart: 16 digits of a hash, empty where there is none.

        It is the SHA-256 of the image file; with several objects per image, of file and position.
        """
        catalog = self.cache.catalog[rows]
        if "sha256" not in (catalog.dtype.names or ()):
            return {self.ids[i]: "" for i in rows}
        hashes = [value.decode() for value in catalog["sha256"].tolist()]
        if self.cache.settings.get("all_objects"):
            places = zip(hashes, catalog["row"].tolist(), catalog["col"].tolist(), strict=True)
            hashes = [hashlib.sha256(repr(place).encode()).hexdigest() if place[0] else "" for place in places]
        return {self.ids[i]: value[:16] for i, value in zip(rows, hashes, strict=True)}

    def _known(self) -> np.ndarray:
        if self.labels is None:
            raise TrainerError(f"{self.cache.path} has no labels; name a CSV file of answers (--labels)")
        return self.labels

    def read(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the crops of some rows, per view, under the names ``view_0``, ``view_1``, ..."""
        arrays = self.arrays or [self.cache.view(name) for name in self.views]
        return {f"view_{i}": np.ascontiguousarray(array[rows]) for i, array in enumerate(arrays)}


def open_galaxies(
    cache: str | Path,
    views: Sequence[str],
    *,
    labels: str | Path | None = None,
    target: Choice | Target | None = DEFAULT,
    aside: Sequence[str] = (),
    in_memory: bool | None = None,
) -> Galaxies:
    """Open the views of a cache, with their labels where there are any.

    Parameters
    ----------
    cache : str or Path
        A cache written by `scalenorm-batch`.
    views : sequence of str
        Names of views.
    labels : str or Path, optional
        A table of answers, in place of those in the cache.
    target : Choice, Target or None
        What to read from the labels: as a user chooses it, or as a run has it. None: nothing.
    aside : sequence of str
        Columns of the labels with another use.
    in_memory : bool, optional
        Read the views into memory. Default: if they take less than `SMALL` bytes.

    Returns
    -------
    Galaxies

    Raises
    ------
    TrainerError
        If it is no cache of a known version, a view is missing, or the labels do not fit.
    OSError
        If a file cannot be read.
    """
    try:
        opened = scalenorm.open_cache(cache)
    except ValueError as error:
        raise TrainerError(str(error)) from None
    for name in views:
        if name not in opened.view_names:
            raise TrainerError(f"{cache} has no view {name!r}; it has: {', '.join(opened.view_names)}")
    ids = tuple(opened.ids)
    catalog = opened.catalog
    sky_names = [name for name in catalog.dtype.names or () if name.startswith("sky_")]
    known: Target | None = None

    def wanted(names: Sequence[str], source: str) -> tuple[str, ...]:
        assert target is not None
        found = target.target(None, names, source, aside) if isinstance(target, Choice) else target
        missing = [name for name in (*found.columns, *aside) if name not in names]
        if missing:
            raise TrainerError(f"{source}: columns are missing: {first_few(missing)}; it has: {first_few(names, 8)}")
        return tuple(dict.fromkeys((*found.columns, *aside)))

    answers = others = None
    if target is not None and (labels is not None or opened.labels is not None):
        read = cache_columns(opened, ids, wanted) if labels is None else read_columns(labels, ids, wanted)
        known = target.target(read, read.names, read.source, aside) if isinstance(target, Choice) else target
        answers, others = known.truth(read.only(known.columns)), read.only(aside)
    shapes = [opened.shape(name) for name in views]
    total = sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in shapes)
    keep = total <= SMALL if in_memory is None else in_memory
    return Galaxies(
        cache=opened,
        views=tuple(views),
        arrays=tuple(np.ascontiguousarray(opened.view(name)[:]) for name in views) if keep else None,
        ids=ids,
        good=np.asarray(catalog["status"]) == b"ok",
        target=known,
        labels=answers,
        aside=others,
        sky=np.stack([catalog[name] for name in sky_names], axis=1).astype(np.float32),
    )


def read_ids(path: str | Path, known: Sequence[str]) -> list[str]:
    """Read a list of ids: one per line, or a CSV file with a column of ids, as `scalenorm.sources.labels.read_ids`.

    Parameters
    ----------
    path : str or Path
        The file.
    known : sequence of str
        The ids of the cache.

    Returns
    -------
    list of str

    Raises
    ------
    TrainerError
        If it is not UTF-8, or ids are not in the cache.
    """
    try:
        ids = tables.read_ids(path)
    except TableError as error:
        raise TrainerError(str(error)) from None
    unknown = sorted(set(ids) - set(known))
    if unknown:
        raise TrainerError(f"{path}: {len(unknown)} ids are not in the cache: {first_few(unknown)}")
    return ids


def pixel_statistics(galaxies: Galaxies, rows: np.ndarray) -> tuple[list[list[float]], list[list[float]]]:
    """Return mean and population standard deviation per view and channel over some rows.

    Parameters
    ----------
    galaxies : Galaxies
        The galaxies.
    rows : ndarray of int
        Which of them.

    Returns
    -------
    mean, std : list of lists of float, shape (views, channels)
        Exact whatever the unit; a channel that never varies gets the standard deviation 1.

    Raises
    ------
    TrainerError
        If pixels vary by so little or so much that 32 bits do not hold it.
    """
    shape = (len(galaxies.views), galaxies.channels)
    count = len(rows) * galaxies.size**2
    mean, variance = np.zeros(shape), np.zeros(shape)
    # Taken off first: then the differences of a channel that never varies are 0, whatever its value, and so is the
    # rest of a mean that has no end in binary.
    first = np.array([pixels[0, 0, 0] for pixels in galaxies.read(rows[:1]).values()], np.float64)
    for block in _blocks(galaxies, rows):
        for i, pixels in enumerate(block.values()):
            mean[i] += (pixels - first[i]).sum(axis=(0, 1, 2)) / count
    for block in _blocks(galaxies, rows):
        for i, pixels in enumerate(block.values()):
            variance[i] += np.square(pixels - first[i] - mean[i]).sum(axis=(0, 1, 2)) / count
    std = np.where(variance > 0, np.sqrt(variance), 1.0)
    for name, values in zip(galaxies.views, std, strict=True):
        if not ((values > LEAST) & (values < MOST)).all():
            raise TrainerError(
                f"{galaxies.cache.path}: the pixels of view {name!r} have a standard deviation of {values.min():g} to "
                f"{values.max():g}; a network calculates in 32 bits, between {LEAST:g} and {MOST:g}: use another unit"
            )
    return (first + mean).tolist(), std.tolist()


def _blocks(galaxies: Galaxies, rows: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, len(rows), BLOCK):
        yield galaxies.read(rows[start : start + BLOCK])


def epoch_order(rows: np.ndarray, *, seed: int, epoch: int) -> np.ndarray:
    """Return the rows in the order in which an epoch sees them, a function of seed and epoch only.

    Examples
    --------
    >>> sorted(epoch_order(np.arange(5), seed=0, epoch=1).tolist())
    [0, 1, 2, 3, 4]
    """
    return np.random.default_rng([seed, epoch]).permutation(rows)


class Batches(keras.utils.PyDataset):
    """Batches of galaxies in a given order, for ``fit`` and ``predict`` on any backend.

    Every batch has the same size, so that a step is compiled once: in training the incomplete last batch is
    left out, otherwise it is filled with the first row, and the surplus outputs are to be cut off. It holds
    no file handle and may be pickled and forked.

    Parameters
    ----------
    galaxies : Galaxies
        The galaxies.
    rows : ndarray of int
        Rows in the order wanted.
    batch_size : int
        Images per batch.
    train : bool
        Yield answers too, and leave an incomplete batch out.
    draws : callable, optional
        From (batch number, batch size) to `Draws`; with it a batch is the input of
        `galaxy_trainer.network.augmentation.Augmented`, without it that of the network alone.
    **options
        ``workers``, ``use_multiprocessing``, ``max_queue_size`` of `keras.utils.PyDataset`.
    """

    def __init__(
        self,
        galaxies: Galaxies,
        rows: np.ndarray,
        *,
        batch_size: int,
        train: bool = False,
        draws: Callable[[int, int], Draws] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.galaxies = galaxies
        self.rows = np.asarray(rows)
        self.batch_size = batch_size
        self.train = train
        self.draws = draws

    @property
    def num_batches(self) -> int:
        """Number of batches."""
        whole, rest = divmod(len(self.rows), self.batch_size)
        return whole if self.train or not rest else whole + 1

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        rows = self.rows[index * self.batch_size : (index + 1) * self.batch_size]
        rows = np.concatenate([rows, np.repeat(self.rows[:1], self.batch_size - len(rows))])
        inputs: Any = self.galaxies.read(rows)
        if self.draws is not None:
            drawn = self.draws(index, len(rows))
            inputs.update(sky=self.galaxies.sky[rows], transform=drawn.transform, gain=drawn.gain)
        elif len(inputs) == 1:
            inputs = inputs["view_0"]
        if not self.train:
            return (inputs,)
        return inputs, self.galaxies.answers(rows).astype(np.float32)
