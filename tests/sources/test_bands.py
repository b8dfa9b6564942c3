"""Files of bands: which belong together, and the image they make, compared with astropy and NumPy."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from scalenorm.files.errors import ImageError, InputError
from scalenorm.images.options import DecodeOptions
from scalenorm.sources.bands import BandFiles, JoinedBands
from scalenorm.sources.finding import find
from scalenorm.sources.reader import Reader, sha256_of

GRZ = ("g", "r", "z")
PATTERN = "{id}_{band}.fits"
OPTIONS = DecodeOptions(bands=GRZ)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        (PATTERN, "/a/b/x_1_g.fits", ("/a/b", "x_1_{band}.fits", "x_1")),
        (PATTERN, "x_r.fits", ("", "x_{band}.fits", "x")),
        (PATTERN, "/a/x_i.fits", None),
        (PATTERN, "/a/x_g.fits.gz", None),
        (PATTERN, "/a/_g.fits", None),
        (PATTERN, "/a/x{band}_g.fits", None),
        ("{band}/{id}.fits", "/a/z/x.fits", ("/a", "{band}/x.fits", "x")),
        ("{band}/{id}.fits", "/a/zz/x.fits", None),
        ("{id}/{id}-{band}.fits", "/a/x/x-g.fits", ("/a", "x/x-{band}.fits", "x")),
        ("{id}/{id}-{band}.fits", "/a/y/x-g.fits", None),
        ("{band}/{id}.{band}.fits", "/a/g/x.g.fits", ("/a", "{band}/x.{band}.fits", "x")),
        ("{band}/{id}.{band}.fits", "/a/g/x.r.fits", None),
        ("s(1)-{id}+{band}.fits", "/a/s(1)-x+g.fits", ("/a", "s(1)-x+{band}.fits", "x")),
    ],
)
def test_what_a_path_says(pattern, path, expected):
    assert BandFiles(pattern, GRZ).match(path) == expected


def test_names_of_bands_are_taken_literally():
    bands = BandFiles("{id}-{band}.fits", ["F8.4W", "r", "r+i"])
    assert bands.match("x-F8.4W.fits").id == "x"
    assert bands.match("x-F814W.fits") is None
    assert bands.match("x-r+i.fits").name == "x-{band}.fits"


@pytest.fixture
def folder(tmp_path):
    """Three bands of a, two of b, and files that are none."""
    top = tmp_path / "top"
    for name in ("a_g", "a_r", "a_z", "sub/b_z", "sub/b_g", "a_u", "a"):
        path = top / f"{name}.fits"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (top / "notes.txt").touch()
    return top


def listed(inputs, **options):
    return find(inputs, band_files=BandFiles(PATTERN, GRZ), **options)


def test_files_of_one_id_are_one_image(folder):
    found = listed([folder])
    assert [(source.id, source.name) for source in found] == [("a", "a_{band}.fits"), ("b", "sub/b_{band}.fits")]
    assert found.skipped == {".fits": 2, ".txt": 1}
    assert [source.id for source in listed([folder], id_from="path")] == ["a", "sub/b"]
    assert [source.id for source in listed([folder / "a_g.fits", folder / "sub"])] == ["a", "b"]
    paths = folder / "list.txt"
    paths.write_text("a_z.fits\nsub/b_g.fits\n")
    assert [source.container for source in listed([], list_file=paths)] == [s.container for s in found]
    assert listed([folder])[1:][0] == found[1]


def test_what_is_refused(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "a_r.fits").touch()
    with pytest.raises(InputError, match=r"two inputs have the id 'a': .*top/a_{band}.fits and .*other|other/a_{band}"):
        listed([folder, other])
    with pytest.raises(InputError, match=r"no files {id}\.{band}\.npy of g, r, z in .* \(skipped files: 7 .fits"):
        find([folder], band_files=BandFiles("{id}.{band}.npy", GRZ))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a_g.fits", b"")
    with pytest.raises(InputError, match=r"a\.zip is an archive: unpack it"):
        listed([tmp_path / "a.zip"])
    (folder / "list.csv").write_text("id,path\n1,a_g.fits\n")
    with pytest.raises(InputError, match=r"list\.csv has ids, but band_files takes them from the names"):
        listed([], list_file=folder / "list.csv")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{id}.fits", r"must hold {id} and {band}, as {id}_{band}\.fits does, got '{id}\.fits'"),
        ("x_{band}.fits", r"must hold {id} and {band}"),
        ("{tract}/{id}_{band}.fits", r"band_files knows {id} and {band}, not {tract}"),
    ],
)
def test_patterns_that_are_none(pattern, message):
    with pytest.raises(ValueError, match=message):
        BandFiles(pattern, GRZ)


@pytest.mark.parametrize("bands", [["g"], [], ["g", "g"], ["g", ""], ["g", "a/b"], ["g", 3], ["g", "{r}"]])
def test_bands_that_are_none(bands):
    with pytest.raises(ValueError, match=r"bands must name two or more bands, each once, such as g,r,z, not"):
        DecodeOptions(bands=bands)


def test_bytes_and_changes(folder):
    a, b = listed([folder])
    with Reader(options=OPTIONS) as reader:
        data = reader.read(a)
        assert data == (b"a_g", b"a_r", b"a_z")
        assert sha256_of(data) == hashlib.sha256(b"a_ga_ra_z").hexdigest()
        with pytest.raises(ImageError, match=r"^there is no file of band r$"):
            reader.read(b)
        before = reader.stat(a)
        assert before[0] == 9
        for band in GRZ:
            path, missing = folder / f"a_{band}.fits", reader.stat(b)
            info = path.stat()
            os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns + 1))
            assert reader.stat(a) != before
            os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
            assert reader.stat(a) == before
        (folder / "sub/b_r.fits").write_bytes(b"")
        assert reader.stat(b) != missing
        for band in GRZ:
            (folder / f"sub/b_{band}.fits").unlink()
        with pytest.raises(FileNotFoundError):
            reader.read(b)


def header(**words):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [150, 2], [-1e-4, 1e-4]
    wcs.wcs.crpix = [20, 15]
    made = wcs.to_header()
    made.update(words)
    return made


def write_bands(folder, arrays, headers=None, **extensions):
    paths = []
    for number, (band, array) in enumerate(zip(GRZ, arrays, strict=True)):
        hdus = [fits.PrimaryHDU(array, header() if headers is None else headers[number])]
        hdus += [fits.ImageHDU(planes[number], name=name) for name, planes in extensions.items()]
        paths.append(str(folder / f"x_{band}.fits"))
        fits.HDUList(hdus).writeto(paths[-1], overwrite=True)
    return paths


@pytest.mark.parametrize("mapped", [True, False])
def test_the_image_is_that_of_the_files(tmp_path, rng, mapped):
    arrays = [rng.normal(size=(30, 40)).astype(dtype) for dtype in (">f4", "f8", "i2")]
    masks = (rng.random((3, 30, 40)) > 0.9).astype(np.uint8)
    paths = write_bands(tmp_path, arrays, DQ=masks)
    files = paths if mapped else [Path(path).read_bytes() for path in paths]
    image = JoinedBands(files, DecodeOptions(bands=GRZ, mask_hdu="DQ"))
    assert (image.shape, image.pixels.shape, image.pixels.ndim) == ((30, 40), (30, 40, 3), 3)
    whole = image.pixels[:, :]
    assert whole.dtype == image.pixels.dtype == np.float64
    np.testing.assert_array_equal(whole, np.stack(arrays, axis=2))
    np.testing.assert_array_equal(image.pixels[3:9, 5:7], whole[3:9, 5:7])
    np.testing.assert_array_equal(image.mask, masks.any(axis=0))
    np.testing.assert_allclose(image.sky.sky_at(14, 19), (150, 2), atol=1e-12)
    image.close()


FLAT = np.zeros((30, 40), np.float32)


@pytest.mark.parametrize(
    ("last", "words", "message"),
    [
        (FLAT[:29], {}, r"^band z has 29 x 40 pixels, but band g has 30 x 40$"),
        (np.zeros((2, 30, 40), np.float32), {}, r"^the file of band z holds 2 bands: it must hold one$"),
        (FLAT, {"CRPIX1": 20.6}, r"^band z lies 0\.6 pixels from band g on the sky: resample one to the other$"),
        (FLAT, {"CRVAL2": 3.0}, r"^band z lies far from band g"),
        (FLAT, {"PC1_1": 0.9, "PC2_2": 0.9}, r"^band z lies \d\.\d pixels from band g"),
        (FLAT, {"CTYPE1": "", "CTYPE2": ""}, r"^band z has no WCS, but band g has one$"),
        (FLAT, {"CTYPE1": "RA---XXX"}, r"^its WCS|^band z has no WCS"),
        (FLAT, {"CRPIX1": 20.4}, None),
        (FLAT, {"DATE-OBS": "2020-01-01"}, None),
    ],
)  # fmt: skip
def test_files_that_do_not_fit(tmp_path, last, words, message):
    paths = write_bands(tmp_path, [FLAT, FLAT, last], [header(), header(), header(**words)])
    if message is None:
        JoinedBands(paths, OPTIONS).close()
    else:
        with pytest.raises(ImageError, match=message):
            JoinedBands(paths, OPTIONS)


def test_a_damaged_file_is_named(tmp_path):
    paths = write_bands(tmp_path, [FLAT] * 3)
    with open(paths[1], "r+b") as file:
        file.truncate(3000)
    with pytest.raises(ImageError, match=r"^band r: damaged"):
        JoinedBands(paths, OPTIONS)
