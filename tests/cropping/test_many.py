"""crop_many: the crops of crop, whatever the threads."""

from __future__ import annotations

import numpy as np
import pytest

import scalenorm


@pytest.fixture(scope="module")
def images(galaxies):
    """The middle of eight simulated galaxies."""
    return galaxies.images[:, 180:244, 180:244].copy()


def test_crop_many_equals_crop_whatever_the_threads(images):
    expected = np.stack([scalenorm.crop(image) for image in images])
    for jobs in (None, -1, 1, 2, 3):
        np.testing.assert_array_equal(scalenorm.crop_many(images, n_jobs=jobs), expected)
    mixed = [images[0], images[1][10:-7, 3:]]
    second = scalenorm.crop_many(mixed, view="center-64")[1]
    np.testing.assert_array_equal(second, scalenorm.crop(mixed[1], view="center-64"))
    masks = [image[:, :, 0] > 200 for image in mixed]
    second = scalenorm.crop_many(iter(mixed), mask=iter(masks), n_jobs=2)[1]
    np.testing.assert_array_equal(second, scalenorm.crop(mixed[1], mask=masks[1]))


def test_crop_many_names_the_image_that_is_wrong(images):
    with pytest.raises(ValueError, match="image 2: image must have shape"):
        scalenorm.crop_many([images[0], images[1], np.zeros(3)])
    with pytest.raises(ValueError, match="image 1: its crop has dtype float64"):
        scalenorm.crop_many([images[0], images[1].astype(float)])
    with pytest.raises(ValueError, match="images is empty"):
        scalenorm.crop_many([])
    with pytest.raises(ValueError, match="n_jobs"):
        scalenorm.crop_many(images, n_jobs=0)
