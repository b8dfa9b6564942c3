"""Crops as pictures are those that astropy makes of the same crops by hand; all else is as without."""

from __future__ import annotations

import sys

import h5py
import numpy as np
import pytest
from astropy.visualization import (
    AsinhStretch,
    AsymmetricPercentileInterval,
    LinearStretch,
    LogStretch,
    ManualInterval,
    ZScaleInterval,
    make_lupton_rgb,
)

import scalenorm
from scalenorm.batch.convert import convert
from scalenorm.commands.batch import main
from scalenorm.files.errors import BatchError, OptionError
from scalenorm.measuring.options import MeasureOptions
from scalenorm.simulation.tile import make_tile

PERCENTILES, UP_TO_90 = AsymmetricPercentileInterval(1, 99.8), AsymmetricPercentileInterval(1, 90)


@pytest.fixture(scope="module")
def tile():
    return make_tile(4, seed=3, size=300, apart=110)


@pytest.fixture(scope="module")
def image(tile):
    """One galaxy as linear flux, float32, three bands."""
    row, col = np.rint([tile.row[0], tile.col[0]]).astype(int).clip(50, 250)
    return np.ascontiguousarray(tile.image[row - 50 : row + 50, col - 50 : col + 50])


def by_hand(crop, interval, stretch):
    return np.rint(stretch(interval(crop.astype(float))) * 255)


def lupton(crop, minimum, stretch, Q=8):
    with np.errstate(invalid="ignore"):
        return make_lupton_rgb(*np.moveaxis(crop.astype(float), 2, 0), minimum=minimum, stretch=stretch, Q=Q)


@pytest.mark.parametrize("kind", ["uint8", ">i4", "float32"])
@pytest.mark.parametrize(("stretch", "expected"), [
    ("linear", lambda crop: by_hand(crop, PERCENTILES, LinearStretch())),
    ("asinh", lambda crop: by_hand(crop, PERCENTILES, AsinhStretch(0.1))),
    ("asinh:a=0.02,max_percent=90", lambda crop: by_hand(crop, UP_TO_90, AsinhStretch(0.02))),
    ("log: a=50, vmin=40, vmax=90", lambda crop: by_hand(crop, ManualInterval(40, 90), LogStretch(50))),
    ("zscale", lambda crop: by_hand(crop, ZScaleInterval(), LinearStretch())),
    ("zscale:contrast=0.5,n_samples=200", lambda crop: by_hand(crop, ZScaleInterval(200, 0.5), LinearStretch())),
    ("lupton:stretch=30,minimum=35,Q=5", lambda crop: lupton(crop, 35, 30, 5)),
    ("lupton", lambda crop: lupton(crop, np.percentile(crop, 1), np.ptp(np.percentile(crop, (1, 99.8))) / 20)),
])  # fmt: skip
def test_as_astropy_by_hand(image, kind, stretch, expected):
    given = (np.clip(image * 30 + 30, 0, 255)).astype(kind)
    crop, picture = scalenorm.crop(given, 48, margin=2), scalenorm.crop(given, 48, margin=2, stretch=stretch)
    assert picture.dtype == np.uint8
    assert picture.shape == crop.shape
    assert np.abs(picture - expected(crop).astype(float)).max() <= 1  # of halves rounded up or to even
    assert len(np.unique(picture)) > 5


def test_every_way_to_a_crop(tile, image):
    options = {"stretch": "asinh:vmin=0.2,vmax=2", "margin": 1.5}
    grey = image[:, :, 0]
    names = ["normalized", "center-40"]
    views = scalenorm.views(image, names, 32, **options)
    for name in names:
        expected = by_hand(scalenorm.crop(image, 32, view=name, margin=1.5), ManualInterval(0.2, 2), AsinhStretch(0.1))
        np.testing.assert_array_equal(views[name], expected)
        np.testing.assert_array_equal(scalenorm.crop_many([image] * 3, 32, view=name, **options), [views[name]] * 3)
    np.testing.assert_array_equal(
        scalenorm.ScaleNormalizer(32, **options).fit_transform([grey, grey])[1], scalenorm.crop(grey, 32, **options)
    )
    for deblend in (False, True):  # in one call, and step by step
        found, flux = scalenorm.crop_at(tile.image, [(tile.row[1], tile.col[1])], 80, deblend=deblend, margin=1.5)
        same, crops = scalenorm.crop_at(tile.image, [(tile.row[1], tile.col[1])], 80, deblend=deblend, **options)
        assert found == same
        np.testing.assert_array_equal(crops, by_hand(flux, ManualInterval(0.2, 2), AsinhStretch(0.1)))
    objects, flux = scalenorm.crop_all(tile.image, min_area=20)
    same, crops = scalenorm.crop_all(tile.image, min_area=20, stretch="linear:vmin=0.2,vmax=2")
    assert objects == same
    assert len(objects) >= 4
    np.testing.assert_array_equal(crops, by_hand(flux, ManualInterval(0.2, 2), LinearStretch()))
    assert scalenorm.crop_all(np.zeros((50, 50)), stretch="linear")[1].dtype == np.uint8
    assert scalenorm.measure(image, stretch="log") == scalenorm.measure(image)


@pytest.mark.parametrize("stretch", ["linear", "asinh", "log", "zscale", "lupton"])
def test_nothing_to_see_is_black(stretch):
    for value in (7.0, np.nan, np.inf):
        assert not scalenorm.crop(np.full((40, 40, 3), value), stretch=stretch).any()
    dark = np.zeros((60, 60, 3))
    dark[25:35, 20:40] = 1
    limit = {"zscale": "", "lupton": ":minimum=3"}.get(stretch, ":vmin=3")
    assert stretch == "zscale" or not scalenorm.crop(dark, stretch=stretch + limit).any()


@pytest.mark.parametrize(("stretch", "message"), [
    ("sqrt", r"stretch must be one of linear, asinh, log, zscale, lupton, alone or with .* or None, got 'sqrt'"),
    ("asinh:b=1", r"stretch must be asinh with a \(above 0\), min_percent \(from 0 to 100\), .* got 'asinh:b=1'"),
    ("log:a=0", r"a \(above 0\)"),
    ("linear:vmin=3,vmax=2", r"vmax \(above vmin, in place of max_percent\), written as"),
    ("linear:vmin=0,min_percent=1", r"vmin \(in place of min_percent\)"),
    ("linear:min_percent=99.9", r"max_percent \(from 0 to 100, above min_percent\)"),
    ("zscale:contrast", r"stretch must be zscale with contrast \(above 0\), n_samples \(>= 10\), written as"),
    ("asinh:a=1,a=2", "a=1,a=2"),
    (5, "got 5"),
])  # fmt: skip
def test_what_is_no_stretch(stretch, message):
    with pytest.raises(ValueError, match=message):
        scalenorm.crop(np.eye(40), stretch=stretch)


def test_one_text_for_one_meaning():
    texts = ["asinh", "asinh:a=0.10", "asinh: max_percent=99.8, a=.1"]
    assert {MeasureOptions(stretch=text).stretch for text in texts} == {"asinh:a=0.1,min_percent=1,max_percent=99.8"}
    long = MeasureOptions(stretch="log:vmin=0.1234567890123456").stretch
    assert MeasureOptions(stretch=long).stretch == long == "log:a=1000,max_percent=99.8,vmin=0.1234567890123456"


def test_lupton_needs_three_bands():
    with pytest.raises(ValueError, match="lupton makes colours of three bands, got 1"):
        scalenorm.crop(np.eye(40), stretch="lupton")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, image):
    folder = tmp_path_factory.mktemp("flux")
    np.save(folder / "a.npy", image)
    np.save(folder / "b.npy", image.astype(float))  # of another type: no other pictures
    np.save(folder / "c.npy", image[:, :, 0])  # other bands
    return folder


def test_a_cache_of_pictures(folder, image, tmp_path):
    out = tmp_path / "out.h5"
    options = ["--stretch", "asinh:a=0.05", "--size", "32", "--views", "normalized,center-50", "--quiet"]
    assert main([str(folder), str(out), *options]) == 3
    cache = scalenorm.open_cache(out)
    assert cache.layout.dtype == "uint8"
    assert cache.settings["stretch"] == "asinh:a=0.05,min_percent=1,max_percent=99.8"
    assert cache.catalog["message"][2] == b"the crop is uint8 with 1 band, but uint8 with 3 bands is needed here"
    for name in cache.view_names:
        picture = scalenorm.crop(image, 32, view=name, stretch="asinh:a=0.05")
        np.testing.assert_array_equal(cache.view(name)[:2], [picture, picture])
    flux = convert(folder / "a.npy", tmp_path / "flux.h5", size=32)
    plain = scalenorm.open_cache(flux.output)
    assert "stretch" not in plain.settings
    numbers = list(plain.catalog.dtype.names[4:])
    assert plain.catalog[numbers][0] == cache.catalog[numbers][0]
    with h5py.File(out) as file:
        assert file["views/normalized"].dtype == np.uint8
    assert convert(folder, out, size=32, views=cache.view_names, stretch="asinh:a=0.05,min_percent=1").complete
    with pytest.raises(BatchError, match=r"stretch: asinh.*, now None"):
        convert(folder, out, size=32, views=cache.view_names)


def test_a_stretch_that_cannot_be(folder, tmp_path):
    with pytest.raises(BatchError, match="lupton makes colours of three bands, got 1"):
        convert(folder / "c.npy", tmp_path / "out.h5", stretch="lupton")
    with pytest.raises(OptionError, match="stretch must be one of linear"):
        convert(folder, tmp_path / "out.h5", stretch="none")


def test_without_astropy(monkeypatch):
    monkeypatch.setitem(sys.modules, "astropy.visualization", None)
    with pytest.raises(ImportError, match=r"stretch needs astropy: pip install 'scalenorm\[fits\]'"):
        scalenorm.crop(np.eye(40), stretch="linear:vmin=0.125")
