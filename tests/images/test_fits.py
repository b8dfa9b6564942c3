"""FITS images, masks and coordinates compared with astropy used directly."""

import gzip
import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from mutate import picture, samples

from scalenorm import convert, open_cache
from scalenorm.files.errors import ImageError
from scalenorm.images.decoding import decode, decode_masked
from scalenorm.images.fits import FitsImage, decode_fits
from scalenorm.images.options import DecodeOptions

fits = pytest.importorskip("astropy.io.fits")

DEFAULT = DecodeOptions()


def written(*hdus, **options):
    file = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(file, **options)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.skipif("SCALENORM_FITS" not in os.environ, reason="needs the real files")
def test_every_real_file():
    paths = sorted(Path(os.environ["SCALENORM_FITS"]).glob("*.fits"))
    assert paths
    for path in paths:
        data = path.read_bytes()
        with fits.open(path) as hdus:
            for number in (None, *range(len(hdus))):
                expected = hdus[number or 0].data
                if expected.ndim == 3:
                    expected = np.moveaxis(expected, 0, 2)
                image = decode(data, path.name, DecodeOptions(hdu=number))
                assert np.array_equal(image, expected, equal_nan=True)
                assert image.dtype == expected.dtype.newbyteorder("=")


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8"])
def test_types(dtype):
    array = np.random.default_rng(0).integers(0, 99, (8, 9)).astype(dtype)
    image = decode(written(fits.PrimaryHDU(array)), "a.fits", DEFAULT)
    assert image.dtype == dtype
    assert np.array_equal(image, array)


def test_scaled_integers_and_blanks():
    hdu = fits.PrimaryHDU(np.array([[1, 2, -99], [4, 5, 6]], "i2"))
    data = bytearray(written(hdu))
    cards = b"".join(
        f"{card:<80}".encode()
        for card in (
            "BSCALE  =                  0.5",
            "BZERO   =                 10.0",
            "BLANK   =                  -99",
            "END",
        )
    )
    at = data.index(b"END" + b" " * 77)
    data[at : at + len(cards)] = cards
    expected = np.array([[10.5, 11, np.nan], [12, 12.5, 13]])
    np.testing.assert_allclose(decode(bytes(data), "a.fits", DEFAULT), expected)


@pytest.mark.parametrize("stored_zero", [False, True])
@pytest.mark.parametrize(
    ("dtype", "zero", "compressed"),
    [("i1", -128, False)]  # which astropy does not compress
    + [(*kind, packed) for kind in (("u1", 0), ("i2", 0), ("u2", 2**15), ("u4", 2**31)) for packed in (False, True)],
)
def test_blank_integers_of_any_kind(dtype, zero, stored_zero, compressed):
    """Unsigned ones are stored with an offset. astropy leaves BLANK in these, and wherever it is 0."""
    array = np.arange(1, 21).astype(dtype).reshape(4, 5)
    blank = 0 if stored_zero else 7 - zero  # as it is in the file
    array[1, 1] = blank + zero
    if compressed:
        packed = io.BytesIO(written(fits.PrimaryHDU(), fits.CompImageHDU(array, compression_type="RICE_1")))
        with fits.open(packed, disable_image_compression=True) as hdus:
            hdus[1].header["ZBLANK"] = hdus[1].header["BLANK"] = blank
            data = written(*hdus)
    else:
        data = written(fits.PrimaryHDU(array))
        at = data.index(b"END" + b" " * 77)
        cards = f"BLANK   = {blank:>20}".encode().ljust(80) + b"END".ljust(80)
        data = data[:at] + cards + data[at + len(cards) :]
    image = decode(data, "a.fits", DEFAULT)
    expected = array.astype(float)
    expected[1, 1] = np.nan
    np.testing.assert_array_equal(image, expected)
    assert image.dtype == ("f8" if dtype == "u4" else "f4")


@pytest.mark.parametrize("dtype", [">f4", "<f8", "u1", ">i2", "i4"])
@pytest.mark.parametrize("save", [lambda array: written(fits.PrimaryHDU(array)), npy])
def test_values_without_data(dtype, save):
    blank = 200.0 if dtype == "u1" else -99.99 if "f" in dtype else -99.0
    array = np.arange(42.0).reshape(6, 7)
    array[:, :2], expected = blank, array.copy()
    expected[:, :2] = np.nan
    data = save(array.astype(dtype))
    image = decode(data, "a", DecodeOptions(blank=blank))
    assert image.dtype == {"f4": "f4", "f8": "f8", "u1": "f4", "i2": "f4", "i4": "f8"}[dtype.strip("<>")]
    np.testing.assert_array_equal(image, expected)
    for absent in (1e300, 3.5):
        np.testing.assert_array_equal(decode(data, "a", DecodeOptions(blank=absent)), array.astype(dtype))


def test_a_border_without_data_changes_no_crop(tmp_path, galaxies):
    """As stamps from the edge of a survey: the same as with NaN there."""
    stamp = galaxies.images[0].mean(axis=2).astype(np.float32)
    for name, value in (("nan", np.nan), ("blank", -32768)):
        stamp[:, -9:] = value
        (tmp_path / name).mkdir()
        fits.PrimaryHDU(stamp).writeto(tmp_path / name / "a.fits")
    caches = []
    for name, options in (("nan", {}), ("blank", {"blank": -32768}), ("blank", {"blank": -32768.0})):
        convert(tmp_path / name, tmp_path / "out.h5", overwrite=True, **options)
        caches.append(open_cache(tmp_path / "out.h5"))
        for column in ("threshold", "sky_0", "row", "area", "side", "flags"):
            assert caches[-1].catalog[column] == caches[0].catalog[column]
        np.testing.assert_array_equal(caches[-1].view("center-256")[:], caches[0].view("center-256")[:])
    assert "blank" not in caches[0].settings
    assert caches[1].settings_hash == caches[2].settings_hash
    with pytest.raises(ValueError, match="blank must be a finite number, not nan"):
        convert(tmp_path / "nan", tmp_path / "no.h5", blank=np.nan)


@pytest.mark.parametrize(
    ("shape", "result"),
    [
        ((3, 20, 30), (20, 30, 3)),
        ((5, 20, 30), (20, 30, 5)),
        ((20, 30, 3), (20, 30, 3)),
        ((1, 20, 30), (20, 30)),
        ((1, 1, 20, 30), (20, 30)),
        ((1, 3, 20, 30), (20, 30, 3)),
    ],
)
def test_axes(shape, result):
    array = np.arange(np.prod(shape), dtype="f4").reshape(shape)
    image = decode(written(fits.PrimaryHDU(array)), "a.fits", DEFAULT)
    assert image.shape == result
    plain = array.reshape([n for n in shape if n > 1])
    assert np.array_equal(image, plain if plain.shape == result else np.moveaxis(plain, 0, 2))


@pytest.mark.parametrize("compression", ["RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1"])
def test_compressed(compression):
    array = picture()[:, :, 0].astype("i4")
    data = written(fits.PrimaryHDU(), fits.CompImageHDU(array, compression_type=compression))
    assert np.array_equal(decode(data, "a.fits", DEFAULT), array)
    assert np.array_equal(decode(gzip.compress(data), "a.fits.gz", DEFAULT), array)


@pytest.mark.slow
def test_limits():
    cube = np.zeros((50, 20, 20), "i2")
    data = written(fits.PrimaryHDU(), fits.CompImageHDU(cube))
    assert decode(data, "a", DEFAULT).shape == (20, 20, 50)
    with pytest.raises(ImageError, match="cube of shape"):
        decode(data, "a", DecodeOptions(max_pixels=4999))
    with pytest.raises(ImageError, match="20 x 20 pixels are more"):
        decode(data, "a", DecodeOptions(max_pixels=399))
    bomb = gzip.compress(written(fits.PrimaryHDU(np.zeros((5000, 5000), "f4"))))
    with pytest.raises(ImageError, match="gzip file of more than"):
        decode(bomb, "a", DecodeOptions(max_pixels=1000))


def test_gzip_in_pieces_and_damaged():
    plain = written(fits.PrimaryHDU(picture()[:, :, 0]))
    pieces = gzip.compress(plain[:3000]) + gzip.compress(plain[3000:])
    assert np.array_equal(decode(pieces, "a", DEFAULT), picture()[:, :, 0])
    whole = gzip.compress(plain)
    for bad in (whole[:-1], whole[:-8] + bytes(8), whole[:500] + b"x" + whole[501:]):
        with pytest.raises(ImageError, match="damaged gzip"):
            decode(bad, "a", DEFAULT)


def test_hdu_by_number_and_name():
    first, second = np.zeros((4, 5), "f4"), np.ones((6, 7), "f4")
    data = written(
        fits.PrimaryHDU(),
        fits.BinTableHDU.from_columns([fits.Column("x", "E", array=[1.0])]),
        fits.ImageHDU(first, name="SCI"),
        fits.ImageHDU(second, name="ERR"),
    )
    assert decode(data, "a", DEFAULT).shape == (4, 5)
    for key in (3, "3", "ERR", "err"):
        assert decode(data, "a", DecodeOptions(hdu=key)).shape == (6, 7)
    for key in (0, 1):
        with pytest.raises(ImageError, match="no 2-D or 3-D image"):
            decode(data, "a", DecodeOptions(hdu=key))
    for key in (9, "WHT"):
        with pytest.raises(ImageError, match="2 'SCI'"):
            decode(data, "a", DecodeOptions(hdu=key))
    with pytest.raises(ImageError, match="no HDU holds"):
        decode(written(fits.PrimaryHDU()), "a", DEFAULT)


def test_masks_and_weights():
    image = np.ones((3, 4, 5), "f4")
    mask = np.zeros((4, 5), "i2")
    mask[1, 2] = 4
    weight = np.ones((3, 4, 5), "f4")
    weight[1, 0, 0], weight[2, 3, 3], weight[0, 2, 1] = 0, np.nan, np.inf
    data = written(
        fits.PrimaryHDU(image), fits.ImageHDU(mask, name="DQ"), fits.ImageHDU(weight, name="WHT"),
        fits.ImageHDU(np.ones((4, 4), "f4"), name="OTHER"),
    )  # fmt: skip
    assert decode_masked(data, "a", DEFAULT)[1] is None
    by_mask = decode_masked(data, "a", DecodeOptions(mask_hdu="DQ"))[1]
    by_weight = decode_masked(data, "a", DecodeOptions(weight_hdu=2))[1]
    both = decode_masked(data, "a", DecodeOptions(mask_hdu=1, weight_hdu="WHT"))[1]
    assert by_mask.dtype == bool
    assert np.argwhere(by_mask).tolist() == [[1, 2]]
    assert np.argwhere(by_weight).tolist() == [[0, 0], [2, 1], [3, 3]]
    assert np.array_equal(both, by_mask | by_weight)
    with pytest.raises(ImageError, match="does not fit"):
        decode_masked(data, "a", DecodeOptions(mask_hdu="OTHER"))


@pytest.mark.slow
def test_damage():
    array = picture()[:, :, 0].astype("f4")
    whole = written(fits.PrimaryHDU(array), checksum=True)
    for cut in (1, 100, 2880, len(whole) - 3000):
        with pytest.raises(ImageError, match="FITS"):
            decode(whole[:-cut], "a.fits", DEFAULT)
    flipped = bytearray(whole)
    flipped[2880 + 1000] ^= 1
    with pytest.raises(ImageError, match="verification failed"):
        decode(bytes(flipped), "a.fits", DEFAULT)
    for name in ("rice.fits", "gzip.fits", "hcompress.fits"):
        with pytest.raises(ImageError, match="FITS"):
            decode(samples()[name][:-2880], name, DEFAULT)


def test_remarks_on_header_style_are_no_failure(recwarn):
    data = written(fits.PrimaryHDU(np.zeros((4, 5), "f4")))
    odd = data[: data.index(b"END" + b" " * 77)] + b"BLANK   =                    1".ljust(80) + b"END".ljust(80)
    odd = odd.ljust(2880) + data[2880:]
    with pytest.warns(fits.verify.VerifyWarning):
        fits.open(io.BytesIO(odd))[0].data  # noqa: B018
    recwarn.clear()
    assert decode(odd, "a.fits", DEFAULT).shape == (4, 5)
    assert not recwarn.list


@pytest.mark.slow
def test_threads():
    """astropy changes process-wide warning filters while it reads."""
    files = [samples()[name] for name in ("float.fits", "rice.fits", "extension.fits")] * 10
    expected = [decode(data, "a", DEFAULT) for data in files]
    bad = files[0][:-100]

    def work(data):
        try:
            return decode(data, "a", DEFAULT)
        except ImageError:
            return None

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, [item for data in files for item in (data, bad)]))
    assert all(result is None for result in results[1::2])
    assert all(np.array_equal(a, b) for a, b in zip(results[::2], expected, strict=True))


def test_without_astropy(monkeypatch):
    monkeypatch.setitem(sys.modules, "astropy.io.fits", None)
    with pytest.raises(ImageError, match=r"pip install 'scalenorm\[fits\]'"):
        decode(samples(fits=False) and b"SIMPLE  = T", "a.fits", DEFAULT)


SCALES = [
    (dtype, scale, zero, blank)
    for dtype in ("u1", "i2", "i4", "i8", "f4", "f8")
    for scale in (None, 0.1)
    for zero in (None, 5.5, -128, 2**15, 2**31, 2**63)
    for blank in (None, 7)
]


@pytest.mark.parametrize(("dtype", "scale", "zero", "blank"), SCALES)
def test_part_of_a_file_is_scaled_as_the_whole_is(tmp_path, rng, dtype, scale, zero, blank):
    """What is read of a mapped file has the values and the type that astropy gives."""
    values = rng.integers(0, 100, (50, 60)).astype(dtype)
    fits.writeto(tmp_path / "image.fits", values)
    cards = {"BSCALE": scale, "BZERO": zero, "BLANK": blank if values.dtype.kind in "iu" else None}
    data = bytearray((tmp_path / "image.fits").read_bytes())
    text = b"".join(f"{k:8}= {v:>20}".encode().ljust(80) for k, v in cards.items() if v is not None)
    end = data.index(b"END".ljust(80))
    data[end : end + len(text) + 80] = text + b"END".ljust(80)
    (tmp_path / "image.fits").write_bytes(data)
    whole, _ = decode_fits(bytes(data), DecodeOptions())
    file = FitsImage(str(tmp_path / "image.fits"), DecodeOptions())
    part = np.asarray(file.pixels[3:40, 5:50])
    file.close()
    assert part.dtype.newbyteorder("=") == whole.dtype
    np.testing.assert_array_equal(part, whole[3:40, 5:50])
