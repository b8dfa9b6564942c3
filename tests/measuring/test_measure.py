"""measure, crop and their steps against the naive twins, over shapes, dtypes, layouts and odd images."""

from __future__ import annotations

import dataclasses
import math
import os

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

import scalenorm
from scalenorm import Flag
from scalenorm.measuring.frame import as_frame
from scalenorm.measuring.galaxy import find_galaxy
from scalenorm.measuring.options import MeasureOptions
from scalenorm.measuring.region import _exact_moments

DTYPES = ("uint8", "uint16", "int16", "float32", "float64")
BIG_ENDIAN = (">u2", ">i2", ">f4", ">f8")


JIT_OFF = bool(os.environ.get("NUMBA_DISABLE_JIT"))
needs_jit = pytest.mark.skipif(JIT_OFF, reason="millions of steps need the compiler")
overflows = pytest.mark.skipif(JIT_OFF, reason="NumPy's scalars warn of overflow, compiled code does not")


def galaxy_like(rng, shape=(80, 90), dtype="uint8", bands=3, noise=0.05):
    """A bright inclined ellipse near the middle, a neighbour, and noise."""
    rows, cols = np.indices(shape)
    row, col = shape[0] / 2 + rng.uniform(-3, 3), shape[1] / 2 + rng.uniform(-3, 3)
    angle, long, short = rng.uniform(0, np.pi), min(shape) / 8, min(shape) / 14

    def blob(row, col, long, short):
        u = (rows - row) * np.cos(angle) + (cols - col) * np.sin(angle)
        v = (cols - col) * np.cos(angle) - (rows - row) * np.sin(angle)
        return np.exp(-((u / long) ** 2) - (v / short) ** 2)

    light = blob(row, col, long, short) + 0.6 * blob(row * 0.3, col * 0.4, short, short)
    image = light[..., np.newaxis] * rng.uniform(0.5, 0.9, bands) + noise * rng.random((*shape, bands))
    image = image[..., 0] if bands == 1 else image
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (image * 3 - 0.2).astype(dtype)
    return (np.clip(image, 0, 1) * np.iinfo(kind).max).astype(dtype)


def component_pixels(image, mask=None, **options):
    checked = MeasureOptions(**options)
    frame = as_frame(image, checked, mask)
    component = find_galaxy(frame, checked).component.region
    return np.zeros((frame.height, frame.width), bool) if component is None else component.pixels()


def assert_same(image, mask=None, size=16, **options):
    """Everything measured, and the crop, equal the naive twin's."""
    expected = naive.measure(image, mask=mask, **options)
    np.testing.assert_array_equal(component_pixels(image, mask, **options), expected.pixels)
    got = scalenorm.measure(image, mask=mask, **options)
    assert (got.area, got.bbox) == (expected.area, expected.bbox)
    for name in ("major_axis", "row", "col", "side", "window_row", "window_col"):
        assert getattr(got, name) == pytest.approx(getattr(expected, name), rel=1e-9, abs=1e-9), name
    # The naive eigenvalues of a thin region cancel to 1e-15 of the larger one, whose square root is 3e-8.
    assert got.minor_axis == pytest.approx(expected.minor_axis, rel=1e-9, abs=1e-6 * max(1, expected.major_axis))
    if got.major_axis - got.minor_axis > 1e-6:
        turn = abs(got.orientation - expected.orientation)
        assert min(turn, math.pi - turn) < 1e-7
    np.testing.assert_allclose(got.sky, expected.sky, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(got.threshold, expected.threshold, rtol=1e-9, atol=1e-12)
    assert_same_crop(image, mask, size, **options)


def assert_same_crop(image, mask=None, size=16, **options):
    image = np.asarray(image)
    got = scalenorm.crop(image, size, mask=mask, **options)
    expected = naive.crop(image, size, mask=mask, **options)
    assert got.shape == expected.shape
    assert got.dtype == image.dtype.newbyteorder("=")
    if image.dtype.kind == "f":
        scale = np.abs(image[np.isfinite(image)]).max() if np.isfinite(image).any() else 0
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * scale)
    else:
        tolerance = 0.5 + 1e-5 * np.abs(expected)  # rounding, and Pillow's own float32
        assert (np.abs(got - expected.astype(float)) <= tolerance + 1e-3).all()


@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
@pytest.mark.parametrize("bands", [1, 3, 4, 5])
def test_every_dtype_and_number_of_bands(rng, dtype, bands):
    assert_same(galaxy_like(rng, dtype=dtype, bands=bands))


@pytest.mark.parametrize("shape", [(64, 64), (65, 64), (64, 65), (33, 100), (101, 31)])
@pytest.mark.parametrize("margin", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("center", ["image", "galaxy", (20.25, 14.5)])
def test_shapes_margins_and_centers(rng, shape, margin, center):
    assert_same(galaxy_like(rng, shape), margin=margin, center=center)


@pytest.mark.parametrize("sigma", [-1.0, 0.0, 0.5, 1.0, 1.7, 3.0])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_sigma(rng, sigma, dtype):
    assert_same(galaxy_like(rng, dtype=dtype), sigma=sigma)


def test_weights_replace_luma(rng):
    image = galaxy_like(rng)
    assert_same(image, weights=(0.0, 1.0, 0.0))
    assert_same(image.astype("float32"), weights=(1.0, 2.0, 0.5))
    with pytest.raises(ValueError, match="one number for each of the 3 bands, got 2"):
        scalenorm.crop(image, weights=(1, 1))


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


def test_mask_excludes_from_everything(rng):
    for dtype in ("uint8", "uint16", "float64"):
        image = galaxy_like(rng, dtype=dtype)
        mask = rng.random(image.shape[:2]) < 0.2
        mask[:30, :40] = True
        assert_same(image, mask=mask)
        masked = np.ma.MaskedArray(image, np.repeat(mask[..., np.newaxis], 3, axis=2))
        assert scalenorm.measure(masked) == scalenorm.measure(image, mask=mask)


def test_non_finite_pixels_are_sky(rng):
    for bands in (1, 3):
        image = galaxy_like(rng, dtype="float32", bands=bands)
        for value in (np.nan, np.inf, -np.inf):  # in the galaxy, beside it and in the sky
            image[rng.random(image.shape) < 0.05] = value
        assert_same(image, margin=3.0)
        assert Flag.NON_FINITE in scalenorm.measure(image).flags
        assert np.isfinite(scalenorm.crop(image, view="center-64")).all()


@pytest.mark.parametrize("options", [
    {"smooth": 1.0}, {"sigma_clip": 3.0}, {"min_area": 50}, {"mask_neighbours": True}, {"deblend": True},
    {"center": "log"}, {"size_from": "petrosian"}, {"fill_holes": True},
])  # fmt: skip
def test_infinite_values_of_both_signs_in_one_pixel(options, rng):
    image = galaxy_like(rng, dtype="float32")
    expected = image.copy()
    image[:2, :3], expected[:2, :3] = (np.inf, -np.inf, 0), np.nan
    assert scalenorm.measure(image, **options) == scalenorm.measure(expected, **options)
    assert np.isfinite(scalenorm.crop(image, **options)).all()


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


def test_two_values_of_which_one_is_the_threshold(rng):
    """Of two values on half of the pixels each, the threshold is the greater one: the last bit decides."""
    for _ in range(100):
        dark, bright = sorted(rng.random((2, 3)), key=lambda color: color @ (2125, 7154, 721))
        image = np.tile(dark, (8, 8, 1))
        image[2:6, 2:6] = image[0] = image[7] = bright
        areas = [galaxy.area for galaxy in scalenorm.crop_all(image, 8)[0]]
        assert areas == ([16, 8, 8] if scalenorm.measure(image).area else [])


def test_layouts_give_the_same_result(rng):
    image = galaxy_like(rng, dtype="uint16")
    expected, measured = scalenorm.crop(image), scalenorm.measure(image)
    first = np.moveaxis(image, 2, 0)
    wide = np.zeros((160, 180, 6), image.dtype)
    wide[::2, ::2, ::2] = image
    read_only = image.copy()
    read_only.setflags(write=False)
    for other, axis in (
        (np.asfortranarray(image), None),
        (first, 0),
        (np.ascontiguousarray(first), 0),
        (wide[::2, ::2, ::2], None),
        (image[::-1, ::-1][::-1, ::-1], None),
        (image.astype(">u2"), None),
        (read_only, -1),
        (image.tolist(), None),
    ):
        other = np.asarray(other, "uint16") if isinstance(other, list) else other
        before = other.copy()
        np.testing.assert_array_equal(scalenorm.crop(other, channel_axis=axis), expected)
        assert scalenorm.measure(other, channel_axis=axis) == measured
        np.testing.assert_array_equal(other, before)


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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (30, 31, 3), (1, 1, 3)])
def test_constant_images_have_no_foreground(dtype, shape):
    image = np.full(shape, 7, dtype)
    got = scalenorm.measure(image)
    assert got.flags == Flag.NO_FOREGROUND
    assert (got.area, got.major_axis, got.minor_axis, got.bbox) == (0, 0, 0, (0, 0, 0, 0))
    assert (got.row, got.col, got.side) == ((shape[0] - 1) / 2, (shape[1] - 1) / 2, min(shape[:2]))
    assert got.threshold == 7
    assert set(got.sky) == {7}
    crop = scalenorm.crop(image, 5)
    assert crop.dtype == dtype
    np.testing.assert_allclose(crop, np.full((5, 5, *shape[2:]), 7), rtol=1e-12 if np.dtype(dtype).kind == "f" else 0)


def test_nothing_valid():
    for image in (np.full((8, 9), np.nan), np.full((8, 9, 3), np.inf, "float32")):
        got = scalenorm.measure(image)
        assert got.flags == Flag.NO_FOREGROUND | Flag.NON_FINITE
        assert set(got.sky) == {0}
        assert math.isnan(got.threshold)
        assert (scalenorm.crop(image, 4) == 0).all()
    image = np.arange(72, dtype="uint8").reshape(8, 9)
    got = scalenorm.measure(image, mask=np.ones((8, 9), bool))
    assert Flag.NO_FOREGROUND in got.flags


def test_ties_at_the_threshold_are_foreground():
    """Half 0 and half 1: mean 0.5, std 0.5, so 1 equals the threshold, whatever the rounding."""
    for n in (2, 6, 10, 14, 26):
        image = np.zeros((n, n), "uint8")
        image[:, n // 2 :] = 255
        assert scalenorm.measure(image).area == n * n // 2
        assert scalenorm.measure(np.stack([image] * 3, axis=2)).area == n * n // 2


def test_nearest_component_ties_in_row_major_order():
    image = np.zeros((41, 41), "uint8")
    image[20, 10] = image[20, 30] = image[10, 20] = image[30, 20] = 200
    assert scalenorm.measure(image).bbox == (10, 20, 11, 21)
    image[10, 20] = 0
    assert scalenorm.measure(image).bbox == (20, 10, 21, 11)


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


@needs_jit
@pytest.mark.parametrize("n", [255, 1200])
@pytest.mark.parametrize("fraction", [0.4, 0.5, 0.6])
def test_noise_masks_of_any_size(rng, n, fraction):
    """Percolating noise: the component is a maze over the whole image."""
    image = np.where(rng.random((n, n + 1)) < fraction, 200, 0).astype("uint8")
    np.testing.assert_array_equal(component_pixels(image, sigma=0.0), naive.measure(image, sigma=0.0).pixels)


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


@st.composite
def images(draw):
    shape = draw(
        st.one_of(
            st.tuples(st.integers(1, 24), st.integers(1, 24)),
            st.tuples(st.integers(5, 24), st.integers(1, 24), st.integers(1, 5)),
        )
    )
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    if dtype.kind == "f":
        elements = st.one_of(st.integers(-50, 50).map(float), st.sampled_from([math.nan, math.inf, -math.inf]))
    else:
        info = np.iinfo(dtype)
        elements = st.one_of(st.integers(0, 3), st.integers(info.min, info.max))
    return draw(hnp.arrays(dtype, shape, elements=elements))


@settings(max_examples=150, deadline=None)
@given(images(), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([1.0, 1.5]), st.sampled_from(["image", "galaxy"]))
def test_any_small_image(image, sigma, margin, center):
    assert_same(image, size=7, sigma=sigma, margin=margin, center=center)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(20, 50), st.integers(20, 50), st.integers(0, 3), st.booleans())
def test_flips_and_quarter_turns_move_the_measurement_with_the_image(seed, height, width, turns, flip):
    rng = np.random.default_rng(seed)
    image = galaxy_like(rng, (height, width))
    center = (height / 2 - 0.25, width / 2 - 0.25)  # off any symmetry, so that both look at the same pixel
    moved, (row, col), size = image, center, (height, width)
    if flip:
        moved, row = moved[::-1], height - 1 - row
    for _ in range(turns):
        moved = np.rot90(moved)
        row, col, size = size[1] - 1 - col, row, size[::-1]
    a = scalenorm.measure(image, center=center)
    b = scalenorm.measure(moved, center=(row, col))
    for name in ("area", "threshold", "sky", "major_axis", "minor_axis", "side"):
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-12)
    ours = scalenorm.crop(image, 16, center=center)
    ours = np.rot90(ours[::-1] if flip else ours, turns)
    theirs = scalenorm.crop(moved, 16, center=(row, col))
    assert np.abs(ours.astype(int) - theirs).max() <= 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 9), st.integers(0, 9))
def test_translation_moves_the_measurement(seed, down, right):
    rng = np.random.default_rng(seed)
    image = np.zeros((90, 90), "uint8")
    image[20:60, 20:60] = galaxy_like(rng, (40, 40), bands=1, noise=0)
    moved = np.roll(image, (down, right), (0, 1))
    a, b = scalenorm.measure(image, center=(40, 40)), scalenorm.measure(moved, center=(40 + down, 40 + right))
    assert (b.row - a.row, b.col - a.col) == pytest.approx((down, right))
    assert (a.major_axis, a.area, a.orientation) == pytest.approx((b.major_axis, b.area, b.orientation))


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


def test_center_views(galaxies):
    image = galaxies.images[0]
    np.testing.assert_array_equal(scalenorm.crop(image, view="center-64"), image[180:244, 180:244])
    np.testing.assert_array_equal(scalenorm.crop(image, 424, view="center-424"), image)
    quarter = np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR, box=(84, 84, 340, 340)))
    assert np.abs(scalenorm.crop(image, view="center-256").astype(int) - quarter).max() <= 1
    small = scalenorm.crop(image[200:220, 200:220], view="center-64")
    assert small.shape == (64, 64, 3)  # beyond the frame there is sky


def test_views_are_the_crops(galaxies):
    image = galaxies.images[1]
    names = ["center-256", "normalized", "center-64", "center-100"]
    together = scalenorm.views(image, names, 32, sigma=1.2)
    assert list(together) == names
    for name, view in together.items():
        np.testing.assert_array_equal(view, scalenorm.crop(image, 32, view=name, sigma=1.2))


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


def test_numbers_of_numpy_are_numbers(galaxies):
    image = galaxies.images[0]
    assert scalenorm.measure(image, sigma=np.float32(1.5), margin=np.int64(2)) == scalenorm.measure(
        image, sigma=1.5, margin=2.0
    )
    assert scalenorm.measure(image, center=np.str_("galaxy")) == scalenorm.measure(image, center="galaxy")


@needs_jit
def test_a_window_far_beyond_the_image_costs_no_more_memory(galaxies):
    crop = scalenorm.crop(galaxies.images[0], 8, view="center-100000000")
    assert np.ptp(crop.reshape(-1, 3), axis=0).max() <= 1  # sky and nothing else


def test_not_numbers():
    for image in (np.zeros((5, 5), complex), np.full((5, 5), "a"), np.full((5, 5), None)):
        with pytest.raises(TypeError, match="real numbers, got dtype"):
            scalenorm.measure(image)


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


@pytest.mark.slow
def test_real_images(galaxyzoo):
    """All real images: identical component pixels, axes within 1e-9, crops within one grey level of Pillow's 8 bits."""
    off = []
    for path in sorted((galaxyzoo / "images").glob("*.jpg")):
        image = np.asarray(Image.open(path))
        pixels = exact_foreground(image)
        region = naive.component(pixels, 212, 212)
        np.testing.assert_array_equal(component_pixels(image), region)
        expected = naive.regionprops(region.astype(np.uint8))[0]
        got = scalenorm.measure(image)
        assert got.major_axis == pytest.approx(expected.axis_major_length, rel=1e-9)
        assert got.minor_axis == pytest.approx(expected.axis_minor_length, rel=1e-9)
        assert pixels[212, 212]
        off.append(got.major_axis)
        top, left = got.window_row + 0.5 - got.side / 2, got.window_col + 0.5 - got.side / 2
        if Flag.PADDED not in got.flags:
            box = (left, top, left + got.side, top + got.side)
            own = np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR, box=box))
            assert np.abs(scalenorm.crop(image).astype(int) - own).max() <= 1
    assert np.percentile(off, [1, 50, 99]) == pytest.approx([90, 136, 242], rel=0.02)


def exact_foreground(image):
    """The naive foreground of an 8-bit image in one integer comparison: fit for thousands of images."""
    g, _ = naive.grey(image)
    n, total, squares = g.size, int(g.sum()), int((g * g).sum())
    distance = n * g - total
    return distance >= math.isqrt(n * squares - total * total - 1) + 1
