"""Tables of every format, each made by the library that people make it with, and ids and answers in them.

``FORMATS`` is also the table in ``docs/tables.rst``; ``python tests/sources/test_tables.py`` prints it.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from scalenorm.files.errors import TableError
from scalenorm.sources.labels import IdMap, read_ids, read_labels
from scalenorm.sources.tables import open_table

PAGE = Path(__file__).parents[2] / "docs" / "tables.rst"

#: More digits than a float64 holds, as those of SDSS have, so that whatever goes through one is seen.
IDS = [587722981736120347, 587722981736579107, 587722981741363294, 587722981741363323]
SHARES = [0.25, 1.0, np.nan, 0.5]
COUNTS = [45, 36, 12, 3]
SHAPES = ["spiral", "edge-on, disc", "", "spiral"]


def text(delimiter=",", end="\n", quoting=csv.QUOTE_MINIMAL):
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(["objid", "share", "count", "shape"])
    shares = ["" if np.isnan(share) else share for share in SHARES]
    writer.writerows(zip(IDS, shares, COUNTS, SHAPES, strict=True))
    return file.getvalue()


def zipped(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.csv", text())


def frame():
    import pandas as pd

    return pd.DataFrame({"objid": IDS, "share": SHARES, "count": COUNTS, "shape": [name or None for name in SHAPES]})


def astropy_table(masked=True):
    from astropy.table import MaskedColumn, Table

    shapes = MaskedColumn(SHAPES, mask=[masked and not name for name in SHAPES])
    return Table({"objid": np.array(IDS), "share": SHARES, "count": np.array(COUNTS, "i4"), "shape": shapes})


def fits(path):
    astropy_table(masked=False).write(path, format="fits")


def packed_fits(opener):
    def make(path):
        file = io.BytesIO()
        astropy_table(masked=False).write(file, format="fits")
        path.write_bytes(opener.compress(file.getvalue()))

    return make


def fits_ascii(path):
    from astropy.io import fits

    columns = [
        fits.Column("objid", "I20", array=np.array(IDS)), fits.Column("share", "E15.7", array=np.nan_to_num(SHARES)),
        fits.Column("count", "I8", array=np.array(COUNTS)), fits.Column("shape", "A20", array=np.array(SHAPES)),
    ]  # fmt: skip
    fits.TableHDU.from_columns(columns).writeto(path)


def sextractor(path):
    names = ["NUMBER", "share", "count"]
    head = [f"# {number} {name} What it is" for number, name in enumerate(names, 1)]
    rows = [f"{n} {s} {c}" for n, s, c in zip(IDS, SHARES, COUNTS, strict=True)]
    path.write_text("\n".join([*head, *rows]) + "\n")


def savetxt(path):
    data = np.column_stack([np.array(IDS), COUNTS])
    np.savetxt(path, data, "%d", delimiter=",", header="objid,count")


#: What people call it, its ending, the extra that reads it, what makes it.
FORMATS = [
    ("CSV", ".csv", "", lambda path: path.write_text(text())),
    ("CSV of pandas, with its index", ".csv", "", lambda path: frame().to_csv(path)),
    ("CSV, everything quoted, lines of Windows, BOM (a spreadsheet's UTF-8)", ".csv", "",
     lambda path: path.write_bytes(("\ufeff" + text(end="\r\n", quoting=csv.QUOTE_ALL)).encode())),
    ("CSV with semicolons", ".csv", "", lambda path: path.write_text(text(";"))),
    ("CSV with bars", ".txt", "", lambda path: path.write_text(text("|"))),
    ("Tabs", ".tsv", "", lambda path: path.write_text(text("\t"))),
    ("UTF-16 with tabs (a spreadsheet's Unicode text)", ".txt", "",
     lambda path: path.write_text(text("\t"), encoding="utf-16")),
    ("numpy.savetxt", ".csv", "", savetxt),
    ("CSV in gzip", ".csv.gz", "", lambda path: path.write_bytes(gzip.compress(text().encode()))),
    ("CSV in bzip2", ".csv.bz2", "", lambda path: path.write_bytes(bz2.compress(text().encode()))),
    ("CSV in xz", ".csv.xz", "", lambda path: path.write_bytes(lzma.compress(text().encode()))),
    ("CSV in a zip archive, alone", ".zip", "", zipped),
    ("FITS binary table", ".fits", "fits", fits),
    ("FITS binary table in gzip", ".fits.gz", "fits", packed_fits(gzip)),
    ("FITS binary table in bzip2", ".fits.bz2", "fits", packed_fits(bz2)),
    ("FITS ASCII table", ".fits", "fits", fits_ascii),
    ("ECSV", ".ecsv", "fits", lambda path: astropy_table().write(path, format="ascii.ecsv")),
    ("VOTable", ".vot", "fits", lambda path: astropy_table().write(path, format="votable")),
    ("VOTable, binary", ".xml", "fits",
     lambda path: astropy_table().write(path, format="votable", tabledata_format="binary2")),
    ("SExtractor's ASCII_HEAD", ".cat", "fits", sextractor),
    ("Parquet of pandas", ".parquet", "parquet", lambda path: frame().to_parquet(path)),
    ("Parquet of pandas, shapes as categories", ".parquet", "parquet",
     lambda path: frame().astype({"shape": "category"}).to_parquet(path)),
    ("Feather", ".feather", "parquet", lambda path: frame().to_feather(path)),
]  # fmt: skip


def shown() -> str:
    """Return the table of the page."""
    rows = [("Format", "Usual ending", "Extra"), *((f"{name}", f"``{end}``", extra) for name, end, extra, _ in FORMATS)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule])


def names_of(ids):
    return np.sort(np.array([str(name).encode() for name in ids]))


@pytest.mark.parametrize(("ending", "extra", "make"), [form[1:] for form in FORMATS], ids=[form[0] for form in FORMATS])
def test_every_format_is_read_to_the_last_digit(tmp_path, ending, extra, make):
    for package in {"fits": ["astropy"], "parquet": ["pandas", "pyarrow"]}.get(extra, ["pandas"]):
        pytest.importorskip(package)
    path = tmp_path / f"labels{ending}"
    make(path)
    table = read_labels(path)
    assert table.ids() == [str(name) for name in IDS] == read_ids(path)
    found = table.join(names_of([*IDS[1:], 7]))
    assert found.rows.tolist() == [0, 1, 2]
    values = dict(zip(table.names, found.values.T, strict=True))
    np.testing.assert_array_equal(values["count"], COUNTS[1:])
    if "share" in values:
        wanted = np.nan_to_num(SHARES) if make is fits_ascii else SHARES
        np.testing.assert_array_equal(values["share"], wanted[1:])
    if "shape" in values:
        assert found.classes == {"shape": ("edge-on, disc", "spiral")}
        np.testing.assert_array_equal(values["shape"], [0, np.nan, 1])
    assert (found.joined.matched, found.joined.missing, found.joined.surplus) == (3, 1, 1)


def test_the_page_lists_these_formats():
    assert shown() in PAGE.read_text(), "python tests/sources/test_tables.py prints the table"


@pytest.mark.parametrize("form", ["fits", "ecsv", "vot", "parquet", "nullable"])
def test_missing_whole_numbers_leave_the_others_their_digits(tmp_path, form):
    path = tmp_path / f"labels.{form}"
    if form in ("parquet", "nullable"):
        pd = pytest.importorskip("pandas")
        pa = pytest.importorskip("pyarrow")
        ids = pa.array([None, *IDS[1:]], pa.int64())
        if form == "nullable":
            pd.DataFrame({"objid": pd.array([None, *IDS[1:]], "Int64"), "count": COUNTS}).to_parquet(path)
        else:
            pytest.importorskip("pyarrow.parquet").write_table(pa.table({"objid": ids, "count": COUNTS}), path)
    else:
        tables = pytest.importorskip("astropy.table")
        column = tables.MaskedColumn(np.array(IDS), mask=[True, False, False, False], fill_value=-1)
        formats = {"fits": "fits", "ecsv": "ascii.ecsv", "vot": "votable"}
        tables.Table({"objid": column, "count": COUNTS}).write(path, format=formats[form])
    found = read_labels(path).join(names_of(IDS))
    np.testing.assert_array_equal(found.values[:, 0], COUNTS[1:])


@pytest.mark.parametrize("module", ["astropy.table", "astropy.io.fits", "pyarrow.parquet", "pyarrow.feather"])
def test_a_package_that_is_missing_is_named_with_its_extra(tmp_path, monkeypatch, module):
    starts = {"astropy.table": b"# %ECSV", "astropy.io.fits": b"SIMPLE  =", "pyarrow.parquet": b"PAR1",
              "pyarrow.feather": b"ARROW1"}  # fmt: skip
    (tmp_path / "t").write_bytes(starts[module])
    monkeypatch.setitem(sys.modules, module, None)
    extra = "fits" if "astropy" in module else "parquet"
    with pytest.raises(TableError, match=rf"needs {module.partition('.')[0]}: pip install 'scalenorm\[{extra}\]'$"):
        open_table(tmp_path / "t")


# --- ids


def table_of(folder, content, name="labels.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("ids", "rows", "expected"),
    [
        (["a", "b"], " a ,1\nb\t,2\n", [1, 2]),
        (["a", "b"], "a.jpg,1\nb.FITS.gz,2\n", [1, 2]),
        (["a.b", "c.jpg"], "a.b.png,1\nc.jpg,2\n", [1, 2]),
        (["x/a", "y/a"], "x/a.jpg,1\ny/a,2\n", [1, 2]),
        (["12", "7"], "12.0,1\n7.0,2\n,3\n", [1, 2]),
        (["12.0", "a"], "12.0,1\na,2\n", [1, 2]),
        (["00012", "7"], "00012,1\n7,2\n", [1, 2]),
        (["A", "a"], "A,1\na,2\n", [1, 2]),
        (["a", "b"], "a,1\na,1\nb,2\na.jpg,1\n", [1, 2]),
        (["é", "星"], "é,1\n星,2\n", [1, 2]),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_ids_are_compared_as_text(tmp_path, ids, rows, expected):
    found = read_labels(table_of(tmp_path, "id,n\n" + rows)).join(names_of(ids))
    assert found.values[:, 0].tolist() == expected


@pytest.mark.parametrize(
    ("ids", "rows", "message"),
    [
        (["587722981736120347", "7"], "5.87722981736120E+17,1\n7,2\n",
         r"line 2: the id 5\.87722981736120E\+17 was stored as a floating-point number and has lost digits: read and"),
        (["587722981736120347", "7"], "587722981736120320.0,1\n7.0,2\n", r"line 2: the id .* has lost digits"),
        (["00012", "a"], "a,1\n12,2\n", r"ids have lost zeros in front: it has '12', the images '00012'; read and"),
        (["a", "b"], "a,1\nb,2\na,3\n", r"line 4: the id 'a' is there twice, with different answers in 'n'"),
        (["a", "b"], "a,1\na,\n", r"line 3: the id 'a' is there twice"),
        (["a", "b"], "c,1\n", r"no id in common with the images: the file has ids like 'c', .* ids like 'a'"),
    ],
)  # fmt: skip
def test_ids_that_would_join_half_are_refused(tmp_path, ids, rows, message):
    with pytest.raises(TableError, match=message):
        read_labels(table_of(tmp_path, "id,n\n" + rows)).join(names_of(ids))


@pytest.mark.parametrize(("name", "good"), [(2**53 - 1, True), (2**53, False), (IDS[0], False), (12.5, False)])
def test_ids_that_a_table_holds_as_floats(tmp_path, name, good):
    tables = pytest.importorskip("astropy.table")
    tables.Table({"id": [7.0, float(name)], "n": [1, 2]}).write(tmp_path / "t.fits")
    table = read_labels(tmp_path / "t.fits")
    if good:
        assert table.join(names_of([7, name])).values[:, 0].tolist() == ([1, 2] if str(name) > "7" else [2, 1])
        return
    with pytest.raises(TableError, match=r"row 2: the id .* stored as a floating-point number and has lost digits"):
        table.join(names_of([7, name]))


def test_twins_in_far_places_of_a_table(tmp_path):
    rows = [f"g{number},{number}" for number in range(5000)]
    found = read_labels(table_of(tmp_path, "\n".join(["id,n", *rows, "g3,3"]))).join(names_of(["g3"]))
    assert found.values.tolist() == [[3]]
    with pytest.raises(TableError, match=r"line 5002: the id 'g3' is there twice"):
        read_labels(table_of(tmp_path, "\n".join(["id,n", *rows, "g3,4"]))).join(names_of(["g3"]))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("n,GalaxyID,id", "GalaxyID"), ("n,objid,dr7objid", "dr7objid"), ("n,SOURCE_ID", "SOURCE_ID"),
        ("n,object_id", "object_id"), ("n,id_str", "id_str"), ("n,iauname,NUMBER", "iauname"), ("n,label", "label"),
        ("n,asset_id", "asset_id"), ("n,ObjectID", "ObjectID"), ("n,number", "number"),
    ],
)  # fmt: skip
def test_usual_names_of_the_column_of_ids(tmp_path, header, expected):
    assert read_labels(table_of(tmp_path, header + "\n1,2,3\n")).id_column == expected


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["b", "a"], ("b", "a")), (["T01_a_debiased"], ("t01_a_debiased",)), (["B"], ("b",)),
        (["t01_*_debiased"], ("t01_a_debiased", "t01_b_debiased")), (["T01*", "t01_a*"], 2),
        (["*_debiased", "a"], 4),
    ],
)  # fmt: skip
def test_choice_of_columns(tmp_path, columns, expected):
    path = table_of(tmp_path, "id,a,b,t01_a_debiased,t01_b_debiased,t02_x_debiased\n1,2,3,4,5,6\n")
    names = read_labels(path, columns=columns).names
    if isinstance(expected, tuple):
        assert names == expected
    else:
        assert len(set(names)) == len(names) == expected


def galaxy_zoo_map(folder):
    """Two pictures of one galaxy, as in the coadded stripe 82."""
    return table_of(folder, f"objid,sample,asset_id\n{IDS[0]},extra,3\n{IDS[1]},s82,1\n{IDS[1]},s82c,2\n", "map.csv")


def test_ids_by_way_of_a_third_table(tmp_path):
    labels = table_of(tmp_path, f"dr7objid,n\n{IDS[1]},5\n{IDS[0]},6\n{IDS[2]},7\n")
    table = read_labels(labels, id_map=IdMap.read(galaxy_zoo_map(tmp_path), ["objid", "asset_id"]))
    found = table.join(names_of([1, 2, 3, 4]))
    assert found.rows.tolist() == [0, 1, 2]
    assert found.values[:, 0].tolist() == [5, 5, 6]
    assert (found.joined.matched, found.joined.missing, found.joined.surplus) == (3, 1, 1)
    assert found.joined.missing_ids == ["4"]


@pytest.mark.parametrize(
    ("text", "columns", "images", "message"),
    [
        (
            "objid,asset\n1,a\n2,a\n",
            ["objid", "asset"],
            ["a"],
            r"line 3: 'a' in 'asset' has two ids in 'objid': '1' and",
        ),
        ("objid,asset\n1,a\n", ["objid", "image"], ["a"], r"no column 'image'; its columns are objid, asset"),
        ("objid,asset\n1,a\n", ["objid"], ["a"], r"id_map_columns must name two columns"),
        ("objid,asset\n1,12\n", ["objid", "asset"], ["0012"], r"map\.csv: ids have lost zeros in front: it has '12'"),
        ("objid,asset\n1,b\n", ["objid", "asset"], ["a"], r"no id in common with the images, nor by way of .*map\.csv"),
    ],
)
def test_maps_of_ids_that_do_not_fit(tmp_path, text, columns, images, message):
    labels = table_of(tmp_path, "id,n\n1,5\n")
    with pytest.raises(TableError, match=message):
        read_labels(labels, id_map=IdMap.read(table_of(tmp_path, text, "map.csv"), columns)).join(names_of(images))


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".fits", ".parquet", ".ecsv", ".vot"])
def test_lists_of_ids_are_read_as_labels_are(tmp_path, ending):
    pytest.importorskip("astropy")
    pytest.importorskip("pyarrow")
    make = next(make for _, found, _, make in FORMATS if found == ending)
    make(tmp_path / f"ids{ending}")
    assert read_ids(tmp_path / f"ids{ending}") == [str(name) for name in IDS]
    assert read_ids(table_of(tmp_path, "# mine\na\n\n b \n", "ids.txt")) == ["a", "b"]


# --- answers


@pytest.mark.parametrize("missing", ["", " ", "nan", "NaN", "NA", "N/A", "null", "NULL", "None", "--"])
def test_missing_answers(tmp_path, missing):
    found = read_labels(table_of(tmp_path, f"id,n,c\na,{missing},{missing}\nb,2,x\n")).join(names_of("ab"))
    np.testing.assert_array_equal(found.values, [[np.nan, np.nan], [2, 0]])
    assert found.classes == {"c": ("x",)}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["True", "false"], [1, 0]), (["1e3", "-2."], [1000, -2]), ([str(2**60), "1"], [2**60, 1]),
        (["none", "weak"], ("none", "weak")), (["1_0", "2_0"], ("1_0", "2_0")), (["b", "a"], ("a", "b")),
    ],
)  # fmt: skip
def test_numbers_and_classes(tmp_path, cells, expected):
    found = read_labels(table_of(tmp_path, f"id,n\na,{cells[0]}\nb,{cells[1]}\n")).join(names_of("ab"))
    if isinstance(expected, list):
        assert (found.values[:, 0].tolist(), found.classes) == (expected, {})
    else:
        assert found.classes == {"n": expected}
        assert [expected[int(code)] for code in found.values[:, 0]] == cells


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("inf", r"line 3: column 'n' holds 'inf', which is infinite"),
        ("-Infinity", r"line 3: .* which is infinite"),
        ("1e400", r"line 3: column 'n' holds '1e400', which is infinite"),
        (str(2**53 + 1), r"line 3: column 'n' holds '9007199254740993', which has more digits than a float64 holds"),
        ("1_0", r"line 3: column 'n' holds '1_0', not a number; .* --label-columns"),
        ("0,5", r"line 3: 3 columns, the header has 2"),
        ("spiral", r"line 3: column 'n' holds 'spiral', not a number"),
    ],
)
def test_answers_that_cannot_be_used(tmp_path, cell, message):
    with pytest.raises(TableError, match=message):
        read_labels(table_of(tmp_path, f"id,n\na,1\nb,{cell}\n")).join(names_of("ab"))
    if "columns" not in message.partition(";")[0]:  # of others nothing is asked
        assert read_labels(table_of(tmp_path, f"id,n\na,1\nb,{cell}\n")).join(names_of("a")).joined.surplus == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([True, False]), [1, 0]), (np.array([3, 255], "u1"), [3, 255]), (np.array([-5, 7], ">i8"), [-5, 7]),
        (np.array([2**53, 1]), [2**53, 1]),
        (np.array([2**53 + 1, 1]), r"row 1: column 'n' holds 9007199254740993, which has"),
        (np.array([1, 2**64 - 1], "u8"), r"row 2: column 'n' holds 18446744073709551615, which has more digits"),
        (np.array([0.5, np.inf], "f4"), r"row 2: column 'n' holds inf, which is infinite"),
        (np.zeros((2, 3)), r"column 'n' holds lists, not a number or a class in each row; name the answers"),
        (np.array([1j, 2]), r"column 'n' holds complex128"),
    ],
)  # fmt: skip
def test_binary_answers_become_floats_exactly(tmp_path, values, expected):
    tables = pytest.importorskip("astropy.table")
    tables.Table({"id": ["a", "b"], "n": values}).write(tmp_path / "t.fits")
    if isinstance(expected, list):
        assert read_labels(tmp_path / "t.fits").join(names_of("ab")).values[:, 0].tolist() == expected
        return
    with pytest.raises(TableError, match=expected):
        read_labels(tmp_path / "t.fits").join(names_of("ab"))


@pytest.mark.parametrize("cells", [[[1], [2, 3]], [{"x": 1, "y": 2}, None]])
def test_arrays_in_cells_are_neither_classes_nor_ids(tmp_path, cells):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"id": ["a", "b"], "n": cells}), tmp_path / "t.parquet")
    with pytest.raises(TableError, match=r"column 'n' holds lists, not a number or a class in each row"):
        read_labels(tmp_path / "t.parquet").join(names_of("ab"))
    with pytest.raises(TableError, match=r"the column of ids holds lists, not text or whole numbers"):
        read_labels(tmp_path / "t.parquet", id_column="n").ids()


def test_missing_values_of_ascii_fits_tables(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    columns = [fits.Column(name, "I5", null=null, ascii=True, array=[1, -9, 3]) for name, null in
               (("id", None), ("n", "-9"), ("m", "none"))]  # fmt: skip
    fits.TableHDU.from_columns(columns).writeto(tmp_path / "t.fits")
    labels = read_labels(tmp_path / "t.fits").join(np.array([b"-9", b"1", b"3"]))
    np.testing.assert_array_equal(labels.values, [[np.nan, -9], [1, 1], [3, 3]])


def test_texts_that_are_no_classes(tmp_path):
    rows = [f"g{number},00:00:{number}" for number in range(120)]
    with pytest.raises(TableError, match=r"column 'ra' holds texts like '00:00:0', most of them .* --label-columns"):
        read_labels(table_of(tmp_path, "\n".join(["id,ra", *rows]))).join(names_of(["g1"]))
    few = table_of(tmp_path, "\n".join(["id,ra", *rows[:50]]))
    assert len(read_labels(few).join(names_of(["g1"])).classes["ra"]) == 50


def test_classes_are_those_of_all_rows(tmp_path):
    """So that slices of a survey have the same codes."""
    found = read_labels(table_of(tmp_path, "id,c\na,x\nb,y\nc,\nd,w\n")).join(names_of("abc"))
    assert found.classes == {"c": ("w", "x", "y")}
    np.testing.assert_array_equal(found.values[:, 0], [1, 2, np.nan])


# --- tables that are odd


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"the file is empty; expected a header line"),
        (b"a,b\n1,2\n", r"no id column \(GalaxyID, id, dr7objid, objid, \.\.\.\) among a, b"),
        (b"id,ID,n\n1,2,3\n", r"ids may be in 'id' or 'ID': name the column with scalenorm-batch --id-column"),
        (b"id,n\n", r"a table without rows"),
        (b"id,n,n\n1,2,3\n", r"more than one column 'n'$"),
        ("id,größe\n1,2\n".encode("latin-1"), r"the names of its columns are not in UTF-8: save it as UTF-8"),
        ("id,c\na,größe\n".encode("latin-1"), r"column 'c' holds .* not UTF-8: save it as UTF-8"),
        ("id,n\na,1\n".encode("utf-16")[:-1], r"not text in UTF-8 or UTF-16: .*truncated"),
        (gzip.compress(b"id,n\n" + b"a,1\n" * 9999, mtime=0)[:-20], r"the compressed file is damaged or cut short"),
        (bz2.compress(b"id,n\n" + b"a,1\n" * 9999)[:-20], r"the compressed file is damaged or cut short"),
        (lzma.compress(b"id,n\n" + b"a,1\n" * 9999)[:-20], r"the compressed file is damaged or cut short"),
        (b"PK\3\4 no archive", r"the compressed file is damaged or cut short"),
        (b"\x89PNG\r\n\x1a\n\0\0", r"not a table: it begins with"),
        (b"SIMPLE  =                    T", r"cannot read it: Empty or corrupt FITS file"),
        (b"PAR1 cut short", r"cannot read it as Parquet"),
        (b"# %ECSV 1.0\n# ---\nid n\n1 2 3\n", r"cannot read it as ecsv"),
        (b"<?xml version='1.0'?>\n<html/>", r"cannot read it as votable"),
    ],
)
def test_tables_that_are_refused_in_one_line(tmp_path, content, message):
    if b"SIMPLE" in content or b"ECSV" in content or b"xml" in content:
        pytest.importorskip("astropy")
    if b"PAR1" in content:
        pytest.importorskip("pyarrow")
    with pytest.raises(TableError, match=message) as error:
        read_labels(table_of(tmp_path, content, "labels.txt")).join(names_of("ab"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("count", "good"), [(9_000, True), (100_000, False)])
def test_wide_tables_end_quickly(tmp_path, count, good):
    header = ",".join(["id", *(f"n{number}" for number in range(count))])
    path = table_of(tmp_path, f"{header}\na{',1' * count}\n")
    start = time.process_time()
    if good:
        assert read_labels(path).join(names_of("ab")).values.sum() == count
        assert len(read_labels(path, columns=["N*"]).names) == count
    else:
        with pytest.raises(TableError, match=r"100001 columns; a table of labels has at most 10000"):
            read_labels(path)
    assert time.process_time() - start < 5


@pytest.mark.slow
def test_the_join_needs_little_more_memory_than_its_answers(tmp_path):
    import tracemalloc

    count, width = 20_000, 40
    row = ",0.125" * width
    header = "id" + "".join(f",n{number}" for number in range(width))
    path = table_of(tmp_path, "\n".join([header, *(f"g{number:06d}{row}" for number in range(count))]))
    ids = names_of([f"g{number:06d}" for number in range(count)])
    tracemalloc.start()
    found = read_labels(path).join(ids)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.values.shape == (count, width)
    assert peak < 2.5 * found.values.nbytes


if __name__ == "__main__":
    sys.stdout.write(shown() + "\n")
