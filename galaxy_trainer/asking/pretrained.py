"""Trained networks that answer for images: from files, from memory or from a cache."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

import scalenorm
from galaxy_trainer.asking.features import Features, Neighbours, check_features, nearest, write_features
from galaxy_trainer.asking.predicting import Predictions, Said, answer, ask_cache, oriented
from galaxy_trainer.data.galaxies import Galaxies
from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.network import backend
from galaxy_trainer.network.augmentation import Augmented
from galaxy_trainer.network.networks import LINEAR
from galaxy_trainer.runs.checks import check_unit
from galaxy_trainer.runs.run import Run
from galaxy_trainer.runs.stored import open_run
from scalenorm.cache.format import STAMP_SETTINGS, Layout
from scalenorm.files.names import CACHE_FORMAT


@dataclass(frozen=True)
class _InMemory:
    """What is asked of a cache, of crops that are in none."""

    path: str
    size: int


class Network:
    """A trained network, ready to answer; `load` makes it.

    Parameters
    ----------
    run : Run
        The run, or stored network.
    weights : {"best", "last"}
        As in `Run.network`.

    Attributes
    ----------
    run : Run
        The same.
    model : keras.Model
        From raw crops (n, size, size, channels) to answers (n, answers); with several views from a dict of them.
    """

    def __init__(self, run: Run, *, weights: str = "best") -> None:
        self.run = run
        self.weights = weights
        self.model = run.network(weights)

    def __repr__(self) -> str:
        config = self.run.config
        seen = f"{', '.join(config.views)} ({config.size} x {config.size}, {config.channels} x {config.dtype})"
        return f"<Network {self.run.folder}: {len(self.columns)} answers from {seen}>"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the answers."""
        return self.run.config.target.names

    @property
    def settings(self) -> dict[str, Any]:
        """The options of `scalenorm.convert` that the crops it was trained on were made with."""
        config = self.run.config
        if config.cache_settings is None:
            raise TrainerError(
                f"{self.run.folder} is of an earlier version, which did not keep how its crops were made: "
                "make a cache (scalenorm-batch) with the settings of its training, and ask about that"
            )
        known = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in config.cache_settings.items()
            if name not in ("method", "id_from")
        }
        return {**known, "views": config.views, "size": config.size}

    @backend.keras_defaults()
    def predict(
        self,
        images: Any,
        output: str | Path | None = None,
        *,
        orientations: int = 1,
        deviation: bool = True,
        clip: bool = False,
        any_settings: bool = False,
        cache: str | Path | None = None,
        overwrite: bool = False,
        progress: bool = False,
        **options: Any,
    ) -> Predictions:
        """Answer for images, which are measured and cropped as those that it was trained on.

        They are read once, in blocks, so that the memory needed does not depend on their number but for the answers.

        Parameters
        ----------
        images : path, sequence of paths, or images
            Folders, files, archives, stacks, URLs or arrays, as `scalenorm.stream` takes them; or a cache.
        output : str or Path, optional
            File to write, as in `galaxy_trainer.predict`.
        orientations, deviation, clip, any_settings, overwrite
            As in `galaxy_trainer.predict`; `any_settings` is refused where there is no cache.
        cache : str or Path, optional
            Keep the crops in this cache, and ask about them then; again, it resumes or reads what is there.
        progress : bool
            Show a progress bar if stderr is a terminal.
        **options
            What `scalenorm.stream` is to know of the images: ``list_file``, ``id_from``, ``positions``, ``stamp``, ...
            Of a cache only ``jobs``, which changes nothing there.

        Returns
        -------
        Predictions
            In the order of the ids. Images that failed have NaN; of a cache that was given they are left out.

        Raises
        ------
        TrainerError
            If no image can be answered for, or a cache does not fit.
        ValueError
            As from `scalenorm.stream`, if inputs or options cannot be used.

        Examples
        --------
        >>> network = galaxy_trainer.load("gz2")  # doctest: +SKIP
        >>> network.predict("images").answers.shape  # doctest: +SKIP
        (7952, 37)
        """

        def ask() -> Said:
            return self._ask(
                self.model, images, count=orientations, any_settings=any_settings, cache=cache, progress=progress,
                options=options,
            )  # fmt: skip

        return answer(
            self.run, ask, output, orientations=orientations, deviation=deviation, clip=clip, overwrite=overwrite
        )

    @backend.keras_defaults()
    def features(
        self,
        images: Any,
        output: str | Path | None = None,
        *,
        any_settings: bool = False,
        cache: str | Path | None = None,
        overwrite: bool = False,
        progress: bool = False,
        **options: Any,
    ) -> Features:
        """Return what the network makes of images before its last layer: numbers that are near for similar galaxies.

        Parameters
        ----------
        images, any_settings, cache, progress, **options
            As in `predict`.
        output : str or Path, optional
            File to write: ``.npy`` with the numbers alone, and the ids beside in ``NAME.ids.txt``, one a line; or a
            table (.csv, .ecsv, .fits, .parquet) with the columns ``id``, ``feature_0000``, ...
        overwrite : bool
            Replace files that exist.

        Returns
        -------
        Features

        Raises
        ------
        TrainerError, ValueError
            As in `predict`.
        """
        if output is not None:
            check_features(output, overwrite=overwrite)
        trunk = keras.Model(self.model.input, self.model.get_layer(LINEAR).input)
        said = self._ask(
            trunk, images, count=1, any_settings=any_settings, cache=cache, progress=progress, options=options
        )
        found = Features(said.ids, said.values, said.messages)
        if output is not None:
            write_features(Path(output), found)
        return found

    def similar(
        self, cache: str | Path, query: str | Path, *, count: int = 10, any_settings: bool = False
    ) -> Neighbours:
        """Find the galaxies of a cache that are most like one of them, or like an image.

        Parameters
        ----------
        cache : str or Path
            The cache.
        query : str or Path
            An id of the cache, or else an image file.
        count : int
            How many to find.
        any_settings : bool
            Take a cache that was made with other settings than the network's.

        Returns
        -------
        Neighbours

        Raises
        ------
        TrainerError
            If there is no such galaxy, or the cache does not fit.
        """
        opened = scalenorm.open_cache(cache)
        every = self.features(cache, any_settings=any_settings)
        view = opened.view(self.run.config.views[0])
        row = {name: i for i, name in enumerate(opened.ids)}
        own = np.array([name == str(query) for name in every.ids])
        if own.any():
            values, crop = every.values[own][0], view[row[str(query)]]
        elif os.path.isfile(query):
            values = self.features(query).values[0]
            crop = next(scalenorm.stream(query, **self._options({}))).views[self.run.config.views[0]][0]
        else:
            raise TrainerError(f"{query} is neither a galaxy of {cache} with a good image nor an image file")
        others = [name for name, same in zip(every.ids, own, strict=True) if not same]
        rows, distances = nearest(every.values[~own], values, count)
        ids = tuple(others[i] for i in rows)
        return Neighbours(str(query), crop, ids, distances, np.stack([view[row[name]] for name in ids]))

    def _ask(
        self, model: Any, images: Any, *, count: int, any_settings: bool, cache: str | Path | None, progress: bool,
        options: Mapping[str, Any],
    ) -> Said:  # fmt: skip
        """Return what a model says of images; of those that fail and are in no cache that was given, NaN."""
        if is_cache(images):
            surplus = [name for name in options if name != "jobs"] + ["cache"] * (cache is not None)
            if surplus:
                raise TrainerError(f"{images} is a cache already: leave out {', '.join(surplus)}")
            return ask_cache(self.run, model, images, count=count, any_settings=any_settings)
        if any_settings and cache is None:
            raise TrainerError(
                "--any-settings (any_settings=True) goes with a cache: images are cropped as those that "
                f"{self.run.folder} was trained on"
            )
        if cache is not None:
            scalenorm.convert(images, cache, progress=progress, **self._options(options))
            return _with_gaps(ask_cache(self.run, model, cache, count=count, any_settings=any_settings))
        layout = (self.run.config.dtype, self.run.config.channels)
        blocks = scalenorm.stream(images, layout=layout, progress=progress, **self._options(options))
        return _with_gaps(self._ask_blocks(model, blocks, count))

    def _options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of crops: the network's, and what is said of where the images are."""
        settings = self.settings
        if settings.pop("windows_from", None) is not None and "windows_from" not in given:
            raise TrainerError(
                f"{self.run.folder} was trained on windows from another cache: give windows_from, or make a cache "
                "(scalenorm-batch --windows-from) and ask about that"
            )
        if "positions" not in given:
            if "side_from" in settings:
                raise TrainerError(f"{self.run.folder} was trained on windows of sizes from a table: give positions")
            settings = {name: value for name, value in settings.items() if name not in STAMP_SETTINGS}
        elif "stamp" in given or "stamp_from" in given:
            settings = {name: value for name, value in settings.items() if name not in ("stamp", "stamp_from")}
        return {**settings, **given}

    def _ask_blocks(self, model: Any, blocks: Iterator[Any], count: int) -> Said:
        """Return what a model says of the good ones of crops that come in blocks."""
        config, model = self.run.config, model if count == 1 else Augmented(model)
        ids: list[str] = []
        found: list[tuple[np.ndarray, np.ndarray | None]] = []
        messages: dict[str, str] = {}
        for catalog, views in blocks:
            galaxies = _galaxies(catalog, [views[name] for name in config.views], config)
            for name, good, message in zip(galaxies.ids, galaxies.good, catalog["message"].tolist(), strict=True):
                if not good:
                    messages[name] = message.decode()
            rows = np.flatnonzero(galaxies.good)
            if not len(rows):
                continue
            if not found:
                check_unit(self.run, galaxies)
            ids += [galaxies.ids[i] for i in rows]
            values, spread = oriented(model, galaxies, rows, count=count)
            found.append((values.astype(np.float32), spread))
        if not found:
            self._refuse(messages)
        answers = np.concatenate([values for values, _ in found])
        spreads = [spread for _, spread in found if spread is not None]
        return Said(tuple(ids), answers, np.concatenate(spreads) if spreads else None, messages)

    def _refuse(self, messages: Mapping[str, str]) -> None:
        name, reason = next(iter(messages.items()))
        which = f"none of the {len(messages)} images can be answered for; the first is " if len(messages) > 1 else ""
        config = self.run.config
        colour = " (colour pictures)" if (config.dtype, config.channels) == ("uint8", 3) else ""
        raise TrainerError(
            f"{which}{name}: {reason}; {self.run.folder} was trained on {Layout(config.dtype, config.channels)}{colour}"
        )


def load(network: str | Path | Run, *, weights: str = "best") -> Network:
    """Open a trained network to ask it about images.

    Parameters
    ----------
    network : str, Path or Run
        The name of one that comes with this package, such as "gz2"; a file that ``galaxy-export`` wrote; a run.
    weights : {"best", "last"}
        As in `Run.network`.

    Returns
    -------
    Network

    Raises
    ------
    TrainerError
        If it is none of these.

    Examples
    --------
    >>> load("run").predict("images", "answers.csv")  # doctest: +SKIP
    """
    with backend.keras_defaults():
        return Network(open_run(network), weights=weights)


def is_cache(images: Any) -> bool:
    """Return whether this is the path of a cache."""
    import h5py

    if not (isinstance(images, (str, os.PathLike)) and os.path.isfile(images) and h5py.is_hdf5(images)):
        return False
    with h5py.File(images) as file:
        return bool(file.attrs.get("format") in (CACHE_FORMAT, CACHE_FORMAT.encode()))


def _galaxies(catalog: np.ndarray, views: Sequence[np.ndarray], config: Any) -> Galaxies:
    sky = np.stack([catalog[f"sky_{band}"] for band in range(config.channels)], axis=1).astype(np.float32)
    return Galaxies(
        cache=_InMemory("the images", config.size),
        views=config.views,
        arrays=tuple(views),
        ids=tuple(name.decode() for name in catalog["id"].tolist()),
        good=np.asarray(catalog["status"]) == b"ok",
        target=None,
        labels=None,
        aside=None,
        sky=sky,
    )


def _with_gaps(said: Said) -> Said:
    """Return all in the order of the ids as float32, with NaN for those that failed."""
    every = np.array([*said.ids, *said.messages], object)
    order = np.argsort(np.array([name.encode("utf-8", "surrogateescape") for name in every]), kind="stable")
    gaps = np.full((len(every) - len(said.ids), said.values.shape[1]), np.nan)

    def filled(numbers: np.ndarray) -> np.ndarray:
        return np.concatenate([numbers, gaps])[order].astype(np.float32)

    deviation = None if said.deviation is None else filled(said.deviation)
    return Said(tuple(every[order].tolist()), filled(said.values), deviation, said.messages)
