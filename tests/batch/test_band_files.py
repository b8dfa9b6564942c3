"""Images with a file for each band: the rows are those of one image, and every way of going on notices every file."""

from __future__ import annotations

import os

import numpy as np
import pytest
from astropy.io import fits
from interruption import stop_after
from PIL import Image
from typed import run

import scalenorm
from scalenorm.cache.originals import read_originals
from scalenorm.files.errors import InputError, OptionError
from scalenorm.simulation.tile import make_tile

GRZ = ["g", "r", "z"]
NAMED = {"band_files": "{id}_{band}.fits", "bands": GRZ}
SMALL = {"size": 16, "part_size": 2, "views": ["normalized"]}


def convert(inputs, output, **options):
    return scalenorm.convert(inputs, output, **{**SMALL, **NAMED, **options})


def digest(path):
    return scalenorm.open_cache(path).digest()


@pytest.fixture(scope="module")
def sample():
    return make_tile(12, seed=5, size=500, apart=90, noise=0.003)


@pytest.fixture
def folder(sample, tmp_path):
    """Five cutouts in three bands, with their WCS."""
    top = tmp_path / "cutouts"
    top.mkdir()
    for number in range(5):
        cut = np.s_[60 * number : 60 * number + 100, 200:300]
        for band, name in enumerate(GRZ):
            fits.writeto(top / f"a{number}_{name}.fits", sample.image[(*cut, band)], sample.wcs()[cut].to_header())
    return top


@pytest.mark.parametrize("band", [None, "r", "z"])
def test_rows_are_those_of_one_image(sample, folder, tmp_path, band):
    chosen = {} if band is None else {"measure_band": band}
    summary = convert(folder, tmp_path / "out.h5", **chosen)
    assert (summary.images, summary.failed) == (5, 0)
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    assert cache.ids == [f"a{number}" for number in range(5)]
    assert cache.catalog["source"][1] == b"a1_{band}.fits"
    weights = {} if band is None else {"weights": [float(name == band) for name in GRZ]}
    images = [sample.image[60 * number : 60 * number + 100, 200:300] for number in range(5)]
    np.testing.assert_array_equal(
        cache.view("normalized")[:], [scalenorm.crop(image, 16, **weights) for image in images]
    )
    found = [scalenorm.measure(image, **weights).major_axis for image in images]
    np.testing.assert_array_equal(cache.catalog["major_axis"], found)
    for image, original in zip(images, read_originals(cache, range(5)), strict=True):
        np.testing.assert_array_equal(image, original)
    in_memory = scalenorm.stream(images, size=16, views=["normalized"], **NAMED, **chosen)
    crops = np.concatenate([views["normalized"] for _, views in in_memory])
    np.testing.assert_array_equal(crops, cache.view("normalized")[:])
    other = convert(folder, tmp_path / "weights.h5", **weights)
    assert not other.complete
    assert digest(tmp_path / "weights.h5") == cache.digest()


def test_other_bands_are_other_crops(sample, folder, tmp_path):
    convert(folder, tmp_path / "out.h5", bands=["z", "g"])
    crops = scalenorm.open_cache(tmp_path / "out.h5").view("normalized")
    np.testing.assert_array_equal(crops[0], scalenorm.crop(sample.image[:100, 200:300, [2, 0]], 16))


def test_folders_of_bands_and_pictures(tmp_path, rng):
    image = (rng.random((40, 40, 2)) * 50).astype(np.uint8)
    image[15:25, 12:30] = 200
    for number, name in enumerate(("u", "g")):
        (tmp_path / name).mkdir()
        Image.fromarray(image[:, :, number]).save(tmp_path / name / "7.png")
    convert([tmp_path / "u", tmp_path / "g"], tmp_path / "out.h5", band_files="{band}/{id}.png", bands=("u", "g"))
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    assert cache.ids == ["7"]
    np.testing.assert_array_equal(cache.view("normalized")[0], scalenorm.crop(image, 16))


def test_what_does_not_fit_is_a_failed_row(folder, tmp_path):
    (folder / "a1_r.fits").unlink()
    fits.writeto(folder / "a2_z.fits", np.zeros((100, 99), np.float32), overwrite=True)
    fits.setval(folder / "a3_r.fits", "CRPIX1", value=fits.getval(folder / "a3_r.fits", "CRPIX1") + 2)
    assert convert(folder, tmp_path / "out.h5").failed == 3
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    assert cache.catalog["message"].tolist() == [
        b"", b"there is no file of band r", b"band z has 100 x 99 pixels, but band g has 100 x 100",
        b"band r lies 2.0 pixels from band g on the sky: resample one to the other", b"",
    ]  # fmt: skip
    assert convert(folder, tmp_path / "out.h5").complete


@pytest.mark.slow
def test_every_file_is_looked_at_again(folder, tmp_path):
    """Its time, its bytes, and whether it is there."""
    (folder / "a1_r.fits").rename(tmp_path / "a1_r.fits")
    convert(folder, tmp_path / "out.h5")
    for number, band in enumerate(GRZ):
        path = folder / f"a0_{band}.fits"
        os.utime(path, ns=(0, 10**9 * number))
        assert convert(folder, tmp_path / "out.h5", verify=True).complete
        assert convert(folder, tmp_path / "out.h5").changed == 1
        fits.setval(path, "OBJECT", value="another")
        assert convert(folder, tmp_path / "out.h5", verify=True).changed == 1
    (tmp_path / "a1_r.fits").rename(folder / "a1_r.fits")
    summary = convert(folder, tmp_path / "out.h5")
    assert (summary.made, summary.failed) == (1, 0)
    convert(folder, tmp_path / "fresh.h5")
    assert digest(tmp_path / "out.h5") == digest(tmp_path / "fresh.h5")


@pytest.mark.parametrize("options", [{"jobs": 2}, pytest.param({"backend": "loky", "jobs": 2}, marks=pytest.mark.slow)])
def test_stopped_and_resumed(folder, tmp_path, monkeypatch, options):
    (folder / "a3_g.fits").unlink()
    convert(folder, tmp_path / "undisturbed.h5", jobs=1)
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(KeyboardInterrupt, match=r"2 finished images are kept"):
            convert(folder, tmp_path / "out.h5", jobs=1)
    assert convert(folder, tmp_path / "out.h5", **options).reused == 2
    assert digest(tmp_path / "undisturbed.h5") == digest(tmp_path / "out.h5")
    for number in (1, 2):
        convert(folder, tmp_path / f"{number}.h5", part=(number, 2))
    assert sum(len(scalenorm.open_cache(tmp_path / f"{number}.h5")) for number in (1, 2)) == 5


@pytest.mark.slow
def test_tiles(sample, tmp_path, monkeypatch):
    """The same as from one file with all bands; read piece by piece; the table may name any of the files."""
    monkeypatch.chdir(tmp_path)
    _, table = sample.write(tmp_path)
    (tmp_path / "bands").mkdir()
    for number, band in enumerate(GRZ):
        fits.writeto(f"bands/tile_{band}.fits", sample.image[:, :, number], sample.wcs().to_header())
    stamps = {"positions": table, "stamp": 64}
    scalenorm.convert("tile.fits", "one.h5", **SMALL, **stamps)
    convert("bands", "three.h5", **stamps)
    one, three = scalenorm.open_cache("one.h5"), scalenorm.open_cache("three.h5")
    assert set(three.catalog["source"].tolist()) == {b"tile_{band}.fits"}
    for name in one.catalog.dtype.names:
        if name != "source":
            np.testing.assert_array_equal(one.catalog[name], three.catalog[name], name)
    np.testing.assert_array_equal(one.view("normalized")[:], three.view("normalized")[:])
    assert all(original is not None for original in read_originals(three, range(12)))
    assert convert("bands", "three.h5", **stamps).complete
    rows = table.read_text().splitlines()
    names = ["tile", *6 * ["bands/tile_r.fits", "tile_z.fits"]]
    named = [f"{row},{name}" for row, name in zip(rows, names, strict=True)]
    (tmp_path / "named.csv").write_text("\n".join(named))
    convert("bands", "named.h5", positions="named.csv", stamp=64, tile_column="tile")
    assert digest("named.h5") == three.digest()
    os.utime("bands/tile_z.fits", (0, 0))
    assert convert("bands", "three.h5", **stamps).changed == 12
    (tmp_path / "bands/tile_r.fits").unlink()
    with pytest.raises(InputError, match=r"cannot use the tile .*tile_{band}\.fits: there is no file of band r"):
        convert("bands", "three.h5", **stamps)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"band_files": "{id}.fits"}, r"band_files must hold {id} and {band}"),
        ({"band_files": "{band}.fits"}, r"band_files must hold {id} and {band}"),
        ({"band_files": "{tile}_{id}_{band}.fits"}, r"band_files knows {id} and {band}, not {tile}"),
        ({"bands": ["g", "g"]}, r"two or more bands, each once, such as g,r,z, not 'g,g'"),
        ({"bands": ["g"]}, r"two or more bands, each once, such as g,r,z, not 'g'"),
        ({"bands": "rgb"}, r"band_files needs bands, the names of the bands in order"),
        ({"band_files": None}, r"bands must be 'rgb' or 'grey'; names of bands need band_files"),
        ({"measure_band": "i"}, r"measure_band must be one of the bands \(g, r, z\), got 'i'"),
        ({"measure_band": "g", "weights": [1, 0, 0]}, r"measure_band stands for weights: give one of them"),
        ({"measure_band": "g", "band_files": None, "bands": "rgb"}, r"measure_band needs band_files"),
        ({"band_files": "{id}-{band}.fits"}, r"no files {id}-{band}\.fits of g, r, z in .*files: 15 \.fits\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_before_anything_is(folder, tmp_path, options, message):
    with pytest.raises((InputError, OptionError), match=message):
        convert(folder, tmp_path / "out.h5", **options)
    assert not (tmp_path / "out.h5").exists()


def test_on_the_command_line(folder, tmp_path, capsys):
    words = [folder, tmp_path / "out.h5", "--band-files", "{id}_{band}.fits", "--bands", "g,r,z", "--measure-band", "r"]
    code, out, err = run(capsys, "batch", *words, "--size", "16", "--views", "normalized")
    assert (code, err) == (0, [])
    convert(folder, tmp_path / "python.h5", measure_band="r")
    assert digest(tmp_path / "out.h5") == digest(tmp_path / "python.h5")
    settings = tmp_path / "settings.toml"
    settings.write_text("\n".join(run(capsys, "inspect", tmp_path / "out.h5", "--settings")[1]))
    code, out, _ = run(capsys, "batch", folder, tmp_path / "out.h5", "--config", settings)
    assert out[0] == f"{tmp_path / 'out.h5'}: 5 images, already complete"
    code, _, err = run(capsys, "batch", *words[:-1], "i")
    assert code == 2
    assert err[-1].endswith("--measure-band must be one of the bands (g, r, z), got 'i'")
