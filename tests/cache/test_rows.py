"""Rows of a cache: chosen, gone through, as tables and in a notebook; against h5py, pandas and astropy."""

from __future__ import annotations

import base64
import io
import pickle
import re
import sys
from html.parser import HTMLParser

import h5py
import numpy as np
import pytest
from pictures import write_pictures
from PIL import Image

import scalenorm

COUNT = 8


@pytest.fixture(scope="module", params=["solid", "compressed", "virtual"])
def cache(tmp_path_factory, request):
    """Eight images, one of which failed, with a number and a class for some of them."""
    folder = tmp_path_factory.mktemp("rows")
    images = write_pictures(folder / "images", range(COUNT - 1))
    (images / "g<i>0.png").write_bytes(b"no picture")
    labels = folder / "labels.csv"
    labels.write_text("id,area,shape\ng0000,1.5,spiral\ng0002,2.5,edge-on\ng0003,3.5,\n")
    more = {"solid": {}, "compressed": {"compress": True}, "virtual": {"keep_parts": True}}[request.param]
    path = folder / "galaxies.h5"
    scalenorm.convert(images, path, labels=labels, size=16, views=["normalized", "center-64"], part_size=3, **more)
    return scalenorm.open_cache(path)


@pytest.mark.parametrize(
    "key", [slice(1, 4), slice(None, None, -2), [5, 0, -1], np.arange(COUNT) % 3 == 0, [], slice(0, 0)], ids=str
)
def test_rows_are_those_numpy_would_take(cache, key):
    with h5py.File(cache.path) as file:
        catalog, labels = file["catalog"][:][key], file["labels"][:][key]
        crops = {name: view[:][key] for name, view in file["views"].items()}
    rows = cache[key]
    assert len(rows) == len(catalog)
    assert rows.ids == [name.decode() for name in catalog["id"]]
    np.testing.assert_array_equal(rows.catalog["major_axis"], catalog["major_axis"])
    np.testing.assert_array_equal(rows.labels, labels)
    for name, expected in crops.items():
        np.testing.assert_array_equal(rows.view(name), expected)
    assert [row["id"] for row in rows] == rows.ids
    assert rows[::-1].ids == rows.ids[::-1]
    assert pickle.loads(pickle.dumps(rows)).ids == rows.ids


def test_one_row_is_all_that_is_known_of_it(cache):
    for number, row in enumerate(cache):
        with h5py.File(cache.path) as file:
            for name in file["catalog"].dtype.names:
                stored = file["catalog"][number][name]
                assert row[name] == (stored.decode() if isinstance(stored, bytes) else stored), name
            np.testing.assert_array_equal(row["labels"], file["labels"][number])
            for name, view in file["views"].items():
                np.testing.assert_array_equal(row[name], view[number])
    assert number == COUNT - 1
    assert cache[-1]["id"] == cache[COUNT - 1]["id"] == cache.ids[-1]
    with pytest.raises(IndexError, match=f"index {COUNT} is out of bounds"):
        cache[COUNT]


def test_pandas(cache, tmp_path):
    from scalenorm.exporting.catalog import write_catalog

    pandas = pytest.importorskip("pandas")
    frame = cache.to_pandas()
    write_catalog(cache, tmp_path / "catalog.csv")
    columns = list(cache.catalog.dtype.names)
    read = pandas.read_csv(tmp_path / "catalog.csv", keep_default_na=False)
    pandas.testing.assert_frame_equal(frame[columns], read[columns], check_dtype=False)
    assert frame["flags"].dtype == np.uint32
    assert list(frame.columns) == [*columns, "label_area", "shape"]
    labels = frame.set_index("id")[["label_area", "shape"]]
    assert labels.loc["g0002"].tolist() == [2.5, "edge-on"]
    assert labels.isna().to_numpy().sum(axis=0).tolist() == [COUNT - 3, COUNT - 2]
    assert cache[[4, 1]].to_pandas()["id"].tolist() == [cache.ids[4], cache.ids[1]]


def test_astropy(cache, tmp_path):
    from scalenorm.exporting.catalog import write_catalog

    table_module = pytest.importorskip("astropy.table")
    table = cache.to_table()
    write_catalog(cache, tmp_path / "catalog.ecsv")
    read = table_module.Table.read(tmp_path / "catalog.ecsv")
    for name in read.colnames:
        values = ["" if value is None else value for value in read[name].tolist()]  # ECSV does not tell them apart
        assert (table[name].unit, table[name].tolist()) == (read[name].unit, values), name
    assert table.meta == read.meta
    assert table["shape"].tolist()[:4] == ["spiral", None, "edge-on", None]
    assert len(cache[:0].to_table()) == len(cache[:0].to_pandas()) == 0


@pytest.mark.parametrize(
    ("method", "package", "extra"), [("to_pandas", "pandas", "parquet"), ("to_table", "astropy", "fits")]
)
def test_a_missing_package_is_named(cache, monkeypatch, method, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"{package}.table", raising=False)
    with pytest.raises(ImportError, match=rf"{method}\(\) needs {package}: pip install 'scalenorm\[{extra}\]'"):
        getattr(cache, method)()


class Page(HTMLParser):
    """Text, and tags that were not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.images = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs))
        else:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_a_notebook_shows_the_first_rows(cache):
    assert "catalog" not in vars(scalenorm.open_cache(cache.path))
    fresh = scalenorm.open_cache(cache.path)
    page = Page(fresh._repr_html_())
    assert "catalog" not in vars(fresh)  # which has a million rows in some caches
    assert not page.open
    assert page.text[:2] == ["galaxies.h5", f": {COUNT} images, 16 x 16, uint8 with 3 bands"]
    assert page.text[-1] == "and 3 more"
    assert cache.ids[:5] == [text for text in page.text if text.startswith("g0")]
    assert [image["alt"] for image in page.images] == ["normalized", "center-64"] * 5
    shown = Image.open(io.BytesIO(base64.b64decode(page.images[2]["src"].partition(",")[2])))
    assert np.abs(np.asarray(shown, float) - cache.view("normalized")[1]).mean() < 8  # as far as JPEG goes
    assert f"{cache.catalog['major_axis'][0]:.1f} and {cache.catalog['minor_axis'][0]:.1f} px" in page.text


def test_a_failed_image_is_shown_by_its_message(cache):
    failed = cache[cache.catalog["status"] != b"ok"]
    html = failed._repr_html_()
    page = Page(html)
    assert not page.images
    assert "g<i>0" in page.text
    assert re.search(r"<td>g&lt;i&gt;0</td><td colspan=\"4\">failed: not a JPEG", html)
    assert page.text[1] == f": 1 of {COUNT} images, 16 x 16, uint8 with 3 bands"


def test_rows_are_described(cache):
    assert repr(cache[2:4]) == f"2 rows of {cache!r}"
