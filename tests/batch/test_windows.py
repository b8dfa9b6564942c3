"""Windows from another cache: the same galaxies rendered by two telescopes, with astropy's word for where they are."""

from __future__ import annotations

import os
import shutil

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from interruption import stop_after
from typed import run

import scalenorm
from scalenorm.batch.windows import windows_digest
from scalenorm.files.errors import BatchError, CacheError, OptionError
from scalenorm.simulation.tile import make_tile

SMALL = {"size": 16, "part_size": 2, "views": ["normalized"], "sigma": 2, "sigma_clip": 3}
#: Of each galaxy: sigma along both axes, angle, place on the sky; arcsec and radians.
GALAXIES = [(3, 2, 0.3, 0.7, -0.5), (4, 1.5, 1.0, -1.1, 0.4), (2.5, 2.4, 0.0, 0.2, 1.3), (5, 2, 2.0, 0.0, 0.0)]
DEEP, WIDE = 0.4, 0.15  # arcsec a pixel


def telescope(size, scale, angle, shift=(0, 0), flip=1):
    """A WCS of square pixels around the place of the galaxies."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150, 2]
    turn = np.array([[-np.cos(angle) * flip, -np.sin(angle)], [-np.sin(angle) * flip, np.cos(angle)]])
    wcs.wcs.cd = scale / 3600 * turn
    wcs.wcs.crpix = [size / 2 + 0.5 + shift[0], size / 2 + 0.5 + shift[1]]
    return wcs


def render(wcs, size, galaxy, seed):
    rows, cols = np.mgrid[:size, :size]
    ra, dec = wcs.all_pix2world(cols, rows, 0)
    major, minor, angle, east, north = galaxy
    east, north = (ra - 150) * 3600 * np.cos(np.radians(2)) - east, (dec - 2) * 3600 - north
    along, across = east * np.cos(angle) + north * np.sin(angle), north * np.cos(angle) - east * np.sin(angle)
    light = 100 * np.exp(-(np.hypot(along / major, across / minor) ** 2) / 2)
    return (light + np.random.default_rng(seed).normal(0, 0.2, light.shape)).astype(np.float32)


def convert(inputs, output, **options):
    return scalenorm.convert(inputs, output, **{**SMALL, **options})


def digest(path):
    return windows_digest(scalenorm.open_cache(path))


def test_only_windows_of_the_other_cache_matter(deep, tmp_path):
    """Labels that it gets later do not."""
    before = digest(deep)
    (tmp_path / "labels.csv").write_text("id,n\n" + "".join(f"{name},1\n" for name in scalenorm.open_cache(deep).ids))
    convert(tmp_path / "deep", deep, center="galaxy", margin=1.5, labels=tmp_path / "labels.csv")
    assert scalenorm.open_cache(deep).labels is not None
    assert digest(deep) == before


def messages(path):
    return [text.decode() for text in scalenorm.open_cache(path).catalog["message"].tolist()]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """What both telescopes see, to be copied."""
    folder = tmp_path_factory.mktemp("rendered")
    for name, size, wcs, seed in (
        ("deep", 100, telescope(100, DEEP, 0), 0), ("wide", 280, telescope(280, WIDE, 0.6, (20, -13), -1), 9),
    ):  # fmt: skip
        (folder / name).mkdir()
        for number, galaxy in enumerate(GALAXIES):
            fits.writeto(folder / name / f"{number}.fits", render(wcs, size, galaxy, number + seed), wcs.to_header())
    return folder


@pytest.fixture
def deep(rendered, tmp_path):
    """A cache of the galaxies at 0.4 arcsec a pixel, whose windows are centred on them."""
    shutil.copytree(rendered / "deep", tmp_path / "deep")
    convert(tmp_path / "deep", tmp_path / "deep.h5", center="galaxy", margin=1.5)
    return tmp_path / "deep.h5"


@pytest.fixture
def wide(rendered, tmp_path):
    """The galaxies at 0.15 arcsec a pixel: turned, seen from behind, and not in the middle."""
    return shutil.copytree(rendered / "wide", tmp_path / "wide")


def test_windows_are_the_same_on_the_sky(deep, wide, tmp_path):
    assert convert(wide, tmp_path / "out.h5", windows_from=deep).failed == 0
    there, here = scalenorm.open_cache(deep).catalog, scalenorm.open_cache(tmp_path / "out.h5").catalog
    sky = telescope(100, DEEP, 0).pixel_to_world(there["window_col"], there["window_row"])
    col, row = telescope(280, WIDE, 0.6, (20, -13), -1).world_to_pixel(sky)
    np.testing.assert_allclose([here["window_row"], here["window_col"]], [row, col], rtol=0, atol=1e-6)
    np.testing.assert_allclose(here["side"], there["side"] * DEEP / WIDE, rtol=1e-6)
    # What is measured here is beside it, and is where the other telescope has seen it.
    assert (np.hypot(here["window_row"] - here["row"], here["window_col"] - here["col"]) < 0.5).all()
    assert (abs(here["major_axis"] / (there["major_axis"] * DEEP / WIDE) - 1) < 0.1).all()
    crops = scalenorm.open_cache(tmp_path / "out.h5").view("normalized")
    for number in range(4):
        image = fits.getdata(wide / f"{number}.fits")
        row, col, side = (float(here[name][number]) for name in ("window_row", "window_col", "side"))
        wanted = scalenorm.crop(image, 16, center=(row, col), side_limits=(side, side), sigma=2, sigma_clip=3)
        np.testing.assert_allclose(crops[number, :, :, 0], wanted, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("options", [{"jobs": 2}, pytest.param({"backend": "loky", "jobs": 2}, marks=pytest.mark.slow)])
def test_stopped_and_resumed(deep, wide, tmp_path, monkeypatch, options):
    convert(wide, tmp_path / "undisturbed.h5", windows_from=deep, jobs=1)
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(KeyboardInterrupt, match=r"2 finished images are kept"):
            convert(wide, tmp_path / "out.h5", windows_from=deep, jobs=1)
    assert convert(wide, tmp_path / "out.h5", windows_from=deep, **options).reused == 2
    assert digest(tmp_path / "undisturbed.h5") == digest(tmp_path / "out.h5")
    assert convert(wide, tmp_path / "out.h5", windows_from=deep).complete
    blocks = scalenorm.stream(wide, windows_from=deep, **{k: v for k, v in SMALL.items() if k != "part_size"})
    rows = np.concatenate([catalog["window_row"] for catalog, _ in blocks])
    np.testing.assert_array_equal(rows, scalenorm.open_cache(tmp_path / "out.h5").catalog["window_row"])


def test_another_cache_is_another_setting(deep, wide, tmp_path):
    convert(wide, tmp_path / "out.h5", windows_from=deep)
    assert scalenorm.open_cache(tmp_path / "out.h5").settings["windows_from"] == digest(deep)
    convert(tmp_path / "deep", tmp_path / "larger.h5", center="galaxy", margin=2)
    for windows in (tmp_path / "larger.h5", None):
        with pytest.raises(BatchError, match=r"made with other settings \(windows_from: [0-9a-f]{64}, now"):
            convert(wide, tmp_path / "out.h5", windows_from=windows)
    assert convert(wide, tmp_path / "out.h5", windows_from=tmp_path / "larger.h5", overwrite=True).made == 4
    larger, there = (scalenorm.open_cache(tmp_path / name).catalog["side"] for name in ("out.h5", "larger.h5"))
    np.testing.assert_allclose(larger, there * DEEP / WIDE)


def test_no_window_is_a_failed_row(deep, wide, tmp_path):
    (tmp_path / "deep/0.fits").write_bytes(b"damaged")
    (tmp_path / "deep/1.fits").unlink()
    far = telescope(280, WIDE, 0, (400, 0))
    fits.writeto(wide / "3.fits", np.ones((280, 280), np.float32), far.to_header(), overwrite=True)
    fits.writeto(wide / "4.fits", np.ones((280, 280), np.float32), telescope(280, WIDE, 0).to_header())
    deep.unlink()
    convert(tmp_path / "deep", deep)
    with h5py.File(deep, "r+") as file:  # as another program may have left it
        rows = file["catalog"][:]
        rows["side"][1] = np.nan
        file["catalog"][...] = rows
    assert convert(wide, tmp_path / "out.h5", windows_from=deep).failed == 5
    assert messages(tmp_path / "out.h5") == [
        "the cache that gives the windows says: " + messages(deep)[0],
        "the cache that gives the windows has no row of this id",
        "the cache that gives the windows holds no window of finite numbers for it",
        "its window lies outside of this image",
        "the cache that gives the windows has no row of this id",
    ]  # fmt: skip
    assert convert(wide, tmp_path / "out.h5", windows_from=deep).complete


def test_pixels_that_are_not_finite(deep, wide, tmp_path):
    image, header = fits.getdata(wide / "2.fits", header=True)
    image[:40] = np.nan
    fits.writeto(wide / "2.fits", image, header, overwrite=True)
    fits.writeto(wide / "1.fits", np.full_like(image, np.nan), header, overwrite=True)
    convert(wide, tmp_path / "out.h5", windows_from=deep)
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    assert np.isfinite(cache.view("normalized")[2]).all()
    np.testing.assert_allclose(cache.catalog["side"], scalenorm.open_cache(deep).catalog["side"] * DEEP / WIDE)


def test_pixels_are_the_same_where_there_is_no_sky(tmp_path):
    for name, size in (("first", 100), ("second", 100), ("other", 120)):
        (tmp_path / name).mkdir()
        for number, galaxy in enumerate(GALAXIES):
            np.save(tmp_path / name / f"{number}.npy", render(telescope(size, DEEP, 0), size, galaxy, number + size))
    header = telescope(100, DEEP, 0).to_header()
    fits.writeto(tmp_path / "second/4.fits", np.ones((100, 100), np.float32), header)
    fits.writeto(tmp_path / "first/4.fits", np.ones((100, 100), np.float32), header)
    np.save(tmp_path / "second/3.npy", np.ones((99, 100), np.float32))
    convert(tmp_path / "first", tmp_path / "first.h5", center="galaxy")
    convert(tmp_path / "second", tmp_path / "second.h5", windows_from=tmp_path / "first.h5")
    first, second = (scalenorm.open_cache(tmp_path / name).catalog for name in ("first.h5", "second.h5"))
    for name in ("window_row", "window_col", "side"):
        np.testing.assert_array_equal(first[name][:3], second[name][:3])
    assert messages(tmp_path / "second.h5")[3:] == [
        "its window was found in an image of 100 x 100 pixels, this image has 99 x 100, and there is no WCS to go by",
        "",
    ]
    os.rename(tmp_path / "second/4.fits", tmp_path / "second/0.fits")
    os.rename(tmp_path / "second/1.npy", tmp_path / "second/4.npy")
    (tmp_path / "second/0.npy").unlink()
    convert(tmp_path / "second", tmp_path / "mixed.h5", windows_from=tmp_path / "first.h5")
    found = dict(zip(scalenorm.open_cache(tmp_path / "mixed.h5").ids, messages(tmp_path / "mixed.h5"), strict=True))
    first = tmp_path / "first"
    assert found["0"] == f"its window needs the WCS of the image in which it was found, but {first / '0.npy'} has none"
    assert found["4"] == f"it has no WCS, but {first / '4.fits'}, in which its window was found, has one"
    os.rename(tmp_path / "first", tmp_path / "moved")
    convert(tmp_path / "second", tmp_path / "gone.h5", windows_from=tmp_path / "first.h5")
    found = dict(zip(scalenorm.open_cache(tmp_path / "gone.h5").ids, messages(tmp_path / "gone.h5"), strict=True))
    assert found["2"] == ""
    assert found["0"].endswith("but that image is not to be found")


def test_stamps_and_files_of_bands(tmp_path):
    """From stamps of a tile to those of one that is upside down and has a file for each band, and back."""
    sample = make_tile(12, seed=5, size=500, apart=90, noise=0.003)
    tile, table = sample.write(tmp_path)
    (tmp_path / "bands").mkdir()
    header = sample.wcs().to_header()
    header["CRPIX2"], header["CDELT2"] = 501 - header["CRPIX2"], -header["CDELT2"]
    for number, band in enumerate("grz"):
        fits.writeto(tmp_path / f"bands/tile_{band}.fits", sample.image[::-1, :, number], header)
    stamps = {"positions": table, "stamp": 96, "size": 16}
    bands = {"band_files": "{id}_{band}.fits", "bands": ["g", "r", "z"]}
    scalenorm.convert(tile, tmp_path / "tile.h5", center="galaxy", **stamps)
    scalenorm.convert(tmp_path / "bands", tmp_path / "bands.h5", windows_from=tmp_path / "tile.h5", **stamps, **bands)
    scalenorm.convert(tile, tmp_path / "back.h5", windows_from=tmp_path / "bands.h5", **stamps)
    one, other, back = (scalenorm.open_cache(tmp_path / f"{name}.h5") for name in ("tile", "bands", "back"))
    row = [cache.catalog["window_row"] + cache.catalog["stamp_row"] for cache in (one, other, back)]
    np.testing.assert_allclose(row[1], 499 - row[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(row[2], row[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(back.catalog["side"], one.catalog["side"], rtol=1e-6)
    inside = np.flatnonzero(one.catalog["flags"] & int(scalenorm.Flag.PADDED) == 0)
    assert len(inside) > 5
    np.testing.assert_allclose(
        other.view("normalized")[inside], one.view("normalized")[inside, ::-1], rtol=1e-3, atol=1e-3
    )
    shifted = tmp_path / "shifted.csv"
    shifted.write_text(f"id,ra,dec\n{one.ids[0]},150,2\n")
    stamps["positions"] = shifted
    scalenorm.convert(tile, tmp_path / "shifted.h5", windows_from=tmp_path / "tile.h5", **stamps)
    assert messages(tmp_path / "shifted.h5") == ["its window lies outside of this image"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"margin": 2}, OptionError, r"windows_from takes windows as they are, so it excludes margin"),
        ({"size_from": "half_light"}, OptionError, r"so it excludes size_from"),
        ({"side_limits": (10, 20)}, OptionError, r"so it excludes side_limits"),
        ({"all_objects": True}, OptionError, r"so it excludes all_objects"),
        ({"positions": "table.csv", "stamp": 64, "side_from": "r"}, OptionError, r"so it excludes side_from"),
        ({"windows_from": "out.h5"}, OptionError, r"windows_from must be another cache than the output"),
        ({"windows_from": "wide/0.fits"}, CacheError, r"wide/0\.fits: not a scalenorm cache: no HDF5 file"),
        ({"windows_from": "missing.h5"}, FileNotFoundError, r"missing\.h5"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_before_anything_is(deep, wide, tmp_path, monkeypatch, options, error, message):
    monkeypatch.chdir(tmp_path)
    os.link(deep, "out.h5")
    with pytest.raises(error, match=message):
        convert(wide, "out.h5", **{"windows_from": deep, **options})


def test_on_the_command_line(deep, wide, tmp_path, capsys):
    words = ["batch", wide, tmp_path / "out.h5", "--windows-from", deep, "--size", "16", "--views", "normalized"]
    code, out, err = run(capsys, *words, "--sigma", "2", "--sigma-clip", "3")
    assert (code, err) == (0, [])
    convert(wide, tmp_path / "python.h5", windows_from=deep)
    assert digest(tmp_path / "out.h5") == digest(tmp_path / "python.h5")
    settings = tmp_path / "settings.toml"
    settings.write_text("\n".join(run(capsys, "inspect", tmp_path / "out.h5", "--settings")[1]))
    code, out, _ = run(capsys, *words[:5], "--config", settings)
    assert out[0] == f"{tmp_path / 'out.h5'}: 4 images, already complete"
    code, _, err = run(capsys, *words[:4], tmp_path / "missing.h5")
    assert code == 1
    assert len(err) == 1
    assert "missing.h5" in err[0]
