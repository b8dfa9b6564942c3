"""Where exported crops are on the sky, by astropy; regions, by the ellipses that they draw."""

from __future__ import annotations

import re

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, Sip
from typed import run

import scalenorm
from scalenorm.exporting.images import write_images
from scalenorm.exporting.sky import write_regions
from scalenorm.files.errors import OutputError
from scalenorm.simulation.tile import make_tile


@pytest.fixture(scope="module")
def sample():
    return make_tile(9, seed=6, size=500, apart=90)


def distorted(sample):
    """A WCS that is turned, and bent by up to some pixels."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN-SIP", "DEC--TAN-SIP"], [210.0, 54.0], [300.0, 200.0]
    wcs.wcs.cd = np.array([[-0.8, 0.3], [0.25, 0.9]]) * 7e-5
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    a[2, 0], a[0, 2], a[1, 1], b[2, 0], b[0, 3], b[1, 1] = 4e-5, -2e-5, 1e-5, 3e-5, 5e-8, -2e-5
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    return wcs


@pytest.mark.parametrize("bend", [False, True])
@pytest.mark.parametrize("view", ["normalized", "center-40"])
@pytest.mark.parametrize("stamps", [False, True])
def test_a_star_is_where_it_was(sample, tmp_path, bend, view, stamps):
    """The sky of a crop's pixels, and of the pixels of the original that they show, are within 0.01 pixel the same."""
    wcs = distorted(sample) if bend else sample.wcs()
    (tmp_path / "tiles").mkdir()
    fits.writeto(tmp_path / "tiles" / "tile.fits", np.moveaxis(sample.image, 2, 0), wcs.to_header(relax=True))
    options = {"views": [view], "size": 30}
    if stamps:
        ra, dec = wcs.all_pix2world(sample.col, sample.row, 0)
        lines = [f"{name},{a!r},{d!r}\n" for name, a, d in zip(sample.ids, ra.tolist(), dec.tolist(), strict=True)]
        (tmp_path / "table.csv").write_text("id,ra,dec\n" + "".join(lines))
        options |= {"positions": tmp_path / "table.csv", "stamp": 64}
    scalenorm.convert(tmp_path / "tiles", tmp_path / "out.h5", **options)
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    write_images(cache, tmp_path / "crops", view=view, image_format="fits")
    for row in cache.catalog:
        header = fits.getheader(tmp_path / "crops" / f"{row['id'].decode()}.fits")
        measured = dict(zip(row.dtype.names, row, strict=True))
        top, left = (measured["stamp_row"], measured["stamp_col"]) if stamps else (0, 0)
        middle = (measured["window_row"], measured["window_col"])
        side = measured["side"]
        if view == "center-40":
            middle, side = ((measured["height"] - 1) / 2, (measured["width"] - 1) / 2), 40
        rows, cols = np.mgrid[0:30:7, 0:30:7]
        original = [m - side / 2 + (at + 0.5) * side / 30 + start
                    for m, at, start in zip(middle, (rows, cols), (top, left), strict=True)]  # fmt: skip
        sky = WCS(header, naxis=2).all_pix2world(cols, rows, 0)
        back = wcs.all_world2pix(*sky, 0)
        np.testing.assert_allclose(back, original[::-1], rtol=0, atol=0.01)


def test_crops_of_what_has_no_sky_or_is_gone_have_none(sample, tmp_path):
    (tmp_path / "images").mkdir()
    fits.writeto(tmp_path / "images" / "one.fits", sample.image[:, :, 0])
    fits.writeto(tmp_path / "images" / "two.fits", sample.image[:, :, 0], sample.wcs().to_header())
    scalenorm.convert(tmp_path / "images", tmp_path / "out.h5", views=["normalized"])
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    write_images(cache, tmp_path / "first")
    assert ["CRVAL1" in fits.getheader(tmp_path / "first" / f"{name}.fits") for name in ("one", "two")] == [False, True]
    (tmp_path / "images" / "two.fits").unlink()
    write_images(cache, tmp_path / "second")
    assert "CRVAL1" not in fits.getheader(tmp_path / "second" / "two.fits")
    assert "LTV1" in fits.getheader(tmp_path / "second" / "two.fits")


def test_regions(sample, tmp_path, capsys):
    """DS9 counts from 1, columns first, and turns from columns to rows."""
    _, table = sample.write(tmp_path)
    scalenorm.convert(tmp_path / "tile.fits", tmp_path / "out.h5", positions=table, stamp=80, size=16)
    assert run(capsys, "export", tmp_path / "out.h5", "--regions", tmp_path / "out.reg")[:2] == (
        0, [f"{tmp_path / 'out.reg'}: 9 galaxies"],
    )  # fmt: skip
    text = (tmp_path / "out.reg").read_text()
    ellipses = [tuple(map(float, found.split(","))) for found in re.findall(r"ellipse\((.*?)\)", text)]
    measurements, _ = scalenorm.crop_at(sample.image, np.c_[sample.row, sample.col], 80)
    assert len(ellipses) == len(re.findall(r"\nbox\(.*?,0\) # text=\{source-00000\d\}", text)) == 9
    rows, cols = np.mgrid[:500, :500]
    for (x, y, along, across, angle), found in zip(ellipses, measurements, strict=True):
        assert (x, y) == pytest.approx((found.col + 1, found.row + 1), abs=1e-3)
        turn = np.radians(angle)
        u = (cols + 1 - x) * np.cos(turn) + (rows + 1 - y) * np.sin(turn)
        v = (rows + 1 - y) * np.cos(turn) - (cols + 1 - x) * np.sin(turn)
        inside = (u / along) ** 2 + (v / across) ** 2 <= 1
        moments = np.cov(np.array([rows[inside], cols[inside]]), bias=True)
        major = np.array([np.cos(found.orientation), np.sin(found.orientation)])
        assert 4 * np.sqrt(major @ moments @ major) == pytest.approx(found.major_axis, rel=0.05)


def test_regions_of_several_images(tmp_path):
    (tmp_path / "images").mkdir()
    for number, image in enumerate(scalenorm.make_galaxies(2, seed=1, size=100).images):
        np.save(tmp_path / "images" / f"{number}.npy", image)
    scalenorm.convert(tmp_path / "images", tmp_path / "out.h5", size=16)
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    with pytest.raises(OutputError, match=r"the rows are of 2 images: give a folder"):
        write_regions(cache, tmp_path / "out.reg")
    assert write_regions(cache, tmp_path / "regions") == 2
    assert sorted(path.name for path in (tmp_path / "regions").iterdir()) == ["0.npy.reg", "1.npy.reg"]
    with pytest.raises(OutputError, match=r"0\.npy\.reg"):
        write_regions(cache, tmp_path / "regions")
    write_regions(cache, tmp_path / "regions", overwrite=True)
