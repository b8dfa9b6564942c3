"""Learning rates against their formulas; recipes as data."""

import dataclasses
import json
import math

import numpy as np
import pytest

from galaxy_trainer import RECIPES, Augmentation, Recipe, TrainerError, recipe_of
from galaxy_trainer.network.recipes import SCHEDULES, optimizer_of, recipe_from_json

STEPS = 10
PAPER, LONG = RECIPES["paper"], RECIPES["long"]
COSINE = Recipe(schedule="cosine", epochs=6, warmup_epochs=2, learning_rate=0.2)


def paper(step):
    """0.1 in epochs 1 to 5, 0.01 from epoch 6 on."""
    return 0.1 if 1 + step // STEPS < 6 else 0.01


def long(step):
    return 0.05 / (1 + 1e-6 * step)


def cosine(step):
    if step < 2 * STEPS:
        return 0.2 * step / (2 * STEPS)
    return 0.1 * (1 + math.cos(math.pi * min(1, (step - 2 * STEPS) / (4 * STEPS))))


@pytest.mark.parametrize(("recipe", "formula"), [(PAPER, paper), (LONG, long), (COSINE, cosine)])
def test_learning_rates(recipe, formula):
    schedule = SCHEDULES[recipe.schedule](recipe, [STEPS] * recipe.epochs)
    steps = [0, 1, 9, 19, 20, 21, 30, 40, 49, 50, 51, 59, 60, 10_000_000 if recipe is LONG else 70]
    np.testing.assert_allclose([float(schedule(s)) for s in steps], [formula(s) for s in steps], rtol=1e-5, atol=1e-8)


def test_learning_rates_over_epochs_of_different_length():
    steps = [10, 10, 10, 4, 4, 4]
    rates = SCHEDULES["cosine"](COSINE, steps)
    expected = [0.2 * s / 20 if s < 20 else 0.1 * (1 + math.cos(math.pi * (s - 20) / 22)) for s in range(42)]
    np.testing.assert_allclose([float(rates(s)) for s in range(42)], expected, rtol=1e-5, atol=1e-8)
    drop = SCHEDULES["step"](Recipe(drop_epoch=5, epochs=6), steps)
    assert [round(float(drop(s)), 4) for s in (0, 33, 34, 41)] == [0.1, 0.1, 0.01, 0.01]


def test_finish_epochs():
    assert [Recipe(epochs=20, finish=x).finish_epochs for x in (0.0, 0.3, 1.0)] == [0, 6, 20]


def test_the_papers_numbers():
    assert (PAPER.epochs, PAPER.batch_size, PAPER.momentum, PAPER.optimizer) == (20, 16, 0.9, "sgd")
    assert (PAPER.dropout, PAPER.weight_decay, PAPER.ema, PAPER.clip_norm) == (0.5, 0.0, None, None)
    assert LONG.epochs == 200
    assert PAPER.augmentation == Augmentation(rotate=True, flip=True, shift=12.0, zoom=1.0, brightness=0.0)


def test_options_reach_the_optimizer():
    optimizer = optimizer_of(Recipe(optimizer="adam", weight_decay=1e-3, clip_norm=2.0, ema=0.99), [STEPS] * 20)
    assert (optimizer.weight_decay, optimizer.global_clipnorm, optimizer.ema_momentum) == (1e-3, 2.0, 0.99)
    assert optimizer_of(Recipe(nesterov=True), [STEPS] * 20).nesterov


def test_recipes_survive_json():
    for recipe in (*RECIPES.values(), COSINE, Recipe(augmentation=Augmentation(zoom=1.3))):
        assert recipe_from_json(json.loads(json.dumps(dataclasses.asdict(recipe)))) == recipe


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "none"},
        {"schedule": "none"},
        {"network": "none"},
        {"learning_rate": math.nan},
        {"ema": 1.0},
        {"rotations": 3},
        {"finish": 1.1},
        {"epochs": 2.5},
    ],
)
def test_values_out_of_range(changes):
    with pytest.raises(TrainerError, match=next(iter(changes))):
        recipe_of("paper", changes)
