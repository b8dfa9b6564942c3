"""Galaxies at positions in tiles: the right ones, from whichever tile, and every way of going on from what is there."""

from __future__ import annotations

import csv
import gc
import gzip
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from interruption import stop_after
from PIL import Image
from typed import run

import scalenorm
from scalenorm.batch import rows
from scalenorm.cache.originals import read_originals
from scalenorm.files.errors import BatchError, InputError, OptionError, TableError
from scalenorm.images.options import DecodeOptions
from scalenorm.simulation.tile import make_tile
from scalenorm.sources.positions import read_positions
from scalenorm.sources.tables import MISSING
from scalenorm.sources.tiles import Tile

SMALL = {"size": 16, "part_size": 8, "stamp": 64}


@pytest.fixture(scope="session")
def sample():
    return make_tile(30, seed=5, size=900, apart=90, noise=0.003)


@pytest.fixture(scope="session")
def written(sample, tmp_path_factory):
    return sample.write(tmp_path_factory.mktemp("survey"))


@pytest.fixture
def survey(written, tmp_path):
    """A folder with one tile, and the table of its galaxies."""
    tile, table = written
    folder = tmp_path / "tiles"
    folder.mkdir()
    return folder, Path(shutil.copy(tile, folder)), Path(shutil.copy(table, tmp_path / "catalog.csv"))


def convert(inputs, output, positions, **options):
    return scalenorm.convert(inputs, output, positions=positions, **{**SMALL, **options})


def write_table(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def read_table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_galaxy_is_the_right_one(sample, survey, tmp_path):
    summary = convert(survey[0], tmp_path / "out.h5", survey[2], stamp=128)
    assert (summary.images, summary.failed) == (30, 0)
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    catalog = cache.catalog
    assert cache.ids == sample.ids
    assert cache.view_names == ("normalized",)
    measurements, crops = scalenorm.crop_at(sample.image, np.c_[sample.row, sample.col], 128, 16)
    np.testing.assert_array_equal(cache.view("normalized")[:], crops)
    whole = np.array([min(place) > 64 and max(place) < 836 for place in zip(sample.row, sample.col, strict=True)])
    assert whole.sum() > 15
    row, col = catalog["row"] + catalog["stamp_row"], catalog["col"] + catalog["stamp_col"]
    assert (np.hypot(row - sample.row, col - sample.col)[whole] < sample.major_axis[whole] / 4).all()
    assert (abs(catalog["major_axis"] / sample.major_axis - 1)[whole] < 0.05).all()
    assert set(catalog["source"].tolist()) == {b"tile.fits"}
    np.testing.assert_array_equal(np.c_[row, col], [(found.row, found.col) for found in measurements])
    sky = sample.wcs().all_pix2world(col, row, 0)
    np.testing.assert_allclose([catalog["ra"], catalog["dec"]], sky, rtol=0, atol=1e-9)


def test_four_overlapping_tiles_are_as_good_as_one(sample, survey, tmp_path):
    convert(survey[0], tmp_path / "one.h5", survey[2])
    quarters = tmp_path / "quarters"
    quarters.mkdir()
    for number, (top, left) in enumerate([(0, 0), (0, 400), (400, 0), (400, 400)]):
        wcs = sample.wcs()[top : top + 500, left : left + 500]
        part = np.moveaxis(sample.image[top : top + 500, left : left + 500], 2, 0)
        fits.writeto(quarters / f"q{number}.fits", part, wcs.to_header())
    convert(quarters, tmp_path / "four.h5", survey[2])
    one, four = (scalenorm.open_cache(tmp_path / name) for name in ("one.h5", "four.h5"))
    assert set(four.catalog["source"].tolist()) == {b"q0.fits", b"q1.fits", b"q2.fits", b"q3.fits"}
    np.testing.assert_array_equal(one.view("normalized")[:], four.view("normalized")[:])
    for name in one.catalog.dtype.names:
        if name in ("ra", "dec"):
            np.testing.assert_allclose(one.catalog[name], four.catalog[name], rtol=0, atol=1e-9)
        elif name not in ("source", "stamp_row", "stamp_col"):
            np.testing.assert_array_equal(one.catalog[name], four.catalog[name], name)


@pytest.mark.parametrize(
    "options",
    [{"jobs": 1, "part_size": 3}, {"backend": "loky", "jobs": 2}, {"compress": True}, {"keep_parts": True},
     {"absolute": True}, pytest.param({"backend": "dask", "jobs": 2}, marks=pytest.mark.slow)],
)  # fmt: skip
def test_the_digest_depends_on_the_table_and_tiles_only(survey, tmp_path, options, monkeypatch):
    convert(survey[0], tmp_path / "plain.h5", survey[2])
    monkeypatch.chdir(tmp_path)
    folder = survey[0] if options.pop("absolute", False) else "tiles"
    convert(folder, tmp_path / "other.h5", "catalog.csv", **options)
    digests = {scalenorm.open_cache(tmp_path / name).digest() for name in ("plain.h5", "other.h5")}
    assert len(digests) == 1


def test_stopped_and_resumed(survey, tmp_path, monkeypatch):
    convert(survey[0], tmp_path / "undisturbed.h5", survey[2])
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(KeyboardInterrupt, match=r"16 finished images are kept"):
            convert(survey[0], tmp_path / "out.h5", survey[2], jobs=1)
    assert convert(survey[0], tmp_path / "out.h5", survey[2]).reused == 16
    first, second = (scalenorm.open_cache(tmp_path / name).digest() for name in ("undisturbed.h5", "out.h5"))
    assert first == second
    assert convert(survey[0], tmp_path / "out.h5", survey[2]).complete
    assert convert(survey[0], tmp_path / "out.h5", survey[2], verify=True).complete


def test_slices_are_merged(survey, tmp_path, capsys):
    convert(survey[0], tmp_path / "whole.h5", survey[2])
    for number in (1, 2):
        convert(survey[0], tmp_path / f"{number}.h5", survey[2], part=(number, 2))
    assert run(capsys, "merge", tmp_path / "1.h5", tmp_path / "2.h5", tmp_path / "out.h5")[0] == 0
    first, second = (scalenorm.open_cache(tmp_path / name).digest() for name in ("whole.h5", "out.h5"))
    assert first == second


def test_what_has_moved_is_made_again(survey, tmp_path):
    table = read_table(survey[2])
    convert(survey[0], tmp_path / "out.h5", survey[2])
    table[3]["dec"] = str(float(table[3]["dec"]) + 2 / 3600)
    moved = write_table(tmp_path / "moved.csv", table)
    summary = convert(survey[0], tmp_path / "out.h5", moved)
    assert (summary.made, summary.reused, summary.changed) == (1, 29, 1)
    convert(survey[0], tmp_path / "fresh.h5", moved)
    first, second = (scalenorm.open_cache(tmp_path / name).digest() for name in ("fresh.h5", "out.h5"))
    assert first == second


def test_appended_rows_and_rows_left_out(survey, tmp_path):
    table = read_table(survey[2])
    convert(survey[0], tmp_path / "out.h5", write_table(tmp_path / "half.csv", table[:15]))
    with pytest.raises(BatchError, match=r"lacks 15 images .* --append adds them"):
        convert(survey[0], tmp_path / "out.h5", survey[2])
    assert convert(survey[0], tmp_path / "out.h5", survey[2], append=True).made == 15
    convert(survey[0], tmp_path / "fresh.h5", survey[2])
    first, second = (scalenorm.open_cache(tmp_path / name).digest() for name in ("fresh.h5", "out.h5"))
    assert first == second


def test_positions_that_are_in_no_tile_are_failed_rows(survey, tmp_path):
    table = read_table(survey[2])
    table[0] |= {"ra": "", "dec": ""}
    table[1] |= {"ra": "10", "dec": "80"}
    table[2] |= {"ra": "330", "dec": "-2"}  # the other side of the sky, where the projection comes round
    positions = write_table(tmp_path / "gaps.csv", table)
    assert convert(survey[0], tmp_path / "out.h5", positions).failed == 3
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    assert cache.catalog["message"][:4].tolist() == [
        b"the position is not a number", *2 * [b"the position is outside every tile"], b"",
    ]  # fmt: skip
    assert convert(survey[0], tmp_path / "out.h5", positions).complete
    summary = convert(survey[0], tmp_path / "out.h5", survey[2])
    assert (summary.made, summary.failed) == (3, 0)


def in_words(degrees, form, per_unit=1):
    """Return angles as sexagesimal text, to a microsecond, with integers only."""
    for value in degrees:
        whole = round(abs(value) / per_unit * 3600 * 10**6)
        seconds, fraction = divmod(whole, 10**6)
        yield form.format(
            sign="-" if value < 0 else "+", whole=seconds // 3600, minutes=seconds // 60 % 60,
            seconds=f"{seconds % 60:02d}.{fraction:06d}",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("ra_form", "dec_form"),
    [
        ("{whole:02d}:{minutes:02d}:{seconds}", "{sign}{whole:02d}:{minutes:02d}:{seconds}"),
        ("{whole}h{minutes}m{seconds}s", "{sign}{whole}d{minutes}m{seconds}s"),
        ("{whole:02d} {minutes:02d} {seconds}", "{sign}{whole:02d} {minutes:02d} {seconds}"),
    ],
)
def test_sexagesimal_positions_are_the_same_as_in_degrees(sample, survey, tmp_path, ra_form, dec_form):
    table = read_table(survey[2])
    ra, dec = ([float(row[name]) for row in table] for name in ("ra", "dec"))
    words = zip(in_words(ra, ra_form, 15), in_words(dec, dec_form), strict=True)
    written = [{"id": row["id"], "ra": a, "dec": d} for row, (a, d) in zip(table, words, strict=True)]
    positions = read_positions(write_table(tmp_path / "words.csv", written))
    np.testing.assert_allclose([positions.first, positions.second], [ra, dec], rtol=0, atol=1e-8)
    assert convert(survey[0], tmp_path / "words.h5", tmp_path / "words.csv").failed == 0
    convert(survey[0], tmp_path / "degrees.h5", survey[2])
    first, second = (scalenorm.open_cache(tmp_path / name).digest() for name in ("words.h5", "degrees.h5"))
    assert first == second


def test_a_number_that_is_no_declination_costs_its_row_alone(survey, tmp_path):
    """Catalogues write -99 where they know none; beyond the pole a sky goes down again on the other side."""
    row = read_table(survey[2])[0]
    ra, dec = float(row["ra"]), float(row["dec"])
    rows = [("a", ra, dec), ("b", ra, -99), ("c", ra + 180, 180 - dec), ("d", ra, "inf")]
    write_table(tmp_path / "some.csv", [dict(zip(("id", "ra", "dec"), values, strict=True)) for values in rows])
    summary = convert(survey[0], tmp_path / "out.h5", tmp_path / "some.csv")
    assert (summary.images, summary.failed) == (4, 3)
    assert sorted(summary.reasons.items()) == [
        ("the declination is more than 90 degrees from the equator", 2), ("the position is not a number", 1),
    ]  # fmt: skip


def test_positions_in_degrees_beside_sexagesimal_ones(tmp_path):
    """Andromeda's nucleus, and what is just below the equator."""
    table = tmp_path / "catalog.csv"
    table.write_text(
        "id,ra,dec\n1,00:42:44.330,+41:16:07.50\n2,,nan\n3,10.684708d,41.26875\n4,23h59m60s,-00 30 00\n"
        "5,12:30,\N{MINUS SIGN}1:30\n"
    )
    found = read_positions(table)
    np.testing.assert_allclose(found.first, [10.684708333, np.nan, 10.684708, 360, 187.5], rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.second, [41.26875, np.nan, 41.26875, -0.5, -1.5], rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", ["fits", "ascii.ecsv", "votable"])
@pytest.mark.parametrize(
    ("unit", "ra", "dec", "dec_unit"),
    [
        ("deg", [150.25, 0.5], [-2.5, 80.0], "deg"),
        (None, [150.25, 0.5], [-2.5, 80.0], None),
        ("rad", np.radians([150.25, 0.5]), np.radians([-2.5, 80.0]), "rad"),
        ("h", [10 + 1 / 60, 1 / 30], [-2.5, 80.0], "deg"),
        (None, ["10:01:00", "0:02:00"], ["-2:30:00", "80:00:00"], None),
        ("deg", ["150:15:00", "0.5"], ["-2:30:00", "80"], "deg"),
        ("deg", ["10h1m0s", "0.5"], ["-2d30m00s", "80"], "deg"),
    ],
)
def test_the_unit_of_a_column_is_heeded(tmp_path, form, unit, ra, dec, dec_unit):
    from astropy.table import Column, Table

    table = Table({"id": ["a", "b"], "ra": Column(ra, unit=unit), "dec": Column(dec, unit=dec_unit)})
    table.write(tmp_path / "catalog", format=form)
    found = read_positions(tmp_path / "catalog")
    np.testing.assert_allclose([found.first, found.second], [[150.25, 0.5], [-2.5, 80]], rtol=0, atol=1e-12)


def test_longitudes_that_astropy_wrote_in_hours(tmp_path):
    from astropy.coordinates import Longitude
    from astropy.table import Table

    table = Table({"id": ["a", "b"], "ra": Longitude([10, 1.5], "hourangle"), "dec": [1.0, 2.0]})
    table.write(tmp_path / "catalog.ecsv")
    np.testing.assert_allclose(read_positions(tmp_path / "catalog.ecsv").first, [150, 22.5], rtol=0, atol=1e-12)


def test_units_of_words_as_vizier_has_them(tmp_path):
    columns = [
        fits.Column("recno", "J", array=[1]),
        fits.Column("RAJ2000", "A11", unit='"h:m:s"', array=["10 01 00.00"]),
        fits.Column("DEJ2000", "A11", unit='"d:m:s"', array=["-02 30 00.0"]),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "catalog.fits")
    found = read_positions(tmp_path / "catalog.fits", id_column="recno")
    np.testing.assert_allclose([found.first, found.second], [[150.25], [-2.5]], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("unit", "ra", "degrees"),
    [
        ("radians", 1.5, 85.943669269623), ("Radians", 1.5, 85.943669269623), ("hours", 1.5, 22.5), ("HRS", 1.5, 22.5),
        ("[deg]", 1.5, 1.5), ("Degrees", "01:30:00", 1.5), ("dms", "01:30:00", 1.5), ("pixels", 1.5, 1.5),
        ("arcsec", 5400.0, 1.5),
    ],
)  # fmt: skip
def test_units_that_astropy_does_not_spell_so(tmp_path, unit, ra, degrees):
    columns = [
        fits.Column("id", "J", array=[1]),
        fits.Column("ra", "D" if isinstance(ra, float) else "A8", unit=unit, array=[ra]),
        fits.Column("dec", "D", array=[2.0]),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "catalog.fits")
    np.testing.assert_allclose(read_positions(tmp_path / "catalog.fits").first, [degrees], rtol=0, atol=1e-11)


def test_sixtieths_of_radians_are_refused(tmp_path):
    columns = [
        fits.Column("id", "J", array=[1]),
        fits.Column("ra", "A8", unit="rad", array=["01:30:00"]),
        fits.Column("dec", "D", array=[2.0]),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "catalog.fits")
    with pytest.raises(TableError, match="row 1: '01:30:00' is not a right ascension in rad: write degrees"):
        read_positions(tmp_path / "catalog.fits")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["10:00:24,2", "10:00:24,-2:61:00"], r"line 3: '-2:61:00' is not a declination: write degrees \(-2\.5\), or"),
        (["150.1,2", "abc,2"], r"line 3: 'abc' is not a right ascension: write degrees \(150\.1\), or hours, minutes"),
        (["10:00:24,2", "24:30:00,2"], r"line 3: '24:30:00' is not a right ascension"),
        (["10:00:24,2", "10:61:00,2"], r"line 3: '10:61:00' is not a right ascension"),
        (["10:00:24,2", "10:00:24,2:3:4:5"], r"line 3: '2:3:4:5' is not a declination: write .* or degrees, minutes"),
        (["10:00:24,2", "10:00:24,91:00:00"], r"line 3: '91:00:00' is not a declination"),
        (["150.1,2", "10:00:24,2"], r"line 2: '150\.1' may be degrees or hours, as others are like '10:00:24': "),
    ],
)
def test_what_is_no_position_is_named_with_its_line(tmp_path, rows, message):
    table = tmp_path / "catalog.csv"
    table.write_text("\n".join(["id,ra,dec", *(f"{number},{row}" for number, row in enumerate(rows))]))
    with pytest.raises(TableError, match=message):
        read_positions(table)


@given(st.text(min_size=1) | st.from_regex(r"[-+]?\d{1,3}[:hd ]\d\d?[:m' ]\d\d?(\.\d)?[s\"NSEW]?", fullmatch=True))
@settings(deadline=None)
def test_any_text_is_a_position_or_is_refused_in_words(tmp_path_factory, text):
    from astropy.table import Table

    path = tmp_path_factory.mktemp("any") / "catalog.csv"
    Table({"id": ["a"], "ra": [text], "dec": [text]}).write(path, format="ascii.csv")
    try:
        found = read_positions(path)
    except TableError:
        return
    assert not np.isnan(found.second) or text.strip() in MISSING


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gz", "fz", "scaled", "npy", "png", "bands last"])
def test_tiles_of_any_format(sample, survey, tmp_path, kind):
    """The same stamps as from the image in memory, and what is not compressed is not read whole."""
    image = sample.image
    folder = tmp_path / kind
    folder.mkdir()
    planes = np.moveaxis(image, 2, 0)
    if kind == "gz":
        (folder / "tile.fits.gz").write_bytes(gzip.compress(survey[1].read_bytes(), 1))
    elif kind == "fz":
        image = image[:, :, 0]
        hdu = fits.CompImageHDU(np.ascontiguousarray(image), compression_type="GZIP_2", quantize_level=0)
        hdu.writeto(folder / "tile.fits.fz")
    elif kind == "scaled":
        image = (image * 1000).astype(np.uint16)
        fits.writeto(folder / "tile.fits", np.moveaxis(image, 2, 0))
        assert "BZERO" in fits.getheader(folder / "tile.fits")
    elif kind == "npy":
        image = image[:, :, :2]
        np.save(folder / "tile.npy", image[:, :, 0])
        image = image[:, :, 0]
    elif kind == "png":
        image = (image.clip(0, 1) * 255).astype(np.uint8)
        Image.fromarray(image).save(folder / "tile.png")
    else:
        planes = image[None]
        fits.writeto(folder / "tile.fits", planes)
    places = [{"id": name, "row": row, "col": col}
              for name, row, col in zip(sample.ids, sample.row, sample.col, strict=True)]  # fmt: skip
    convert(folder, tmp_path / "out.h5", write_table(tmp_path / "pixels.csv", places))
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    _, crops = scalenorm.crop_at(image, np.c_[sample.row, sample.col], 64, 16)
    np.testing.assert_array_equal(cache.view("normalized")[:].reshape(crops.shape), crops)
    tile = Tile(str(next(folder.iterdir())), rows.Recipe.checked(None, 64, "stem", False, {}).decode)
    assert isinstance(tile.pixels, np.ndarray) == (kind in ("gz", "fz", "png", "npy", "bands last"))
    if kind in ("npy", "bands last"):
        assert not tile.pixels.flags.owndata
    tile.close()


def test_stamps_of_each_galaxy_s_own_size(sample, survey, tmp_path):
    """The smallest that holds the galaxy; sides on the sky; sides and tiles from the table."""
    convert(survey[0], tmp_path / "ladder.h5", survey[2], stamp="16..64")
    catalog = scalenorm.open_cache(tmp_path / "ladder.h5").catalog
    places = np.c_[sample.row, sample.col]
    measurements, _ = scalenorm.crop_at(sample.image, places, (16, 64))
    assert catalog["height"].tolist() == [found.height for found in measurements]
    assert set(catalog["height"].tolist()) == {16, 32}
    assert convert(survey[0], tmp_path / "ladder.h5", survey[2], stamp="16..64").complete
    assert convert(survey[0], tmp_path / "ladder.h5", survey[2], stamp="16..64", verify=True).complete

    convert(survey[0], tmp_path / "sky.h5", survey[2], stamp="0.2arcmin")  # 0.25 arcsec a pixel
    assert set(scalenorm.open_cache(tmp_path / "sky.h5").catalog["height"].tolist()) == {48}

    table = [row | {"diameter_pixel": 20 + number, "tile": ["tile.fits", str(survey[1]), "other.fits"][number % 3]}
             for number, row in enumerate(read_table(survey[2]))]  # fmt: skip
    chosen = {"stamp": None, "stamp_from": "diameter_pixel", "tile_column": "tile"}
    convert(survey[0], tmp_path / "own.h5", write_table(tmp_path / "own.csv", table), **chosen)
    catalog = scalenorm.open_cache(tmp_path / "own.h5").catalog
    assert catalog["height"].tolist() == [0 if number % 3 == 2 else 20 + number for number in range(30)]
    assert catalog["message"][2] == b"its tile 'other.fits' is not among those given"


def test_stamps_and_galaxies_that_no_image_can_hold_are_failed_rows(survey, tmp_path):
    wide = ["64", "1e12", "inf", "64"]
    size = ["30", "30", "30", "inf"]
    table = [row | {"wide": wide[n], "size": size[n]} for n, row in enumerate(read_table(survey[2])[:4])]
    chosen = {"stamp": None, "stamp_from": "wide", "side_from": "size"}
    convert(survey[0], tmp_path / "own.h5", write_table(tmp_path / "own.csv", table), **chosen)
    assert scalenorm.open_cache(tmp_path / "own.h5").catalog["message"].tolist() == [
        b"",
        b"a stamp of more than 500000000 pixels (raise max_pixels)",
        b"the side of the stamp in the table is not a number above 0",
        b"the size in the table is not a number above 0",
    ]


@pytest.mark.parametrize(("unit", "factor"), [("pixel", 1.0), ("arcsec", 0.25)])
def test_windows_of_given_sizes(sample, survey, tmp_path, unit, factor):
    """The window has the table's size, and what was measured stays beside it."""
    table = [row | {"petro": (10 + number) * factor} for number, row in enumerate(read_table(survey[2]))]
    table[4]["petro"] = ""
    positions = write_table(tmp_path / "sizes.csv", table)
    options = {"side_from": "petro", "side_unit": unit, "margin": 1.5}
    convert(survey[0], tmp_path / "out.h5", positions, **options)
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    assert cache.catalog["message"][4] == b"the size in the table is not a number above 0"
    good = np.arange(30) != 4
    np.testing.assert_allclose(cache.catalog["side"][good], 1.5 * (10 + np.arange(30.0))[good], rtol=1e-9)
    places = np.c_[sample.row, sample.col]
    measured, _ = scalenorm.crop_at(sample.image, places, 64)
    np.testing.assert_array_equal(cache.catalog["major_axis"][good], np.array([m.major_axis for m in measured])[good])
    row = next(n for n in range(5, 30) if places[n].min() > 40 and places[n].max() < 860)
    side = 1.5 * (10 + row)
    _, (wanted,) = scalenorm.crop_at(sample.image, places[row : row + 1], 64, 16, side_limits=(side, side))
    if unit == "pixel":
        np.testing.assert_array_equal(cache.view("normalized")[row], wanted)
    assert convert(survey[0], tmp_path / "out.h5", positions, **options).complete
    table[7]["petro"] = 40 * factor
    changed = write_table(tmp_path / "changed.csv", table)
    assert convert(survey[0], tmp_path / "out.h5", changed, **options).made == 1


def test_the_catalogue_of_another_program_names_the_tiles(survey, tmp_path):
    """As Cutana wants it: no inputs but the table."""
    table = [{"id": row["id"], "RA": row["ra"], "Dec": row["dec"], "diameter_pixel": 64,
              "fits_file_paths": f"['{survey[1]}']"} for row in read_table(survey[2])]  # fmt: skip
    positions = write_table(tmp_path / "cutana.csv", table)
    convert([], tmp_path / "out.h5", positions, stamp=None, stamp_from="diameter_pixel", tile_column="fits_file_paths")
    convert(survey[0], tmp_path / "plain.h5", survey[2])
    first, second = (scalenorm.open_cache(tmp_path / name) for name in ("out.h5", "plain.h5"))
    np.testing.assert_array_equal(first.view("normalized")[:], second.view("normalized")[:])


def test_the_catalogue_may_lie_among_the_tiles(sample, survey, tmp_path):
    from astropy.table import Table

    Table.read(survey[2]).write(survey[0] / "catalog.fits")
    (survey[0] / "notes.txt").touch()
    summary = convert(survey[0], tmp_path / "out.h5", survey[0] / "catalog.fits")
    assert (summary.failed, summary.skipped) == (0, {".txt": 1})
    assert scalenorm.open_cache(tmp_path / "out.h5").ids == sample.ids


def test_the_report_shows_the_stamps(sample, survey, tmp_path, monkeypatch):
    convert(survey[0], tmp_path / "out.h5", survey[2])
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    monkeypatch.chdir(tmp_path)
    for images in (None, [survey[0]]):
        shown = list(read_originals(cache, [3, 7], images))
        for row, stamp in zip((3, 7), shown, strict=True):
            top, left = cache.catalog[row]["stamp_row"], cache.catalog[row]["stamp_col"]
            part = sample.image[max(top, 0) : top + 64, max(left, 0) : left + 64]
            np.testing.assert_array_equal(stamp[max(-top, 0) :, max(-left, 0) :][: len(part), : part.shape[1]], part)


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ("id,alpha,delta\n1,2,3\n", {}, r"no columns of positions \(ra and dec, row and col, x and y\): name"),
        ("id,ra,dec,RAJ2000,DEJ2000\n1,2,3,4,5\n", {},
         r"the positions may be ra, dec and RAJ2000, DEJ2000: name two columns with --position-columns"),
        ("id,ra,dec\n1,150,2\n", {"stamp": "20parsec"}, r"the unit of stamp must be one of arcsec, arcmin, deg"),
        ("id,ra,dec\n1,150,2\n", {"stamp": 0}, r"stamp must be above 0"),
        ("id,ra,dec\n1,150,2\n", {"stamp": "64..32"}, r"stamp must be above 0, the smallest side first"),
        ("id,ra,dec\n1,150,2\n", {"stamp": "64..3000000000"}, r"a stamp of 3000000000 x 3000000000 pixels is"),
        ("id,ra,dec\n1,150,2\n", {"stamp": "wide"}, r"stamp must be a side such as 128, 20arcsec or 64\.\.512, got"),
        ("id,ra,dec\n1,150,2\n", {"stamp": None}, r"positions need the side of the stamps"),
        ("id,ra,dec\n1,150,2\n", {"all_objects": True}, r"all_objects finds the objects itself"),
        ("id,ra,dec\n1,150,2\n", {"position_columns": "a"}, r"position_columns must be A,B"),
        ("id,ra,dec\n1,150,2\n", {"position_columns": "ra,missing"}, r"no column 'missing'"),
        ("id,x,y\n1,15,2\n", {"two tiles": True}, r"positions in pixels belong to one tile, but several are given"),
        ("id,ra,dec\n1,150,2\n", {"plain tile": True}, r"it has no WCS in right ascension and declination"),
        ("id,x,y\n1,15,2\n", {"plain tile": True, "stamp": "3arcsec"}, r"give lengths in pixels"),
        ("id,ra,dec\n1,150,2\n", {"broken tile": True}, r"cannot use the tile .*tile\.fits"),
        ("id,ra,dec\n7,150,2\n7,150,3\n", {}, r"two positions have the id '7': give each one of its own"),
        ("id,ra,dec\n1,150,2\n", {"side_from": "ra", "side_unit": "ell"}, r"side_unit must be one of pixel, arcsec"),
        ("id,ra,dec\n1,150,2\n", {"no positions": True}, r"stamp needs positions"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_before_anything_is(survey, tmp_path, table, options, message):
    positions = tmp_path / "bad.csv"
    positions.write_text(table)
    if options.pop("two tiles", False):
        (survey[0] / "second.fits").write_bytes(survey[1].read_bytes())
    if options.pop("plain tile", False):
        fits.writeto(survey[1], np.zeros((100, 100), np.float32), overwrite=True)
    if options.pop("broken tile", False):
        survey[1].write_bytes(survey[1].read_bytes()[:9000])
    if options.pop("no positions", False):
        positions = None
    with pytest.raises((InputError, OptionError), match=message):
        convert(survey[0], tmp_path / "out.h5", positions, **options)
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (lambda tile: tile[:2000], "2000 bytes are too few"),
        (lambda tile: tile[:10] + b"?" * 20 + tile[30:], "damaged .npy header"),
        (lambda tile: tile.replace(b"'<f4'", b"'<c8'"), "complex64 is not an image"),
        (lambda tile: tile.replace(b"'<f4'", b"'|b1'"), "bool is not an image"),
    ],
)
def test_a_tile_that_cannot_be_mapped_is_refused_in_words(tmp_path, damaged, message):
    np.save(tmp_path / "tile.npy", np.zeros((200, 200), np.float32))
    data = damaged((tmp_path / "tile.npy").read_bytes())
    (tmp_path / "tile.npy").write_bytes(data)
    table = tmp_path / "catalog.csv"
    table.write_text("id,row,col\na,50,60\n")
    with pytest.raises(InputError, match=rf"cannot use the tile .*tile\.npy: .*{message}"):
        convert([tmp_path / "tile.npy"], tmp_path / "out.h5", table)


def test_tiles_in_lists_are_refused(survey, tmp_path):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet, table

    for name, lists in {"one": [["tile.fits"]] * 2, "more": [["tile.fits"], ["tile.fits", "b.fits"]]}.items():
        parquet.write_table(table({"id": ["a", "b"], "ra": [1.0, 2], "dec": [3.0, 4], "tile": lists}), tmp_path / name)
    assert read_positions(tmp_path / "one", tile_column="tile").tiles == ["tile.fits"] * 2
    with pytest.raises(TableError, match="a column holds lists, not a path in each row"):
        read_positions(tmp_path / "more", tile_column="tile")


def test_a_tile_with_blank_pixels_goes_with_its_last_use(tmp_path):
    """It is no circle, which would keep its pixels and its file until Python looks for circles."""
    np.save(tmp_path / "tile.npy", np.full((30, 30), -99, np.float32))
    tile = Tile(str(tmp_path / "tile.npy"), DecodeOptions(blank=-99))
    assert np.isnan(tile.pixels[:2, :2]).all()
    gone = weakref.ref(tile)
    gc.disable()
    try:
        del tile
        assert gone() is None
    finally:
        gc.enable()


def test_on_the_command_line(survey, tmp_path, capsys):
    words = [survey[1], tmp_path / "out.h5", "--positions", survey[2], "--stamp", "64", "--size", "16"]
    code, out, err = run(capsys, "batch", *words)
    assert (code, err) == (0, [])
    assert out[0].startswith(f"{tmp_path / 'out.h5'}: 30 images")
    code, out, _ = run(capsys, "inspect", tmp_path / "out.h5", "--settings")
    assert 'stamp = "64"' in out
