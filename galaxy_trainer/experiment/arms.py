"""What an experiment compares, and what all of it shares."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scalenorm
from galaxy_trainer.answers.choices import Choice
from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.network.augmentation import NO_AUGMENTATION, Augmentation
from galaxy_trainer.network.recipes import Recipe, recipe_of


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One of the things compared: views of a cache, and how to train on them.

    Parameters
    ----------
    name : str
        Shown in tables and figures, and part of folder names.
    cache : str
        Path of the cache.
    views : tuple of str
        The view, or several that the network sees at once.
    recipe : Recipe
        How to train.
    """

    name: str
    cache: str
    views: tuple[str, ...]
    recipe: Recipe


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all runs of an experiment share.

    Parameters
    ----------
    test_candidates : str or None
        File of the ids that test galaxies are drawn from, and the last epochs' training galaxies where a recipe has a
        ``finish``. Default: all labelled galaxies.
    test_fraction : float
        Share of the candidates in each test set.
    split_seed : int
        Another one draws other test sets.
    labels : str or None
        CSV file of answers, in place of those in the caches.
    precision : str
        As in `galaxy_trainer.train`.
    passes : int
        Passes of the non-deterministic score.
    target : Choice or None
        What is answered. Default: the decision tree of Galaxy Zoo 2.
    group : str or None
        Column of the labels: galaxies with the same value are never on both sides of a split.
    split_column : str or None
        Column of the labels that says train or test, in place of drawn test sets.
    """

    test_candidates: str | None = None
    test_fraction: float = 0.1
    split_seed: int = 0
    labels: str | None = None
    precision: str = "float32"
    passes: int = 10
    target: Choice | None = None
    group: str | None = None
    split_column: str | None = None


def arms_of(path: str | Path, *, views: Sequence[str] | None, recipe: Recipe) -> list[Arm]:
    """Return the arms that a cache or a file of arms describes.

    Parameters
    ----------
    path : str or Path
        A cache: one arm per view, all with the same recipe. Or a JSON file: a list of arms, each with
        ``name``, ``cache`` (relative to the file), ``views`` (one name or a list) and, where it differs from
        `recipe`, ``recipe`` (a name) or ``changes`` (a mapping of fields; ``augmentation`` may be null for none).
    views : sequence of str, optional
        Views of the cache. Default: all.
    recipe : Recipe
        How to train.

    Returns
    -------
    list of Arm

    Raises
    ------
    TrainerError
        If the file does not describe arms.

    Examples
    --------
    >>> [arm.name for arm in arms_of("galaxies.h5", views=["normalized", "center-64"], recipe=Recipe())]
    ['normalized', 'center-64']
    """
    path = Path(path)
    if path.suffix.lower() != ".json":
        if views is None:
            try:
                views = list(scalenorm.open_cache(path).view_names)
            except ValueError as error:
                raise TrainerError(str(error)) from None
        return [Arm(name=name, cache=str(path), views=(name,), recipe=recipe) for name in views]
    if views is not None:
        raise TrainerError(f"{path} names its views itself: leave out --views")
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
            raise TypeError("expected a list of objects")
        return [_arm(item, path.parent, recipe) for item in listed]
    except TrainerError as error:
        raise TrainerError(f"{path}: {error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise TrainerError(f"{path}: not a list of arms with name, cache and views: {error!r}") from None


def _arm(item: dict[str, Any], folder: Path, recipe: Recipe) -> Arm:
    unknown = set(item) - {"name", "cache", "views", "recipe", "changes"}
    if unknown:
        raise TrainerError(f"arm {item.get('name')!r}: unknown keys {', '.join(sorted(unknown))}")
    name, views = item["name"], item["views"]
    if not isinstance(name, str) or not views:
        raise TrainerError(f"arm {name!r}: needs a text as name, and at least one view")
    changes = dict(item.get("changes", {}))
    if "augmentation" in changes:
        values = changes["augmentation"]
        changes["augmentation"] = NO_AUGMENTATION if values is None else Augmentation(**values)
    return Arm(
        name=name,
        cache=str(folder / item["cache"]),
        views=(views,) if isinstance(views, str) else tuple(views),
        recipe=recipe_of(item.get("recipe", recipe), changes),
    )
