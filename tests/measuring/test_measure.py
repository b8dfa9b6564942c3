"""measure against its naive twin, and the crop with it, over shapes, dtypes, layouts and odd images."""

from __future__ import annotations

import math

import naive
import numpy as np
import pytest
import simplejpeg
from comparing import DTYPES, assert_same, component_pixels, galaxy_like
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

import scalenorm
from scalenorm import Flag

BIG_ENDIAN = (">u2", ">i2", ">f4", ">f8")


@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
@pytest.mark.parametrize("bands", [1, 3, 4, 5])
def test_every_dtype_and_number_of_bands(rng, dtype, bands):
    assert_same(galaxy_like(rng, dtype=dtype, bands=bands))


@pytest.mark.parametrize("shape", [(48, 48), (49, 48), (48, 49), (25, 90), (91, 23)])
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


def test_objects_with_a_mask_of_their_own(rng):
    """CCDData, NDData and Masked of astropy: units are dropped, masks are honoured."""
    nddata = pytest.importorskip("astropy.nddata")
    from astropy.utils.masked import Masked

    image = galaxy_like(rng, (60, 50), "float32", bands=1)
    mask = np.zeros(image.shape, bool)
    mask[:20] = True
    image[3:9, 3:9] = 1e4
    expected = scalenorm.measure(image, mask=mask)
    assert expected != scalenorm.measure(image)
    for masked in (nddata.CCDData(image, mask=mask, unit="adu"), nddata.NDData(image, mask=mask), Masked(image, mask)):
        assert scalenorm.measure(masked) == expected
    assert scalenorm.measure(nddata.CCDData(image, unit="adu")) == scalenorm.measure(image)
    half = nddata.CCDData(image, mask=mask & (np.arange(50) < 25), unit="adu")
    assert scalenorm.measure(half, mask=mask & (np.arange(50) >= 25)) == expected
    with pytest.raises(ValueError, match=r"mask of the NDData has shape \(50,\), its data \(60, 50\)"):
        scalenorm.measure(nddata.NDData(image, mask=mask[0]))
    color = np.stack([image] * 3)
    first = nddata.CCDData(color, mask=np.stack([mask] * 3), unit="adu")
    assert scalenorm.measure(first, channel_axis=0) == scalenorm.measure(color, channel_axis=0, mask=mask)


def xarray(image):
    """With names that other objects use for what they hold."""
    array = pytest.importorskip("xarray").DataArray(image, dims=("row", "col", "band"))
    mask = (("row", "col"), np.ones(image.shape[:2], bool))
    return array.assign_coords(mask=mask, unmasked=0).assign_attrs(header="of a file", units="Jy")


def tensor_of(package, make):
    return pytest.param(lambda image: make(pytest.importorskip(package), image), id=package, marks=pytest.mark.slow)


@pytest.mark.parametrize("convert", [
    xarray,
    tensor_of("torch", lambda torch, image: torch.as_tensor(image.copy())),
    tensor_of("tensorflow", lambda tensorflow, image: tensorflow.constant(image)),
    tensor_of("jax", lambda jax, image: jax.numpy.asarray(image)),
])  # fmt: skip
def test_arrays_of_other_libraries(galaxies, convert):
    image = galaxies.images[0]
    given = convert(image)
    assert scalenorm.measure(given) == scalenorm.measure(image)
    expected = scalenorm.crop(image)
    for crop in (
        scalenorm.crop(given),
        scalenorm.crop_many([given])[0],
        scalenorm.ScaleNormalizer().fit_transform([given])[0],
    ):
        assert type(crop) is np.ndarray
        np.testing.assert_array_equal(crop, expected)


def test_many_images_with_masks_of_their_own(rng):
    nddata = pytest.importorskip("astropy.nddata")
    images = [galaxy_like(rng, (60, 50), "float32", bands=1) for _ in range(2)]
    masks = [rng.random((60, 50)) < 0.3 for _ in images]
    expected = scalenorm.crop_many(images, mask=masks)
    assert (expected != scalenorm.crop_many(images)).any()
    for kind in (nddata.NDData, np.ma.MaskedArray):
        given = [kind(image, mask=mask) for image, mask in zip(images, masks, strict=True)]
        np.testing.assert_array_equal(scalenorm.crop_many(given), expected)
        np.testing.assert_array_equal(scalenorm.ScaleNormalizer().fit_transform(given), expected)


def test_what_is_no_array(tmp_path):
    fits, nddata = pytest.importorskip("astropy.io.fits"), pytest.importorskip("astropy.nddata")
    image = np.eye(20)
    for path in ("a.jpg", tmp_path / "a.jpg", b"a.jpg"):
        with pytest.raises(TypeError, match=r"must be an array, got a .*: read the file first"):
            scalenorm.measure(path)
    for thing in (fits.PrimaryHDU(image), fits.ImageHDU(image), nddata.Cutout2D(image, (10, 10), 5)):
        with pytest.raises(TypeError, match=rf"got a {type(thing).__name__}: pass its \.data"):
            scalenorm.measure(thing)
    assert scalenorm.measure(nddata.Cutout2D(image, (10, 10), 15).data).area
    for thing in (None, {}, fits.HDUList([fits.PrimaryHDU(image)]), [nddata.NDData(image)]):
        with pytest.raises(TypeError, match=rf"must be an array of real numbers, got a {type(thing).__name__}"):
            scalenorm.measure(thing)


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


def test_layouts_give_the_same_result(rng):
    image = galaxy_like(rng, dtype="uint16")
    expected, measured = scalenorm.crop(image), scalenorm.measure(image)
    first = np.moveaxis(image, 2, 0)
    wide = np.zeros((2 * image.shape[0], 2 * image.shape[1], 6), image.dtype)
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


def test_numbers_of_numpy_are_numbers(galaxies):
    image = galaxies.images[0][180:244, 170:240]
    assert scalenorm.measure(image, sigma=np.float32(1.5), margin=np.int64(2)) == scalenorm.measure(
        image, sigma=1.5, margin=2.0
    )
    assert scalenorm.measure(image, center=np.str_("galaxy")) == scalenorm.measure(image, center="galaxy")


def test_not_numbers():
    for image in (np.zeros((5, 5), complex), np.full((5, 5), "a"), np.full((5, 5), None)):
        with pytest.raises(TypeError, match="real numbers, got dtype"):
            scalenorm.measure(image)


@pytest.mark.slow
def test_real_images(galaxyzoo):
    """All real images: identical component pixels, axes within 1e-9, crops within one grey level of Pillow's 8 bits."""
    off = []
    for path in sorted((galaxyzoo / "images").glob("*.jpg")):
        image = simplejpeg.decode_jpeg(path.read_bytes(), "RGB")
        pixels = exact_foreground(image)
        region = naive.component(pixels, 212, 212)
        assert np.array_equal(component_pixels(image), region)
        expected = naive.regionprops(region[np.ix_(region.any(axis=1), region.any(axis=0))].astype(np.uint8))[0]
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
    g = (image.astype(np.float32) @ np.float32([2125, 7154, 721])).astype(np.int64)  # below 2^22, so exact
    n, total, squares = g.size, int(g.sum()), int(g.ravel() @ g.ravel())
    return g >= -(-(total + math.isqrt(n * squares - total * total - 1) + 1) // n)  # mean + std, rounded up
