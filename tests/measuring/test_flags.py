"""Each flag: an image that sets it, and one like it that does not."""

from __future__ import annotations

import math

import numpy as np
import pytest

import scalenorm
from scalenorm import Flag
from scalenorm.measuring.flags import describe


def blob(shape, row, col, height, width, ratio=1.0):
    y, x = np.indices(shape) - np.array([row, col]).reshape(2, 1, 1)
    return height * np.exp(-((y / ratio) ** 2 + x**2) / (2 * width**2))


def galaxy(height=100.0):
    return 10 + blob((100, 100), 50, 50, height, 8)


def flags(image, **options):
    return scalenorm.measure(image, **options).flags


def test_a_plain_galaxy_has_none():
    assert flags(galaxy()) == Flag(0)
    assert flags(galaxy().astype(np.uint8)) == Flag(0)


@pytest.mark.parametrize("image", [np.zeros((9, 9)), np.full((5, 7, 3), 200, np.uint8), np.full((4, 4), np.nan)])
def test_no_foreground(image):
    assert Flag.NO_FOREGROUND in flags(image)
    measured = scalenorm.measure(image)
    assert (measured.area, measured.major_axis) == (0, 0)
    assert measured.side == min(image.shape[:2])


def test_touches_edge():
    image = 10 + blob((100, 100), 50, 12, 100, 8)
    assert Flag.TOUCHES_EDGE in flags(image, center=(50, 12))
    assert Flag.TOUCHES_EDGE not in flags(10 + blob((100, 100), 50, 30, 100, 8), center=(50, 30))


def test_padded():
    assert Flag.PADDED in flags(galaxy(), margin=10)
    assert Flag.PADDED in flags(10 + blob((100, 100), 50, 14, 100, 5), center="galaxy", margin=2)


def test_off_centre():
    image = 10 + blob((100, 100), 50, 58, 100, 8)
    assert Flag.OFF_CENTER in flags(image)
    assert Flag.OFF_CENTER not in flags(image, center=(50, 58))
    assert Flag.OFF_CENTER not in flags(image, center="log")


def test_blended():
    both = galaxy() + blob((100, 100), 73, 50, 90, 5) + blob((100, 100), 50, 73, 90, 5)
    assert Flag.BLENDED in flags(both, deblend=True)  # several objects
    assert Flag.BLENDED in flags(both)  # the shape of a blend
    assert Flag.BLENDED not in flags(galaxy(), deblend=True)


def test_neighbour_in_window():
    near = galaxy() + blob((100, 100), 32, 32, 100, 3)
    assert Flag.NEIGHBOUR_IN_WINDOW in flags(near, margin=1.7)
    assert Flag.NEIGHBOUR_IN_WINDOW not in flags(near, margin=0.8)
    masked = np.zeros(near.shape, bool)
    masked[:40, :40] = True
    assert Flag.NEIGHBOUR_IN_WINDOW not in flags(near, margin=1.7, mask=masked)


def test_neighbours_are_more_than_a_few_noisy_pixels():
    image = galaxy()
    image[36, 36] = image[64, 36] = 90
    assert Flag.NEIGHBOUR_IN_WINDOW not in flags(image)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite(value):
    image = galaxy()
    image[3, 4] = value
    assert Flag.NON_FINITE in flags(image)
    assert Flag.NON_FINITE in flags(image, smooth=1, deblend=True)


def test_degenerate_ellipse():
    line = np.zeros((41, 41))
    line[20, 10:30] = 1
    assert Flag.DEGENERATE_ELLIPSE in flags(line)
    line[21, 10:30] = line[22, 10:30] = 1
    assert Flag.DEGENERATE_ELLIPSE not in flags(line)


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 65535), ("int16", 32767)])
def test_saturated(dtype, top):
    image = np.clip(galaxy(top * 2.0), 0, top).astype(dtype)
    assert Flag.SATURATED in flags(image)
    assert Flag.SATURATED not in flags((image.astype(float) * 0.9).astype(dtype))
    colour = np.stack([galaxy(60.0)] * 3, -1).astype(dtype)
    assert Flag.SATURATED not in flags(colour)
    colour[50, 50, 2] = top  # one band is enough
    assert Flag.SATURATED in flags(colour)
    star = galaxy(top * 0.5).astype(dtype)
    star[5, 5] = top  # not in the galaxy
    assert Flag.SATURATED not in flags(star)


def test_low_contrast(rng):
    noise = rng.normal(100, 5, (100, 100))
    assert Flag.LOW_CONTRAST in flags(noise)
    assert Flag.LOW_CONTRAST not in flags(noise + blob((100, 100), 50, 50, 60, 8))


def test_pixels_without_a_value_in_a_filled_hole_say_nothing(rng):
    image = rng.normal(0, 1, (60, 60))
    image[np.hypot(*(np.indices(image.shape) - 30)) < 10] += 2.5
    assert Flag.LOW_CONTRAST in flags(image, fill_holes=True)
    hole = np.zeros(image.shape, bool)
    hole[29:32, 29:32] = True
    for value in (np.nan, np.inf, 1e6):
        image[hole] = value
        assert Flag.LOW_CONTRAST in flags(image, fill_holes=True, mask=hole)
    small = np.clip(galaxy(), 0, 200).astype(np.uint8)
    small[50, 50] = 255
    assert Flag.SATURATED in flags(small, fill_holes=True)
    assert Flag.SATURATED not in flags(small, fill_holes=True, mask=small == 255)


def test_scale_limited():
    assert Flag.SCALE_LIMITED in flags(galaxy(), side_limits=(1, 10))
    assert Flag.SCALE_LIMITED not in flags(galaxy(), side_limits=(1, 99))


def test_most_of_image():
    image = np.tile(np.array([0.0, 1, 1, 1]), (40, 10))
    assert Flag.MOST_OF_IMAGE in flags(image, sigma=0.5)
    assert Flag.MOST_OF_IMAGE not in flags(galaxy())


def test_flags_are_those_of_the_pixels(rng):
    """Neighbours, contrast and saturation of noisy images, against counts with NumPy."""
    for _ in range(10):
        image = np.clip(galaxy(rng.uniform(20, 240)) + rng.normal(0, 6, (100, 100)), 0, 255).astype(np.uint8)
        image[rng.integers(30, 70), rng.integers(30, 70)] = 255
        measured = scalenorm.measure(image, margin=1.5)
        from naive import component

        over = image >= measured.threshold
        region = component(over, 50, 50)
        low, high = np.floor(50 - measured.side / 2).astype(int), np.ceil(50 + measured.side / 2).astype(int)
        window = np.zeros(region.shape, bool)
        window[max(low, 0) : high, max(low, 0) : high] = True
        count = (over & ~region & window).sum()
        if abs(count - 0.05 * region.sum()) > 0.01 * region.sum():
            assert (Flag.NEIGHBOUR_IN_WINDOW in measured.flags) == (count > 0.05 * region.sum())
        assert (Flag.SATURATED in measured.flags) == (image[region] == 255).any()


def test_names():
    everything = Flag(0)
    for flag in Flag:
        everything |= flag
    assert describe(everything) == [
        "no foreground", "touches edge", "padded", "off center", "blended", "neighbour in window", "non finite",
        "degenerate ellipse", "saturated", "low contrast", "scale limited", "most of image",
    ]  # fmt: skip
    assert [flag.value for flag in Flag] == [1 << bit for bit in range(12)]  # stored in caches: never renumber


def test_flags_of_the_plain_measurement():
    image = np.zeros((60, 60), "uint8")
    image[:30, 25:35] = 200
    assert scalenorm.measure(image, margin=3.0).flags & (Flag.TOUCHES_EDGE | Flag.PADDED | Flag.OFF_CENTER) == (
        Flag.TOUCHES_EDGE | Flag.PADDED | Flag.OFF_CENTER
    )
    image[:] = 0
    image[30, 10:50] = 200
    got = scalenorm.measure(image)
    assert Flag.DEGENERATE_ELLIPSE in got.flags
    assert (got.minor_axis, got.major_axis) == (0.0, pytest.approx(4 * math.sqrt((40**2 - 1) / 12)))
    image[:] = 200
    image[:10] = 0
    assert Flag.MOST_OF_IMAGE in scalenorm.measure(image, sigma=0).flags
