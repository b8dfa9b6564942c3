"""crop, views and crop_many: dtypes, windows anywhere, and what is refused."""

from __future__ import annotations

import math

import naive
import numpy as np
import pytest
from comparing import galaxy_like, needs_jit
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import scalenorm
from scalenorm.measuring.frame import as_frame
from scalenorm.measuring.options import MeasureOptions


def test_other_dtypes_are_cropped_too(rng):
    image = galaxy_like(rng, dtype="uint8")
    expected = scalenorm.crop(image).astype(int)
    for dtype in ("int32", "uint32", "int64", "uint64"):
        got = scalenorm.crop(image.astype(dtype))
        assert got.dtype == dtype
        assert np.abs(got.astype(int) - expected).max() <= 1
    assert scalenorm.crop(image > 100).dtype == bool
    assert scalenorm.crop((image // 2).astype("int8")).dtype == "int8"
    assert scalenorm.crop(image.astype("float16")).dtype == "float16"
    top = np.full((9, 9), np.iinfo("int64").max)
    top[0, 0] = 0
    assert scalenorm.crop(top, view="center-5", size=5).min() > 2**62


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 70),
    st.floats(1, 200),
    st.floats(0, 59),
    st.floats(0, 79),
)
def test_windows_anywhere_match_pillow(seed, size, side, row, col):
    """Windows inside, around and beyond the frame, shrinking and enlarging, 8-bit against Pillow's own 8-bit path."""
    from scalenorm.cropping.resampling import resample
    from scalenorm.measuring.window import Window

    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    window = Window(row, col, side)
    sky = np.array([10.0, 20.0, 30.0])
    got = resample(as_frame(image, MeasureOptions()), [window], size, sky)[0]
    expected = naive.resample(image, row, col, side, size, sky)
    assert np.abs(got - expected).max() <= 0.51  # rounding, and Pillow keeps the box in single precision
    if not window.leaves(60, 80):
        top, left = window.corner()
        box = (left, top, left + side, top + side)
        own = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=box))
        assert np.abs(got.astype(int) - own).max() <= 1


@pytest.mark.parametrize("bands", [1, 3, 5])
def test_a_window_inside_the_frame_needs_no_sky(bands):
    """Of floats the sky is not found where no window needs it, and may be any number, or none."""
    from scalenorm.cropping.resampling import resample
    from scalenorm.measuring.window import Window

    image = np.random.default_rng(1).random((40, 50, bands))
    frame, window = as_frame(image, MeasureOptions()), [Window(20.2, 24.7, 25.3)]
    known, unknown = (resample(frame, window, 9, np.full(bands, sky)) for sky in (7.0, np.nan))
    np.testing.assert_array_equal(unknown, known)


def test_true_axes_of_simulated_galaxies(galaxies):
    """A crop pixel maps back: the window's centre and side put crop pixel (i, j) where the docs say."""
    image = np.zeros((101, 101), "float64")
    image[40:60, 30:70] = 1.0
    found = scalenorm.measure(image, center="galaxy")
    assert (found.row, found.col) == (49.5, 49.5)
    crop = scalenorm.crop(image, 64, center="galaxy")
    rows = found.window_row - found.side / 2 + (np.arange(64) + 0.5) * found.side / 64
    inside = (rows > 41) & (rows < 58)
    assert crop[inside, 32].min() > 0.99
    assert crop[(rows < 38.5) | (rows > 61), 32].max() < 0.01


def test_center_views(galaxies):
    image = galaxies.images[0][159:265, 159:265]
    np.testing.assert_array_equal(scalenorm.crop(image, view="center-64"), image[21:85, 21:85])
    np.testing.assert_array_equal(scalenorm.crop(image, 106, view="center-106"), image)
    quarter = np.asarray(Image.fromarray(image).resize((16, 16), Image.Resampling.BILINEAR, box=(21, 21, 85, 85)))
    assert np.abs(scalenorm.crop(image, 16, view="center-64").astype(int) - quarter).max() <= 1
    small = scalenorm.crop(image[41:61, 41:61], view="center-64")
    assert small.shape == (64, 64, 3)  # beyond the frame there is sky


def test_views_are_the_crops(galaxies):
    image = galaxies.images[1][164:260, 164:260]
    names = ["center-256", "normalized", "center-64", "center-100"]
    together = scalenorm.views(image, names, 32, sigma=1.2)
    assert list(together) == names
    for name, view in together.items():
        np.testing.assert_array_equal(view, scalenorm.crop(image, 32, view=name, sigma=1.2))


@needs_jit
def test_a_window_far_beyond_the_image_costs_no_more_memory(galaxies):
    crop = scalenorm.crop(galaxies.images[0], 8, view="center-100000000")
    assert np.ptp(crop.reshape(-1, 3), axis=0).max() <= 1  # sky and nothing else


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros(5), {}, r"shape \(H, W\) or \(H, W, C\), got \(5,\)"),
        (np.zeros((2, 2, 2, 2)), {}, "got \\(2, 2, 2, 2\\)"),
        (np.zeros((0, 5)), {}, "no pixels"),
        (np.zeros((3, 50, 60)), {}, "channel_axis=0"),
        (np.zeros((50, 60, 3)), {"channel_axis": 3}, "channel_axis must be between"),
        (np.zeros((5, 5)), {"mask": np.zeros((4, 5))}, "mask must have the image's shape"),
        (np.zeros((5, 5)), {"sigma": math.nan}, "sigma must be a finite number, got nan"),
        (np.zeros((5, 5)), {"margin": 0}, "margin must be a finite number above 0, at most 1000, got 0"),
        (np.eye(5), {"margin": 1e308}, "margin must be .* at most 1000, got 1e"),
        (np.eye(5), {"margin": 10**400}, "margin must be .* at most 1000, got 10000"),
        (np.zeros((5, 5)), {"min_area": math.inf}, "min_area must be a whole number >= 1, got inf"),
        (np.zeros((5, 5)), {"min_area": "3"}, "min_area must be a whole number >= 1, got '3'"),
        (np.zeros((5, 5)), {"sigma_clip": "3"}, "sigma_clip must be a finite number >= 1 or None, got '3'"),
        (np.zeros((5, 5)), {"deblend_levels": None}, "deblend_levels must be a whole number from 2 to 10000, got None"),
        (np.zeros((5, 5, 3)), {"channel_axis": 1.5}, "channel_axis must be an integer or None, got 1.5"),
        (np.zeros((5, 5)), {"sigma": "1"}, "sigma must be a finite number, got '1'"),
        (np.zeros((5, 5)), {"view": ["normalized"]}, "unknown view \\['normalized'\\]"),
        (np.zeros((5, 5)), {"view": "center-99999999999"}, "unknown view 'center-99999999999'"),
        (np.zeros((5, 5)), {"center": "middle"}, "center must be one of image, galaxy"),
        (np.zeros((5, 5)), {"center": (1, 2, 3)}, r"center must be .*2 finite numbers \(row, col\), got"),
        (np.zeros((5, 5)), {"center": (7, 2)}, "outside the image of 5 x 5"),
        (np.zeros((5, 5)), {"weights": ()}, "weights must be finite numbers"),
        (np.zeros((5, 5)), {"view": "center-0"}, "unknown view 'center-0'"),
        (np.zeros((5, 5)), {"view": "whole"}, "unknown view 'whole'"),
        (np.zeros((5, 5)), {"size": 0}, "size must be a positive number of pixels, got 0"),
        (np.zeros((5, 5)), {"size": 6.5}, "size must be a positive number of pixels, got 6.5"),
    ],
)
def test_bad_input_says_what_is_wrong(image, options, message):
    with pytest.raises(ValueError, match=message):
        scalenorm.crop(image, **options)
