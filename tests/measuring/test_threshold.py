"""The threshold: its sums, ties, and values that strain them."""

from __future__ import annotations

import dataclasses

import naive
import numpy as np
import pytest
from comparing import galaxy_like, needs_jit, overflows

import scalenorm
from scalenorm import Flag


def test_two_values_of_which_one_is_the_threshold(rng):
    """Of two values on half of the pixels each, the threshold is the greater one: the last bit decides."""
    for _ in range(100):
        dark, bright = sorted(rng.random((2, 3)), key=lambda color: color @ (2125, 7154, 721))
        image = np.tile(dark, (8, 8, 1))
        image[2:6, 2:6] = image[0] = image[7] = bright
        areas = [galaxy.area for galaxy in scalenorm.crop_all(image, 8)[0]]
        assert areas == ([16, 8, 8] if scalenorm.measure(image).area else [])


def test_ties_at_the_threshold_are_foreground():
    """Half 0 and half 1: mean 0.5, std 0.5, so 1 equals the threshold, whatever the rounding."""
    for n in (2, 6, 10, 14, 26):
        image = np.zeros((n, n), "uint8")
        image[:, n // 2 :] = 255
        assert scalenorm.measure(image).area == n * n // 2
        assert scalenorm.measure(np.stack([image] * 3, axis=2)).area == n * n // 2


@needs_jit
def test_sums_do_not_overflow():
    """White 8-bit images above 1190^2, and 16-bit ones, pass 2^63 in a plain sum of squares."""
    image = np.full((1500, 1500, 3), 255, "uint8")
    image[:100] = 0
    assert_same_threshold(image)
    assert_same_threshold(image.astype("uint16") * 257)
    assert_same_threshold(np.full((3, 70000, 3), [[[255]], [[255]], [[0]]], "uint8"))


def assert_same_threshold(image):
    g, scale = naive.grey(image)
    g = g.astype(float) / scale
    assert scalenorm.measure(image).threshold == pytest.approx(g.mean() + g.std(), rel=1e-12)


def test_float_sums_keep_precision_on_a_large_offset(rng):
    image = 1e8 + rng.random((300, 300))
    rest = image - 1e8
    assert scalenorm.measure(image).threshold - 1e8 == pytest.approx(rest.mean() + rest.std(), rel=1e-6)


def test_huge_floats():
    image = np.zeros((20, 20))
    image[8:12, 8:12] = 1e200
    assert scalenorm.measure(image).area == 16


@overflows
def test_grey_levels_beyond_the_largest_float():
    image = np.zeros((20, 20, 3))
    image[8:12, 8:12] = 1e306
    assert scalenorm.measure(image).flags == Flag.NO_FOREGROUND | Flag.NON_FINITE


@overflows
@pytest.mark.parametrize("options", [
    {}, {"smooth": 1.0}, {"sigma_clip": 3.0}, {"mask_neighbours": True, "margin": 3.0}, {"size_from": "petrosian"},
])  # fmt: skip
def test_values_near_the_largest(options, rng):
    """A power of two scales exactly, even where squares or sums of the pixels are beyond float64."""
    image = galaxy_like(rng, dtype="float64", bands=1)
    image *= 0.9 / np.abs(image).max()
    expected, crop = scalenorm.measure(image, **options), scalenorm.crop(image, 16, **options)
    for scale in (2.0**600, 2.0**1023):
        found = scalenorm.measure(image * scale, **options)
        assert dataclasses.replace(
            found, threshold=found.threshold / scale, sky=tuple(value / scale for value in found.sky)
        ) == expected  # fmt: skip
        np.testing.assert_array_equal(scalenorm.crop(image * scale, 16, **options) / scale, crop)
    assert scalenorm.measure(np.full((200, 200), 1e308)).sky == pytest.approx((1e308,))


@pytest.mark.parametrize("bad", [1e12, -1e30, 1e150])
@pytest.mark.parametrize("at", [(0, 0), (40, 40), (-1, -1)])
def test_values_under_the_mask_do_not_matter_however_large(rng, bad, at):
    image = galaxy_like(rng, (60, 60), "float64", bands=1)
    mask = np.zeros(image.shape, bool)
    mask[at] = True
    image[at] = bad
    nan = image.copy()
    nan[at] = np.nan
    assert scalenorm.measure(image, mask=mask).threshold == pytest.approx(scalenorm.measure(nan).threshold, rel=1e-12)
    constant = np.full((60, 60), 0.1)
    constant[at] = bad
    assert scalenorm.measure(constant, mask=mask).area == 0
