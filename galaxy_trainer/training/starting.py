"""Trainings that start from a trained network, which gives the architecture and all weights but the last layer's."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from galaxy_trainer.data.galaxies import Galaxies
from galaxy_trainer.files.errors import TrainerError, warn
from galaxy_trainer.network.networks import LINEAR
from galaxy_trainer.network.recipes import Recipe, recipe_of
from galaxy_trainer.runs.checks import check_layout, check_unit, other_settings
from galaxy_trainer.runs.run import Config, Run

ARCHITECTURE = ("network", "width", "pieces", "head")
"""Fields of a recipe that the source decides, because its weights depend on them."""


def recipe_from(source: Run, recipe: str | Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return a recipe with the architecture of a trained network; `TrainerError` if a change contradicts it.

    Its number of orientations can be changed.
    """
    theirs = {name: getattr(source.config.recipe, name) for name in ARCHITECTURE}
    for name, value in theirs.items():
        if changes.get(name, value) != value:
            raise TrainerError(f"{name} {changes[name]} is not that of {source.folder}, {value}: leave it out")
    return recipe_of(recipe, {"rotations": source.config.recipe.rotations, **changes, **theirs})


def views_from(source: Run, views: Sequence[str] | None) -> tuple[str, ...]:
    """Return the views of a trained network; `TrainerError` if others were asked for."""
    theirs = source.config.views
    if views is not None and tuple(views) != theirs:
        raise TrainerError(f"{source.folder} sees the views {' '.join(theirs)}, not {' '.join(views)}: leave them out")
    return theirs


def check_galaxies(source: Run, galaxies: Galaxies, tested: Mapping[str, str], *, quiet: bool) -> None:
    """Check that a trained network can go on with other galaxies.

    Parameters
    ----------
    source : Run
        The network.
    galaxies : Galaxies
        The others. Crops made with other settings are a `TrainerWarning`: that may be what is to be learned.
    tested : mapping of str to str
        Pictures of those to test on, by id; those that the network was trained on are a `TrainerWarning`.
    quiet : bool
        Do not warn of the latter.

    Raises
    ------
    TrainerError
        If size, bands or type are others.
    """
    path = galaxies.cache.path
    check_layout(source, galaxies)
    settings = source.config.cache_settings
    if settings is not None:
        other = other_settings(settings, galaxies)
        if other:
            warn(f"{path} was made with other settings than what {source.folder} was trained on ({'; '.join(other)})")
    check_unit(source, galaxies)
    known = {picture for picture in source.trained.values() if picture}
    seen = [name for name, picture in tested.items() if name in source.trained or picture in known]
    if seen and not quiet:
        warn(
            f"{path}: {source.folder} was trained on {len(seen)} of {len(tested)} galaxies to test on (such as "
            f"{seen[0]}): the scores may be too good. Test on others (--test-ids), or use --allow-duplicates "
            "(allow_duplicates=True) to say no more of it"
        )


def taken_over(source: Run, config: Config, network: keras.Model) -> dict[str, np.ndarray]:
    """Return the weights that a network takes over from a trained one, by layer and number.

    The last linear layer is new, unless the same is answered.
    """
    same = source.config.target.described() == config.target.described()
    theirs = {layer.name: layer.get_weights() for layer in source.network().layers}
    return {
        f"{layer.name}/{i}": value
        for layer in network.layers
        if same or layer.name != LINEAR
        for i, value in enumerate(theirs.get(layer.name, []))
    }
