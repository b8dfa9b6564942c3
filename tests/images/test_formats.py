"""Every format of images that Pillow and astropy know: read as which type, or refused and why.

``READ`` and ``REFUSED`` are also on the page ``docs/formats.rst``; ``python tests/images/test_formats.py`` prints them.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
from pathlib import Path

import imageio.v3
import numpy as np
import pytest
import tifffile
from astropy.io import fits
from PIL import Image

from scalenorm.files.errors import ImageError
from scalenorm.images.decoding import decode
from scalenorm.images.options import IMAGE_SUFFIXES, DecodeOptions, image_suffix

PAGE = Path(__file__).parents[2] / "docs" / "formats.rst"
RNG = np.random.default_rng(7)
COLOUR = RNG.integers(0, 256, (40, 50, 3), np.uint8)
GREY = COLOUR[:, :, 0]
WIDE = RNG.integers(0, 65536, (40, 50), np.uint16)
SMOOTH = np.add.outer(np.arange(40, dtype="i4"), np.arange(50, dtype="i4"))  # PLIO aborts on noise
FLUX = RNG.normal(0, 1, (40, 50)).astype(np.float32)


def pillow(form, image=COLOUR, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, form, **options)
    return file.getvalue()


def animated(form, **options):
    file = io.BytesIO()
    first, second = Image.fromarray(COLOUR // 128 * 255), Image.fromarray(COLOUR[::-1] // 128 * 255)
    first.save(file, form, save_all=True, append_images=[second], **options)
    return file.getvalue()


def tiff(image, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, image, **options)
    return file.getvalue()


def fits_file(image, hdu=fits.PrimaryHDU, **options):
    file = io.BytesIO()
    hdus = [hdu(image, **options)]
    fits.HDUList(hdus if hdu is fits.PrimaryHDU else [fits.PrimaryHDU(), *hdus]).writeto(file)
    return file.getvalue()


def npy(image):
    file = io.BytesIO()
    np.save(file, image)
    return file.getvalue()


def rgb(image):
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image


#: Name, ending, how it is made, the pixels it must have (None: lossy), what the page says of them.
READ = [
    ("JPEG", ".jpg", lambda: imageio.v3.imwrite("<bytes>", COLOUR, extension=".jpg"), None, "8-bit colour"),
    ("PNG", ".png", lambda: imageio.v3.imwrite("<bytes>", COLOUR, extension=".png"), COLOUR, "8-bit colour"),
    ("PNG, 16 bits", ".png", lambda: pillow("PNG", WIDE), rgb(((WIDE.astype(int) + 128) // 257).astype("u1")),
     "8-bit colour; 16 bits with ``--dtype uint16``"),
    ("TIFF", ".tif", lambda: tiff(COLOUR, photometric="rgb"), COLOUR, "8-bit colour; 16 bits as of PNG; first page"),
    ("TIFF of floats", ".tif", lambda: tiff(FLUX), FLUX, "float32, one band, as FITS"),
    ("BMP", ".bmp", lambda: pillow("BMP"), COLOUR, "8-bit colour"),
    ("GIF", ".gif", lambda: pillow("GIF", GREY), rgb(GREY), "8-bit colour; first frame"),
    ("GIF, animated", ".gif", lambda: animated("GIF"), COLOUR // 128 * 255, "8-bit colour; first frame"),
    ("WebP, lossless", ".webp", lambda: pillow("WEBP", lossless=True), COLOUR, "8-bit colour; first frame"),
    ("WebP", ".webp", lambda: pillow("WEBP", quality=90), None, "8-bit colour; first frame"),
    ("WebP, animated", ".webp", lambda: animated("WEBP", lossless=True), COLOUR // 128 * 255,
     "8-bit colour; first frame"),
    ("JPEG 2000", ".jp2", lambda: pillow("JPEG2000"), COLOUR, "8-bit colour"),
    ("JPEG 2000, 16 bits", ".jp2", lambda: pillow("JPEG2000", WIDE),
     rgb(((WIDE.astype(int) + 128) // 257).astype("u1")), "8-bit colour; 16 bits with ``--dtype uint16``"),
    ("JPEG 2000, bare", ".j2k", lambda: pillow("JPEG2000", no_jp2=True), COLOUR, "8-bit colour"),
    ("PPM", ".ppm", lambda: pillow("PPM"), COLOUR, "8-bit colour"),
    ("PGM", ".pgm", lambda: pillow("PPM", GREY), rgb(GREY), "8-bit colour"),
    ("QOI", ".qoi", lambda: pillow("QOI"), COLOUR, "8-bit colour"),
    ("SGI", ".sgi", lambda: pillow("SGI"), COLOUR, "8-bit colour"),
    ("NumPy", ".npy", lambda: npy(FLUX), FLUX, "its own type"),
    ("FITS", ".fits", lambda: fits_file(FLUX), FLUX, "its own type, bands last"),
    ("FITS in gzip", ".fits.gz", lambda: gzip.compress(fits_file(FLUX)), FLUX, "the same"),
    ("FITS in bzip2", ".fits.bz2", lambda: bz2.compress(fits_file(FLUX)), FLUX, "the same"),
    ("FITS in xz", ".fits.xz", lambda: lzma.compress(fits_file(FLUX)), FLUX, "the same"),
    *((f"FITS, tiles compressed by {name}", ".fits.fz",
       lambda name=name: fits_file(SMOOTH, fits.CompImageHDU, compression_type=name), SMOOTH,
       "the same") for name in ("RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1")),
]  # fmt: skip

#: Formats that Pillow opens and scalenorm does not.
REFUSED = {
    "AVIF": "its decoder comes with recent versions of Pillow only, and does not report all damage",
    "BUFR, GRIB, HDF5, MPEG": "Pillow knows the name, but decodes nothing",
    "EPS, WMF": "a program, run by Ghostscript or Windows",
    "PSD": "layers, not an image",
    "CUR, ICNS, ICO, XPM, XBM, XVTHUMB": "icons",
    "BLP, DDS, FTEX, GBR, MSP, PIXAR, FLI": "textures, brushes and films of old programs",
    "DCX, DIB, IM, IMT, IPTC, MCIDAS, PCD, PCX, SPIDER, SUN, TGA": "rare, and some say nothing of damage",
}
PILLOW_READS = {"JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM", "QOI", "SGI", "FITS"}


def table():
    rows = [(name, f"``{ending}``", words) for name, ending, _, _, words in READ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    refused = [f"* {names}: {why}." for names, why in REFUSED.items()]
    return "\n".join([rule, *lines, rule]), "\n".join(refused)


@pytest.mark.parametrize(("name", "ending", "make", "pixels", "words"), READ, ids=[row[0] for row in READ])
def test_read(name, ending, make, pixels, words):
    data = make()
    image = decode(data, "no-name", DecodeOptions())
    assert image_suffix(f"x{ending}") == ending or ending == ".sgi"  # too rare to be looked for
    if pixels is None:
        assert (image.shape, image.dtype) == (COLOUR.shape, np.uint8)
        return
    assert image.dtype == pixels.dtype
    np.testing.assert_array_equal(image, pixels)
    if "uint16" in words:
        np.testing.assert_array_equal(decode(data, "x", DecodeOptions(dtype="uint16", bands="grey")), WIDE)


@pytest.mark.parametrize(("name", "make"), [(row[0], row[2]) for row in READ], ids=[row[0] for row in READ])
def test_cut_short(name, make):
    """Half a galaxy is none. (An animated file may hold its first frame whole.)"""
    data = make()
    for length in (len(data) // 4, len(data) // 2, len(data) * 3 // 4, len(data) - 40):
        try:
            image = decode(data[:length], "x", DecodeOptions())
        except ImageError:
            continue
        assert "animated" in name, length
        np.testing.assert_array_equal(image, COLOUR // 128 * 255)


@pytest.mark.parametrize("name", ["GIF", "WebP, lossless", "JPEG 2000", "PPM", "QOI", "TIFF of floats"])
def test_size_is_looked_at_first(name):
    make = next(row[2] for row in READ if row[0] == name)
    with pytest.raises(ImageError, match=r"40 x 50 pixels are more than the limit"):
        decode(make(), "x", DecodeOptions(max_pixels=1999))


def test_every_format_of_pillow_is_on_the_page():
    Image.init()
    refused = {name for names in REFUSED for name in names.split(", ")}
    assert not refused & PILLOW_READS
    assert set(Image.OPEN) <= refused | PILLOW_READS


@pytest.mark.parametrize("form", ["DDS", "ICO", "PCX", "TGA", "XBM", "EPS"])
def test_refused(form):
    data = pillow(form, GREY > 128) if form == "XBM" else pillow(form)
    with pytest.raises(ImageError, match=r"not a JPEG, PNG, TIFF, FITS or \.npy file"):
        decode(data, f"x.{form.lower()}", DecodeOptions())


def test_the_page_says_so():
    page = PAGE.read_text()
    for part in table():
        assert part in page
    assert all(f"``{ending}``" in page for ending in IMAGE_SUFFIXES if not ending.startswith((".fit", ".fts")))


if __name__ == "__main__":
    sys.stdout.write("\n\n".join(table()) + "\n")
