"""The paper's network: its layers, sizes, seeds and standardisation."""

import keras
import numpy as np
import pytest
from keras import ops

from galaxy_trainer.network.augmentation import Augmentation, Augmented, draw
from galaxy_trainer.network.layers import Maxout, Standardise, TreeHead, UntiedBias
from galaxy_trainer.network.networks import TRUNKS, paper_network

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)


def numbers(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def small(**options):
    return paper_network(16, **{"width": 0.1, **options})


def of_kind(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


def test_layers_of_the_paper():
    model = paper_network()
    assert model.input_shape == (None, 64, 64, 3)
    assert model.output_shape == (None, 37)
    convolutions = of_kind(model, keras.layers.Conv2D)
    assert len(convolutions) == 9
    assert [c.output.shape[1] for c in convolutions] == [64] * 3 + [32] * 2 + [16] * 2 + [8] * 2
    for layer in convolutions:
        assert (layer.kernel_size, layer.strides, layer.padding, layer.use_bias) == ((3, 3), (1, 1), "same", False)
        assert isinstance(layer.kernel_initializer, keras.initializers.GlorotUniform)
        assert layer.kernel_regularizer is None
    assert [p.pool_size for p in of_kind(model, keras.layers.MaxPooling2D)] == [(2, 2)] * 3
    biases = of_kind(model, UntiedBias)
    assert [b.bias.shape for b in biases] == [c.output.shape[1:] for c in convolutions]
    assert len(of_kind(model, keras.layers.ReLU)) == 9
    assert len(of_kind(model, Maxout)) == 2
    assert [d.rate for d in of_kind(model, keras.layers.Dropout)] == [0.5, 0.5]
    assert 1_000_000 < model.count_params() < 10_000_000
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds[-5:] == ["Maxout", "Dropout", "Maxout", "Dropout", "Dense"]


def test_width_and_pieces():
    model = paper_network(width=0.25, pieces=4)
    assert [c.filters for c in of_kind(model, keras.layers.Conv2D)] == [8] * 3 + [16] * 2 + [32] * 4
    assert [(m.units, m.pieces) for m in of_kind(model, Maxout)] == [(64, 4)] * 2


def test_weights_depend_on_the_seed_only():
    keras.utils.set_random_seed(1)
    first = small(seed=3).get_weights()
    keras.utils.set_random_seed(2)
    same, other = small(seed=3).get_weights(), small(seed=4).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not np.array_equal(first[2], other[2])
    kernels = [w for w in first if w.ndim == 4 and w.shape == first[2].shape]
    assert all(not np.array_equal(kernels[0], k) for k in kernels[1:])


def test_standardisation_is_part_of_the_model():
    mean, std = [[100.0, 90.0, 80.0]], [[20.0, 30.0, 40.0]]
    raw = small(seed=1)(((PIXELS - np.array(mean[0])) / std[0]).astype("f4"))
    np.testing.assert_allclose(numbers(small(seed=1, mean=mean, std=std)(PIXELS)), numbers(raw), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("unit", [1e-30, 1e-17, 1e-9, 1e15, 1e30])
def test_answers_do_not_depend_on_the_unit(unit):
    """Standardised and augmented too; ``keras.layers.Normalization`` squares the deviation, and divides by 1e-7."""
    mean, std = PIXELS.mean(axis=(0, 1, 2)), PIXELS.std(axis=(0, 1, 2))
    drawn = draw(Augmentation(brightness=0.1), 2, 16, np.random.default_rng(0))

    def answers(unit):
        network = small(seed=1, mean=[mean * unit], std=[std * unit])
        images = (PIXELS * np.float64(unit)).astype("f4")
        sky = np.full((2, 3), 20 * unit, "f4")
        standardised = network.get_layer("standardise_0")(images)
        warped = Augmented(network)({"view_0": images, "sky": sky, "transform": drawn.transform, "gain": drawn.gain})
        return numbers(standardised), numbers(network(images)), numbers(warped)

    standardised = answers(unit)[0]
    np.testing.assert_allclose(standardised.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(standardised.std(axis=(0, 1, 2)), 1, atol=1e-5)
    for found, expected in zip(answers(unit), answers(1), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_standardisation_is_saved_with_the_model(tmp_path):
    network = small(mean=[[1e-30, 2e-30, 0.0]], std=[[1e-30, 3e-30, 1.0]])
    network.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    images = (PIXELS * 1e-30).astype("f4")
    np.testing.assert_array_equal(numbers(again(images)), numbers(network(images)))
    for wrong in ({"mean": [1], "std": [0]}, {"mean": [1, 2], "std": [1]}):
        with pytest.raises(ValueError, match="a deviation above 0 per channel"):
            Standardise(**wrong)


def test_bfloat16_is_close_and_answers_in_float32():
    options = {"seed": 1, "mean": [[128.0] * 3], "std": [[74.0] * 3]}
    full, half = small(**options)(PIXELS), small(dtype="mixed_bfloat16", **options)(PIXELS)
    assert keras.backend.standardize_dtype(half.dtype) == "float32"
    assert not np.array_equal(numbers(full), numbers(half))
    np.testing.assert_allclose(numbers(half), numbers(full), atol=0.05 * np.abs(numbers(full)).max())


def test_views_share_the_convolutions():
    one, two = small(), small(views=2)
    assert len(of_kind(two, keras.layers.Conv2D)) == 9
    assert two.count_params() - one.count_params() == 2 * 2 * 13 * 26 * 2
    answers = numbers(two({"view_0": PIXELS, "view_1": PIXELS[::-1].copy()}))
    assert answers.shape == (2, 37)
    assert not np.allclose(answers, numbers(two({"view_0": PIXELS, "view_1": PIXELS})))


@pytest.mark.slow
@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("views", [1, 2])
def test_four_rotations_see_the_same_in_an_image_turned_by_a_right_angle(trunk, views):
    def answers(pixels, rotations):
        model = small(
            trunk=trunk, rotations=rotations, views=views, mean=[[128.0] * 3] * views, std=[[74.0] * 3] * views
        )
        return numbers(model(pixels if views == 1 else {"view_0": pixels, "view_1": 255 - pixels}))

    still = answers(PIXELS, 4)
    assert still.shape == (2, 37)
    size = np.abs(still).max()
    turned, flipped = np.rot90(PIXELS, axes=(1, 2)).copy(), PIXELS[:, ::-1].copy()
    np.testing.assert_allclose(answers(turned, 4), still, atol=1e-5 * size)
    assert not np.allclose(answers(flipped, 4), still, atol=1e-2 * size)
    assert not np.allclose(answers(turned, 1), answers(PIXELS, 1), atol=1e-2 * size)
    for pixels in (turned, flipped):
        np.testing.assert_allclose(answers(pixels, 16), answers(PIXELS, 16), atol=2e-5 * size)


def test_rotations_are_averaged_behind_the_first_maxout():
    """With shared weights, the four orientations one by one through the parts of the network without rotations."""
    one, four = small(dropout=0.0, seed=5), small(dropout=0.0, seed=5, rotations=4)
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), four.get_weights(), strict=True))
    before = keras.Model(one.input, one.get_layer("maxout_1").output)
    mean = np.mean([numbers(before(np.rot90(PIXELS, k, axes=(1, 2)).copy())) for k in range(4)], axis=0)
    x = one.get_layer("maxout_2")(mean.astype("f4"))
    np.testing.assert_allclose(numbers(four(PIXELS)), numbers(one.get_layer("linear")(x)), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_rotations_survive_saving(tmp_path):
    model = small(trunk="compact", rotations=16, head="tree")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(PIXELS, verbose=0), model.predict(PIXELS, verbose=0))


def test_compact_convolutions():
    model = paper_network(trunk="compact", width=0.25)
    convolutions = of_kind(model, keras.layers.Conv2D)
    assert [c.filters for c in convolutions] == [16, 16, 32, 32, 64, 64]
    assert [c.output.shape[1] for c in convolutions] == [32, 32, 16, 16, 8, 8]
    assert model.get_layer("features").output.shape == (None, 8 * 8 * 64)
    assert not of_kind(model, UntiedBias)
    with_rotations = paper_network(trunk="compact", width=0.25, rotations=4)
    assert with_rotations.count_params() == model.count_params()


def test_tree_head():
    model = small(head="tree")
    assert isinstance(model.layers[-1], TreeHead)
    np.testing.assert_allclose(numbers(model(PIXELS))[:, :3].sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    "options",
    [{"size": 20}, {"size": 0}, {"width": 0}, {"head": "none"}, {"views": 0}, {"rotations": 2}, {"trunk": "none"}],
)
def test_arguments_out_of_range(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        paper_network(**{"size": 16, **options})
