"""How to train, as data: recipes, learning rate schedules and optimizers by name."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.network.augmentation import Augmentation
from galaxy_trainer.network.networks import HEADS, ROTATIONS, TRUNKS


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything about a training but data, view and seed. The default is the paper's.

    Parameters
    ----------
    network : str
        Convolutions: name in `galaxy_trainer.network.networks.TRUNKS`.
    rotations, width, pieces, dropout, head
        As in `galaxy_trainer.network.networks.paper_network`.
    epochs : int
        Epochs.
    finish : float in [0, 1]
        Share of the epochs, at the end, that see only the galaxies named for it (``finish_ids`` of
        `galaxy_trainer.train`), if some are: those that are like the ones to answer for, where the others are
        selected, say for being clear-cut. Such an epoch is shorter.
    batch_size : int
        The last, incomplete batch of an epoch is left out; another order brings other images there.
    optimizer : str
        Name in `OPTIMIZERS`.
    learning_rate : float
        At the start, or at the top where there is a warm-up.
    schedule : str
        Name in `SCHEDULES`.
    drop_epoch : int
        Schedule "step": the first epoch, counted from 1, with the learning rate times `drop_factor`.
    drop_factor : float
        See `drop_epoch`.
    decay : float
        Schedule "inverse": the learning rate is divided by ``1 + decay * step``.
    warmup_epochs : float
        Schedule "cosine": epochs over which the learning rate rises from 0.
    momentum : float
        Of SGD.
    nesterov : bool
        Of SGD.
    weight_decay : float
        Decoupled weight decay per step, times the learning rate. 0 is off.
    clip_norm : float or None
        Largest norm of the whole gradient.
    ema : float or None
        Momentum of an exponential moving average of the weights, which then is what is validated and kept.
    augmentation : Augmentation
        Of the training images.

    Raises
    ------
    TrainerError
        If a name is unknown or a number out of range.

    Examples
    --------
    >>> from galaxy_trainer import Recipe
    >>> Recipe(width=0.25, epochs=5).learning_rate
    0.1
    """

    network: str = "paper"
    rotations: int = 1
    width: float = 1.0
    pieces: int = 2
    dropout: float = 0.5
    head: str = "linear"
    epochs: int = 20
    finish: float = 0.0
    batch_size: int = 16
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    schedule: str = "step"
    drop_epoch: int = 6
    drop_factor: float = 0.1
    decay: float = 0.0
    warmup_epochs: float = 0.0
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    clip_norm: float | None = None
    ema: float | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        """Refuse unknown names and numbers out of range."""
        for kind, name, known in (
            ("network", self.network, TRUNKS),
            ("head", self.head, HEADS),
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("schedule", self.schedule, SCHEDULES),
        ):
            if name not in known:
                raise TrainerError(f"unknown {kind} {name!r}; known: {', '.join(known)}")
        for name in ("width", "pieces", "epochs", "batch_size", "learning_rate", "drop_epoch"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise TrainerError(f"{name} must be positive, got {value}")
        for name in ("pieces", "epochs", "batch_size", "drop_epoch"):
            if not isinstance(getattr(self, name), int):
                raise TrainerError(f"{name} must be a whole number, got {getattr(self, name)!r}")
        if self.rotations not in ROTATIONS:
            raise TrainerError(f"rotations must be 1, 4, 8 or 16, got {self.rotations}")
        if not 0 <= self.finish <= 1:
            raise TrainerError(f"finish must be a share between 0 and 1, got {self.finish}")
        for name in ("dropout", "momentum", "ema"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise TrainerError(f"{name} must be at least 0 and below 1, got {value}")

    @property
    def finish_epochs(self) -> int:
        """Number of epochs at the end that see only the galaxies named for it."""
        return round(self.finish * self.epochs)


def _step(recipe: Recipe, steps: Sequence[int]) -> Any:
    from keras.optimizers.schedules import PiecewiseConstantDecay

    # The first value holds up to and including its boundary; steps count from 0.
    boundary = sum(steps[: recipe.drop_epoch - 1]) - 1
    if boundary < 0:
        return recipe.learning_rate * recipe.drop_factor
    return PiecewiseConstantDecay([boundary], [recipe.learning_rate, recipe.learning_rate * recipe.drop_factor])


def _inverse(recipe: Recipe, steps: Sequence[int]) -> Any:
    from keras.optimizers.schedules import InverseTimeDecay

    return InverseTimeDecay(recipe.learning_rate, decay_steps=1, decay_rate=recipe.decay)


def _cosine(recipe: Recipe, steps: Sequence[int]) -> Any:
    from keras.optimizers.schedules import CosineDecay

    warmup = round(recipe.warmup_epochs * steps[0])
    rest = max(1, sum(steps) - warmup)
    if not warmup:
        return CosineDecay(recipe.learning_rate, rest)
    return CosineDecay(0.0, rest, warmup_target=recipe.learning_rate, warmup_steps=warmup)


SCHEDULES: Mapping[str, Callable[[Recipe, Sequence[int]], Any]] = {
    "constant": lambda recipe, steps: recipe.learning_rate,
    "step": _step,
    "inverse": _inverse,
    "cosine": _cosine,
}
"""Learning rates by name: functions of the recipe and the steps of every epoch to what a Keras optimizer takes.

They depend on the optimizer's step count only, which is part of the resume state.
"""


def _sgd(recipe: Recipe, rate: Any, options: dict[str, Any]) -> Any:
    import keras

    return keras.optimizers.SGD(rate, momentum=recipe.momentum, nesterov=recipe.nesterov, **options)


def _adam(recipe: Recipe, rate: Any, options: dict[str, Any]) -> Any:
    import keras

    return keras.optimizers.Adam(rate, **options)


OPTIMIZERS: Mapping[str, Callable[[Recipe, Any, dict[str, Any]], Any]] = {"sgd": _sgd, "adam": _adam}
"""Optimizers by name; with ``weight_decay`` "adam" is AdamW."""


def optimizer_of(recipe: Recipe, steps: Sequence[int]) -> Any:
    """Return the Keras optimizer of a recipe.

    Parameters
    ----------
    recipe : Recipe
        The recipe.
    steps : sequence of int
        Steps of every epoch.

    Returns
    -------
    keras.optimizers.Optimizer
    """
    options: dict[str, Any] = {}
    if recipe.weight_decay:
        options["weight_decay"] = recipe.weight_decay
    if recipe.clip_norm is not None:
        options["global_clipnorm"] = recipe.clip_norm
    if recipe.ema is not None:
        options.update(use_ema=True, ema_momentum=recipe.ema)
    optimizer = OPTIMIZERS[recipe.optimizer](recipe, SCHEDULES[recipe.schedule](recipe, steps), options)
    # `fit` would replace the weights by their average at the end of every call, and it is called once per
    # epoch.
    optimizer.finalize_variable_values = lambda variables: None
    return optimizer


_BEST = Recipe(
    network="compact",
    rotations=4,
    head="tree",
    dropout=0.2,
    epochs=40,
    finish=0.3,
    batch_size=32,
    optimizer="adam",
    learning_rate=1e-3,
    schedule="cosine",
    warmup_epochs=1.0,
    augmentation=Augmentation(shift=4.0),
)

RECIPES: Mapping[str, Recipe] = {
    "paper": Recipe(),
    "long": Recipe(epochs=200, learning_rate=0.05, schedule="inverse", decay=1e-6),
    "best": _BEST,
    "shipped": dataclasses.replace(
        _BEST,
        width=0.5,
        dropout=0.3,
        epochs=50,
        ema=0.999,
        augmentation=Augmentation(shift=4.0, zoom=1.1, brightness=0.1),
    ),
}
"""Recipes by name: the paper's, its remark on training longer, what learns most from a few thousand galaxies, and that
of the network that comes with this package."""


def recipe_of(recipe: "str | Recipe", changes: Mapping[str, Any]) -> Recipe:
    """Return a recipe by name, with changes.

    Parameters
    ----------
    recipe : str or Recipe
        Name in `RECIPES`, or a recipe.
    changes : mapping
        Fields to replace.

    Returns
    -------
    Recipe

    Raises
    ------
    TrainerError
        If the name or a field is unknown, or a value out of range.

    Examples
    --------
    >>> from galaxy_trainer import recipe_of
    >>> recipe_of("paper", {"width": 0.25}).width
    0.25
    """
    if isinstance(recipe, str):
        if recipe not in RECIPES:
            raise TrainerError(f"unknown recipe {recipe!r}; known: {', '.join(RECIPES)}")
        recipe = RECIPES[recipe]
    fields = [item.name for item in dataclasses.fields(Recipe)]
    for name in changes:
        if name not in fields:
            raise TrainerError(f"a recipe has no field {name!r}; it has: {', '.join(fields)}")
    return dataclasses.replace(recipe, **changes)


def recipe_from_json(values: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `dataclasses.asdict` turned into `values`."""
    return Recipe(**{**values, "augmentation": Augmentation(**values["augmentation"])})
