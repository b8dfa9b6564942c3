"""Train, evaluate and compare networks on the caches that scalenorm writes.

The names below are imported on first use, as Keras takes seconds to import.
"""

import importlib
from typing import TYPE_CHECKING, Any

from galaxy_trainer.files.errors import TrainerError, TrainerWarning

if TYPE_CHECKING:
    from galaxy_trainer.answers.choices import Choice
    from galaxy_trainer.asking.evaluation import evaluate
    from galaxy_trainer.asking.predicting import Predictions, predict
    from galaxy_trainer.asking.pretrained import Network, load
    from galaxy_trainer.network.augmentation import Augmentation
    from galaxy_trainer.network.networks import paper_network
    from galaxy_trainer.network.recipes import RECIPES, Recipe, recipe_of
    from galaxy_trainer.runs.exporting import export
    from galaxy_trainer.runs.run import Run, load_run
    from galaxy_trainer.training.train import resume, train

_HOMES = {
    "Augmentation": "network.augmentation",
    "Choice": "answers.choices",
    "Network": "asking.pretrained",
    "Predictions": "asking.predicting",
    "RECIPES": "network.recipes",
    "Recipe": "network.recipes",
    "Run": "runs.run",
    "evaluate": "asking.evaluation",
    "export": "runs.exporting",
    "load": "asking.pretrained",
    "load_run": "runs.run",
    "paper_network": "network.networks",
    "predict": "asking.predicting",
    "recipe_of": "network.recipes",
    "resume": "training.train",
    "train": "training.train",
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
