"""Trained networks that answer for images: from files, from memory or from a cache."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import scalenorm
from galaxy_trainer import backend
from galaxy_trainer.augmentation import Augmented
from galaxy_trainer.checks import check_unit
from galaxy_trainer.data import Galaxies
from galaxy_trainer.errors import TrainerError
from galaxy_trainer.evaluation import (
    Predictions,
    check_answers,
    check_clip,
    check_orientations,
    clipped,
    oriented,
    predict,
    write_answers,
)
from galaxy_trainer.runs import Run
from galaxy_trainer.stored import open_run
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
            As in `galaxy_trainer.predict`.
        cache : str or Path, optional
            Keep the crops in this cache, and ask about them then; again, it resumes or reads what is there.
        progress : bool
            Show a progress bar if stderr is a terminal.
        **options
            What `scalenorm.stream` is to know of the images: ``list_file``, ``id_from``, ``positions``, ``stamp``, ...

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
        if output is not None:
            check_answers(output, overwrite=overwrite)
        check_orientations(orientations)
        target = self.run.config.target
        if clip:
            check_clip(target)
        answering: dict[str, Any] = {"orientations": orientations, "deviation": deviation, "clip": clip}
        if is_cache(images):
            if options or cache is not None:
                raise TrainerError(f"{images} is a cache already: leave out {', '.join(options) or 'cache'}")
            return predict(
                self.run, images, output, weights=self.weights, any_settings=any_settings, overwrite=overwrite,
                **answering,
            )  # fmt: skip
        options = self._options(options)
        if cache is not None:
            scalenorm.convert(images, cache, progress=progress, **options)
            found = predict(self.run, cache, weights=self.weights, any_settings=any_settings, **answering)
            rows = scalenorm.open_cache(cache).catalog
            messages = {row["id"].decode(): row["message"].decode() for row in rows if row["status"] != b"ok"}
            good: tuple[Any, Any, Any] = (found.ids, found.answers, found.deviation)
        else:
            layout = (self.run.config.dtype, self.run.config.channels)
            blocks = scalenorm.stream(images, layout=layout, progress=progress, **options)
            good, messages = self._answers(blocks, orientations)
        ids, answers, spread = _with_gaps(*good, messages, len(self.columns))
        found = Predictions(
            ids=ids,
            answers=clipped(answers) if clip else answers,
            failed=tuple(messages),
            target=target,
            deviation=spread if deviation else None,
            messages=messages,
        )
        if output is not None:
            write_answers(output, found, overwrite=overwrite)
        return found

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

    def _answers(self, blocks: Iterator[Any], orientations: int) -> tuple[tuple[Any, Any, Any], dict[str, str]]:
        """Return ids, answers and deviations of good images, and the messages of the others by id."""
        config, model = self.run.config, self.model if orientations == 1 else Augmented(self.model)
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
            found.append(oriented(model, galaxies, rows, count=orientations))
        if not found:
            self._refuse(messages)
        answers = np.concatenate([block for block, _ in found]).astype(np.float32)
        spread = [block for _, block in found if block is not None]
        return (ids, answers, np.concatenate(spread).astype(np.float32) if spread else None), messages

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


def _with_gaps(
    ids: Sequence[str], answers: np.ndarray, spread: np.ndarray | None, messages: Mapping[str, str], count: int
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray | None]:
    """Return all in the order of the ids, with NaN where there is only a message."""
    every = np.array([*ids, *messages], object)
    order = np.argsort(np.array([name.encode("utf-8", "surrogateescape") for name in every]), kind="stable")
    gaps = np.full((len(messages), count), np.nan, np.float32)
    deviation = None if spread is None else np.concatenate([spread, gaps])[order]
    return tuple(every[order].tolist()), np.concatenate([answers, gaps])[order], deviation
