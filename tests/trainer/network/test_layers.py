"""The layers against NumPy, on the Keras backend that is set (test_backends.py runs them on the others)."""

import keras
import numpy as np
import pytest
from conftest import tree_answers
from keras import ops
from scipy import ndimage

from galaxy_trainer.network.layers import Maxout, MeanOfTurns, Standardise, TreeHead, Turns, UntiedBias

RNG = np.random.default_rng(0)
POLICIES = {"float32": 1e-6, "mixed_bfloat16": 2e-2}


def numbers(tensor):
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))


@pytest.mark.parametrize("unit", [1e-30, 1e-17, 1.0, 1e30])
def test_standardise(unit):
    x = RNG.normal(size=(2, 3, 4, 3)) * np.array([1, 2, 3]) + np.array([10, 20, 30])
    mean, std = x.mean(axis=(0, 1, 2)), x.std(axis=(0, 1, 2))
    layer = Standardise(mean * unit, std * unit, dtype="float32")
    np.testing.assert_allclose(numbers(layer((x * unit).astype("f4"))), (x - mean) / std, atol=1e-5)
    assert layer.compute_output_shape((None, 3, 4, 3)) == (None, 3, 4, 3)
    again = Standardise.from_config(layer.get_config())
    assert (again.mean, again.std) == (layer.mean, layer.std)


@pytest.mark.parametrize("policy", POLICIES)
def test_untied_bias(policy):
    layer = UntiedBias(dtype=policy)
    x = RNG.normal(size=(2, 3, 4, 5)).astype("f4")
    np.testing.assert_allclose(numbers(layer(x)), x, rtol=POLICIES[policy])
    bias = RNG.normal(size=(3, 4, 5)).astype("f4")
    layer.set_weights([bias])
    assert keras.backend.standardize_dtype(layer(x).dtype) == layer.compute_dtype
    np.testing.assert_allclose(numbers(layer(x)), x + bias, rtol=POLICIES[policy], atol=POLICIES[policy])
    assert layer.compute_output_shape((None, 3, 4, 5)) == (None, 3, 4, 5)


def test_untied_bias_needs_a_fixed_size():
    with pytest.raises(ValueError, match="fixed size"):
        UntiedBias().build((None, None, 4, 5))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_maxout(policy, pieces):
    layer = Maxout(4, pieces=pieces, dtype=policy)
    x = RNG.normal(size=(6, 5)).astype("f4")
    layer(x)
    kernel, bias = RNG.normal(size=(5, 4 * pieces)).astype("f4"), RNG.normal(size=4 * pieces).astype("f4")
    layer.set_weights([kernel, bias])
    expected = np.empty((6, 4))
    for n in range(6):
        for unit in range(4):
            columns = range(unit * pieces, (unit + 1) * pieces)
            expected[n, unit] = max(float(x[n] @ kernel[:, c] + bias[c]) for c in columns)
    np.testing.assert_allclose(numbers(layer(x)), expected, rtol=POLICIES[policy], atol=4 * POLICIES[policy])


def test_maxout_is_refused_without_units():
    with pytest.raises(ValueError, match="pieces=0"):
        Maxout(3, pieces=0)


@pytest.mark.parametrize("policy", POLICIES)
def test_turns_and_their_mean(policy):
    x = RNG.integers(0, 100, (3, 5, 5, 2)).astype("f4")
    turned = numbers(Turns(dtype=policy)(x))
    for k in range(4):
        np.testing.assert_array_equal(turned[3 * k : 3 * k + 3], np.stack([np.rot90(image, k) for image in x]))
    assert Turns().compute_output_shape((None, 5, 5, 2)) == (None, 5, 5, 2)
    assert Turns().compute_output_shape((3, 5, 5, 2)) == (12, 5, 5, 2)
    features = RNG.normal(size=(12, 7)).astype("f4")
    means = [features[n::3].mean(axis=0) for n in range(3)]
    np.testing.assert_allclose(numbers(MeanOfTurns(dtype=policy)(features)), means, atol=4 * POLICIES[policy])
    assert MeanOfTurns().compute_output_shape((12, 7)) == (3, 7)


@pytest.mark.parametrize("policy", POLICIES)
def test_all_turns_against_numpy_and_scipy(policy):
    x = RNG.integers(0, 100, (3, 8, 8, 2)).astype("f4")
    # scipy turns the other way round, about the same centre; "nearest" is what it calls our edge.
    skew = np.stack([ndimage.rotate(image, -45, order=1, reshape=False, mode="nearest") for image in x])
    shown = [x, x[:, ::-1], skew, skew[:, ::-1]]
    expected = [np.rot90(images, k, axes=(1, 2)) for images in shown for k in range(4)]
    for count in (8, 16):
        turned = numbers(Turns(count, dtype=policy)(x)).reshape(count, 3, 8, 8, 2)
        assert Turns(count).compute_output_shape((3, 8, 8, 2)) == (3 * count, 8, 8, 2)
        assert Turns.from_config(Turns(count).get_config()).count == count
        tolerance = 1e-4 if policy == "float32" else 1.0
        unmatched = [e for e in expected if min(np.abs(t - e).max() for t in turned) > tolerance]
        assert len(unmatched) == 16 - count
        assert len({t.tobytes() for t in turned}) == count
    features = RNG.normal(size=(48, 7)).astype("f4")
    means = features.reshape(16, 3, 7).mean(axis=0)
    np.testing.assert_allclose(numbers(MeanOfTurns(16, dtype=policy)(features)), means, atol=4 * POLICIES[policy])
    with pytest.raises(ValueError, match="got 5"):
        Turns(5)


def test_tree_head_walks_the_tree():
    logits = RNG.normal(size=(20, 37)).astype("f4")
    answers = numbers(TreeHead()(logits))
    np.testing.assert_allclose(answers, tree_answers(np.exp(logits.astype(float))), rtol=2e-5)


def test_tree_head_obeys_at_extremes():
    logits = (200 * RNG.normal(size=(50, 37))).astype("f4")
    answers = numbers(TreeHead()(logits))
    assert np.isfinite(answers).all()
    assert answers.min() >= 0
    np.testing.assert_allclose(answers[:, :3].sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(answers[:, 18:25].sum(axis=1), answers[:, 13], rtol=1e-5, atol=1e-9)


def test_layers_survive_saving(tmp_path):
    inputs = keras.Input((4, 4, 2))
    x = keras.layers.Flatten()(UntiedBias()(inputs))
    model = keras.Model(inputs, TreeHead()(Maxout(37, pieces=3)(x)))
    model.set_weights([RNG.normal(size=w.shape) for w in model.get_weights()])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = RNG.normal(size=(3, 4, 4, 2)).astype("f4")
    np.testing.assert_array_equal(numbers(again(x)), numbers(model(x)))
    assert again.layers[-2].pieces == 3
