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


@pytest.mark.parametrize(
    "options", [{}, {"view": "center-20"}, {"center": "galaxy", "margin": 3}, {"stretch": "asinh"}]
)
def test_images_that_need_single_steps_among_others(images, options, tmp_path):
    """A compiled call gets several images, and leaves those to the steps that are not finite, or all sky."""
    many = np.concatenate([images[..., 1]] * 3).astype(np.float32)
    many[5, 30, 30:34] = np.nan, np.inf, -np.inf, 7.0
    many[7] = 3.0
    expected = np.stack([scalenorm.crop(image, 16, **options) for image in many])
    np.save(tmp_path / "stack.npy", many)
    strided = np.repeat(many, 2, axis=2)[:, :, ::2]
    objects = np.empty(len(many), object)
    objects[:] = list(many)
    memory_map = np.load(tmp_path / "stack.npy", mmap_mode="r")
    for given in (many, list(many), memory_map, strided, many.astype(">f4"), objects):
        for jobs in (1, 2):
            np.testing.assert_array_equal(scalenorm.crop_many(given, 16, n_jobs=jobs, **options), expected)


def test_an_array_that_is_converted_is_not_converted_whole(monkeypatch):
    """In blocks of at most 1 MB: each thread would hold 16 large images twice."""
    import scalenorm.cropping.crop as module

    sizes = []
    as_frame = module.as_frame

    def watched(image, *details):
        sizes.append(image.nbytes)
        return as_frame(image, *details)

    monkeypatch.setattr(module, "as_frame", watched)
    images = np.random.default_rng(1).random((24, 200, 200)).astype(">f4")
    found = scalenorm.crop_many(images, 8, n_jobs=1)
    assert 160_000 < max(sizes) <= 1 << 20
    np.testing.assert_array_equal(found, scalenorm.crop_many(images.astype("f4"), 8))


def test_bands_first(images):
    first = np.ascontiguousarray(np.moveaxis(images, -1, 1))
    found = scalenorm.crop_many(first, channel_axis=0)
    np.testing.assert_array_equal(found, scalenorm.crop_many(images))
    np.testing.assert_array_equal(scalenorm.crop_many(images, channel_axis=-1), found)


def test_crop_many_names_the_image_that_is_wrong(images):
    with pytest.raises(ValueError, match="image 2: image must have shape"):
        scalenorm.crop_many([images[0], images[1], np.zeros(3)])
    with pytest.raises(ValueError, match="image 1: its crop has dtype float64"):
        scalenorm.crop_many([images[0], images[1].astype(float)])
    with pytest.raises(ValueError, match="images is empty"):
        scalenorm.crop_many([])
    with pytest.raises(ValueError, match="n_jobs"):
        scalenorm.crop_many(images, n_jobs=0)
