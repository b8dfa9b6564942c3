"""Decoding compared with Pillow, astropy and NumPy, and with pixels written by hand where those cannot read."""

import gzip
import io
import os
import re
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from mutate import picture, png16, samples, saved
from PIL import Image, ImageOps

from scalenorm.files.errors import ImageError
from scalenorm.images.decoder_warnings import data_warnings_raise
from scalenorm.images.decoding import decode
from scalenorm.images.options import DecodeOptions

RGB = DecodeOptions()
GREY = DecodeOptions(bands="grey")
WIDE = DecodeOptions(dtype="uint16")


def pillow(data, mode="RGB"):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    image.info.pop("transparency", None)
    return np.asarray(image.convert(mode))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_pillows(mode, subsampling, progressive):
    image = Image.fromarray(picture(61, 47)).convert(mode)
    data = saved(image, "JPEG", quality=85, subsampling=subsampling, progressive=progressive)
    if mode == "CMYK" and subsampling:  # black at another resolution than cyan: nobody writes that
        with pytest.raises(ImageError, match="chroma subsampling"):
            decode(data, "a.jpg", RGB)
        return
    assert np.array_equal(decode(data, "a.jpg", RGB), pillow(data))
    assert np.array_equal(decode(data, "a.jpg", GREY), pillow(pillow_png(data), "L"))


def pillow_png(data):
    return saved(Image.open(io.BytesIO(data)).convert("RGB"), "PNG")


@pytest.mark.slow
@pytest.mark.skipif("SCALENORM_GALAXYZOO" not in os.environ, reason="needs the real images")
def test_real_jpegs_are_pillows():
    paths = sorted(Path(os.environ["SCALENORM_GALAXYZOO"]).rglob("*.jpg"))
    for path in paths[::40]:
        data = path.read_bytes()
        assert np.array_equal(decode(data, path.name, RGB), pillow(data)), path
        assert np.array_equal(decode(data, path.name, GREY), pillow(data, "L")), path


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(kind, orientation):
    exif = Image.Exif()
    exif[0x010E] = "another tag before it"
    exif[0x0112] = orientation
    data = saved(Image.fromarray(picture(20, 33)), kind, exif=exif)
    assert np.array_equal(decode(data, "a", RGB), pillow(data))
    assert decode(data, "a", RGB).shape[:2] == ((33, 20) if orientation >= 5 else (20, 33))


def test_broken_exif_leaves_the_image_alone():
    whole = saved(Image.fromarray(picture(20, 33)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\0")
    for exif in (
        b"II*\0\x08\0\0\0\xff\xff",
        b"II",
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0",
    ):
        data = saved(Image.fromarray(picture(20, 33)), "JPEG", exif=b"Exif\0\0" + exif)
        assert np.array_equal(decode(data, "a", RGB), decode(whole, "a", RGB))


WRITABLE = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA"],
    "TIFF": ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK"],
    "BMP": ["1", "L", "P", "RGB", "RGBA"],
}


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind in WRITABLE for mode in WRITABLE[kind]])
def test_pillow_kinds(kind, mode):
    image = Image.fromarray(picture(21, 34)).convert("RGBA" if mode in ("LA", "PA") else "RGB").convert(mode)
    data = saved(image, kind)
    assert np.array_equal(decode(data, "a", RGB), pillow(data))
    assert np.array_equal(decode(data, "a", GREY), np.asarray(Image.fromarray(pillow(data)).convert("L")))
    assert np.array_equal(decode(data, "a", WIDE), pillow(data).astype("u2") * 257)


def test_palette_with_transparency():
    data = saved(Image.fromarray(picture()).convert("P"), "PNG", transparency=bytes(range(256)))
    assert np.array_equal(decode(data, "a", RGB), pillow(data))


def test_first_frame():
    frames = [Image.fromarray(picture() // n) for n in (1, 2, 3)]
    for kind in ("TIFF", "PNG"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        assert np.array_equal(decode(data, "a", RGB), picture()), kind


def wide_samples():
    rng = np.random.default_rng(2)
    return rng.integers(0, 65536, (19, 23, 4), dtype="u2")


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_16_bit_png(bands):
    """Pillow keeps only the high bytes of 16-bit colour: the file is written by hand, with all filters."""
    values = wide_samples()[:, :, :bands]
    colour = values[:, :, :3] if bands >= 3 else np.repeat(values[:, :, :1], 3, axis=2)
    data = png16(values)
    assert np.array_equal(decode(data, "a", WIDE), colour)
    assert np.array_equal(decode(data, "a", RGB), np.rint(colour / 257).astype("u1"))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_16_bit_tiff(order, compression, bands):
    tifffile = pytest.importorskip("tifffile")
    values = wide_samples()[:, :, :bands].squeeze()
    file = io.BytesIO()
    tifffile.imwrite(file, values, byteorder=order, compression=compression, rowsperstrip=5)
    colour = values[:, :, :3] if bands >= 3 else np.repeat(values[:, :, None], 3, axis=2)
    assert np.array_equal(decode(file.getvalue(), "a", WIDE), colour)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("depth", ["u1", "u2"])
def test_tiffs_of_separate_planes_or_white_zero_are_read_right_or_not_at_all(order, compression, depth):
    tifffile = pytest.importorskip("tifffile")
    values = (wide_samples()[:, :, :3] >> (8 if depth == "u1" else 0)).astype(depth)
    most = np.iinfo(depth).max
    for given, expected, options in (
        (np.moveaxis(values, 2, 0), values, {"photometric": "rgb", "planarconfig": "separate"}),
        (values[:, :, 0], np.repeat(most - values[:, :, :1], 3, axis=2), {"photometric": "miniswhite"}),
    ):
        file = io.BytesIO()
        tifffile.imwrite(file, given, byteorder=order, compression=compression, **options)
        try:
            decoded = decode(file.getvalue(), "a", RGB if depth == "u1" else WIDE)
        except ImageError as error:
            assert depth == "u2"
            assert re.search("separate planes|unknown pixel mode", str(error))  # noqa: PT017
        else:
            assert np.array_equal(decoded, expected)


def test_16_bit_grey_of_colour():
    values = wide_samples()[:, :, :3]
    exact = values.astype("u8") @ np.array([19595, 38470, 7471], dtype="u8")
    expected = ((exact + 0x8000) >> 16).astype("u2")
    assert np.array_equal(decode(png16(values), "a", DecodeOptions("uint16", "grey")), expected)


def test_results_are_plain_writable_arrays():
    for name, data in samples().items():
        if name.endswith((".jpg", ".png", ".tif", ".bmp", ".npy", ".fits")):
            image = decode(data, name, RGB)
            assert image.flags.c_contiguous, name
            assert image.flags.writeable, name
            assert image.dtype.isnative, name


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in samples(fits=False) if name[-4:] in (".jpg", ".png", ".tif")])
def test_truncation_at_every_place_is_a_failure(name):
    data = samples(fits=False)[name]
    trailing = 2 if name == "jpeg.tif" else 1
    if name.endswith(".tif"):
        # The directory of Pillow's files comes first, so that cutting the end cuts pixels.
        trailing = max(trailing, len(data) - 8 - 1200)
    for length in sorted({*range(0, len(data), 37), len(data) - trailing}):
        with pytest.raises(ImageError):
            decode(data[:length], name, RGB)


def _refused(data):
    try:
        decode(data, "a", RGB)
    except ImageError:
        return True
    return False


def test_libjpegs_warnings_are_failures():
    data = bytearray(saved(Image.fromarray(picture(200, 200)), "JPEG", quality=95))
    start = data.index(b"\xff\xda") + 14
    Image.open(io.BytesIO(data)).load()
    only_warned = 0
    rng = np.random.default_rng(0)
    for _ in range(50):
        bad = data.copy()
        bad[start + int(rng.integers(len(data) - start - 100)) :][:2] = b""
        at = start + int(rng.integers(len(data) - start - 100))
        bad[at : at + 40] = bytes(40)
        # Not strict, the decoder fills what it cannot read with grey and says nothing.
        if _refused(bytes(bad)):
            only_warned += simplejpeg.decode_jpeg(bytes(bad), strict=False).shape == (200, 200, 3)
    assert only_warned >= 25


def test_png_check_sums_are_compared():
    data = bytearray(saved(Image.fromarray(picture()), "PNG", compress_level=0))
    at = data.index(b"IDAT") + 500
    data[at] ^= 1
    with pytest.raises(ImageError, match="check sum"):
        decode(bytes(data), "a.png", RGB)


def test_pillows_warnings_are_failures():
    whole = saved(Image.fromarray(picture()), "TIFF", description="x" * 50)
    warned = 0
    for at in range(8, 300):
        data = whole[:at] + b"\xf0" + whole[at + 1 :]
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            try:
                Image.open(io.BytesIO(data)).load()
            except Exception:
                continue
        if seen:
            warned += 1
            assert _refused(data), (at, seen[0].message)
    assert warned


def test_libtiff_errors_are_failures_and_not_on_stderr(capfd):
    data = bytearray(samples(fits=False)["bilevel.tif"])
    refused = 0
    for at in range(8, len(data), 5):
        bad = data.copy()
        bad[at] ^= 0x55
        refused += _refused(bytes(bad))
    assert refused > 10
    assert capfd.readouterr().err == ""


def test_limit_on_pixels_comes_before_decoding():
    """Headers that declare 2^31 pixels in files of a few bytes: decoding them would need gigabytes."""
    png = bytearray(saved(Image.fromarray(picture()), "PNG"))
    png[16:24] = struct.pack(">II", 60_000, 60_000)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    bmp = bytearray(saved(Image.fromarray(picture()), "BMP"))
    bmp[18:26] = struct.pack("<II", 60_000, 60_000)
    jpg = bytearray(saved(Image.fromarray(picture()), "JPEG"))
    at = jpg.index(b"\xff\xc0")
    jpg[at + 5 : at + 9] = struct.pack(">HH", 60_000, 60_000)
    tif = bytearray(saved(Image.fromarray(picture()), "TIFF"))
    for tag in (256, 257):
        at = (
            tif.index(struct.pack("<HH", tag, 4), 8)
            if struct.pack("<HH", tag, 4) in tif
            else tif.index(struct.pack("<HH", tag, 3), 8)
        )
        tif[at : at + 12] = struct.pack("<HHII", tag, 4, 1, 60_000)
    npy = io.BytesIO()
    np.lib.format.write_array_header_1_0(npy, {"descr": "<f4", "fortran_order": False, "shape": (60_000, 60_000)})
    card = "{:<80}".format
    cards = [
        "SIMPLE  =                    T",
        "BITPIX  =                    8",
        "NAXIS   =                    2",
    ]
    cards += ["NAXIS1  =                60000", "NAXIS2  =                60000", "END"]
    fits = "".join(map(card, cards)).ljust(2880).encode() + bytes(2880)
    for data in (png, bmp, jpg, tif, npy.getvalue()):
        with pytest.raises(ImageError, match="60000 x 60000 pixels are more than the limit"):
            decode(bytes(data), "a", RGB)
    with pytest.raises(ImageError, match="truncated"):  # astropy looks at the size of the file first
        decode(fits, "a", RGB)


def test_limit_holds_for_the_tiles_of_a_tiff():
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    tifffile.imwrite(file, picture(40, 40), tile=(64, 64), photometric="rgb", compression="zlib")
    assert np.array_equal(decode(file.getvalue(), "a", RGB), picture(40, 40))
    with pytest.raises(ImageError, match="64 x 64 pixels are more"):
        decode(file.getvalue(), "a", DecodeOptions(max_pixels=4000))


def test_max_pixels_is_exact():
    data = saved(Image.fromarray(picture(20, 30)), "PNG")
    assert decode(data, "a", DecodeOptions(max_pixels=600)).shape == (20, 30, 3)
    with pytest.raises(ImageError, match="limit of 599"):
        decode(data, "a", DecodeOptions(max_pixels=599))


def test_extreme_shapes():
    for shape in ((1, 1), (30000, 2), (2, 30000), (1, 7)):
        image = np.full((*shape, 3), 9, "u1")
        for kind in ("JPEG", "PNG", "BMP", "TIFF"):
            assert decode(saved(Image.fromarray(image), kind), "a", RGB).shape == image.shape


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"not an image", "not a JPEG"),
        (b"\xff\xd8", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"II*\0", "TIFF"),
        (b"BM", "BMP"),
        (b"SIMPLE", "FITS"),
        (b"\x93NUMPY", "npy"),
        (b"\x1f\x8b\x08", "gzip"),
        (gzip.compress(b"hello", mtime=0), "no FITS"),
    ],
)
def test_other_content(data, words):
    with pytest.raises(ImageError, match=words) as caught:
        decode(data, "a.jpg", RGB)
    assert "\n" not in str(caught.value)


def test_jpeg_markers():
    data = saved(Image.fromarray(picture()), "JPEG")
    at = data.index(b"\xff\xdb")
    assert np.array_equal(decode(data[:at] + b"\xff\xff" + data[at:], "a", RGB), pillow(data))  # fill bytes are legal
    with pytest.raises(ImageError, match="stray bytes"):
        decode(data[:at] + b"junk" + data[at:], "a", RGB)
    with pytest.raises(ImageError, match="no image after its header"):
        decode(data[:at] + data[data.index(b"\xff\xda") :], "a", RGB)


def test_samples_that_are_no_picture():
    data = saved(Image.fromarray(np.zeros((4, 5), "i4")), "TIFF")
    with pytest.raises(ImageError, match=r"convert it to FITS or \.npy"):
        decode(data, "a", RGB)


def test_progressive_jpeg_of_many_scans():
    data = saved(Image.fromarray(picture()), "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    scan = data[at:-2]
    with pytest.raises(ImageError, match="scans"):
        decode(data[:-2] + scan * 600 + data[-2:], "a.jpg", RGB)


@pytest.mark.parametrize("options", [{"dtype": "float"}, {"bands": "hsv"}, {"max_pixels": 0}])
def test_options_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        DecodeOptions(**options)


# --- .npy


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


@pytest.mark.parametrize("dtype", ["u1", ">u2", "<i2", ">f4", "<f8", "i4"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 6)])
def test_npy(dtype, order, shape):
    array = np.asarray(np.random.default_rng(1).integers(0, 99, shape).astype(dtype), order=order)
    image = decode(npy(array), "a.npy", RGB)
    assert np.array_equal(image, array)
    assert image.dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(5), "shape"),
        (np.zeros((2, 3, 4, 5)), "shape"),
        (np.zeros((0, 3)), "0 x 3"),
        (np.zeros((2, 3, 0)), "no values"),
        (np.zeros((2, 3), complex), "complex"),
        (np.array([["a"]]), "real number"),
    ],
)
def test_npy_that_is_no_image(array, words):
    with pytest.raises(ImageError, match=words):
        decode(npy(array), "a.npy", RGB)


def test_npy_never_unpickles(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    data = npy(np.array([[Trap()]], dtype=object), allow_pickle=True)
    with pytest.raises(ImageError, match="object"):
        decode(data, "a.npy", RGB)
    assert not (tmp_path / "sprung").exists()


def test_short_npy():
    data = npy(np.zeros((50, 60)))
    with pytest.raises(ImageError, match="too few"):
        decode(data[:-1], "a.npy", RGB)


# --- warnings


def test_warnings_raise_in_their_own_thread_only():
    inside, done = threading.Event(), threading.Event()
    failures = []

    def worker():
        try:
            with data_warnings_raise("bad"):
                inside.set()
                done.wait(10)
                warnings.warn("harmless", UserWarning, stacklevel=1)
                with pytest.raises(UserWarning, match="bad data"):
                    warnings.warn("bad data", UserWarning, stacklevel=1)
        except BaseException as error:
            failures.append(error)

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        thread = threading.Thread(target=worker)
        thread.start()
        inside.wait(10)
        warnings.warn("bad data of another thread", UserWarning, stacklevel=1)
        done.set()
        thread.join()
        warnings.warn("bad data later", UserWarning, stacklevel=1)
    assert not failures
    assert [str(warning.message) for warning in seen] == ["bad data of another thread", "bad data later"]


def test_warning_filters_stay_as_they_were():
    before = list(warnings.filters)
    for data in (saved(Image.fromarray(picture()), "TIFF"), samples()["float.fits"], b"II*\0bad"):
        _refused(data)
    added = [entry for entry in warnings.filters if entry not in before]
    assert all(
        type(entry[1]).__module__ == "scalenorm.images.decoder_warnings" or entry[2] is ImportWarning for entry in added
    )
