"""Sizes by light, limits of the side, robust thresholds and regions; each against an independent computation."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from scipy import ndimage
from scipy.optimize import brentq
from scipy.special import gamma, gammainc

import scalenorm
from scalenorm import Flag


def disc(shape, row, col, scale, ratio=1.0, angle=0.0, height=1000.0):
    """An exponential disc; ``angle`` from the row axis to the major axis."""
    y, x = np.indices(shape) - np.array([row, col]).reshape(2, 1, 1)
    along, across = np.cos(angle) * y + np.sin(angle) * x, np.cos(angle) * x - np.sin(angle) * y
    return height * np.exp(-np.hypot(along, across / ratio) / scale)


def exact_petrosian():
    """Petrosian radius of an exponential disc of scale 1, and its half-light radius within 1.5 of that."""

    def light(r):
        return gammainc(2, r) * gamma(2)  # over 2 pi

    petrosian = brentq(lambda r: np.exp(-r) / (2 * light(r) / r**2) - 0.2, 0.5, 20)
    total = light(1.5 * petrosian)
    return petrosian, brentq(lambda r: light(r) - total / 2, 0.1, 10)


@pytest.mark.parametrize("ratio", [1.0, 0.5])
@pytest.mark.parametrize("angle", [0.0, 0.7, -1.2])
@pytest.mark.parametrize("dtype", ["float64", "uint16"])
def test_sizes_of_an_exponential_disc(ratio, angle, dtype):
    scale = 9.0
    image = (disc((301, 321), 150, 160, scale, ratio, angle, 20000.0) + 100).astype(dtype)
    petrosian, half = exact_petrosian()
    measured = scalenorm.measure(image, size_from="petrosian", margin=1.5)
    assert measured.side == pytest.approx(1.5 * 2 * petrosian * scale, rel=0.04)
    measured = scalenorm.measure(image, size_from="half_light")
    assert measured.side == pytest.approx(4 * half * scale, rel=0.04)
    assert Flag.SCALE_LIMITED not in measured.flags
    assert measured.major_axis == scalenorm.measure(image).major_axis


@pytest.mark.parametrize("size_from", ["half_light", "petrosian"])
def test_sizes_by_light_hang_less_on_the_threshold(size_from):
    image = disc((301, 301), 150, 150, 9, 0.6) + np.random.default_rng(1).normal(0, 5, (301, 301))
    light = [scalenorm.measure(image, size_from=size_from, sigma=k).side for k in (0.5, 2)]
    region = [scalenorm.measure(image, sigma=k).side for k in (0.5, 2)]
    assert abs(np.log(light[0] / light[1])) < 0.25 * abs(np.log(region[0] / region[1]))


@pytest.mark.parametrize("size_from", ["half_light", "petrosian"])
def test_where_light_has_no_size_the_major_axis_stands_in(size_from):
    image = np.ones((5, 5))
    image[2, 1] = 0
    measured = scalenorm.measure(image, sigma=-1, size_from=size_from)  # bright as far as the frame goes
    assert Flag.SCALE_LIMITED in measured.flags
    assert measured.side == measured.major_axis
    dot = np.zeros((9, 9))
    dot[4, 4] = 1
    assert scalenorm.measure(dot, size_from=size_from).side >= 1


def test_neighbours_add_no_light():
    image = disc((301, 301), 150, 150, 9)
    both = image + disc((301, 301), 150, 250, 5)
    alone = scalenorm.measure(image, size_from="half_light", sigma=0.5).side
    assert scalenorm.measure(both, size_from="half_light", sigma=0.5).side == pytest.approx(alone, rel=0.03)


@pytest.mark.parametrize(("limits", "side", "limited"), [
    ((1, 500), None, False), ((80, 90), 80, True), ((10, 15.5), 15.5, True), (None, None, False),
])  # fmt: skip
def test_side_limits(limits, side, limited):
    image = disc((101, 101), 50, 50, 8)
    measured = scalenorm.measure(image, side_limits=limits)
    plain = scalenorm.measure(image)
    assert measured.side == (plain.side if side is None else side)
    assert (Flag.SCALE_LIMITED in measured.flags) == limited
    assert measured.major_axis == plain.major_axis
    assert scalenorm.crop(image, 20, side_limits=limits).shape == (20, 20)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_clipped_threshold_is_that_of_astropy(dtype, rng):
    stats = pytest.importorskip("astropy.stats")
    image = (disc((120, 120), 60, 60, 8, height=150.0) + rng.normal(30, 4, (120, 120))).astype(dtype)
    mean, _, deviation = stats.sigma_clipped_stats(image.astype(float), sigma=3, cenfunc="mean", maxiters=None)
    measured = scalenorm.measure(image, sigma=2.5, sigma_clip=3)
    assert measured.threshold == pytest.approx(mean + 2.5 * deviation, rel=1e-6)
    expected = naive.component(image >= mean + 2.5 * deviation, 60, 60)
    assert measured.area == expected.sum()


def test_clipping_stops_before_one_value_is_left():
    image = np.zeros((40, 40), np.uint8)
    image[18:22, 17:23] = 200
    assert scalenorm.measure(image, sigma_clip=3).area == 24


def test_smoothing_is_scipys(rng):
    image = disc((90, 100), 45, 50, 6, height=100.0) + rng.normal(10, 20, (90, 100))
    smooth = ndimage.gaussian_filter(image, 2.0, mode="nearest")
    region = naive.component(smooth >= smooth.mean() + smooth.std(), 45, 50)
    measured = scalenorm.measure(image, smooth=2)
    assert measured.area == region.sum()
    assert measured.threshold == pytest.approx(smooth.mean() + smooth.std(), rel=1e-9)
    assert measured.sky[0] == pytest.approx(image[smooth < measured.threshold].mean(), rel=1e-9)
    colour = np.clip(np.stack([image] * 3, -1), 0, 255).astype(np.uint8)
    assert scalenorm.crop(colour, 32, smooth=2).dtype == np.uint8
    assert len(scalenorm.measure(colour, smooth=2).sky) == 3


def test_smoothing_leaves_out_masked_and_non_finite_pixels():
    image = np.full((40, 40), 5.0)
    image[18:23, 18:23] = 9
    image[0, 0] = np.nan
    mask = np.zeros(image.shape, bool)
    mask[30, 30] = True
    image[30, 30] = 1e6
    assert scalenorm.measure(image, smooth=1, mask=mask).row == pytest.approx(20, abs=1e-9)


def test_min_area_takes_the_nearest_large_component():
    image = np.zeros((60, 60))
    image[30, 30] = 5  # a hot pixel in the middle
    image[10:16, 30:36] = 5
    image[50:58, 50:58] = 5
    assert scalenorm.measure(image).area == 1
    assert scalenorm.measure(image, min_area=10).area == 36
    assert scalenorm.measure(image, min_area=50).area == 64
    assert Flag.NO_FOREGROUND in scalenorm.measure(image, min_area=65).flags


def test_fill_holes_is_skimages():
    from skimage.measure import label, regionprops

    image = disc((80, 80), 40, 40, 8, height=100.0)
    image[36:44, 34:44] = 0
    region = naive.component(image >= image.mean() + image.std(), 40, 40)
    filled = ndimage.binary_fill_holes(region)
    expected = regionprops(label(filled, connectivity=2))[0]
    measured = scalenorm.measure(image, fill_holes=True)
    assert scalenorm.measure(image).area == region.sum() < measured.area == filled.sum()
    assert measured.major_axis == pytest.approx(expected.axis_major_length, rel=1e-9)


def test_neighbours_are_painted_with_sky():
    image = np.full((64, 64, 3), 10, np.uint8)
    image[24:40, 28:36] = 100
    image[24:30, 22:26] = 200  # inside the window, not touching
    plain = scalenorm.measure(image)
    assert Flag.NEIGHBOUR_IN_WINDOW in plain.flags
    crop = scalenorm.crop(image, 32, mask_neighbours=True, margin=1.5)
    clean = image.copy()
    clean[24:30, 22:26] = 10
    window = (plain.window_row + 0.5 - 0.75 * plain.major_axis, plain.window_col + 0.5 - 0.75 * plain.major_axis)
    from PIL import Image

    box = (window[1], window[0], window[1] + 1.5 * plain.major_axis, window[0] + 1.5 * plain.major_axis)
    expected = np.asarray(Image.fromarray(clean).resize((32, 32), Image.Resampling.BILINEAR, box=box))
    assert np.abs(crop.astype(int) - expected).max() <= 1
    assert scalenorm.crop(image, 32, margin=1.5).max() > 110
    views = scalenorm.views(image, ["normalized", "center-64"], 32, mask_neighbours=True, margin=1.5)
    assert views["center-64"].max() > 110  # only the normalised view is painted
    np.testing.assert_array_equal(views["normalized"], crop)
    assert image.max() == 200  # the input stays


@pytest.mark.parametrize(("option", "message"), [
    ({"sigma_clip": 0.5}, "sigma_clip must be"), ({"sigma_clip": float("nan")}, "sigma_clip must be"),
    ({"smooth": -1}, "smooth must be"), ({"smooth": float("inf")}, "smooth must be"),
    ({"min_area": 0}, "min_area must be"), ({"min_area": 1.5}, "min_area must be"),
    ({"deblend_levels": 1}, "deblend_levels must be"), ({"deblend_contrast": 1.1}, "deblend_contrast must be"),
    ({"size_from": "area"}, "size_from must be one of major_axis, half_light, petrosian"),
    ({"side_limits": (5, 4)}, "side_limits must be"), ({"side_limits": (0, 4)}, "side_limits must be"),
    ({"side_limits": 5}, "side_limits must be"), ({"side_limits": (1e12, 1e13)}, "least at most 1000000 or None, got"),
    ({"smooth": 1e9}, "smooth must be a finite number from 0 to 1000, got 1000000000.0"),
])  # fmt: skip
def test_bad_options(option, message):
    for function in (scalenorm.measure, scalenorm.crop):
        with pytest.raises(ValueError, match=message):
            function(np.eye(9), **option)
