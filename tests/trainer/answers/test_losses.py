"""Every target on the Keras backend that is set (test_backends.py sets the others): answers, loss and one step.

The other side is NumPy and SciPy in 64 bits, differences of losses in place of their gradients.
"""

import keras
import numpy as np
import pytest
from conftest import tree_answers
from scipy import stats

from galaxy_trainer import TrainerError
from galaxy_trainer.answers.choices import Choice, target_from_json
from galaxy_trainer.answers.classes import ClassesTarget
from galaxy_trainer.answers.targets import GALAXY_ZOO_2, TreeTarget, ValuesTarget
from galaxy_trainer.answers.votes import votes_for
from galaxy_trainer.labels.columns import Columns
from galaxy_trainer.labels.questions import read_tree, shipped
from galaxy_trainer.network import backend

RNG = np.random.default_rng(0)
ROWS, INPUTS, RATE = 12, 3, 0.05
DECALS, VOTES = shipped("galaxy_zoo_decals"), votes_for(shipped("galaxy_zoo_decals", votes=True))
VALUES = ValuesTarget(("a", "b"), (5.0, -1.0), (0.5, 20.0))
CLASSES = ClassesTarget(("kind",), ("x", "y", "z"), (1.0, 0.5, 2.0))


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


def of_each_question(tree, function, x):
    return np.concatenate([function(x[:, q.columns]) for q in tree.questions], axis=1)


def mean_of_known(errors):
    return errors[np.isfinite(errors)].mean()


def draw_votes(chance=0.6):
    """Votes for the answers of DECaLS' questions; some were asked nobody, some have no number for an answer."""
    counts = np.concatenate([RNG.integers(0, 30, (ROWS, len(q.answers))) for q in DECALS.questions], axis=1).astype(
        float
    )
    for q in DECALS.questions:
        counts[RNG.random(ROWS) > chance, q.columns] = 0
    counts[3, 5] = np.nan
    counts[4] = 0
    return counts


def surprises(concentrations, counts):
    """Minus the logarithm of the likelihood of each question, as SciPy has it; NaN without votes."""
    found = np.full((ROWS, len(DECALS.questions)), np.nan)
    for i, q in enumerate(DECALS.questions):
        asked = np.nan_to_num(counts[:, q.columns].sum(axis=1)) > 0
        votes = counts[asked, q.columns].astype(int)
        found[asked, i] = -stats.dirichlet_multinomial.logpmf(
            votes, concentrations[asked, q.columns], votes.sum(axis=1)
        )
    return found


def columns(values, names=None, source="labels.csv"):
    return Columns(source, tuple(f"g{i}" for i in range(len(values))), names or VOTES.columns, values, {})


COUNTS = draw_votes()
GAPS = np.where(RNG.random((ROWS, 37)) < 0.3, np.nan, tree_answers(RNG.random((ROWS, 37)) + 0.1))
SHARES = of_each_question(DECALS, softmax, RNG.normal(size=(ROWS, 34)))
SHARES[2, 5:7] = SHARES[5] = np.nan
NUMBERS = np.where(RNG.random((ROWS, 2)) < 0.2, np.nan, RNG.normal((5, -1), (0.5, 20), (ROWS, 2)))
KINDS = np.eye(3)[RNG.integers(0, 3, ROWS)]

#: Target, recipe's head, truth, NumPy's answers and loss as functions of what the linear layer gives.
CASES = {
    "linear": (GALAXY_ZOO_2, "linear", GAPS, lambda x: x, lambda x: mean_of_known((x - GAPS) ** 2)),
    "tree": (GALAXY_ZOO_2, "tree", GAPS, lambda x: tree_answers(np.exp(x)),
             lambda x: mean_of_known((tree_answers(np.exp(x)) - GAPS) ** 2)),
    "decals": (TreeTarget(DECALS.names, DECALS), "tree", SHARES, lambda x: of_each_question(DECALS, softmax, x),
               lambda x: mean_of_known((of_each_question(DECALS, softmax, x) - SHARES) ** 2)),
    "values": (VALUES, "linear", NUMBERS, lambda x: x * VALUES.std + VALUES.mean,
               lambda x: mean_of_known((x - (NUMBERS - VALUES.mean) / VALUES.std) ** 2)),
    "classes": (CLASSES, "linear", KINDS, softmax,
                lambda x: -(KINDS * CLASSES.weights * np.log(softmax(x))).sum(axis=1).mean()),
    "votes": (VOTES, "linear", VOTES.truth(columns(COUNTS)), lambda x: expected_votes(100 ** (1 / (1 + np.exp(-x)))),
              lambda x: mean_of_known(surprises(100 ** (1 / (1 + np.exp(-x))), COUNTS))),
}  # fmt: skip


def expected_votes(concentrations):
    shares = of_each_question(DECALS, lambda x: x / x.sum(axis=1, keepdims=True), concentrations)
    return np.hstack([shares, *(concentrations[:, q.columns].sum(axis=1)[:, None] for q in DECALS.questions)])


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_answers_loss_and_one_step(name):
    target, head, truth, answers, loss = CASES[name]
    images = RNG.normal(size=(ROWS, INPUTS))
    kernel = RNG.normal(size=(INPUTS, target.outputs), scale=0.3)
    dense = keras.layers.Dense(target.outputs, use_bias=False, name="linear")
    last = target.head(head)
    layers = [keras.Input((INPUTS,)), dense]
    if last == "tree":
        from galaxy_trainer.network.layers import TreeHead

        layers.append(TreeHead())
    elif last != "linear":
        layers.append(last)
    network = keras.Sequential(layers)
    dense.set_weights([kernel])
    network.compile(keras.optimizers.SGD(RATE), loss=target.loss, jit_compile=backend.compile_step())
    np.testing.assert_allclose(network.predict(images, verbose=0), answers(images @ kernel), rtol=1e-4, atol=1e-5)
    history = network.fit(images, truth, batch_size=ROWS, shuffle=False, verbose=0)
    assert history.history["loss"][0] == pytest.approx(loss(images @ kernel), rel=1e-4)
    given = answers(images @ kernel)
    weighted = target.error(given, truth) if name != "classes" else loss(images @ kernel)
    assert weighted == pytest.approx(loss(images @ kernel))
    gradient = np.empty(target.outputs)
    for column in range(target.outputs):
        step = np.zeros_like(kernel)
        step[0, column] = 1e-5
        gradient[column] = (loss(images @ (kernel + step)) - loss(images @ (kernel - step))) / 2e-5
    assert np.abs(gradient).max() > 1e-3
    within = 2e-4 * RATE * np.abs(gradient).max() + 1e-7
    np.testing.assert_allclose(dense.get_weights()[0][0] - kernel[0], -RATE * gradient, atol=within)


def test_votes_are_shares_and_numbers():
    truth = VOTES.truth(columns(COUNTS))
    assert np.isnan(truth[4]).all()
    assert np.isnan(truth[3, DECALS.questions[2].columns]).all()
    for i, q in enumerate(DECALS.questions):
        asked = np.nan_to_num(COUNTS[:, q.columns].sum(axis=1)) > 0
        np.testing.assert_array_equal(np.isfinite(truth[:, 34 + i]), asked)
        np.testing.assert_allclose(truth[asked, q.columns] * truth[asked, 34 + i : 35 + i], COUNTS[asked, q.columns])


def test_scores_of_votes():
    truth = VOTES.truth(columns(COUNTS))
    concentrations = RNG.uniform(1, 101, (ROWS, 34))
    answers = expected_votes(concentrations)
    found, expected = VOTES.score(answers, truth), surprises(concentrations, COUNTS)
    assert found["nll"] == pytest.approx(np.nanmean(expected))
    assert found["questions"]["bar"]["nll"] == pytest.approx(np.nanmean(expected[:, 3]))
    squares = (answers - truth)[:, :34] ** 2
    assert found["mse"] == pytest.approx(np.nanmean(squares))
    assert found["answers"]["bar_no_fraction"]["mse"] == pytest.approx(np.nanmean(squares[:, 9]))
    assert VOTES.errors(answers, truth)[0] == pytest.approx(np.nanmean(expected[0]))
    certain = VOTES.squares(np.r_[[1 / 3] * 34, [60] * 10], truth)
    assert np.isfinite(certain[VOTES.known(truth)]).all()
    nobody = np.nanmean(truth, axis=0)
    nobody[0] = 0  # an answer that nobody gave among those trained on
    assert np.isfinite(VOTES.error(nobody, truth))
    table = VOTES.table(["g"] * ROWS, answers)
    assert list(table)[:3] == ["id", "leading", "smooth-or-featured_smooth_fraction"]
    assert list(table)[-1] == "merging_votes"


@pytest.mark.parametrize("value", [-1, 0.25, np.inf])
def test_what_is_no_number_of_votes(value):
    counts = np.nan_to_num(COUNTS)
    counts[7, 9] = value
    with pytest.raises(
        TrainerError, match=rf"^labels.csv: 'bar_no' of g7 is {value:g}, not a number of votes \(in 1 rows\)"
    ):
        VOTES.truth(columns(counts))


def test_votes_as_a_choice(tmp_path):
    """The columns of fractions and those of votes come from one file; a run stores what it answers."""
    choice = Choice(tree="galaxy_zoo_decals", loss="counts")
    assert choice.target(None, VOTES.columns, "labels.csv", ()) == VOTES == target_from_json(VOTES.described())
    with pytest.raises(TrainerError, match="columns of the decision tree are missing: smooth-or-featured_smooth, "):
        choice.target(None, DECALS.names, "labels.csv", ())
    assert read_tree("galaxy_zoo_decals", votes=True).names == tuple(
        name.removesuffix("_fraction") for name in DECALS.names
    )
    with pytest.raises(TrainerError, match="--loss counts goes with --target tree, not values"):
        Choice(kind="values", loss="counts")
    with pytest.raises(TrainerError, match="unknown loss 'poisson'; known: mse, counts"):
        Choice(loss="poisson")
