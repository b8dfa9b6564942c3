"""Train, evaluate and compare networks on the caches that scalenorm writes.

The names below are imported on first use, as Keras takes seconds to import.
"""

import importlib
from typing import TYPE_CHECKING, Any

from galaxy_trainer.errors import TrainerError, TrainerWarning

if TYPE_CHECKING:
    from galaxy_trainer.augmentation import Augmentation
    from galaxy_trainer.choices import Choice
    from galaxy_trainer.evaluation import Predictions, evaluate, predict
    from galaxy_trainer.exporting import export
    from galaxy_trainer.networks import paper_network
    from galaxy_trainer.pretrained import Network, load
    from galaxy_trainer.recipes import RECIPES, Recipe, recipe_of
    from galaxy_trainer.runs import Run, load_run
    from galaxy_trainer.training import resume, train

_HOMES = {
    "Augmentation": "augmentation",
    "Choice": "choices",
    "Network": "pretrained",
    "Predictions": "evaluation",
    "RECIPES": "recipes",
    "Recipe": "recipes",
    "Run": "runs",
    "evaluate": "evaluation",
    "export": "exporting",
    "load": "pretrained",
    "load_run": "runs",
    "paper_network": "networks",
    "predict": "evaluation",
    "recipe_of": "recipes",
    "resume": "training",
    "train": "training",
}

__all__ = [
    "RECIPES",
    "Augmentation",
    "Choice",
    "Network",
    "Predictions",
    "Recipe",
    "Run",
    "TrainerError",
    "TrainerWarning",
    "evaluate",
    "export",
    "load",
    "load_run",
    "paper_network",
    "predict",
    "recipe_of",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
