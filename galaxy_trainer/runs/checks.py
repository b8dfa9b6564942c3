"""Whether a network is asked about what it was trained for: crops made alike, and pictures that it has not seen."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from galaxy_trainer.data.galaxies import Galaxies, pixel_statistics
from galaxy_trainer.files.errors import TrainerError, warn
from galaxy_trainer.runs.run import Run
from scalenorm.cache.format import differences
from scalenorm.cache.recipe import Recipe
from scalenorm.images.options import DecodeOptions

NOT_COMPARED = {"views", "id_from", "band_files", *(field.name for field in dataclasses.fields(DecodeOptions))}
"""Settings of a cache that say where images are and what they are called; type and bands are compared as they are."""

SAMPLE = 256
"""Images looked at to tell the unit."""

OTHER_UNIT = 30.0
"""Deviations so many times as large are taken for another unit."""


def check_layout(run: Run, galaxies: Galaxies) -> None:
    """Raise `TrainerError` if crops are of another size, type or number of bands than those a run was trained on."""
    found, expected = (
        f"{images.size} x {images.size} with {images.channels} bands of {images.dtype}"
        for images in (galaxies, run.config)
    )
    if found != expected:
        raise TrainerError(f"{galaxies.cache.path} has images of {found}; {run.folder} was trained on {expected}")


def check_settings(run: Run, galaxies: Galaxies) -> None:
    """Check that crops were made as those that a run was trained on.

    Parameters
    ----------
    run : Run
        The run. One of an earlier version says nothing of its crops: then there is a `TrainerWarning`.
    galaxies : Galaxies
        What it is asked about.

    Raises
    ------
    TrainerError
        Naming every setting that differs.
    """
    trained = run.config.cache_settings
    if trained is None:
        warn(
            f"{run.folder} is of an earlier version, which did not keep the settings of its cache or the hashes of its "
            f"pictures: they are not compared with those of {galaxies.cache.path}"
        )
        return
    differing = other_settings(trained, galaxies)
    if differing:
        raise TrainerError(
            f"{galaxies.cache.path} was made with other settings than what {run.folder} was trained on "
            f"({'; '.join(differing)}): make a cache with the same settings, or use --any-settings (any_settings=True)"
        )


def check_unit(run: Run, galaxies: Galaxies) -> None:
    """Warn if pixels vary as in another unit than what a run was trained on: its answers would be without meaning.

    Parameters
    ----------
    run : Run
        The run.
    galaxies : Galaxies
        What it is asked about. Integers are counts in any case, and not looked at.
    """
    good = np.flatnonzero(galaxies.good)
    if not np.issubdtype(np.dtype(galaxies.dtype), np.floating) or not len(good):
        return
    _, std = pixel_statistics(galaxies, good[:: -(-len(good) // SAMPLE)])
    ratio = float(np.median(np.array(std) / np.array(run.config.std)))
    if not 1 / OTHER_UNIT < ratio < OTHER_UNIT:
        warn(
            f"{galaxies.cache.path}: its pixels vary {ratio:.2g} times as much as those that {run.folder} was trained "
            "on: are they in another unit? Make the cache from images in the unit of the training"
        )


def other_settings(trained: Mapping[str, Any], galaxies: Galaxies) -> list[str]:
    """Return how the settings that change crops differ from those trained on, in words."""
    return differences(_completed(trained), _completed(galaxies.cache.settings), word=", here")


def _completed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a cache that change its crops, those with their default that it does not name."""
    defaults = Recipe.checked(None, 64, "stem", False, {}).settings
    every = {**defaults, "all_objects": False, **settings}
    named = not isinstance(every["bands"], str)  # then their order matters
    return {name: value for name, value in every.items() if name not in NOT_COMPARED or (name == "bands" and named)}


def twins(tested: Mapping[str, str], trained: Mapping[str, str]) -> list[tuple[str, str]]:
    """Find tested galaxies that show the picture of a trained one.

    Parameters
    ----------
    tested, trained : mapping of str to str
        From ids to pictures as from `galaxy_trainer.data.galaxies.Galaxies.pictures`, empty where unknown.

    Returns
    -------
    list of tuple of str
        The id tested, and that of a galaxy trained on.

    Examples
    --------
    >>> twins({"a": "17", "b": "18", "c": ""}, {"x": "17", "y": ""})
    [('a', 'x')]
    """
    seen = {picture: name for name, picture in trained.items() if picture}
    return [(name, seen[picture]) for name, picture in tested.items() if picture in seen]


def warn_of_twins(pairs: Iterable[tuple[str, str]], tested: int, source: object) -> None:
    """Warn with the number of `pairs` among so many tested galaxies, if there are any."""
    found = list(pairs)
    if found:
        warn(
            f"{source}: {len(found)} of {tested} galaxies to test on show the same picture as one trained on, under "
            f"another id (such as {found[0][0]} and {found[0][1]}): the scores are too good. Leave out all but one of "
            "each, or use --allow-duplicates (allow_duplicates=True) to say no more of it"
        )
