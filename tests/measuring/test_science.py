"""Scientific inputs: real FITS files, units, masks, coordinates back to the original and to the sky."""

from __future__ import annotations

import io

import numpy as np
import pytest

import scalenorm
from scalenorm import Flag
from scalenorm.images.decoding import decode, decode_masked
from scalenorm.images.options import DecodeOptions

fits = pytest.importorskip("astropy.io.fits")


def galaxy(row=60, col=48, shape=(110, 90)):
    y, x = np.indices(shape) - np.array([row, col]).reshape(2, 1, 1)
    return 50 * np.exp(-(y**2 + 2 * x**2) / 200)


def as_bytes(*hdus):
    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(stream)
    return stream.getvalue()


@pytest.mark.slow
def test_every_real_file(real_fits):
    for path in sorted(real_fits.glob("*.fits")):
        image = decode(path.read_bytes(), path.name, DecodeOptions())
        for options in ({}, {"deblend": True}, {"smooth": 1.0, "deblend": True}, {"size_from": "petrosian"}):
            measured = scalenorm.measure(image, channel_axis=-1, **options)
            assert measured.area > 0, path.name
            assert np.isfinite([measured.side, measured.row, *measured.sky]).all()
            crop = scalenorm.crop(image, 32, channel_axis=-1, **options)
            assert crop.dtype == image.dtype
            assert np.isfinite(crop).all()


def test_segmentation_file(real_fits):
    """slice.fits brings the galaxy's segment, made by others: the measured region lies on it."""
    data = (real_fits / "slice.fits").read_bytes()
    with fits.open(io.BytesIO(data)) as hdus:
        images = [hdu.data for hdu in hdus if hdu.data is not None and hdu.data.ndim == 2]
    segments = next(image for image in images[1:] if len(np.unique(image)) > 2 or image.max() > 0)
    measured = scalenorm.measure(images[0], deblend=True)
    label = segments[round(measured.row), round(measured.col)]
    assert label != 0


def test_flux_units_are_kept():
    for dtype in (np.float32, np.float64):
        image = (galaxy() * 1e-17).astype(dtype)
        crop = scalenorm.crop(image, 32, deblend=True, mask_neighbours=True)
        assert crop.dtype == dtype
        assert crop.max() == pytest.approx(image.max(), rel=0.05)
        np.testing.assert_allclose(scalenorm.crop(image * 2, 32, deblend=True), 2 * scalenorm.crop(
            image, 32, deblend=True), rtol=1e-5)  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"deblend": True}, {"smooth": 1.5}, {"sigma_clip": 3.0}, {"center": "log"}])
def test_byte_order_and_layout_change_nothing(options):
    image = np.round(galaxy() * 100).astype(">i2")
    expected = scalenorm.measure(image.astype("<i2"), **options)
    assert scalenorm.measure(image, **options) == expected
    assert scalenorm.measure(np.asfortranarray(image), **options) == expected
    bands = np.stack([image] * 3)
    assert scalenorm.measure(bands, channel_axis=0, **options).area == scalenorm.measure(
        np.moveaxis(bands, 0, -1), channel_axis=-1, **options).area  # fmt: skip


@pytest.mark.parametrize("options", [
    {"deblend": True}, {"smooth": 1.5}, {"sigma_clip": 4.0}, {"center": "dog"}, {"min_area": 20}, {"fill_holes": True},
    {"size_from": "half_light"}, {"mask_neighbours": True},
])  # fmt: skip
def test_what_a_mask_excludes_has_no_say(options):
    image = galaxy()
    mask = np.zeros(image.shape, bool)
    mask[:, 70:] = True
    broken = image.copy()
    broken[mask] = 1e12
    broken[20, 75] = np.nan
    clean = image.copy()
    clean[mask] = 7
    first, second = (scalenorm.measure(part, mask=mask, **options) for part in (clean, broken))
    assert first.major_axis == pytest.approx(second.major_axis, rel=1e-9)
    assert first.side == pytest.approx(second.side, rel=1e-9)
    assert second.flags == first.flags | Flag.NON_FINITE


def test_mask_and_weight_maps_of_other_hdus():
    image = galaxy().astype(np.float32)
    image[20:40, 10:30] = 500  # an artefact, brighter than the galaxy
    mask, weight = np.zeros(image.shape, np.int16), np.ones(image.shape, np.float32)
    mask[20:40, 10:20] = 4
    weight[20:40, 20:30] = 0
    data = as_bytes(fits.ImageHDU(image, name="SCI"), fits.ImageHDU(mask, name="DQ"), fits.ImageHDU(weight, name="WHT"))
    decoded, excluded = decode_masked(data, "a.fits", DecodeOptions(hdu="SCI", mask_hdu="DQ", weight_hdu="WHT"))
    measured = scalenorm.measure(decoded, mask=excluded, deblend=True)
    alone = scalenorm.measure(galaxy(), mask=excluded, deblend=True)
    assert measured.area == alone.area
    assert scalenorm.measure(decoded).threshold > 2 * measured.threshold


@pytest.mark.parametrize("center", ["image", "galaxy", "log", (60.0, 48.0)])
def test_crop_pixels_map_back_to_the_original(center):
    """The brightest crop pixel lies, by the catalogue's numbers, on the galaxy's peak."""
    size = 48
    measured = scalenorm.measure(galaxy(), center=center, margin=2)
    crop = scalenorm.crop(galaxy(), size, center=center, margin=2)
    i, j = np.unravel_index(crop.argmax(), crop.shape)
    step = measured.side / size
    row = measured.window_row - measured.side / 2 + (i + 0.5) * step
    col = measured.window_col - measured.side / 2 + (j + 0.5) * step
    assert abs(row - 60) <= 0.5 * step + 0.5
    assert abs(col - 48) <= 0.5 * step + 0.5


def test_sky_coordinates_of_the_centroid():
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [49, 61]  # FITS counts from 1: column 48, row 60
    wcs.wcs.crval = [150.0, 2.0]
    wcs.wcs.cdelt = [-1e-4, 1e-4]
    data = as_bytes(fits.ImageHDU(galaxy().astype(np.float32), wcs.to_header()))
    measured = scalenorm.measure(decode(data, "a.fits", DecodeOptions()))
    assert wcs.pixel_to_world_values(measured.col, measured.row) == pytest.approx((150.0, 2.0), abs=1e-6)
