"""Finding the object that is not in the middle, and every object of a field."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

import scalenorm
from scalenorm import Flag


def blob(shape, row, col, height, width):
    y, x = np.indices(shape) - np.array([row, col]).reshape(2, 1, 1)
    return height * np.exp(-(y**2 + x**2) / (2 * width**2))


@pytest.mark.parametrize("center", ["log", "dog"])
def test_an_object_off_the_centre_is_found(center, rng):
    image = blob((200, 240), 70, 150, 100, 6) + blob((200, 240), 30, 40, 150, 8) + rng.normal(20, 5, (200, 240))
    galaxy = scalenorm.measure(image, center=center)
    assert np.hypot(galaxy.row - 70, galaxy.col - 150) < 1
    assert np.hypot(galaxy.window_row - 70, galaxy.window_col - 150) < 3
    assert Flag.OFF_CENTER not in galaxy.flags


@pytest.mark.slow
@pytest.mark.parametrize("center", ["log", "dog"])
def test_the_right_object_of_simulated_fields(center):
    """Galaxies up to 60 pixels off, of 424, with 0 to 5 neighbours that are at least 1.5 times as far out."""
    right = []
    for neighbours in range(6):
        sample = scalenorm.make_galaxies(
            6, seed=31, first=neighbours, size=212, neighbours=neighbours, offset=30, signal_to_noise=10
        )
        for image, row, col, axis in zip(sample.images, sample.row, sample.col, sample.major_axis, strict=True):
            galaxy = scalenorm.measure(image, center=center, deblend=True)
            right.append(np.hypot(galaxy.row - row, galaxy.col - col) < axis / 3)
    assert all(right)


@pytest.mark.parametrize("center", ["log", "dog"])
@pytest.mark.parametrize("image", [np.zeros((50, 60)), np.full((40, 40, 3), 7, np.uint8), np.full((9, 9), np.nan)])
def test_no_blob_means_the_image_centre(center, image):
    galaxy = scalenorm.measure(image, center=center)
    assert (galaxy.window_row, galaxy.window_col) == ((image.shape[0] - 1) / 2, (image.shape[1] - 1) / 2)
    assert Flag.NO_FOREGROUND in galaxy.flags


@pytest.mark.parametrize("center", ["log", "dog"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (4, 300), (37, 5)])
def test_thin_images(center, shape, rng):
    galaxy = scalenorm.measure(rng.integers(0, 255, shape, np.uint8), center=center)
    assert 0 <= galaxy.window_row <= shape[0] - 1
    assert 0 <= galaxy.window_col <= shape[1] - 1


@pytest.mark.parametrize("center", ["log", "dog"])
@pytest.mark.parametrize("shape", [(259, 259), (1300, 1291), (382, 200)])  # the last blocks are not whole
def test_a_blob_at_the_edge_lies_in_the_image(center, shape, rng):
    image = rng.normal(0, 0.1, shape)
    image[-2:, 80:120] = 100
    for turned in (image, image.T):
        galaxy = scalenorm.measure(turned, center=center)
        assert galaxy.window_row <= turned.shape[0] - 1
        assert galaxy.window_col <= turned.shape[1] - 1
        assert galaxy.area == 80


def test_a_large_image_is_searched_on_a_reduced_copy(monkeypatch):
    import skimage.feature

    seen = []
    real = skimage.feature.blob_log
    monkeypatch.setattr(skimage.feature, "blob_log", lambda image, **k: seen.append(image.shape) or real(image, **k))
    image = np.zeros((1500, 2000), np.float32)
    image[400:460, 800:850] = 1
    galaxy = scalenorm.measure(image, center="log")
    assert max(seen[0]) <= 128
    assert galaxy.row == 429.5


def test_every_object_of_a_field(rng):
    places = [(30, 40, 6), (90, 150, 4), (120, 50, 5)]
    image = rng.normal(10, 1, (160, 200)) + sum(blob(np.zeros((160, 200)).shape, r, c, 90, w) for r, c, w in places)
    measurements, crops = scalenorm.crop_all(image, 24, min_area=20)
    assert crops.shape == (3, 24, 24)
    found = [(round(m.row), round(m.col)) for m in measurements]
    assert found == [(30, 40), (120, 50), (90, 150)]  # largest first
    for galaxy, crop in zip(measurements, crops, strict=True):
        alone = scalenorm.crop(image, 24, center=(galaxy.row, galaxy.col))
        np.testing.assert_array_equal(crop, alone)
        assert (galaxy.window_row, galaxy.window_col) == (galaxy.row, galaxy.col)


def test_every_object_is_counted_as_by_scipy(rng):
    from skimage.data import hubble_deep_field

    field = hubble_deep_field()[300:600, 200:600]
    grey = field @ np.array([2125, 7154, 721])
    labels, count = ndimage.label(grey >= grey.mean() + grey.std(), np.ones((3, 3)))
    areas = np.bincount(labels.ravel())[1:]
    measurements, crops = scalenorm.crop_all(field, 16)
    assert sorted(m.area for m in measurements) == sorted(areas.tolist())
    assert crops.shape == (count, 16, 16, 3)
    field = hubble_deep_field()
    separated, _ = scalenorm.crop_all(field, 16, min_area=30, deblend=True)
    assert len(separated) > len(scalenorm.crop_all(field, 16, min_area=30)[0])


def test_a_field_without_objects():
    measurements, crops = scalenorm.crop_all(np.zeros((20, 30, 3), np.uint8), 8)
    assert measurements == []
    assert crops.shape == (0, 8, 8, 3)


def test_crop_all_has_no_centre():
    with pytest.raises(ValueError, match="leave center out"):
        scalenorm.crop_all(np.zeros((20, 30)), center="log")
