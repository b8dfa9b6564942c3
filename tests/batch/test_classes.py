"""Labels that are classes, labels by other ids: what lands in caches, and stays right however they are made."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from pictures import write_pictures

import scalenorm
from scalenorm.cache.joining import join_caches
from scalenorm.commands.batch import main
from scalenorm.files.errors import CacheError, OptionError, TableError

SMALL = {"size": 12, "views": ["normalized"]}


def convert(inputs, output, **options):
    scalenorm.convert(inputs, output, **{**SMALL, **options})
    return scalenorm.open_cache(output)


def named(cache, answer=0):
    """The class of each id, "" for none."""
    name = cache.label_names[answer]
    codes = cache.labels[:, answer].tolist()
    return {
        identifier: "" if np.isnan(code) else cache.classes[name][int(code)]
        for identifier, code in zip(cache.ids, codes, strict=True)
    }


@pytest.fixture
def images(tmp_path):
    return write_pictures(tmp_path / "images", range(6))


def table(folder, rows, name="labels.csv"):
    (folder / name).write_text("id,n,shape\n" + "".join(f"g{i:04d},{i},{shape}\n" for i, shape in rows.items()))
    return folder / name


SHAPES = {0: "spiral", 1: "edge-on", 2: "", 3: "spiral", 9: "odd"}
EXPECTED = {"g0000": "spiral", "g0001": "edge-on", "g0002": "", "g0003": "spiral", "g0004": "", "g0005": ""}


def test_text_is_a_class(images, tmp_path):
    cache = convert(images, tmp_path / "a.h5", labels=table(tmp_path, SHAPES))
    assert cache.classes == {"shape": ("edge-on", "odd", "spiral")}
    assert named(cache, 1) == EXPECTED
    assert cache.labels.dtype == np.float64
    np.testing.assert_array_equal(cache.labels[:4, 0], [0, 1, 2, 3])
    with h5py.File(tmp_path / "a.h5") as file:
        assert json.loads(file["labels"].attrs["classes"]) == {"shape": ["edge-on", "odd", "spiral"]}
    numbers = convert(images, tmp_path / "b.h5", labels=table(tmp_path, SHAPES), label_columns=["n"])
    assert numbers.classes == {}
    with h5py.File(tmp_path / "b.h5") as file:
        assert "classes" not in file["labels"].attrs


def test_names_of_classes_are_part_of_the_digest(images, tmp_path):
    one = convert(images, tmp_path / "a.h5", labels=table(tmp_path, SHAPES))
    other = {number: shape.replace("spiral", "spirals") for number, shape in SHAPES.items()}
    two = convert(images, tmp_path / "b.h5", labels=table(tmp_path, other))
    np.testing.assert_array_equal(one.labels, two.labels)
    assert one.digest() != two.digest()


def test_slices_have_the_classes_of_the_whole(images, tmp_path):
    labels = table(tmp_path, SHAPES)
    whole = convert(images, tmp_path / "whole.h5", labels=labels)
    for number in (1, 2, 3):
        convert(images, tmp_path / f"{number}.h5", labels=labels, part=(number, 3))
    join_caches([tmp_path / f"{number}.h5" for number in (2, 3, 1)], tmp_path / "joined.h5")
    assert scalenorm.open_cache(tmp_path / "joined.h5").digest() == whole.digest()


def test_caches_of_other_classes_get_new_codes(images, tmp_path):
    more = write_pictures(tmp_path / "more", [6, 7])
    convert(images, tmp_path / "a.h5", labels=table(tmp_path, SHAPES))
    other = table(tmp_path, {6: "barred", 7: "spiral"}, "other.csv")
    convert(more, tmp_path / "b.h5", labels=other)
    join_caches([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "joined.h5")
    convert(images, tmp_path / "c.h5", labels=table(tmp_path, SHAPES))
    appended = convert(more, tmp_path / "c.h5", labels=other, append=True)
    for cache in (scalenorm.open_cache(tmp_path / "joined.h5"), appended):
        assert cache.classes == {"shape": ("barred", "edge-on", "odd", "spiral")}
        assert named(cache, 1) == {**EXPECTED, "g0006": "barred", "g0007": "spiral"}


@pytest.mark.parametrize("again", [{"retry_failed": True}, {"verify": True}, {"append": True}])
def test_rows_made_again_keep_their_classes(images, tmp_path, again):
    (images / "g0004.png").write_bytes(b"no picture")
    labels = table(tmp_path, {**SHAPES, 4: "odd"})
    convert(images, tmp_path / "a.h5", labels=labels)
    write_pictures(images, [4])
    cache = convert(images, tmp_path / "a.h5", **again)
    assert named(cache, 1) == {**EXPECTED, "g0004": "odd"}


def test_a_cache_without_any_class_joins_one_that_has_some(images, tmp_path):
    more = write_pictures(tmp_path / "more", [6, 7])
    convert(images, tmp_path / "a.h5", labels=table(tmp_path, SHAPES))
    convert(more, tmp_path / "b.h5", labels=table(tmp_path, {6: "", 7: ""}, "empty.csv"))
    join_caches([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "joined.h5")
    cache = scalenorm.open_cache(tmp_path / "joined.h5")
    assert named(cache, 1) == {**EXPECTED, "g0006": "", "g0007": ""}


def test_numbers_and_classes_are_not_joined(images, tmp_path):
    more = write_pictures(tmp_path / "more", [6, 7])
    convert(images, tmp_path / "a.h5", labels=table(tmp_path, SHAPES))
    convert(more, tmp_path / "b.h5", labels=table(tmp_path, {6: "1", 7: "2"}, "numbers.csv"))
    with pytest.raises(CacheError, match=r"'shape' are names of classes in one place and numbers in another"):
        join_caches([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "joined.h5")


@pytest.mark.parametrize(
    "classes", ['{"other": ["a"]}', '{"shape": ["a", 1, "b"]}', '{"shape": ["a"]}', '{"shape": ["a", "a", "b"]}', "7"]
)
def test_classes_that_do_not_fit_are_refused(images, tmp_path, classes):
    convert(images, tmp_path / "a.h5", labels=table(tmp_path, SHAPES))
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["labels"].attrs["classes"] = classes
    with pytest.raises(CacheError, match=r"class"):
        join_caches([tmp_path / "a.h5"], tmp_path / "b.h5")


# --- classes from folders


@pytest.fixture
def folders(tmp_path):
    for name, numbers in {"train/spiral": [0, 1], "train/edge-on": [2], "test/spiral": [3], "": [4]}.items():
        write_pictures(tmp_path / "set" / name, numbers)
    return tmp_path / "set"


FOLDERS = {"g0004": "", "test/spiral/g0003": "spiral", "train/edge-on/g0002": "edge-on",
           "train/spiral/g0000": "spiral", "train/spiral/g0001": "spiral"}  # fmt: skip


def test_classes_from_folders(folders, tmp_path):
    cache = convert(folders, tmp_path / "a.h5", class_from_folder=True)
    assert (cache.label_names, named(cache)) == (("class",), FOLDERS)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in sorted(folders.rglob("*.png")):
            archive.write(path, path.relative_to(folders))
    packed = convert(tmp_path / "set.zip", tmp_path / "b.h5", class_from_folder=True)
    assert packed.digest() == cache.digest()
    assert scalenorm.convert(folders, tmp_path / "a.h5", class_from_folder=True, **SMALL).complete
    for number in (1, 2, 3):
        convert(folders, tmp_path / f"{number}.h5", class_from_folder=True, part=(number, 3))
    join_caches([tmp_path / f"{number}.h5" for number in (3, 1, 2)], tmp_path / "joined.h5")
    assert scalenorm.open_cache(tmp_path / "joined.h5").digest() == cache.digest()


def test_classes_of_objects_are_those_of_their_images(folders, tmp_path):
    cache = convert(folders / "train", tmp_path / "a.h5", class_from_folder=True, all_objects=True, min_area=30)
    assert len(cache) >= 3
    found = named(cache)
    assert {identifier.partition("/")[0] for identifier in found} == {"edge-on", "spiral"}
    assert all(identifier.startswith(f"{name}/") for identifier, name in found.items())


def test_new_folders_are_appended(folders, tmp_path):
    convert(folders, tmp_path / "a.h5", class_from_folder=True)
    write_pictures(tmp_path / "more" / "barred", [5])
    cache = convert(tmp_path / "more", tmp_path / "a.h5", class_from_folder=True, append=True)
    assert named(cache) == {**FOLDERS, "barred/g0005": "barred"}


def test_classes_from_folders_that_cannot_be(folders, tmp_path):
    with pytest.raises(
        TableError, match=r"no image lies in a folder inside those given, .* give the folder that holds"
    ):
        convert(folders / "train" / "spiral", tmp_path / "a.h5", class_from_folder=True)
    with pytest.raises(OptionError, match=r"class_from_folder excludes labels"):
        convert(folders, tmp_path / "a.h5", class_from_folder=True, labels=table(tmp_path, SHAPES))


def test_classes_from_folders_by_command(folders, tmp_path, capsys):
    assert main([str(folders), str(tmp_path / "a.h5"), "--class-from-folder", "--size", "12"]) == 0
    assert "labels: 4 images matched, 1 without a label (g0004)" in capsys.readouterr().out


# --- Galaxy Zoo 2


def test_the_command_for_galaxy_zoo_2(tmp_path, monkeypatch, capsys):
    """A small mock of what people download, and the command of the page word for word."""
    page = (Path(__file__).parents[2] / "docs" / "ids.rst").read_text()
    words = shlex.split(re.search(r"\$ scalenorm-batch (.*--id-map.*)", page)[1])
    monkeypatch.chdir(tmp_path)
    write_pictures(Path("images"), range(3), ".jpg")
    for number, asset in enumerate([7, 8, 100]):
        Path(f"images/g{number:04d}.jpg").rename(f"images/{asset}.jpg")
    ids = [587722981736120347, 587722981736579107, 587722981741363294]
    rows = [
        f"{ids[0]},original,100",
        f"{ids[1]},stripe82_coadd_1,7",
        f"{ids[1]},stripe82_coadd_2,8",
        f"{ids[2]},extra,9",
    ]
    Path("gz2_filename_mapping.csv").write_text("\n".join(["objid,sample,asset_id", *rows]) + "\n")
    header = "dr7objid,ra,rastring,gz2_class,t01_a_count,t01_a_debiased,t02_b_debiased\n"
    answers = "".join(f"{name},1.5,10:43,Sb,{n},0.{n},0.{n + 3}\n" for n, name in enumerate(ids, 1))
    Path("gz2_hart16.csv.gz").write_bytes(gzip.compress((header + answers).encode()))
    assert main(words) == 0
    cache = scalenorm.open_cache("galaxies.h5")
    assert list(cache.ids) == ["100", "7", "8"]
    assert cache.label_names == ("t01_a_debiased", "t02_b_debiased")
    np.testing.assert_array_equal(cache.labels, [[0.1, 0.4], [0.2, 0.5], [0.2, 0.5]])
    assert "labels without an image: 1 (587722981741363294)" in capsys.readouterr().out
