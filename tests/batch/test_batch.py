"""`convert`: what lands in the cache, and every way of going on from what is there."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import re
import shutil
import socket
import stat
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from interruption import stop_after
from pictures import beside, picture, write_pictures
from PIL import Image

import scalenorm
from scalenorm.cache import open_cache
from scalenorm.cache.joining import join_caches
from scalenorm.files.errors import BatchError, CacheError, InputError, OptionError, TableError
from scalenorm.files.lock import locked
from scalenorm.files.writing import new_file
from scalenorm.images.options import IMAGE_SUFFIXES
from scalenorm.sources.finding import find

SMALL = {"size": 12, "part_size": 4}


@pytest.fixture
def images(tmp_path):
    """Ten good pictures and two files that are none."""
    folder = write_pictures(tmp_path / "images", range(0, 20, 2))
    (folder / "g0005.png").write_bytes(b"no picture")
    (folder / "g0011.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("not an image")
    return folder


def convert(inputs, output, **options):
    return scalenorm.convert(inputs, output, **{**SMALL, **options})


def digest_of(inputs, folder, **options):
    """Digest of one undisturbed run over everything."""
    convert(inputs, folder / "undisturbed.h5", **options)
    digest = open_cache(folder / "undisturbed.h5").digest()
    (folder / "undisturbed.h5").unlink()
    return digest


# --- what is in the cache


def test_tables_beside_the_images_are_not_skipped_files(images, tmp_path):
    """Whether they are named as the folder is, or by a link; another table of that kind is skipped."""
    ids = sorted(path.stem for path in images.glob("g*"))
    (images / "inside").mkdir()
    for name in ("labels.csv", "inside/map.csv", "inside/other.csv"):
        (images / name).write_text("id,theirs,x\n" + "".join(f"{name},{name},1\n" for name in ids))
    (tmp_path / "link").symlink_to(images, target_is_directory=True)
    summary = convert(
        images, tmp_path / "out.h5", labels=tmp_path / "link" / "labels.csv", label_columns=["x"],
        id_map=images / "inside" / "map.csv", id_map_columns=["theirs", "id"],
    )  # fmt: skip
    assert (summary.labels.matched, summary.skipped) == (12, {".csv": 1, ".txt": 1})
    Table.read(images / "labels.csv").write(images / "labels.fits")
    assert convert(images, tmp_path / "fits.h5", labels=images / "labels.fits").images == 12
    assert convert(images, tmp_path / "other.h5", labels=images / "labels.csv").images == 13
    (images / "list.txt").write_text("notes.txt\n")
    assert find([images], list_file=images / "list.txt").skipped == {".csv": 3, ".txt": 1}
    for table in ("labels.csv", "labels.fits"):
        for given in ([str(images / "*.*")], sorted(images.glob("*.*"))):  # by a pattern, or as a shell writes it out
            found = {source.name for source in find(given, tables=[images / table])}
            assert table not in found
            assert "g0005.png" in found


def test_tables_that_hold_images_as_well(images, tmp_path):
    """A FITS file with both is an image wherever it lies; .npz and HDF5 files are where they are named."""
    hdus = [fits.PrimaryHDU(np.zeros((20, 20))), fits.BinTableHDU(Table({"id": ["both"]}))]
    fits.HDUList(hdus).writeto(images / "both.fits")
    np.savez(images / "stack.npz", images=np.zeros((2, 20, 20), np.uint8), labels=[0, 1])
    both, stack = images / "both.fits", images / "stack.npz"
    assert "both" in [source.id for source in find([images], tables=[both])]
    assert [source.id for source in find([both], tables=[both])] == ["both"]
    ids = [source.id for source in find([images], tables=[stack])]
    assert not any(name.startswith("stack") for name in ids)
    assert [source.id for source in find([stack], tables=[stack])] == ["stack/000000", "stack/000001"]


def test_rows_are_what_pillow_and_crop_give(images, tmp_path):
    summary = convert(images, tmp_path / "out.h5", sigma=0.8, margin=1.3)
    assert (summary.images, summary.failed, summary.made, summary.reused) == (12, 2, 12, 0)
    assert summary.skipped == {".txt": 1}
    assert sum(summary.reasons.values()) == 2
    assert {source for source, _ in summary.failures} == {"g0005.png", "g0011.jpg"}
    cache = open_cache(tmp_path / "out.h5")
    assert cache.ids == sorted(path.stem for path in images.iterdir() if path.suffix in IMAGE_SUFFIXES)
    assert beside(tmp_path / "out.h5") == ["out.h5"]
    for row, entry in enumerate(cache.catalog):
        path = images / entry["source"].decode()
        assert entry["sha256"].decode() == hashlib.sha256(path.read_bytes()).hexdigest()
        if entry["status"] == b"failed":
            assert entry["message"]
            assert not any(cache.view(name)[row].any() for name in cache.view_names)
            numbers = [entry[name] for name in cache.catalog.dtype.names if cache.catalog.dtype[name].kind != "S"]
            assert not any(numbers)
            continue
        assert entry["message"] == b""
        pixels = np.asarray(Image.open(path))
        found = scalenorm.measure(pixels, sigma=0.8, margin=1.3)
        for name in ("threshold", "row", "col", "major_axis", "minor_axis", "orientation", "area", "window_row",
                     "window_col", "side", "height", "width", "flags"):  # fmt: skip
            assert entry[name] == getattr(found, name), name
        assert tuple(entry[f"sky_{band}"] for band in range(3)) == found.sky
        assert tuple(entry[f"bbox_{edge}"] for edge in range(4)) == found.bbox
        for name in cache.view_names:
            crop = scalenorm.crop(pixels, 12, view=name, sigma=0.8, margin=1.3)
            np.testing.assert_array_equal(cache.view(name)[row], crop)


def test_digest_depends_on_neither_jobs_nor_parts(images, tmp_path):
    digests = {}
    for jobs, part_size in itertools.product((1, 2, 5), (1, 5, 100)):
        convert(images, tmp_path / f"{jobs}-{part_size}.h5", jobs=jobs, part_size=part_size)
        digests[jobs, part_size] = open_cache(tmp_path / f"{jobs}-{part_size}.h5").digest()
    assert set(digests.values()) == {digest_of(images, tmp_path, jobs=3)}, digests


def test_files_are_byte_identical_but_for_the_date(images, tmp_path):
    for name, jobs in (("one.h5", 1), ("two.h5", 2)):
        convert(images, tmp_path / name, jobs=jobs)
    one, two = open_cache(tmp_path / "one.h5"), open_cache(tmp_path / "two.h5")
    for name in one.view_names:
        assert one.view(name).tobytes() == two.view(name).tobytes()
    assert one.catalog.dtype == two.catalog.dtype
    assert one.catalog.tobytes() == two.catalog.tobytes()


def test_good_images_do_not_depend_on_bad_neighbours(images, tmp_path):
    convert(images, tmp_path / "all.h5")
    good = write_pictures(tmp_path / "good", range(0, 20, 2))
    convert(good, tmp_path / "good.h5")
    every, only = open_cache(tmp_path / "all.h5"), open_cache(tmp_path / "good.h5")
    rows = [every.ids.index(name) for name in only.ids]
    for name in only.view_names:
        np.testing.assert_array_equal(every.view(name)[rows], only.view(name))


def test_archives_lists_and_folders_give_the_same(images, tmp_path):
    digest = digest_of(images, tmp_path)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for path in images.iterdir():
            archive.write(path, path.name)
    (tmp_path / "list.txt").write_text("\n".join(f"images/{path.name}" for path in images.glob("g*")))
    assert digest_of(tmp_path / "images.zip", tmp_path) == digest
    convert([], tmp_path / "list.h5", list_file=tmp_path / "list.txt")
    assert open_cache(tmp_path / "list.h5").ids == open_cache(tmp_path / "list.h5").ids
    np.testing.assert_array_equal(
        open_cache(tmp_path / "list.h5").catalog["sha256"],
        [hashlib.sha256(path.read_bytes()).hexdigest().encode() for path in sorted(images.glob("g*"))],
    )


def test_first_readable_image_fixes_the_layout(tmp_path):
    folder = tmp_path / "arrays"
    folder.mkdir()
    (folder / "a.npy").write_bytes(b"damaged")
    for name, array in {
        "b": picture(1).astype(np.float32), "c": picture(2), "d": picture(3)[..., :2].astype(np.float32),
        "e": picture(4).astype(">f4"),
    }.items():  # fmt: skip
        np.save(folder / f"{name}.npy", array)
    summary = convert(folder, tmp_path / "out.h5", part_size=2)
    cache = open_cache(tmp_path / "out.h5")
    assert str(cache.layout) == "float32 with 3 bands"
    assert cache.catalog["status"].tolist() == [b"failed", b"ok", b"failed", b"failed", b"ok"]
    assert "uint8 with 3 bands" in dict(summary.failures)["c.npy"]
    assert "float32 with 2 bands" in dict(summary.failures)["d.npy"]


def test_grey_images_have_one_band(tmp_path):
    folder = write_pictures(tmp_path / "images", range(3))
    convert(folder, tmp_path / "out.h5", bands="grey", dtype="uint16")
    cache = open_cache(tmp_path / "out.h5")
    assert cache.view("normalized").shape == (3, 12, 12, 1)
    assert cache.view("normalized").dtype == np.uint16
    assert cache.view("normalized").max() > 255


def test_names_that_are_hard_to_write(tmp_path):
    folder = write_pictures(tmp_path / "images", range(3))
    names = [b"with space", b"two\nlines", b"not-utf8-\xff\xfe", "größe\U0001f30c".encode(), b"100%s"]
    for number, name in enumerate(names):
        shutil.copy(folder / "g0001.png", os.path.join(os.fsencode(folder), name + b".png"))
        del number
    convert(folder, tmp_path / "out.h5")
    cache = open_cache(tmp_path / "out.h5")
    assert len(cache) == 8
    assert set(cache.catalog["status"]) == {b"ok"}
    assert cache.ids == sorted(cache.ids)
    assert {"with space", "two\nlines", "größe\U0001f30c", "100%s"} < set(cache.ids)
    for text in cache.catalog["source"].tolist():
        text.decode()


def test_equal_options_are_equal_settings(images, tmp_path):
    output = tmp_path / "out.h5"
    convert(images, output, sigma=1, margin=np.float32(2), max_pixels=10_000, center=(3, 4), size=np.int64(12))
    assert convert(images, output, sigma=1.0, margin=2, max_pixels=np.int32(10_000), center=(3.0, 4.0)).complete
    settings = open_cache(output).settings
    assert [type(settings[name]) for name in ("sigma", "margin", "max_pixels", "size")] == [float, float, int, int]


def test_on_and_off_are_one_setting_however_they_are_written(images, tmp_path):
    output = tmp_path / "out.h5"
    convert(images, output, fill_holes=True, mask_neighbours=False)
    for on, off in ((np.True_, np.False_), (1, 0)):
        assert convert(images, output, fill_holes=on, mask_neighbours=off).complete
    assert open_cache(output).settings["fill_holes"] is True


def test_raising_max_pixels_raises_the_limit_on_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr("scalenorm.images.options.MAX_BYTES", 500)
    np.save(tmp_path / "a.npy", np.eye(10))  # 928 bytes
    with pytest.raises(BatchError, match=r"928 bytes are more than the limit of 500 \(raise max_pixels\)"):
        convert(tmp_path / "a.npy", tmp_path / "out.h5", max_pixels=100)
    summary = convert(tmp_path / "a.npy", tmp_path / "out.h5", max_pixels=232)
    assert (summary.made, summary.failed) == (1, 0)


def test_long_doubles_are_doubles(tmp_path):
    """The bytes that pad a long double mean nothing, and would be part of the digest."""
    rng = np.random.default_rng(3)
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(20, 20)).astype(np.longdouble))
    convert(tmp_path, tmp_path / "long.h5")
    assert open_cache(tmp_path / "long.h5").layout.dtype == "float64"
    (tmp_path / "short").mkdir()
    for name in "ab":
        np.save(tmp_path / "short" / f"{name}.npy", np.load(tmp_path / f"{name}.npy").astype(float))
    convert(tmp_path / "short", tmp_path / "short.h5")
    long, short = (open_cache(tmp_path / f"{name}.h5") for name in ("long", "short"))
    np.testing.assert_array_equal(long.view("normalized")[:], short.view("normalized")[:])


# --- labels


def labels_file(folder, text):
    (folder / "labels.csv").write_text(text)
    return folder / "labels.csv"


def test_labels_are_joined_by_id(images, tmp_path):
    path = labels_file(tmp_path, "name,GalaxyID,y,x\n0.5,g0004,0.25,1e-3\n1,nobody,1,1\n,g0000, 2 ,\n0,g0005,3,3\n")
    summary = convert(images, tmp_path / "out.h5", labels=path)
    cache = open_cache(tmp_path / "out.h5")
    assert cache.label_names == ("name", "y", "x")
    expected = np.full((12, 3), np.nan)
    for name, values in {"g0004": [0.5, 0.25, 1e-3], "g0000": [np.nan, 2, np.nan], "g0005": [0, 3, 3]}.items():
        expected[cache.ids.index(name)] = values
    np.testing.assert_array_equal(cache.labels, expected)
    joined = summary.labels
    assert (joined.matched, joined.missing, joined.surplus) == (3, 9, 1)
    assert joined.surplus_ids == ["nobody"]
    assert joined.missing_ids == ["g0002", "g0006", "g0008", "g0010", "g0011"]


def test_columns_without_a_name_are_no_labels(images, tmp_path):
    """Such as the index that pandas writes, or what follows a comma at the end of each line."""
    convert(images, tmp_path / "out.h5", labels=labels_file(tmp_path, ",id,b,\n0,g0000,5,\n1,g0002,6,\n"))
    cache = open_cache(tmp_path / "out.h5")
    assert cache.label_names == ("b",)
    np.testing.assert_array_equal(cache.labels[:2, 0], [5, 6])


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1,2\n", {}, r"no id column .* among a, b"),
        ("a,b\n1,2\n", {"id_column": "c"}, r"no column 'c'"),
        ("id,b\nnobody,2\n", {}, r"no id in common .* ids like 'nobody'.* ids like 'g0000'"),
        ("id,b\n", {}, r"a table without rows"),
        ("id\ng0000\n", {}, r"no columns besides the ids"),
        ("", {}, r"empty"),
        ("id,b\ng0000,1\ng0000,2\n", {}, r"line 3: the id 'g0000' is there twice, with different"),
        ("id,b,c\ng0002,1,2\ng0000,1,spiral\n", {}, r"line 3: column 'c' holds 'spiral', not a number"),
        ("id,b,c\ng0000,1\n", {}, r"line 2: 2 columns, the header has 3"),
        ("id,b\ng0000,1,5\n", {}, r"line 2: 3 columns, the header has 2"),
        ("id,b\ng0000,1\n", {"label_columns": ["b", "b"]}, r"column 'b' is named twice in"),
        ("\0\1,b\n", {}, r"not a table: it begins with b'.x00.x01,b"),
        (",".join(f"b{i}" for i in range(38)) + "\n", {}, r"among b0, b1, .*, b7 and 30 more: .* --id-column b0"),
        ("id,b\ng0000,1\n" + "x" * 200_000 + ",1\n", {}, r"line 3: not CSV: field larger"),
        ("id,b\ng0000,1\n", {"label_columns": ["d"]}, r"no column 'd'; its columns are id, b"),
    ],
)
def test_labels_that_cannot_be_used(images, tmp_path, text, options, message):
    path = labels_file(tmp_path, text)
    with pytest.raises(TableError, match=message):
        convert(images, tmp_path / "out.h5", labels=path, **options)
    assert beside(tmp_path / "out.h5") == []


def test_choice_of_label_columns(images, tmp_path):
    path = labels_file(tmp_path, "class,id,b,c\nspiral,g0000,1,2\n")
    convert(images, tmp_path / "out.h5", labels=path, label_columns=["c"])
    cache = open_cache(tmp_path / "out.h5")
    assert cache.label_names == ("c",)
    assert cache.labels[0, 0] == 2


def test_new_labels_need_no_new_images(images, tmp_path):
    convert(images, tmp_path / "out.h5")
    path = labels_file(tmp_path, "id,b\ng0000,1\n")
    summary = convert(images, tmp_path / "out.h5", labels=path)
    assert (summary.made, summary.complete) == (0, False)
    assert open_cache(tmp_path / "out.h5").digest() == digest_of(images, tmp_path, labels=path)
    path.write_text("id,b\ng0002,1\n")
    convert(images, tmp_path / "out.h5", labels=path)
    assert open_cache(tmp_path / "out.h5").digest() == digest_of(images, tmp_path, labels=path)
    assert convert(images, tmp_path / "out.h5", labels=path).complete
    assert convert(images, tmp_path / "out.h5").complete


# --- going on from what is there


def test_finished_output_is_left_alone(images, tmp_path):
    output = tmp_path / "out.h5"
    convert(images, output)
    before = output.stat()
    (tmp_path / "out.h5.parts").mkdir()
    (tmp_path / "out.h5.parts" / "part-0123.h5.1-abc.tmp").write_text("litter")
    summary = convert(images, output, jobs=1, part_size=9)
    assert summary.complete
    assert (summary.made, summary.images, summary.failed) == (0, 12, 2)
    assert output.stat() == before
    assert beside(output) == ["out.h5"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"margin": 2.0, "size": 16}, ["size: 12, now 16", "margin: 1.0, now 2.0"]),
        ({"views": ["normalized"]}, ["views: normalized,center-64,center-256, now normalized"]),
        ({"bands": "grey"}, ["bands: rgb, now grey"]),
        ({"center": (3, 4)}, ["center: image, now 3.0,4.0"]),
    ],
)
def test_other_settings_are_refused_by_name(images, tmp_path, options, words):
    output = tmp_path / "out.h5"
    convert(images, output)
    digest = open_cache(output).digest()
    with pytest.raises(BatchError, match="--overwrite") as caught:
        convert(images, output, **options)
    assert all(word in str(caught.value) for word in words)
    assert open_cache(output).digest() == digest
    assert beside(output) == ["out.h5"]
    convert(images, output, overwrite=True, **options)
    assert open_cache(output).digest() == digest_of(images, tmp_path, **options)
    assert beside(output) == ["out.h5"]


def interrupted(monkeypatch, inputs, output, *, after=2, **options):
    with monkeypatch.context() as patch:
        stop_after(patch, after)
        with pytest.raises(KeyboardInterrupt, match=r"stopped; \d+ finished images are kept .* same command") as caught:
            convert(inputs, output, jobs=1, **options)
    return int(re.search(r"(\d+) finished", str(caught.value))[1])


def test_interrupted_run_goes_on(images, tmp_path, monkeypatch):
    output = tmp_path / "out.h5"
    assert interrupted(monkeypatch, images, output) == 8
    assert not output.exists()
    summary = convert(images, output)
    assert (summary.made, summary.reused) == (4, 8)
    assert open_cache(output).digest() == digest_of(images, tmp_path)
    assert beside(output) == ["out.h5"]


def test_going_on_with_other_parts_or_more_images(images, tmp_path, monkeypatch):
    output = tmp_path / "out.h5"
    interrupted(monkeypatch, images, output)
    write_pictures(images, [1, 3, 25])
    summary = convert(images, output, part_size=2, jobs=2)
    assert (summary.made, summary.reused) == (7, 8)
    assert open_cache(output).digest() == digest_of(images, tmp_path)
    assert beside(output) == ["out.h5"]


def test_parts_with_other_settings_are_refused(images, tmp_path, monkeypatch):
    output = tmp_path / "out.h5"
    interrupted(monkeypatch, images, output)
    with pytest.raises(BatchError, match=r"finished parts in .* \(sigma: 1.0, now 2.0\).*--overwrite"):
        convert(images, output, sigma=2.0)
    summary = convert(images, output, sigma=2.0, overwrite=True)
    assert summary.made == 12
    assert open_cache(output).digest() == digest_of(images, tmp_path, sigma=2.0)
    assert beside(output) == ["out.h5"]


def test_interrupted_overwrite_goes_on_too(images, tmp_path, monkeypatch):
    output = tmp_path / "out.h5"
    convert(images, output)
    old = open_cache(output).digest()
    interrupted(monkeypatch, images, output, overwrite=True)
    assert open_cache(output).digest() == old
    summary = convert(images, output, overwrite=True)
    assert (summary.made, summary.reused) == (4, 8)
    assert beside(output) == ["out.h5"]
    assert convert(images, output, overwrite=True).made == 12


def test_changed_images_are_made_again(images, tmp_path, monkeypatch):
    output = tmp_path / "out.h5"
    convert(images, output)
    Image.fromarray(picture(99)).save(images / "g0004.png")
    summary = convert(images, output)
    assert (summary.made, summary.changed) == (1, 1)
    assert open_cache(output).digest() == digest_of(images, tmp_path)
    # the same while parts are unfinished
    interrupted(monkeypatch, images, output, overwrite=True)
    Image.fromarray(picture(98)).save(images / "g0004.png")
    (images / "g0005.png").write_bytes(b"still no picture")
    summary = convert(images, output, overwrite=True)
    assert (summary.made, summary.reused, summary.changed) == (6, 6, 2)
    assert open_cache(output).digest() == digest_of(images, tmp_path)
    assert beside(output) == ["out.h5"]


def test_verify_goes_by_the_bytes(images, tmp_path):
    output = tmp_path / "out.h5"
    path = images / "g0004.png"
    convert(images, output)
    before = path.stat()
    data = path.read_bytes()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    assert convert(images, output, verify=True).complete
    other = write_pictures(images.parent / "other", [4]) / "g0004.png"
    damaged = data[:-20] + other.read_bytes()[-20:][::-1]
    path.write_bytes(damaged)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert convert(images, output).complete  # neither size nor time tell
    assert convert(images, output, verify=True).made == 1
    assert open_cache(output).digest() == digest_of(images, tmp_path)


def test_append_equals_one_run_over_everything(images, tmp_path, monkeypatch):
    output = tmp_path / "out.h5"
    convert(images, output)
    more = write_pictures(tmp_path / "more", [1, 3, 8 + 1, 13, 15, 17, 30])
    with pytest.raises(BatchError, match=r"holds 12 images .* not among the inputs: --append keeps them"):
        convert(more, output)
    with pytest.raises(BatchError, match=r"lacks 7 images \('g0001', 'g0003', 'g0009', ...\)"):
        convert([images, more], output)
    everything = digest_of([images, more], tmp_path)
    interrupted(monkeypatch, more, output, append=True, after=1)
    summary = convert(more, output, append=True)
    assert (summary.images, summary.made, summary.reused) == (19, 3, 16)
    assert open_cache(output).digest() == everything
    assert convert([images, more], output).complete
    assert convert(more, output, append=True).complete
    assert beside(output) == ["out.h5"]


def test_append_keeps_labels(images, tmp_path):
    output = tmp_path / "out.h5"
    first = labels_file(tmp_path, "id,b\ng0000,1\ng0002,2\n")
    convert(images, output, labels=first)
    more = write_pictures(tmp_path / "more", [1, 3])
    second = tmp_path / "second.csv"
    second.write_text("id,b\ng0001,5\n")
    convert(more, output, labels=second, append=True)
    cache = open_cache(output)
    values = dict(zip(cache.ids, cache.labels[:, 0], strict=True))
    assert (values["g0000"], values["g0002"], values["g0001"]) == (1, 2, 5)
    assert np.isnan(values["g0003"])
    second.write_text("id,c\ng0001,5\n")
    with pytest.raises(BatchError, match=r"labels of .* are different"):
        convert(more, output, labels=second, append=True)


def test_rows_made_again_keep_their_labels(images, tmp_path):
    output = tmp_path / "out.h5"
    labels = labels_file(tmp_path, "id,b\n" + "".join(f"g{n:04d},{n}\n" for n in range(0, 20)))
    convert(images, output, labels=labels)
    before = open_cache(output).labels
    write_pictures(images, [4])
    convert(images, output, retry_failed=True)
    np.testing.assert_array_equal(open_cache(output).labels, before)
    assert convert(images, output, labels=labels).complete
    write_pictures(images, [6])
    other = tmp_path / "other.csv"
    other.write_text("id,b\ng0008,-1\n")
    convert(images, output, labels=other, append=True)
    np.testing.assert_array_equal(open_cache(output).labels, np.where(before == 8, -1, before))


def test_added_rows_get_the_labels_of_the_same_file_later(images, tmp_path):
    from scalenorm.cache.joining import join_caches

    output = tmp_path / "out.h5"
    labels = labels_file(tmp_path, "id,b\n" + "".join(f"g{n:04d},{n}\n" for n in range(0, 20)))
    convert(images, output, labels=labels)
    more = write_pictures(tmp_path / "more", [1, 3])
    convert([images, more], output, append=True)
    assert np.isnan(open_cache(output).labels).sum() == 2
    convert([images, more], output, labels=labels)
    assert open_cache(output).digest() == digest_of([images, more], tmp_path, labels=labels)
    convert(images, tmp_path / "a.h5", labels=labels)
    convert(more, tmp_path / "b.h5")
    join_caches([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "joined.h5")
    assert not convert([images, more], tmp_path / "joined.h5", labels=labels).complete
    assert open_cache(tmp_path / "joined.h5").digest() == open_cache(output).digest()


def test_append_refuses_another_layout(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    np.save(first / "m.npy", picture(1))
    np.save(second / "z.npy", picture(1).astype("f4"))
    convert(first, tmp_path / "out.h5")
    assert convert(second, tmp_path / "out.h5", append=True).failed == 1  # later in the order: a failure, as ever
    np.save(second / "a.npy", picture(1).astype("f4"))
    with pytest.raises(BatchError, match=r"holds uint8 with 3 bands, but the first .* is now float32 with 3 bands"):
        convert(second, tmp_path / "out.h5", append=True)


def test_retry_failed_makes_only_those(images, tmp_path, monkeypatch):
    output = tmp_path / "out.h5"
    convert(images, output)
    before = (images / "g0005.png").stat()
    Image.fromarray(picture(5)).save(images / "g0005.png")
    data = (images / "g0005.png").read_bytes()
    os.utime(images / "g0005.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    summary = convert(images, output, retry_failed=True)
    assert (summary.made, summary.failed) == (2, 1)
    assert (images / "g0005.png").read_bytes() == data
    assert open_cache(output).digest() == digest_of(images, tmp_path)
    # and among unfinished parts
    output.unlink()
    (images / "g0005.png").write_bytes(b"")
    interrupted(monkeypatch, images, output)
    summary = convert(images, output, retry_failed=True)
    assert (summary.made, summary.reused) == (6, 6)
    assert open_cache(output).digest() == digest_of(images, tmp_path)
    assert beside(output) == ["out.h5"]


def test_damaged_part_is_made_again(images, tmp_path, monkeypatch):
    output = tmp_path / "out.h5"
    interrupted(monkeypatch, images, output)
    part = sorted((tmp_path / "out.h5.parts").glob("part-*"))[0]
    part.write_bytes(part.read_bytes()[:500])
    assert convert(images, output).made == 8
    assert open_cache(output).digest() == digest_of(images, tmp_path)


# --- parts and slices


def test_kept_parts_make_a_virtual_file(images, tmp_path):
    output = tmp_path / "out.h5"
    convert(images, output, keep_parts=True)
    assert beside(output) == ["out.h5", "out.h5.parts"]
    assert open_cache(output).digest() == digest_of(images, tmp_path)
    assert convert(images, output, keep_parts=True).complete
    assert convert(images, output).complete
    assert len(list((tmp_path / "out.h5.parts").iterdir())) == 3
    more = write_pictures(tmp_path / "more", [1, 3, 15])
    summary = convert(more, output, append=True, keep_parts=True)
    assert (summary.made, summary.images) == (3, 15)
    assert open_cache(output).digest() == digest_of([images, more], tmp_path)
    assert len(list((tmp_path / "out.h5.parts").iterdir())) == 4
    last = write_pictures(tmp_path / "last", [5, 40])
    (images / "g0005.png").unlink()
    summary = convert([images, more, last], output, append=True)
    assert open_cache(output).digest() == digest_of([images, more, last], tmp_path)
    assert beside(output) == ["out.h5"]


def test_virtual_file_without_its_part(images, tmp_path):
    output = tmp_path / "out.h5"
    convert(images, output, keep_parts=True)
    next((tmp_path / "out.h5.parts").iterdir()).unlink()
    with pytest.raises(BatchError, match=r"part .* is missing.*--overwrite"):
        convert(images, output, keep_parts=True)
    convert(images, output, keep_parts=True, overwrite=True)
    assert open_cache(output).digest() == digest_of(images, tmp_path)
    next((tmp_path / "out.h5.parts").iterdir()).unlink()
    output.unlink()
    assert convert(images, output, keep_parts=True).reused == 8


def test_solid_file_has_no_parts_to_keep(images, tmp_path):
    convert(images, tmp_path / "out.h5")
    write_pictures(images, [1])
    with pytest.raises(BatchError, match="no parts to keep"):
        convert(images, tmp_path / "out.h5", keep_parts=True, append=True)


@pytest.mark.parametrize("of", [1, 3, 5])
def test_slices_join_to_the_whole(images, tmp_path, of):
    from scalenorm.cache.joining import join_caches

    labels = labels_file(tmp_path, "id,b\n" + "".join(f"g{n:04d},{n}\n" for n in range(0, 30)))
    slices = []
    for number in range(1, of + 1):
        slices.append(tmp_path / f"slice{number}.h5")
        convert(images, slices[-1], part=(number, of), labels=labels)
    joined = join_caches(slices[::-1], tmp_path / "joined.h5")
    assert joined.digest() == digest_of(images, tmp_path, labels=labels)
    assert beside(tmp_path / "joined.h5") == ["joined.h5"]


def test_slice_without_any_label(images, tmp_path):
    from scalenorm.cache.joining import join_caches

    labels = labels_file(tmp_path, "id,b\ng0000,1\nnobody,2\n")
    for number in (1, 2):
        found = convert(images, tmp_path / f"{number}.h5", part=(number, 2), labels=labels).labels
        assert (found.matched, found.missing, found.surplus_ids) == (1, 11, ["nobody"])  # over all slices
    joined = join_caches([tmp_path / "1.h5", tmp_path / "2.h5"], tmp_path / "joined.h5")
    assert joined.digest() == digest_of(images, tmp_path, labels=labels)
    with pytest.raises(TableError, match="no id in common"):
        convert(images, tmp_path / "3.h5", part=(1, 2), labels=labels_file(tmp_path, "id,b\nnobody,2\n"))


def test_slices_agree_on_the_layout(tmp_path):
    from scalenorm.cache.joining import join_caches

    folder = tmp_path / "arrays"
    folder.mkdir()
    np.save(folder / "a.npy", picture(1).astype("f4"))
    for name in "bcd":
        np.save(folder / f"{name}.npy", picture(2))
    np.save(folder / "e.npy", picture(3).astype("f4"))
    for number in (1, 2):
        convert(folder, tmp_path / f"{number}.h5", part=(number, 2))
    joined = join_caches([tmp_path / "1.h5", tmp_path / "2.h5"], tmp_path / "joined.h5")
    assert joined.digest() == digest_of(folder, tmp_path)


def test_caches_that_do_not_join(images, tmp_path):
    from scalenorm.cache.joining import join_caches

    more = write_pictures(tmp_path / "more", [1, 3])
    convert(images, tmp_path / "a.h5")
    convert(more, tmp_path / "b.h5", margin=2.0)
    with pytest.raises(CacheError, match=r"different settings \(margin: 1.0 and 2.0\): only caches with the same"):
        join_caches([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "out.h5")
    with pytest.raises(CacheError, match=r"a\.h5 is given more than once"):
        join_caches([tmp_path / "a.h5", tmp_path / "a.h5"], tmp_path / "out.h5")
    shutil.copy(tmp_path / "a.h5", tmp_path / "copy.h5")
    with pytest.raises(CacheError, match=r"both have an image with the id 'g0000': leave one of them out"):
        join_caches([tmp_path / "a.h5", tmp_path / "copy.h5"], tmp_path / "out.h5")
    convert(more, tmp_path / "grey.h5", bands="grey")
    with pytest.raises(CacheError, match="different settings"):
        join_caches([tmp_path / "a.h5", tmp_path / "grey.h5"], tmp_path / "out.h5")
    for name, column in (("one", "a"), ("two", "b")):
        convert(more, tmp_path / f"{name}.h5", labels=labels_file(tmp_path, f"id,{column}\ng0001,1\n"), overwrite=True)
    with pytest.raises(CacheError, match=r"one\.h5 and .*two\.h5 have labels of different names: make them"):
        join_caches([tmp_path / "one.h5", tmp_path / "two.h5"], tmp_path / "out.h5")
    convert(more, tmp_path / "c.h5")
    join_caches([tmp_path / "a.h5", tmp_path / "c.h5"], tmp_path / "out.h5")
    with pytest.raises(BatchError, match=r"out.h5 exists: --overwrite"):
        join_caches([tmp_path / "a.h5", tmp_path / "c.h5"], tmp_path / "out.h5")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BatchError, match=r"notes\.txt: not a scalenorm cache.*it is left alone"):
        join_caches([tmp_path / "a.h5", tmp_path / "c.h5"], tmp_path / "notes.txt", overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(BatchError, match=r"is a folder: give the name of a file in it"):
        join_caches([tmp_path / "a.h5", tmp_path / "c.h5"], tmp_path / "more")
    assert not [name for name in beside(tmp_path / "out.h5") if name != "out.h5"]


# --- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size must be a positive number of pixels, got 0"),
        ({"views": ["centre-64"]}, "unknown view 'centre-64'"),
        ({"views": []}, "one or more different views"),
        ({"views": ["normalized", "normalized"]}, "different views"),
        ({"views": "normalized"}, "list of names"),
        ({"jobs": 0}, "jobs must be at least 1"),
        ({"part_size": 0}, "part_size"),
        ({"backend": "mpi"}, "backend must be one of auto, threads, loky, dask, got 'mpi'"),
        ({"scheduler": "tcp://x"}, "scheduler needs"),
        ({"part": (3, 2)}, "K/N"),
        ({"part": (1, 2), "append": True}, "excludes part"),
        ({"overwrite": True, "append": True}, "excludes append"),
        ({"margin": -1}, "margin must be"),
        ({"max_pixels": 0}, "max_pixels"),
    ],
)
def test_options_out_of_range(images, tmp_path, options, message):
    with pytest.raises(OptionError, match=message):
        convert(images, tmp_path / "out.h5", **options)
    assert beside(tmp_path / "out.h5") == []


def test_other_refusals(images, tmp_path):
    with pytest.raises(TypeError, match="no option 'marign'"):
        convert(images, tmp_path / "out.h5", marign=1)
    with pytest.raises(InputError, match="nowhere"):
        convert(tmp_path / "nowhere", tmp_path / "out.h5")
    with pytest.raises(BatchError, match="no such folder"):
        convert(images, tmp_path / "missing" / "out.h5")
    with pytest.raises(BatchError, match="is a folder"):
        convert(images, tmp_path)
    other = tmp_path / "out.h5"
    other.write_text("somebody's work")
    for overwrite in (False, True):
        with pytest.raises(BatchError, match=r"not a scalenorm cache.* left alone"):
            convert(images, other, overwrite=overwrite)
    assert other.read_text() == "somebody's work"
    with pytest.raises(BatchError, match=r"weights must be one number for each of the 3 bands, got 2"):
        convert(images, tmp_path / "weights.h5", weights=(1, 2))
    text = tmp_path / "text.jpg"
    text.write_text("hello")
    with pytest.raises(BatchError, match=r"the only image cannot be read: text\.jpg: "):
        convert(text, tmp_path / "text.h5")
    assert beside(tmp_path / "text.h5") == []


def test_overwrite_that_cannot_work_leaves_all_as_it_was(images, tmp_path):
    for keep_parts in (False, True):
        output = tmp_path / f"{keep_parts}.h5"
        convert(images, output, keep_parts=keep_parts)
        before, names = open_cache(output).digest(), beside(output)
        bad = tmp_path / "bad.jpg"
        bad.write_text("no picture")
        with pytest.raises(BatchError, match="the only image"):
            convert(bad, output, overwrite=True)
        assert open_cache(output).digest() == before
        assert beside(output) == names


def test_dry_run_touches_nothing(images, tmp_path):
    output = tmp_path / "out.h5"
    summary = convert(images, output, dry_run=True)
    assert (summary.images, summary.made) == (12, 12)
    assert beside(output) == []
    convert(images, output)
    before = output.stat()
    write_pictures(images, [1])
    assert convert(images, output, dry_run=True, overwrite=True).made == 13
    assert convert(images, output, dry_run=True, append=True).made == 1
    assert output.stat() == before
    assert beside(output) == ["out.h5"]


def test_second_run_says_who_holds_the_output(images, tmp_path):
    output = tmp_path / "out.h5"
    with (
        locked(tmp_path / "out.h5.lock"),
        pytest.raises(BatchError, match=rf"process {os.getpid()} on {re.escape(socket.gethostname())}, since 20"),
    ):
        convert(images, output)
    assert beside(output) == []


def test_a_link_to_nothing_is_no_output(images, tmp_path):
    output = tmp_path / "out.h5"
    output.symlink_to(tmp_path / "nowhere.h5")
    with pytest.raises(BatchError, match=r"out\.h5 is a symbolic link to a file that does not exist: remove it"):
        convert(images, output)
    assert beside(output) == ["out.h5"]


def test_output_that_is_a_link_stays_one(images, tmp_path):
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk" / "out.h5", tmp_path / "link.h5"
    some = sorted(images.iterdir())
    scalenorm.convert(some[:2], target, **SMALL)
    link.symlink_to(target)
    scalenorm.convert(some[:3], link, append=True, **SMALL)
    assert len(open_cache(target)) == 3
    scalenorm.convert(some[3:5], tmp_path / "other.h5", **SMALL)
    join_caches([tmp_path / "other.h5"], link, overwrite=True)
    assert len(open_cache(target)) == 2
    assert link.is_symlink()
    assert beside(target) == ["out.h5"]


def test_complete_where_nothing_can_be_written(images, tmp_path, monkeypatch):
    """What is complete needs no lock; all else says that it cannot be written."""
    folder = tmp_path / "archive"
    folder.mkdir()
    output = folder / "out.h5"
    made = convert(images, output)

    # Permissions do not stop root.
    may, open_any = os.access, os.open

    def refuse(path, *rest):
        if os.fspath(path).startswith(str(folder)) and path.name.endswith(".lock"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return open_any(path, *rest)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: may(path, mode) and path != folder)
    found = convert(images, output)
    assert found.complete
    assert (found.images, found.failed, found.made, found.flags) == (made.images, made.failed, 0, made.flags)
    refused = rf"cannot write {re.escape(str(output))}: no permission to write there$"
    for options in ({"overwrite": True}, {"labels": labels_file(tmp_path, "id,b\ng0000,1\n")}):
        with pytest.raises(BatchError, match=refused):
            convert(images, output, **options)
    with pytest.raises(BatchError, match=r"margin: 1\.0, now 2\.0"):
        convert(images, output, margin=2)
    with pytest.raises(BatchError, match=r"cannot write .*other\.h5: no permission to write there$"):
        convert(images, folder / "other.h5")
    assert beside(output) == ["out.h5"]


def test_locks_of_the_dead_and_of_other_machines(images, tmp_path, monkeypatch, caplog):
    output, lock = tmp_path / "out.h5", tmp_path / "out.h5.lock"
    for text in ("", "{", json.dumps({"host": socket.gethostname(), "pid": 2**22 + 1, "since": "yesterday"})):
        lock.write_text(text)
        convert(images, output)
        assert beside(output) == ["out.h5"]
        assert not caplog.messages
    elsewhere = json.dumps({"host": "elsewhere", "pid": 1, "since": "yesterday"})
    lock.write_text(elsewhere)
    convert(images, output)
    assert caplog.messages == [
        f"{lock} was left by process 1 on elsewhere, since yesterday, and nobody holds it: it is taken over"
    ]
    assert beside(output) == ["out.h5"]

    monkeypatch.setattr("scalenorm.files.lock._try_lock", lambda handle: None)  # a file system without locks
    lock.write_text(elsewhere)
    with pytest.raises(BatchError, match=r"process 1 on elsewhere, since yesterday; .* delete .*out\.h5\.lock"):
        convert(images, output)
    assert lock.exists()


def test_a_lock_that_another_machine_holds(images, tmp_path):
    """The kernel's word counts, not the name in the file."""
    lock = tmp_path / "out.h5.lock"
    with locked(lock):
        lock.write_text(json.dumps({"host": "elsewhere", "pid": 1, "since": "yesterday"}))
        with pytest.raises(BatchError, match=r"writing this output: process 1 on elsewhere, since yesterday$"):
            convert(images, tmp_path / "out.h5")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EIO])
def test_folders_that_cannot_be_flushed(images, tmp_path, monkeypatch, number):
    """As on shares of virtual machines: nothing of ours can be done about it; a file is another matter."""
    flush_any, of_files = os.fsync, []

    def flush(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        of_files.append(handle)
        flush_any(handle)

    monkeypatch.setattr(os, "fsync", flush)
    assert convert(images, tmp_path / "out.h5").images
    assert of_files


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP, errno.EIO])
def test_files_that_cannot_be_flushed_are_errors(images, tmp_path, monkeypatch, number):
    def flush(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", flush)
    with pytest.raises(BatchError, match=rf"out\.h5\.parts/part-\S*\.h5: {os.strerror(number)}"):
        convert(images, tmp_path / "out.h5")
    with pytest.raises(OSError, match=r"a\.txt") as raised, new_file(tmp_path / "a.txt") as temporary:
        temporary.touch()
    assert (raised.value.errno, raised.value.filename) == (number, str(tmp_path / "a.txt"))
    assert beside(tmp_path / "a.txt") == []


@pytest.mark.parametrize("seconds", [-1, -(2**35), 2**34, 2**60], ids=["1969", "881", "2514", "far"])
def test_dates_of_any_size(images, tmp_path, monkeypatch, seconds):
    """More nanoseconds than 64 bits hold, before 1970, and what no calendar has: a change of the date is still seen."""
    ask, ask_open = os.stat, os.fstat

    def changed(found):
        fields = {name: getattr(found, name) for name in ("st_mode", "st_size", "st_dev", "st_ino")}
        return SimpleNamespace(**fields, st_mtime_ns=seconds * 10**9 + 7)

    def stat_file(path, **options):
        found = ask(path, **options)
        return changed(found) if str(path).endswith((".png", ".jpg")) else found

    monkeypatch.setattr(os, "stat", stat_file)
    monkeypatch.setattr(os, "fstat", lambda handle: changed(ask_open(handle)))
    assert convert(images, tmp_path / "out.h5").made
    assert convert(images, tmp_path / "out.h5").complete
    seconds += 1
    assert convert(images, tmp_path / "out.h5").changed


def test_locks_on_windows(images, tmp_path, monkeypatch):
    """Where the kernel has no locks, open files cannot be removed, and nobody can ask whether a process lives."""
    opened, closed = set(), os.close
    remove, open_any = Path.unlink, os.open

    def open_noted(path, *rest):
        handle = open_any(path, *rest)
        opened.update({handle} if str(path).endswith(".lock") else ())
        return handle

    def close_noted(handle):
        opened.discard(handle)
        closed(handle)

    def remove_closed(path, **options):
        if path.suffix == ".lock" and opened:
            raise PermissionError(errno.EACCES, "in use", path)
        remove(path, **options)

    monkeypatch.setattr("scalenorm.files.lock.fcntl", None)
    monkeypatch.setattr("scalenorm.files.lock._lives", bool)
    for where, name, new in ((os, "open", open_noted), (os, "close", close_noted), (Path, "unlink", remove_closed)):
        monkeypatch.setattr(where, name, new)
    output = tmp_path / "out.h5"
    for _ in range(2):
        convert(images, output)
        assert beside(output) == ["out.h5"]
    (tmp_path / "out.h5.lock").write_text(json.dumps({"host": socket.gethostname(), "pid": 1, "since": "yesterday"}))
    with pytest.raises(BatchError, match=r"process 1 on .*, since yesterday; .* delete .*out\.h5\.lock"):
        convert(images, output)


@pytest.mark.parametrize("pid", [None, 10**30, "many", []])
def test_a_lock_whose_holder_cannot_be_read_is_taken_over(tmp_path, monkeypatch, pid):
    monkeypatch.setattr("scalenorm.files.lock._try_lock", lambda handle: None)  # as of a file system without locks
    path = tmp_path / "out.h5.lock"
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": pid}))
    with locked(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


# --- faults


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "Input/output"),
    ],
)
def test_disk_that_fails(images, tmp_path, monkeypatch, number, message):
    import scalenorm.cache.part

    output = tmp_path / "out.h5"
    original = scalenorm.cache.part.write_at
    calls = 0

    def failing(file, place, values):
        nonlocal calls
        calls += 1
        if calls == 9:
            raise OSError(number, os.strerror(number), file.name)
        original(file, place, values)

    with monkeypatch.context() as patch:
        patch.setattr(scalenorm.cache.part, "write_at", failing)
        with pytest.raises(BatchError, match=rf"{message}.*; [48] finished images are kept"):
            convert(images, output, jobs=1)
    names = sorted(path.name for path in (tmp_path / "out.h5.parts").iterdir())
    assert not [name for name in names if name.endswith(".tmp")]
    summary = convert(images, output)
    assert summary.reused in (4, 8)
    assert open_cache(output).digest() == digest_of(images, tmp_path)
    assert beside(output) == ["out.h5"]


def test_image_that_vanishes(images, tmp_path, monkeypatch):
    import scalenorm.batch.convert

    output = tmp_path / "out.h5"
    original = scalenorm.batch.convert.find

    def find(*args, **kwargs):
        listing = original(*args, **kwargs)
        (images / "g0016.png").unlink()
        return listing

    with monkeypatch.context() as patch:
        patch.setattr(scalenorm.batch.convert, "find", find)
        with pytest.raises(BatchError, match=r"g0016\.png: it has vanished .*; 8 finished images are kept"):
            convert(images, output, jobs=1)
    summary = convert(images, output)
    assert (summary.images, summary.made) == (11, 3)
    assert open_cache(output).digest() == digest_of(images, tmp_path)
    assert beside(output) == ["out.h5"]


# --- other file systems


def test_output_url(images, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    url = "memory://results/out.h5"
    summary = convert(images, url)
    assert str(summary.output) == url
    memory = fsspec.filesystem("memory")

    def fetched():
        memory.get_file("/results/out.h5", str(tmp_path / "fetched.h5"))
        return open_cache(tmp_path / "fetched.h5").digest()

    assert memory.ls("/results", detail=False) == ["/results/out.h5"]
    assert fetched() == digest_of(images, tmp_path)
    assert convert(images, url).complete
    more = write_pictures(tmp_path / "more", [1])
    convert(more, url, append=True)
    assert fetched() == digest_of([images, more], tmp_path)
    with pytest.raises(OptionError, match="keep_parts needs a local output"):
        convert(images, url, keep_parts=True)


def test_output_url_that_refuses(images, monkeypatch):
    memory = pytest.importorskip("fsspec").filesystem("memory")

    def refuse(*_):
        raise KeyError("no such bucket")

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "put_file", refuse)
        with pytest.raises(BatchError, match=r"cannot be written: 'no such bucket'; what is finished is kept in"):
            convert(images, "memory://refused/out.h5")
    assert convert(images, "memory://refused/out.h5").complete
    assert memory.exists("/refused/out.h5")


def test_output_url_without_fsspec(images, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(BatchError, match=r"pip install 'scalenorm\[remote\]'"):
        convert(images, "memory://results/none.h5")


# --- the real images


@pytest.mark.slow
def test_all_real_images(galaxyzoo, tmp_path):
    output = tmp_path / "gz.h5"
    summary = scalenorm.convert(galaxyzoo / "images", output, labels=galaxyzoo / "labels.csv", jobs=2)
    assert (summary.images, summary.failed) == (7952, 0)
    assert (summary.labels.matched, summary.labels.missing, summary.labels.surplus) == (7952, 0, 0)
    cache = open_cache(output)
    assert cache.view_names == ("normalized", "center-64", "center-256")
    percentiles = np.percentile(cache.catalog["major_axis"], [1, 50, 99])
    np.testing.assert_allclose(percentiles, [90, 136, 242], rtol=0.02)
    assert not np.isnan(cache.labels).any()
    scalenorm.convert(galaxyzoo / "images", tmp_path / "one.h5", labels=galaxyzoo / "labels.csv", jobs=1)
    one = open_cache(tmp_path / "one.h5")
    for name in cache.view_names:
        assert one.view(name).tobytes() == cache.view(name).tobytes()
    assert one.catalog.tobytes() == cache.catalog.tobytes()
    assert one.digest() == cache.digest()
