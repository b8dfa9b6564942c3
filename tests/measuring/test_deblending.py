"""Deblending: against a naive twin, against galaxies of which the neighbours are known, and its limits."""

from __future__ import annotations

import naive
import naive_fields
import numpy as np
import pytest

import scalenorm
from scalenorm import Flag
from scalenorm.measuring.deblending import deblend, find_basins, object_pixels
from scalenorm.measuring.foreground import find_foreground
from scalenorm.measuring.frame import as_frame
from scalenorm.measuring.options import MeasureOptions
from scalenorm.measuring.region import fill_region
from scalenorm.measuring.threshold import find_threshold


def found(image, row=None, col=None, mask=None):
    frame = as_frame(image, MeasureOptions(), mask)
    threshold = find_threshold(frame, MeasureOptions())
    seed = frame.height // 2 if row is None else row, frame.width // 2 if col is None else col
    return threshold, fill_region(find_foreground(frame, threshold).mask, *seed)


def blob(shape, row, col, height, width, ratio=1.0, angle=0.0):
    """A Gaussian galaxy."""
    y, x = np.indices(shape) - np.array([row, col]).reshape(2, 1, 1)
    along, across = np.cos(angle) * y + np.sin(angle) * x, (np.cos(angle) * x - np.sin(angle) * y) / ratio
    return height * np.exp(-(along**2 + across**2) / (2 * width**2))


def fields(count, rng):
    """Small fields of one galaxy and some neighbours, of several types."""
    for number in range(count):
        image = 100 * np.exp(-rng.uniform(0, 1)) * blob((60, 66), 30, 33, 1, 5, rng.uniform(0.4, 1), rng.uniform(0, 3))
        for _ in range(number % 5):
            place = 30 + rng.uniform(-14, 14), 33 + rng.uniform(-16, 16)
            image += rng.uniform(20, 150) * blob((60, 66), *place, 1, rng.uniform(1.5, 5), rng.uniform(0.4, 1))
        image += rng.normal(10, 2, image.shape)
        yield np.clip(image, 0, 255).astype(np.uint8) if number % 2 else image


@pytest.mark.slow
def test_objects_and_pixels_are_those_of_the_naive_twin(rng):
    several = 0
    for image in fields(24, rng):
        threshold, component = found(image)
        grey, _ = naive.grey(image)
        basins = find_basins(threshold, component, levels=32, contrast=0.005)
        frame = threshold.frame
        bottom = min(frame.height, basins.top + basins.factor * (basins.label.shape[0] - 2))
        right = min(frame.width, basins.left + basins.factor * (basins.label.shape[1] - 2))
        _, over, count, _ = naive_fields.reduce_window(
            grey.astype(float), basins.top, basins.left, bottom, right, basins.factor, threshold.cutoff
        )
        numbers = naive_fields.objects(over, count, threshold.cutoff, 32, 0.005)
        np.testing.assert_array_equal(basins.label, numbers)

        part, objects = deblend(threshold, component)
        pixels, expected = naive_fields.deblend(
            grey.astype(float), threshold.cutoff, component.pixels(), component.origin
        )
        assert objects == expected
        # Models of light are float32 in the kernel: a pixel just at the threshold may go either way.
        assert (part.pixels() != pixels).sum() <= 1
        several += expected > 1
    assert several >= 5


def test_large_galaxies_are_reduced_like_the_naive_twin(galaxies):
    image = scalenorm.make_galaxies(1, seed=4, size=200, neighbours=3).images[0]
    threshold, component = found(image)
    grey, _ = naive.grey(image)
    part, objects = deblend(threshold, component)
    pixels, expected = naive_fields.deblend(grey.astype(float), threshold.cutoff, component.pixels(), component.origin)
    assert objects == expected
    assert (part.pixels() != pixels).sum() <= 2


def test_moments_are_those_of_the_pixels(rng):
    for image in fields(6, rng):
        part, _ = deblend(*found(image))
        rows, cols = np.nonzero(part.pixels())
        r, c = rows - part.origin[0], cols - part.origin[1]
        assert part.moments == [len(r), r.sum(), c.sum(), (r * r).sum(), (r * c).sum(), (c * c).sum()]
        assert part.bbox == (rows.min(), cols.min(), rows.max() + 1, cols.max() + 1)
        assert part.pixels()[part.origin]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("height", [60.0, 180.0])
def test_a_touching_neighbour_is_removed(dtype, height):
    alone = 10 + blob((120, 130), 60, 62, 100, 9, 0.6, 0.4)
    both = alone + blob((120, 130), 82, 80, height, 6)
    threshold, component = found(both.astype(dtype))
    truth = naive.component(alone >= threshold.value, 60, 62)
    assert component.pixels().sum() > 1.2 * truth.sum()
    galaxy = scalenorm.measure(both.astype(dtype), deblend=True)
    pixels = np.argwhere(truth)
    axis = 4 * np.sqrt(np.linalg.eigvalsh(np.cov(pixels.T, bias=True))[1])
    assert galaxy.major_axis == pytest.approx(axis, rel=0.05)
    assert np.hypot(galaxy.row - 60, galaxy.col - 62) < 1
    assert Flag.BLENDED in galaxy.flags
    assert threshold.frame.height == galaxy.height


@pytest.mark.slow
def test_galaxies_without_neighbours_stay_as_they_are():
    sample = scalenorm.make_galaxies(60, seed=12, size=212, neighbours=0)
    single = ~(sample.answers[:, sample.answer_names.index("Class8.6")] > 0.2)  # mergers are two galaxies
    changes = [
        scalenorm.measure(image, deblend=True).major_axis / scalenorm.measure(image).major_axis - 1
        for image in sample.images[single]
    ]
    assert np.median(np.abs(changes)) < 0.005
    assert np.mean(np.abs(changes) > 0.05) < 0.05


def test_contrast_and_levels():
    image = 10 + blob((120, 120), 60, 60, 100, 10) + blob((120, 120), 60, 80, 40, 3)
    assert deblend(*found(image), contrast=0.001)[1] == 2
    assert deblend(*found(image), contrast=0.5)[1] == 1
    assert deblend(*found(image), levels=2, contrast=1.0)[0].moments == found(image)[1].moments


def test_objects_are_given_one_pixel_each():
    image = blob((90, 90), 45, 30, 100, 5) + blob((90, 90), 45, 45, 80, 5) + blob((90, 90), 80, 80, 60, 3)
    threshold, component = found(image, 45, 30)
    assert object_pixels(threshold, component) == [(45, 30), (45, 45)]  # the third is not in the component
    parts = [deblend(threshold, component, at=pixel)[0] for pixel in ((45, 30), (45, 45))]
    assert not (parts[0].pixels() & parts[1].pixels()).all()
    assert parts[0].pixels()[45, 30]
    assert parts[1].pixels()[45, 45]


@pytest.mark.parametrize("factor", [1, 1000.0])
def test_scaling_the_light_changes_nothing(factor, rng):
    image = next(iter(fields(1, rng))) + blob((60, 66), 36, 44, 90, 3)
    plain = scalenorm.measure(image, deblend=True)
    scaled = scalenorm.measure(image * factor - 500, deblend=True)
    assert scaled.area == plain.area
    assert scaled.major_axis == pytest.approx(plain.major_axis, rel=1e-12)


def test_masked_and_non_finite_pixels_take_no_part():
    image = 10 + blob((80, 80), 40, 36, 100, 6) + blob((80, 80), 40, 56, 100, 5)
    mask = np.zeros(image.shape, bool)
    mask[:, 47:] = True
    image[5, 5] = np.nan
    galaxy = scalenorm.measure(image, deblend=True, mask=mask)
    assert galaxy.bbox[3] <= 47
    hidden = image.copy()
    hidden[mask] = 1e9
    assert scalenorm.measure(hidden, deblend=True, mask=mask).major_axis == galaxy.major_axis


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2), (3, 50)])
def test_thin_and_tiny_images(shape, rng):
    for _ in range(5):
        galaxy = scalenorm.measure(rng.integers(0, 255, shape, np.uint8), deblend=True, min_area=1)
        assert np.isfinite([galaxy.major_axis, galaxy.side, galaxy.row]).all()


def test_threads_give_the_same():
    images = scalenorm.make_galaxies(12, seed=2, size=128, neighbours=3).images
    one = scalenorm.crop_many(images, 32, n_jobs=1, deblend=True)
    np.testing.assert_array_equal(one, scalenorm.crop_many(images, 32, n_jobs=4, deblend=True))


def test_a_star_on_top_of_the_galaxy_is_not_the_galaxy():
    y, x = np.indices((154, 140)) - np.array([62, 70]).reshape(2, 1, 1)
    galaxy = 10 + 200 * np.exp(-np.hypot(y, x) / 14)
    image = galaxy + blob((154, 140), 77, 70, 150, 2.5)  # the star is at the image's centre
    truth = scalenorm.measure(galaxy)
    assert scalenorm.measure(image, deblend=True).major_axis == pytest.approx(truth.major_axis, rel=0.1)
    star = scalenorm.measure(image, deblend=True, center=(77, 70))  # a position means the object there
    assert star.major_axis < truth.major_axis / 2


@pytest.mark.slow
def test_real_images_against_sextractor(galaxyzoo):
    """The scatter against SExtractor's size of the same galaxy shrinks, and few galaxies change."""
    sep = pytest.importorskip("sep")
    from PIL import Image

    ids = (galaxyzoo / "unbiased_ids.txt").read_text().split()[::12]
    plain, alone, size = [], [], []
    for name in ids:
        image = np.asarray(Image.open(galaxyzoo / "images" / f"{name}.jpg"))
        green = image[..., 1].astype(np.float32)
        background = sep.Background(green)
        objects = sep.extract(green - background.back(), 2.0, err=background.globalrms)
        far = (objects["x"] - 211.5) ** 2 + (objects["y"] - 211.5) ** 2
        size.append(objects["a"][np.argmax(objects["npix"] * np.exp(-far / 5000))])
        plain.append(scalenorm.measure(image).major_axis)
        alone.append(scalenorm.measure(image, deblend=True).major_axis)
    plain, alone, size = map(np.array, (plain, alone, size))
    assert np.std(np.log(plain / size)) <= 0.14
    assert np.std(np.log(alone / size)) <= 0.095
    assert np.median(np.abs(alone / plain - 1)) < 0.005
