"""Exports read back by the libraries that others would read them with."""

from __future__ import annotations

import csv
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hostile import BROKEN, IDS, answers_of, make_cache
from PIL import Image

import scalenorm
from scalenorm.cache import Cache
from scalenorm.cache.format import UNITS
from scalenorm.commands import export
from scalenorm.exporting.catalog import write_catalog
from scalenorm.exporting.images import UNLABELLED, write_images
from scalenorm.files.errors import OutputError
from scalenorm.files.names import file_names


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return make_cache(tmp_path_factory.mktemp("hostile"), labels=True, views=["normalized", "center-64"])


def text(cache, name):
    return [value.decode() for value in cache.catalog[name].tolist()]


def units_of(cache):
    """Those of an ordinary cache, without the columns of stamps."""
    units = {name: unit for name, unit in UNITS.items() if name in cache.catalog.dtype.names}
    assert len(units) == 11
    return units


def check_numbers(cache, table):
    for name in cache.catalog.dtype.names:
        if cache.catalog.dtype[name].kind != "S":
            np.testing.assert_array_equal(np.asarray(table[name]), cache.catalog[name], err_msg=name)


def test_csv(cache, tmp_path):
    assert write_catalog(cache, tmp_path / "t.csv") == len(IDS) + 1
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == cache.catalog.dtype.names
    for name in ("id", "source", "status", "message", "sha256"):
        assert [row[name] for row in rows] == text(cache, name)
    numbers = [name for name in rows[0] if cache.catalog.dtype[name].kind != "S"]
    check_numbers(cache, {name: np.array([float(row[name]) for row in rows]) for name in numbers})


def test_ecsv(cache, tmp_path):
    table = pytest.importorskip("astropy.table", reason="astropy is not installed")
    write_catalog(cache, tmp_path / "t.ecsv")
    read = table.Table.read(tmp_path / "t.ecsv")
    assert read["id"].tolist() == text(cache, "id")
    assert read.meta["scalenorm"]["settings_hash"] == cache.settings_hash
    assert {name: str(column.unit) for name, column in read.columns.items() if column.unit} == units_of(cache)
    assert all(read[name].dtype == cache.catalog.dtype[name] for name in ("flags", "area", "side", "bbox_0"))
    check_numbers(cache, read)


def test_fits(cache, tmp_path):
    fits = pytest.importorskip("astropy.io.fits", reason="astropy is not installed")
    write_catalog(cache, tmp_path / "t.fits")
    assert (tmp_path / "t.fits").stat().st_size % 2880 == 0
    with fits.open(tmp_path / "t.fits") as hdus:
        hdus.verify("exception")
        data, columns = hdus[1].data, hdus[1].columns
        assert [value.encode().decode("unicode_escape") for value in data["id"].tolist()] == text(cache, "id")
        assert {column.name: column.unit for column in columns if column.unit} == units_of(cache)
        check_numbers(cache, data)


def test_parquet(cache, tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    write_catalog(cache, tmp_path / "t.parquet")
    read = pandas.read_parquet(tmp_path / "t.parquet")
    assert list(read["id"]) == text(cache, "id")
    assert read["flags"].dtype == np.uint32
    check_numbers(cache, read)


@pytest.mark.parametrize("ending", ["csv", "ecsv", "fits", "parquet"])
def test_blocks_make_the_same_file(cache, tmp_path, monkeypatch, ending):
    write_catalog(cache, tmp_path / f"whole.{ending}")
    monkeypatch.setattr("scalenorm.cache.reader.CATALOG_ROWS", 3)
    write_catalog(cache, tmp_path / f"blocks.{ending}")
    if ending == "parquet":
        pandas = pytest.importorskip("pandas")
        tables = [pandas.read_parquet(tmp_path / f"{name}.parquet") for name in ("whole", "blocks")]
        pandas.testing.assert_frame_equal(*tables)
    else:
        assert (tmp_path / f"whole.{ending}").read_bytes() == (tmp_path / f"blocks.{ending}").read_bytes()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_catalogue(cache, tmp_path, monkeypatch):
    monkeypatch.setattr("scalenorm.cache.reader.CATALOG_ROWS", 5)
    rows, real = cache.catalog, len(cache)

    class Long(Cache):
        def __len__(self):
            return 20_000

        def read(self, _name, start=0, stop=None):
            return rows[[row % real for row in range(start, min(stop, len(self)))]]

    tracemalloc.start()
    write_catalog(Long(cache.path), tmp_path / "long.csv")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = (tmp_path / "long.csv").stat().st_size
    assert size > 5_000_000
    assert peak < size / 5


def test_images_are_the_crops(cache, tmp_path):
    assert write_images(cache, tmp_path / "out", view="center-64") == (len(IDS), 1)
    names = file_names(cache.ids)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{name}.png" for name, given in zip(names, cache.ids, strict=True) if given != BROKEN
    }
    for row, given in enumerate(cache.ids):
        if given != BROKEN:
            with Image.open(tmp_path / "out" / f"{names[row]}.png") as image:
                np.testing.assert_array_equal(np.asarray(image), cache.view("center-64")[row])


@pytest.mark.slow
def test_images_by_label(cache, tmp_path):
    write_images(cache, tmp_path / "out", by_label=True)
    found = {path.stem: path.parent.name for path in (tmp_path / "out").rglob("*.png")}
    for name, given in zip(file_names(cache.ids), cache.ids, strict=True):
        if given == BROKEN:
            assert name not in found
        elif given == IDS[-1]:
            assert found[name] == UNLABELLED
        else:
            assert found[name] == f"Class1.{1 + answers_of([given])[0, :3].argmax()}"
    with pytest.raises(OutputError, match="has no label 'Class99'"):
        write_images(cache, tmp_path / "other", by_label=True, label_columns=["Class99"])
    write_images(cache, tmp_path / "chosen", by_label=True, label_columns=["Class2.1"])
    assert {path.name for path in (tmp_path / "chosen").iterdir()} == {"Class2.1", UNLABELLED}


def test_fits_crops_lead_back_to_the_original(tmp_path, rng):
    fits = pytest.importorskip("astropy.io.fits", reason="astropy is not installed")
    rows, cols = np.mgrid[:90, :120].astype(np.float32)
    for name in ("a", "b"):
        (tmp_path / "in").mkdir(exist_ok=True)
        np.save(tmp_path / "in" / f"{name}.npy", np.stack([rows, cols, rng.random((90, 120), np.float32)], axis=2))
    scalenorm.convert(tmp_path / "in", tmp_path / "c.h5", views=["normalized", "center-40"], size=64, weights=[0, 0, 1])
    cache = scalenorm.open_cache(tmp_path / "c.h5")
    for view in cache.view_names:
        write_images(cache, tmp_path / view, view=view)
        for row, name in enumerate(cache.ids):
            data, header = fits.getdata(tmp_path / view / f"{name}.fits", header=True)
            assert data.dtype == np.dtype(">f4")
            np.testing.assert_array_equal(np.moveaxis(data, 0, 2), cache.view(view)[row])
            # Bands 0 and 1 hold the original's row and column, so the crop itself says where it is from: exactly so
            # where it is larger than its window, and the interpolation linear.
            assert header["LTM1_1"] > 1
            x = (np.arange(1, 65) - header["LTV1"]) / header["LTM1_1"]
            y = (np.arange(1, 65) - header["LTV2"]) / header["LTM2_2"]
            np.testing.assert_allclose(data[1, 16], x - 1, atol=1e-3)
            np.testing.assert_allclose(data[0, :, 16], y - 1, atol=1e-3)


@pytest.mark.parametrize(("dtype", "written"), [("float16", ">f4"), ("longdouble", ">f8"), ("int8", "i1")])
def test_fits_crops_of_types_that_fits_lacks(tmp_path, rng, dtype, written):
    fits = pytest.importorskip("astropy.io.fits", reason="astropy is not installed")
    image = (rng.random((40, 40)) * 100).astype(dtype)
    np.save(tmp_path / "a.npy", image)
    scalenorm.convert(tmp_path / "a.npy", tmp_path / "c.h5", size=8)
    cache = scalenorm.open_cache(tmp_path / "c.h5")
    np.testing.assert_array_equal(cache.view("normalized")[0, :, :, 0], scalenorm.crop(image, 8))
    write_images(cache, tmp_path / "out")
    data = fits.getdata(tmp_path / "out" / "a.fits")
    assert data.dtype == np.dtype(written)
    np.testing.assert_array_equal(data, cache.view("normalized")[0, :, :, 0].astype(written))


def test_png_says_what_it_cannot_hold(tmp_path, rng):
    np.save(tmp_path / "a.npy", rng.random((40, 40)))
    scalenorm.convert(tmp_path / "a.npy", tmp_path / "c.h5", size=8)
    with pytest.raises(OutputError, match="PNG cannot hold crops of float64 with 1 band: use the format fits"):
        write_images(scalenorm.open_cache(tmp_path / "c.h5"), tmp_path / "out", image_format="png")


def test_sixteen_bits_survive(tmp_path, rng):
    np.save(tmp_path / "a.npy", rng.integers(0, 65536, (40, 40), np.uint16))
    scalenorm.convert(tmp_path / "a.npy", tmp_path / "c.h5", size=8)
    cache = scalenorm.open_cache(tmp_path / "c.h5")
    write_images(cache, tmp_path / "out")
    with Image.open(tmp_path / "out" / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), cache.view("normalized")[0, :, :, 0])


def test_file_names_are_safe_and_different():
    names = file_names(IDS)
    assert len({name.casefold() for name in names}) == len(IDS)
    for name in names:
        assert not set(name) & set('<>:"/\\|?*\n\0 \u202e')
        assert name[0] != "."
        assert name[-1] not in ". "
        assert len(name.encode()) <= 140
        assert name.split(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT1"}
    assert names[IDS.index("plain-1")] == "plain-1"
    assert file_names(["a/b"]) == [names[IDS.index("a/b")]]


def run(capsys, *arguments):
    code = export.main([str(argument) for argument in arguments])
    done = capsys.readouterr()
    return code, done.out, done.err


def test_nothing_is_replaced_unasked(cache, tmp_path, capsys):
    (tmp_path / "t.csv").write_text("mine")
    (tmp_path / "crops").mkdir()
    (tmp_path / "crops" / "plain-1.png").write_text("mine")
    code, _, error = run(capsys, cache.path, "--catalog", tmp_path / "t.csv")
    assert (code, error.count("\n")) == (1, 1)
    assert "already exists: choose another name" in error
    code, _, error = run(capsys, cache.path, "--images", tmp_path / "crops")
    assert (code, error.count("\n")) == (1, 1)
    assert "is not empty" in error
    code, _, error = run(capsys, cache.path, "--images", tmp_path / "t.csv")
    assert (code, error.count("\n")) == (1, 1)
    assert "t.csv is a file: give the name of a folder" in error
    assert (tmp_path / "t.csv").read_text() == (tmp_path / "crops" / "plain-1.png").read_text() == "mine"
    arguments = (cache.path, "--catalog", tmp_path / "t.csv", "--images", tmp_path / "crops", "--overwrite")
    code, out, error = run(capsys, *arguments)
    assert (code, error) == (0, "")
    assert out == f"{tmp_path}/t.csv: {len(IDS) + 1} rows\n{tmp_path}/crops: {len(IDS)} images; 1 failed\n"
    assert sorted(tmp_path.iterdir()) == [tmp_path / "crops", tmp_path / "t.csv"]
    assert run(capsys, *arguments, "--quiet") == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--catalog", "t.xls"], "the file extension must be one of .csv, .ecsv, .fits, .parquet"),
        (["--catalog", "missing/t.csv"], "missing: no such folder; create it first"),
        (["--images", "missing/out"], "missing: no such folder; create it first"),
        (["--images", "out", "--view", "middle"], "has no view 'middle'; it has"),
    ],
)
def test_errors_are_one_line(cache, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, error = run(capsys, cache.path, *arguments)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert message in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [[], ["--images", "x", "--label-columns", "a"], ["--catalog", "t.csv", "--by-label"]]
)
def test_wrong_command_lines(cache, capsys, arguments):
    with pytest.raises(SystemExit) as exit_:
        export.main([str(cache.path), *arguments])
    assert exit_.value.code == 2
    assert "scalenorm-export: error: " in capsys.readouterr().err


def test_missing_package_is_named(cache, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(OutputError, match=r"needs pyarrow: pip install 'scalenorm\[parquet\]'"):
        write_catalog(cache, tmp_path / "t.parquet")
    assert list(Path(tmp_path).iterdir()) == []
