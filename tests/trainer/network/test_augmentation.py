"""Augmentation against SciPy, NumPy's own rotations, and known points."""

import keras
import numpy as np
import pytest
from conftest import sky_blobs
from keras import ops
from scipy import ndimage

from galaxy_trainer.network.augmentation import NO_AUGMENTATION, Augmentation, draw, orientations, transforms, warp

SIZE = 32
ONE = np.ones(1, np.float32)


def numbers(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def one(**changes):
    """The transformation of a single image."""
    plain = {"angle": 0, "flip_rows": 1, "flip_columns": 1, "shift_rows": 0, "shift_columns": 0, "zoom": 1}
    return transforms(SIZE, **{name: np.array([float(v)]) for name, v in {**plain, **changes}.items()})


def spot(row, column):
    r, c = np.mgrid[:SIZE, :SIZE]
    return 100 * np.exp(-0.5 * ((r - row) ** 2 + (c - column) ** 2) / 1.5**2)[None, :, :, None]


def centroid(image):
    r, c = np.mgrid[:SIZE, :SIZE]
    return np.array([(image * r).sum(), (image * c).sum()]) / image.sum()


@pytest.mark.parametrize(
    ("changes", "row", "column"),
    [
        ({}, 20.0, 12.0),
        ({"shift_rows": 3}, 23.0, 12.0),
        ({"shift_columns": -2.5}, 20.0, 9.5),
        ({"flip_rows": -1}, 11.0, 12.0),
        ({"flip_columns": -1}, 20.0, 19.0),
        # From the centre (15.5, 15.5): (4.5, -3.5). A quarter turn takes rows to columns: (3.5, 4.5).
        ({"angle": np.pi / 2}, 19.0, 20.0),
        ({"angle": np.pi / 2, "shift_rows": 3}, 22.0, 20.0),
        ({"angle": np.pi / 2, "flip_rows": -1}, 19.0, 11.0),
        ({"zoom": 1.25}, 15.5 + 5.625, 15.5 - 4.375),
    ],
)
def test_where_a_point_goes(changes, row, column):
    image = spot(20, 12)
    moved = numbers(warp(image, np.zeros((1, 1), "f4"), one(**changes), ONE))[0, :, :, 0]
    np.testing.assert_allclose(centroid(moved), [row, column], atol=0.02)


def test_any_angle_against_scipy():
    image = sky_blobs(1, size=SIZE)[0][:1, ..., :1].astype("f4")
    angle, shift = 0.7, np.array([2.3, -4.1])
    moved = numbers(
        warp(image, np.zeros((1, 1), "f4"),
             one(angle=angle, flip_rows=-1, shift_rows=shift[0], shift_columns=shift[1]), ONE)
    )  # fmt: skip
    forward = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([-1.0, 1.0])
    back = np.linalg.inv(forward)
    centre = np.full(2, (SIZE - 1) / 2)
    expected = ndimage.affine_transform(
        image[0, :, :, 0], back, offset=centre - back @ (centre + shift), order=1, mode="grid-constant"
    )
    np.testing.assert_allclose(moved[0, :, :, 0], expected, atol=0.01)


def test_outside_is_each_images_sky():
    images = np.full((2, SIZE, SIZE, 3), 200, np.uint8)
    sky = np.array([[10, 20, 30], [5, 6, 7]], "f4")
    moved = numbers(warp(images, sky, np.repeat(one(shift_rows=12), 2, axis=0), np.ones(2, "f4")))
    np.testing.assert_allclose(moved[:, :11], np.broadcast_to(sky[:, None, None], (2, 11, SIZE, 3)), atol=1e-4)
    np.testing.assert_allclose(moved[:, 12:], 200, atol=1e-4)


def test_brightness_leaves_the_sky():
    images = np.full((1, SIZE, SIZE, 1), 110, np.uint8)
    moved = numbers(warp(images, np.array([[10.0]], "f4"), one(), np.array([1.5], "f4")))
    np.testing.assert_allclose(moved, 160, rtol=1e-6)


def test_off_changes_nothing():
    images = sky_blobs(4, size=SIZE)[0]
    draws = draw(NO_AUGMENTATION, 4, SIZE, np.random.default_rng(0))
    moved = numbers(warp(images, np.full((4, 3), 20, "f4"), *draws))
    np.testing.assert_allclose(moved, images, atol=1e-4)


def test_eight_orientations_are_the_squares_symmetries():
    image = np.random.default_rng(0).random((SIZE, SIZE)).astype("f4")
    turned = numbers(
        warp(np.tile(image[None, :, :, None], (8, 1, 1, 1)), np.zeros((8, 1), "f4"), orientations(8, SIZE),
             np.ones(8, "f4"))
    )[..., 0]  # fmt: skip
    wanted = [np.rot90(side, k) for k in range(4) for side in (image, image[::-1])]
    matches = [[np.allclose(t, w, atol=1e-3) for w in wanted] for t in turned]
    assert np.sum(matches, axis=0).tolist() == [1] * 8
    assert np.sum(matches, axis=1).tolist() == [1] * 8


@pytest.mark.parametrize("count", [0, 3, -2])
def test_orientations_come_in_pairs(count):
    with pytest.raises(ValueError, match=str(count)):
        orientations(count, SIZE)


def test_draws_cover_what_table_1_says():
    n = 4000
    draws = draw(Augmentation(), n, 64, np.random.default_rng(0))
    a = draws.transform.astype(float)
    inverse = np.stack([[a[:, 4], a[:, 3]], [a[:, 1], a[:, 0]]]).transpose(2, 0, 1)
    determinant = np.linalg.det(inverse)
    np.testing.assert_allclose(np.abs(determinant), 1, atol=1e-6)
    assert abs((determinant < 0).mean() - 0.5) < 0.03
    # The centre of the input lands at centre + shift.
    offset = a[:, [5, 2]] - 31.5
    shift = -np.linalg.solve(inverse, offset[..., None])[..., 0] - 31.5
    assert np.abs(shift).max() <= 12 + 1e-3
    assert np.abs(shift).max() > 11.9
    np.testing.assert_allclose(shift.std(axis=0), 12 / np.sqrt(3), rtol=0.05)
    angles = np.arctan2(inverse[:, 0, 1], inverse[:, 1, 1])
    assert np.histogram(angles, 8, (-np.pi, np.pi))[0].min() > n / 8 * 0.85
    assert (draws.gain == 1).all()


def test_switching_one_on_leaves_the_others_alone():
    def drawn(**options):
        return draw(Augmentation(**options), 50, 64, np.random.default_rng(7))

    np.testing.assert_array_equal(drawn(brightness=0.2).transform, drawn().transform)
    plain, zoomed = drawn().transform, drawn(zoom=1.3).transform
    factor = zoomed[:, 0] / plain[:, 0]
    np.testing.assert_allclose(zoomed[:, 4] / plain[:, 4], factor, rtol=1e-4)
    assert 1 / 1.3 - 1e-3 < factor.min() < factor.max() < 1.3 + 1e-3


@pytest.mark.parametrize("options", [{"shift": -1}, {"zoom": 0.9}, {"brightness": 1}])
def test_ranges(options):
    with pytest.raises(ValueError, match="augmentation needs"):
        Augmentation(**options)


def test_keras_is_used_channels_last():
    assert keras.config.image_data_format() == "channels_last"
