"""crop_many: the crops of crop, whatever the threads."""

from __future__ import annotations

import numpy as np
import pytest

import scalenorm


def test_crop_many_equals_crop_whatever_the_threads(galaxies):
    expected = np.stack([scalenorm.crop(image) for image in galaxies.images])
    for jobs in (None, -1, 1, 2, 3):
        np.testing.assert_array_equal(scalenorm.crop_many(galaxies.images, n_jobs=jobs), expected)
    mixed = [galaxies.images[0], galaxies.images[1][10:-7, 3:]]
    second = scalenorm.crop_many(mixed, view="center-64")[1]
    np.testing.assert_array_equal(second, scalenorm.crop(mixed[1], view="center-64"))
    masks = [image[:, :, 0] > 200 for image in mixed]
    second = scalenorm.crop_many(iter(mixed), mask=iter(masks), n_jobs=2)[1]
    np.testing.assert_array_equal(second, scalenorm.crop(mixed[1], mask=masks[1]))


def test_crop_many_names_the_image_that_is_wrong(galaxies):
    with pytest.raises(ValueError, match="image 2: image must have shape"):
        scalenorm.crop_many([galaxies.images[0], galaxies.images[1], np.zeros(3)])
    with pytest.raises(ValueError, match="image 1: its crop has dtype float64"):
        scalenorm.crop_many([galaxies.images[0], galaxies.images[1].astype(float)])
    with pytest.raises(ValueError, match="images is empty"):
        scalenorm.crop_many([])
    with pytest.raises(ValueError, match="n_jobs"):
        scalenorm.crop_many(galaxies.images, n_jobs=0)
