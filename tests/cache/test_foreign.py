"""Caches that other programs wrote: read by every command as if we had, or refused at opening with one line."""

from __future__ import annotations

import json
import os
import shutil

import h5py
import numpy as np
import pytest
from pictures import write_pictures
from typed import run

from scalenorm import convert, open_cache
from scalenorm.files.errors import CacheError

CROP = (8, 8, 3)
OPTIONS = ["--size", "8", "--views", "normalized,center-20"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of five images, one that is none, and the cache that we make of them."""
    folder = tmp_path_factory.mktemp("made")
    images = write_pictures(folder / "images", range(5))
    (images / "bad.png").write_bytes(b"no picture")
    rows = "".join(f"g{number:04d},{number / 7},{1 - number / 7}\n" for number in range(5))
    (folder / "labels.csv").write_text(f"id,a.1,a.2\n{rows}")
    convert(images, folder / "own.h5", size=8, views=["normalized", "center-20"], labels=folder / "labels.csv", jobs=1)
    return folder


def write(path, made, *, dtype="u1", edit=None, userblock=0, **storage):
    """Write the cache anew with h5py alone."""
    with h5py.File(made / "own.h5") as old, h5py.File(path, "w", userblock_size=userblock) as new:
        new.attrs.update(old.attrs)
        for name, view in old["views"].items():
            new.create_dataset(f"views/{name}", data=view[:].astype(dtype), **storage)
        for name in ("catalog", "labels", "inputs"):
            new[name] = old[name][:]
            new[name].attrs.update(old[name].attrs)
        if edit is not None:
            edit(new)
    return path


def replaced(file, name, values=None, **options):
    """Replace a dataset; its attributes stay."""
    attributes = dict(file[name].attrs)
    values = file[name][:] if values is None else values
    del file[name]
    file.create_dataset(name, data=values, **options)
    file[name].attrs.update(attributes)


# --- read


def compact(file):
    options = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    options.set_layout(h5py.h5d.COMPACT)
    for name in list(file["views"]):
        replaced(file, f"views/{name}", dcpl=options)


def twelve_bits(file):
    kind = h5py.h5t.NATIVE_UINT16.copy()
    kind.set_precision(12)
    kind.set_offset(4)
    for name in list(file["views"]):
        values = file[f"views/{name}"][:]
        del file[f"views/{name}"]
        view = h5py.h5d.create(file["views"].id, name.encode(), kind, h5py.h5s.create_simple(values.shape))
        view.write(h5py.h5s.ALL, h5py.h5s.ALL, values)


def one_chunk_as_it_is(file):
    """The filters may be left out for single chunks."""
    for view in file["views"].values():
        view.id.write_direct_chunk((3, 0, 0, 0), view[3].tobytes(), filter_mask=1)


def chunks_never_written(file):
    """HDF5 reads zeros there; the failed image's crops are zero."""
    bad = np.flatnonzero(file["catalog"]["status"] == b"failed")[0]
    for name in list(file["views"]):
        values = file[f"views/{name}"][:]
        del file[f"views/{name}"]
        view = file.create_dataset(f"views/{name}", values.shape, values.dtype, chunks=(1, *CROP), compression="gzip")
        for row in np.flatnonzero(np.arange(len(values)) != bad):
            view[row] = values[row]


def text_of_any_length(file):
    for name, value in list(file.attrs.items()):
        if isinstance(value, str):
            file.attrs.create(name, value, dtype=h5py.string_dtype())
    rows = file["catalog"][:]
    kinds = [(name, h5py.string_dtype() if rows.dtype[name].kind == "S" else kind) for name, (kind, _) in fields(rows)]
    replaced(file, "catalog", rows.astype(kinds))


def text_of_fixed_length(file):
    for holder in (file, file["labels"]):
        for name, value in list(holder.attrs.items()):
            if isinstance(value, str):
                holder.attrs[name] = np.array([value.encode()])
    for name in ("format", "settings"):
        value = file.attrs[name][0]
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(len(value) + 9)
        kind.set_strpad(h5py.h5t.STR_SPACEPAD)
        del file.attrs[name]
        attribute = h5py.h5a.create(file.id, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR))
        attribute.write(np.array(value.ljust(len(value) + 9), f"S{len(value) + 9}"), mtype=kind)


def fields(rows):
    return [(name, rows.dtype.fields[name]) for name in rows.dtype.names]


def other_numbers(file):
    rows = file["catalog"][:]
    small = {"flags": ">u2", "height": "u1", "bbox_2": ">i2", "area": ">i4"}
    kinds = [(name, small.get(name, kind.newbyteorder(">"))) for name, (kind, _) in fields(rows)]
    replaced(file, "catalog", rows.astype(kinds))
    replaced(file, "labels", file["labels"][:].astype(">f8"))
    replaced(file, "inputs", file["inputs"][:].astype([("mtime_ns", ">i8"), ("size", ">u4")]))


def other_order_of_columns(file):
    rows = file["catalog"][:]
    replaced(file, "catalog", rows[list(rows.dtype.names[::-1])], chunks=(2,), compression="gzip", shuffle=True)


def nothing_that_is_not_needed(file):
    del file["inputs"], file["labels"].attrs["sha256"]
    for name in ("inputs", "settings_hash", "scalenorm_version", "created", "source"):
        del file.attrs[name]


def others_beside(file):
    file["notes/mine"] = np.arange(5)
    file["views/mine"] = np.arange(5)
    file.attrs["telescope"] = "Hooker"
    file.attrs["of a strange type"] = h5py.Empty("f8")


def links(file):
    file.move("views/normalized", "pixels")
    file["views/normalized"] = h5py.SoftLink("/pixels")


GZIP = {"chunks": (1, *CROP), "compression": "gzip"}
READ = {
    "shuffle and gzip": {"dtype": "f4", **GZIP, "shuffle": True},
    "gzip and checksums": {**GZIP, "fletcher32": True},
    "gzip of another level": {**GZIP, "compression_opts": 9},
    "lzf": {"chunks": (1, *CROP), "compression": "lzf"},
    "chunks of two rows": {**GZIP, "chunks": (2, *CROP)},
    "chunks of one band": {**GZIP, "chunks": (1, 8, 8, 1)},
    "chunks without a filter": {"chunks": (1, *CROP)},
    "big-endian": {"dtype": ">u2"},
    "big-endian and gzip": {"dtype": ">f4", **GZIP},
    "one chunk as it is": {**GZIP, "edit": one_chunk_as_it_is},
    "chunks never written": {"edit": chunks_never_written},
    "compact": {"edit": compact},
    "twelve bits": {"dtype": "u2", "edit": twelve_bits},
    "half floats": {"dtype": "f2"},
    "a block before the file": {"userblock": 1024},
    "text of any length": {"edit": text_of_any_length},
    "text of fixed length": {"edit": text_of_fixed_length},
    "other numbers": {"edit": other_numbers},
    "other order of columns": {"edit": other_order_of_columns},
    "no more than needed": {"edit": nothing_that_is_not_needed},
    "others beside": {"edit": others_beside},
    "links": {"edit": links},
    "a hash that was left as it was": {"edit": lambda file: file.attrs.modify("settings_hash", "0")},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", READ)
def test_foreign_caches_are_read_by_every_command(made, tmp_path, capsys, case):
    path = write(tmp_path / "foreign.h5", made, **READ[case])
    dtype = np.dtype(READ[case].get("dtype", "u1")).newbyteorder("=")
    ours = open_cache(write(tmp_path / "ours.h5", made, dtype=dtype))
    cache = open_cache(path)
    assert cache.digest() == ours.digest()
    assert (cache.settings, cache.settings_hash, cache.ids) == (ours.settings, ours.settings_hash, ours.ids)
    for name in ours.view_names:
        view = cache.view(name)
        assert view.dtype == dtype
        assert view.dtype.isnative
        np.testing.assert_array_equal(view[[4, 1]], ours.view(name)[[4, 1]])
    np.testing.assert_array_equal(cache.labels, ours.labels)

    code, out, err = run(capsys, "inspect", path)
    assert (code, err) == (0, [])
    assert f"digest      {ours.digest()}" in out
    page, table = tmp_path / "page.html", tmp_path / "table.csv"
    assert run(capsys, "report", path, "--html", page, "--quiet", "--images", made / "images") == (0, [], [])
    assert run(capsys, "export", path, "--catalog", table, "--quiet") == (0, [], [])
    assert run(capsys, "export", ours.path, "--catalog", tmp_path / "ours.csv", "--quiet") == (0, [], [])
    assert table.read_text() == (tmp_path / "ours.csv").read_text()
    for more in ([], ["--compress"]):
        assert run(capsys, "merge", path, tmp_path / "merged.h5", "--overwrite", "--quiet", *more) == (0, [], [])
        merged = open_cache(tmp_path / "merged.h5")
        assert merged.digest() == ours.digest()
        assert merged.is_compressed == bool(more)


def test_images_are_exported_in_native_order(made, tmp_path, capsys):
    path = write(tmp_path / "foreign.h5", made, dtype=">f4", edit=text_of_any_length)
    arguments = ("export", path, "--images", tmp_path / "out", "--by-label", "--quiet")
    assert run(capsys, *arguments) == (0, [], [])
    fits = pytest.importorskip("astropy.io.fits")
    crop = open_cache(made / "own.h5").view("normalized")[open_cache(path).ids.index("g0004")]
    np.testing.assert_array_equal(fits.getdata(tmp_path / "out" / "a.1" / "g0004.fits"), np.moveaxis(crop, 2, 0))


def test_rows_in_another_order_are_merged_in_ours(made, tmp_path, capsys):
    def turned(file):
        for name in ("catalog", "labels", "inputs", "views/normalized", "views/center-20"):
            replaced(file, name, file[name][:][[3, 0, 5, 1, 4, 2]])

    path = write(tmp_path / "foreign.h5", made, edit=turned)
    for more in ([], ["--compress"]):
        assert run(capsys, "merge", path, tmp_path / "merged.h5", "--quiet", "--overwrite", *more) == (0, [], [])
        assert open_cache(tmp_path / "merged.h5").digest() == open_cache(made / "own.h5").digest()


def test_text_that_is_not_utf8_is_shown(made, tmp_path, capsys):
    def latin(file):
        rows = file["catalog"][:]
        rows["source"][1] = "M 51 é".encode("latin-1")
        replaced(file, "catalog", rows)

    path = write(tmp_path / "foreign.h5", made, edit=latin)
    assert open_cache(path).catalog["source"][1] == rb"M 51 \xe9"
    assert run(capsys, "export", path, "--catalog", tmp_path / "table.csv", "--quiet") == (0, [], [])
    assert r"M 51 \xe9" in (tmp_path / "table.csv").read_text()


def test_a_further_column_is_kept_by_export_and_named_by_merge(made, tmp_path, capsys, caplog):
    def further(file):
        rows = file["catalog"][:]
        ours = [(name, kind) for name, (kind, _) in fields(rows)]
        more = np.zeros(len(rows), [("z", ">f4"), *ours, ("name", h5py.string_dtype())])
        more["z"], more["name"] = 0.25, b"NGC"
        for name in rows.dtype.names:
            more[name] = rows[name]
        replaced(file, "catalog", more)

    path = write(tmp_path / "foreign.h5", made, edit=further)
    assert run(capsys, "export", path, "--catalog", tmp_path / "table.csv", "--quiet") == (0, [], [])
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines[0].endswith("sha256,z,name")
    assert all(line.endswith(",0.25,NGC") for line in lines[1:])
    assert run(capsys, "merge", path, tmp_path / "merged.h5")[0] == 0
    assert "the column z of catalog, the column name of catalog, not of scalenorm, will not be in" in caplog.text
    assert open_cache(tmp_path / "merged.h5").digest() == open_cache(made / "own.h5").digest()


# --- refused


def huge(file):
    del file["views/normalized"]
    file.create_dataset("views/normalized", (10**9, *CROP), "u1", chunks=(1, *CROP))


def far_away(file):
    folder = os.path.dirname(file.filename)
    for name in list(file["views"]):
        raw, values = os.path.join(folder, f"{name}.raw"), file[f"views/{name}"][:]
        replaced(file, f"views/{name}", values, external=[(raw, 0, values.nbytes)])


def in_another_file(file):
    with h5py.File(file.filename + ".other", "w") as other:
        other["pixels"] = file["views/normalized"][:]
    del file["views/normalized"]
    file["views/normalized"] = h5py.ExternalLink(file.filename + ".other", "/pixels")


def virtual(file):
    shape = file["views/normalized"].shape
    layout = h5py.VirtualLayout(shape, "u1")
    layout[:] = h5py.VirtualSource("nowhere.h5", "pixels", shape)
    del file["views/normalized"]
    file["views"].create_virtual_dataset("normalized", layout)


def filtered(file):
    options = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    options.set_chunk((1, *CROP))
    options.set_filter(32099, h5py.h5z.FLAG_OPTIONAL)
    replaced(file, "views/normalized", dcpl=options)


def with_view(values):
    return lambda file: replaced(file, "views/normalized", values)


def without(name):
    def edit(file):
        del file[name]

    return edit


def without_column(column):
    def edit(file):
        rows = file["catalog"][:]
        replaced(file, "catalog", rows[[name for name in rows.dtype.names if name != column]])

    return edit


def with_column(column, kind):
    def edit(file):
        rows = file["catalog"][:]
        kinds = [(name, kind if name == column else found) for name, (found, _) in fields(rows)]
        replaced(file, "catalog", np.zeros(len(rows), kinds))

    return edit


def with_settings(**settings):
    def edit(file):
        kept = {**json.loads(file.attrs["settings"]), **settings}
        file.attrs["settings"] = json.dumps({name: value for name, value in kept.items() if value is not None})

    return edit


def with_attribute(name, value, of="/"):
    def edit(file):
        file[of].attrs[name] = value

    return edit


def shorter(name):
    return lambda file: replaced(file, name, file[name][:5])


REFUSED = {
    "view of 10^9 rows": (huge, "views differ: normalized has the shape (1000000000, 8, 8, 3)"),
    "shorter view": (shorter("views/center-20"), "views differ"),
    "shorter catalogue": (shorter("catalog"), "catalog has the shape (5,), not (6,) as its views of 6 rows demand"),
    "shorter labels": (shorter("labels"), "labels has the shape (5, 2), not (6, 2) as its views of 6 rows demand"),
    "shorter inputs": (shorter("inputs"), "inputs has the shape (5,)"),
    "no rows": (with_view(np.zeros((0, *CROP), "u1")), "not (rows, size, size, bands)"),
    "view of text": (with_view(np.full((6, *CROP), b"x")), "views/normalized holds no pixels, but values of type |S1"),
    "view of one dimension": (with_view(np.zeros(6, "u1")), "views/normalized has the shape (6,)"),
    "view of another size": (with_view(np.zeros((6, 9, 9, 3), "u1")), "but the size in its settings is 8"),
    "view of another type": (with_view(np.zeros((6, *CROP), "u2")), "views differ"),
    "view of nothing": (with_view(h5py.Empty("u1")), "views/normalized has the shape None"),
    "raw file": (far_away, "views/normalized lies in another file: write the values into this one"),
    "external link": (in_another_file, "views/normalized lies in another file"),
    "virtual": (virtual, "views/normalized is virtual, and no dataset parts says"),
    "unknown filter": (filtered, "views/normalized is compressed by the HDF5 filter 32099, which is not installed"),
    "no view": (without("views/normalized"), "it has no dataset views/normalized"),
    "no views": (without("views"), "it has no dataset views/normalized"),
    "no catalogue": (without("catalog"), "it has no dataset catalog"),
    "catalogue lacks numbers": (without_column("major_axis"), "its catalog lacks the column major_axis"),
    "catalogue lacks text": (without_column("status"), "its catalog lacks the column status"),
    "catalogue lacks a band": (without_column("sky_2"), "its catalog lacks the column sky_2"),
    "numbers for ids": (with_column("id", "f8"), "the column id of its catalog is of type float64, not text"),
    "text for numbers": (with_column("side", "S9"), "the column side of its catalog is of type |S9, not float64"),
    "larger integers": (with_column("flags", "i8"), "the column flags of its catalog is of type int64, not uint32"),
    "vectors": (with_column("side", ("f8", 2)), "the column side of its catalog is of type"),
    "catalogue of numbers": (lambda file: replaced(file, "catalog", np.zeros(6)), "its catalog is no table"),
    "catalogue is a group": (lambda file: (file.move("catalog", "x"), file.create_group("catalog")), "is no dataset"),
    "settings are a list": (with_attribute("settings", '["views"]'), "its settings are not a JSON object"),
    "settings are a number": (with_attribute("settings", 5.0), "its attribute settings is not JSON"),
    "settings are cut": (with_attribute("settings", '{"views": '), "its attribute settings is not JSON"),
    "no settings": (lambda file: file.attrs.pop("settings"), "it has no settings"),
    "settings lack views": (with_settings(views=None), "its settings name no views"),
    "settings lack a size": (with_settings(size=None), "the size in its settings is no number of pixels: None"),
    "size is text": (with_settings(size="8"), "the size in its settings is no number of pixels: '8'"),
    "views are numbers": (with_settings(views=[1]), "its settings name no views: [1]"),
    "a view twice": (with_settings(views=["normalized"] * 2), "its settings name a view twice"),
    "names of labels": (with_attribute("names", '["a"]', "labels"), "labels has the shape (6, 2), not (6, 1)"),
    "names are not JSON": (with_attribute("names", "a,b", "labels"), "names of the labels is not JSON"),
    "names are the same": (with_attribute("names", '["a", "a"]', "labels"), "not one or more different ones"),
    "labels of text": (lambda file: replaced(file, "labels", np.full((6, 2), b"x")), "its labels are no numbers"),
    "inputs of text": (lambda file: replaced(file, "inputs", np.full(6, b"x")), "its inputs have no column size"),
    "version of text": (with_attribute("format_version", "one"), "its format_version is no number: 'one'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_cache_is_refused_by_every_command(made, tmp_path, capsys, case):
    edit, reason = REFUSED[case]
    path = write(tmp_path / "foreign.h5", made, edit=edit)
    with pytest.raises(CacheError, match="not a scalenorm cache, or damaged"):
        open_cache(path)
    before = path.read_bytes()
    for command, *arguments in (
        ("inspect", path),
        ("report", path, "--html", tmp_path / "page.html"),
        ("report", path, "--montage", tmp_path / "some.png"),
        ("export", path, "--catalog", tmp_path / "table.csv"),
        ("merge", path, made / "own.h5", tmp_path / "merged.h5"),
        ("batch", made / "images", path, "--append", *OPTIONS),
        ("batch", made / "images", path, "--overwrite", *OPTIONS),
    ):
        code, out, err = run(capsys, command, *arguments)
        assert (code, out, len(err)) == (1, [], 1), (command, out, err)
        assert f"{path}: not a scalenorm cache, or damaged (" in err[0]
        assert reason in err[0]
    assert path.read_bytes() == before
    assert not {"page.html", "some.png", "table.csv", "merged.h5"} & set(os.listdir(tmp_path))


def test_lists_of_parts_that_do_not_fit_are_refused(made, tmp_path):
    path = tmp_path / "virtual.h5"
    convert(made / "images", path, size=8, keep_parts=True, part_size=3, jobs=1)
    with h5py.File(path) as file:
        parts = file["parts"][:]
    assert len(parts) == 2
    for name, value in {"start": 2, "first": 1, "count": 9, "rows": 1}.items():
        wrong = parts.copy()
        wrong[name][1] = value
        with h5py.File(path, "r+") as file:
            replaced(file, "parts", wrong)
        with pytest.raises(CacheError, match=r"damaged \(its parts do not follow each other at row 3\)"):
            open_cache(path)
    with h5py.File(path, "r+") as file:
        replaced(file, "parts", parts[:1])
    with pytest.raises(CacheError, match=r"damaged \(its parts have 3 rows, its views 6\)"):
        open_cache(path)


def test_a_part_that_was_written_anew_is_read_or_refused(made, tmp_path):
    path = tmp_path / "virtual.h5"
    convert(made / "images", path, size=8, views=["normalized"], keep_parts=True, part_size=3, jobs=1)
    before = open_cache(path).view("normalized")[:]
    part = sorted(path.with_name("virtual.h5.parts").iterdir())[1]
    for values, options in ((before[3:], {**GZIP, "shuffle": True}), (before[3:].astype("f4"), {})):
        shutil.copy(part, tmp_path / "anew.h5")
        with h5py.File(tmp_path / "anew.h5", "r+") as file:
            replaced(file, "views/normalized", values, **options)
        os.replace(tmp_path / "anew.h5", part)
        if options:
            np.testing.assert_array_equal(open_cache(path).view("normalized")[:], before)
    with pytest.raises(CacheError, match="was replaced: make the cache again"):
        open_cache(path).view("normalized")[:]


# --- drawn around


@pytest.mark.slow
@pytest.mark.parametrize("rows", [slice(2, 3), slice(None)], ids=["one row", "all rows"])
@pytest.mark.parametrize("values", [(np.nan, 1e300), (-np.inf, 1e-320), (1e9, 1e9), (-5.0, -5.0)], ids=str)
def test_numbers_out_of_range_are_drawn_around(made, tmp_path, capsys, values, rows):
    def strange(file):
        catalog = file["catalog"][:]
        for number, (name, (kind, _)) in enumerate(fields(catalog)):
            if kind.kind == "f":
                catalog[name][rows] = values[number % 2]
            elif kind == np.int32:
                catalog[name][rows] = 0
            elif name == "flags":
                catalog[name][rows] = 2**32 - 1
        replaced(file, "catalog", catalog)

    path = write(tmp_path / "foreign.h5", made, edit=strange)
    images = ("--images", made / "images")
    code, out, err = run(capsys, "inspect", path)
    assert (code, err) == (0, [])
    assert max(map(len, out[-8:])) < 150
    page = tmp_path / "page.html"
    assert run(capsys, "report", path, "--html", page, "--quiet", *images) == (0, [], [])
    assert not {"NaN", "Infinity"} & set(page.read_text().replace(",", " ").split())
    montage = ("--montage", tmp_path / "some.png", "--quiet")
    assert run(capsys, "report", path, *montage, *images, "--worst") == (0, [], [])
    assert run(capsys, "export", path, "--catalog", tmp_path / "table.csv", "--quiet") == (0, [], [])
    fits = ("--images", tmp_path / "fits", "--format", "fits")
    assert run(capsys, "export", path, *fits, "--quiet") == (0, [], [])
    assert run(capsys, "merge", path, tmp_path / "merged.h5", "--quiet") == (0, [], [])


@pytest.mark.parametrize("settings", [{"center": [1, 2, 3]}, {"sigma": "much"}, {"id_from": None, "magic": 7}], ids=str)
def test_settings_of_other_programs_are_shown(made, tmp_path, capsys, settings):
    path = write(tmp_path / "foreign.h5", made, edit=with_settings(**settings))
    assert run(capsys, "inspect", path)[0] == 0
    for images in ((), ("--images", made / "images")):
        page = ("--html", tmp_path / "page.html")
        assert run(capsys, "report", path, *page, *images, "--quiet") == (0, [], [])


def test_a_view_of_another_name_is_exported_without_its_place(made, tmp_path, capsys):
    fits = pytest.importorskip("astropy.io.fits")

    def renamed(file):
        with_settings(views=["mine", "center-20"])(file)
        file.move("views/normalized", "views/mine")

    path = write(tmp_path / "foreign.h5", made, edit=renamed)
    assert run(capsys, "export", path, "--images", tmp_path / "out", "--format", "fits", "--quiet") == (0, [], [])
    assert "LTV1" not in fits.getheader(tmp_path / "out" / "g0001.fits")


# --- written anew


def test_what_others_added_is_not_lost_without_a_word(made, tmp_path, capsys, caplog):
    path = write(tmp_path / "foreign.h5", made, edit=others_beside)
    assert open_cache(path).added[:2] == ("notes", "views/mine")
    more = write_pictures(tmp_path / "more", [7])
    code, _, err = run(capsys, "batch", more, path, "--append", *OPTIONS)
    assert (code, len(err)) == (1, 1)
    assert "holds notes, views/mine, the attribute of a strange type, ..., not of scalenorm, and would lose" in err[0]
    assert run(capsys, "batch", made / "images", path, *OPTIONS, "--quiet") == (3, [], [])  # nothing is written
    with h5py.File(path) as file:
        assert "notes/mine" in file
    assert run(capsys, "merge", path, tmp_path / "merged.h5")[0] == 0
    assert "foreign.h5: notes, views/mine, the attribute" in caplog.text
    assert "not of scalenorm, will not be in" in caplog.text
    assert run(capsys, "batch", more, made / "images", path, "--overwrite", *OPTIONS, "--quiet") == (3, [], [])
    assert open_cache(path).added == ()


def test_append_to_a_cache_without_inputs_says_what_it_makes_again(made, tmp_path, capsys, caplog):
    path = write(tmp_path / "foreign.h5", made, edit=nothing_that_is_not_needed)
    write_pictures(tmp_path / "more", [7])
    arguments = ("batch", made / "images", tmp_path / "more", path, "--append", *OPTIONS)
    code, out, _ = run(capsys, *arguments, "--verify", "--dry-run")
    assert (code, caplog.text) == (0, "")
    assert "1 to process, 6 reused" in out[0]
    assert run(capsys, *arguments)[0] == 3
    assert "foreign.h5 does not say when its images were changed: those given are all made again" in caplog.text
    assert len(open_cache(path)) == 7


# --- by any name


@pytest.mark.slow
def test_a_cache_is_the_same_however_its_path_is_written(made, tmp_path, capsys, monkeypatch):
    real, link = tmp_path / "real", tmp_path / "link"
    write_pictures(real / "images", range(4))
    link.symlink_to(real)
    options = ("--keep-parts", "--part-size", "2", "--quiet", *OPTIONS)
    assert run(capsys, "batch", real / "images", real / "out.h5", *options) == (0, [], [])
    digest = open_cache(real / "out.h5").digest()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "name.h5").symlink_to(real / "out.h5")
    monkeypatch.chdir(real)
    names = ["out.h5", "./out.h5", "images/../out.h5", link / "out.h5", "../link/./out.h5", "../other/name.h5"]
    for name in names:
        assert open_cache(name).digest() == digest
        assert run(capsys, "batch", "images", name, *options) == (0, [], [])
        assert len(list((real / "out.h5.parts").iterdir())) == 2
        code, out, err = run(capsys, "merge", "out.h5", name, "merged.h5")
        assert (code, out, len(err)) == (1, [], 1)
        assert err[0].endswith("is given more than once")
    code, _, err = run(capsys, "report", "out.h5", "--html", "../other/name.h5", "--overwrite")
    assert (code, len(err)) == (1, 1)
    assert "the report would replace the cache" in err[0]
    write_pictures(real / "more", [7])
    for number, name in enumerate(names[3:]):
        write_pictures(real / "more", [8 + number])
        assert run(capsys, "batch", "more", name, "--append", *options) == (0, [], [])
        assert len(open_cache("out.h5")) == 6 + number
        assert open_cache(name).digest() == open_cache("out.h5").digest()
    assert sorted(os.listdir(real)) == ["images", "more", "out.h5", "out.h5.parts"]
