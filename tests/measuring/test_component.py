"""The component: which one, all of its pixels, and its moments."""

from __future__ import annotations

import math

import naive
import numpy as np
import pytest
from comparing import component_pixels, needs_jit

import scalenorm
from scalenorm.measuring.frame import as_frame
from scalenorm.measuring.galaxy import find_galaxy
from scalenorm.measuring.options import MeasureOptions
from scalenorm.measuring.region import _exact_moments


def test_nearest_component_ties_in_row_major_order():
    image = np.zeros((41, 41), "uint8")
    image[20, 10] = image[20, 30] = image[10, 20] = image[30, 20] = 200
    assert scalenorm.measure(image).bbox == (10, 20, 11, 21)
    image[10, 20] = 0
    assert scalenorm.measure(image).bbox == (20, 10, 21, 11)


@needs_jit
@pytest.mark.parametrize("n", [255, 1200])
@pytest.mark.parametrize("fraction", [0.4, 0.5, 0.6])
def test_noise_masks_of_any_size(rng, n, fraction):
    """Percolating noise: the component is a maze over the whole image."""
    image = np.where(rng.random((n, n + 1)) < fraction, 200, 0).astype("uint8")
    np.testing.assert_array_equal(component_pixels(image, sigma=0.0), naive.measure(image, sigma=0.0).pixels)


@needs_jit
@pytest.mark.parametrize("options", [{}, {"fill_holes": True}])
def test_second_moments_beyond_64_bits(options):
    width, length = 4_000_000, 3_000_000
    image = np.zeros((2, width), np.uint8)
    image[0, (width - length) // 2 : (width + length) // 2] = 200
    galaxy = scalenorm.measure(image, sigma=0.1, **options)
    assert (galaxy.area, galaxy.col, galaxy.minor_axis) == (length, (width - 1) / 2, 0)
    assert galaxy.major_axis == pytest.approx(4 * math.sqrt((length**2 - 1) / 12), rel=1e-14)


def test_exact_moments_are_those_of_the_kernel(rng):
    options = MeasureOptions(sigma=0.2)
    for _ in range(5):
        component = find_galaxy(as_frame(rng.normal(size=(20, 30)), options), options).component.region
        assert _exact_moments(component) == component.moments
