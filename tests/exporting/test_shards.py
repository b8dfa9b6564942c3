"""Exports for training elsewhere, read back by the libraries of those programs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hostile import BROKEN, IDS, answers_of, make_cache

import scalenorm
from scalenorm.commands import export
from scalenorm.exporting import shards
from scalenorm.exporting.shards import ABOUT, FORMATS, write_shards
from scalenorm.files.errors import OutputError

pytestmark = pytest.mark.slow  # each of these libraries takes seconds to import


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """With answers, hostile ids, and a failed image."""
    return make_cache(tmp_path_factory.mktemp("hostile"), labels=True, views=["normalized", "center-64"], size=32)


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Float crops of two bands, with classes; one is not known."""
    folder = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(1)
    images = rng.normal(0, 1, (5, 40, 40, 2)).astype(np.float32)
    images[:, 10:30, 12:28] += 9
    np.save(folder / "stack.npy", images)
    rows = [f"stack/{n:06d},{name}" for n, name in enumerate(("spiral", "ring", "spiral", "", "ring"))]
    (folder / "labels.csv").write_text("\n".join(["id,kind", *rows]))
    scalenorm.convert(folder / "stack.npy", folder / "cache.h5", size=16, labels=folder / "labels.csv")
    return scalenorm.open_cache(folder / "cache.h5")


def exported(cache, folder, to, **options):
    assert write_shards(cache, folder, to=to, **options) == (cache.catalog["status"] == b"ok").sum()
    return sorted(path for path in folder.iterdir() if path.name != ABOUT)


def labels_of(cache, ids):
    """Those that were given, but for the last id's, which was left out."""
    return np.where(np.array(ids)[:, None] == IDS[-1], np.nan, answers_of(ids))


def crops_of(cache, ids, view="normalized"):
    return cache.view(view)[[cache.ids.index(name) for name in ids]]


def test_webdataset(cache, classes, tmp_path):
    webdataset = pytest.importorskip("webdataset")

    def read(files, images):
        """As ``WebDataset(files).decode(images)``, which leaves the files open."""
        with contextlib.ExitStack() as stack:
            opened = [{"url": str(path), "stream": stack.enter_context(path.open("rb"))} for path in files]
            samples = webdataset.tariterators.group_by_keys(webdataset.tariterators.tar_file_expander(opened))
            decoder = webdataset.autodecode.Decoder([webdataset.autodecode.imagehandler(images)])
            return [decoder(sample) for sample in samples]

    files = exported(cache, tmp_path / "one", "webdataset", view="center-64", shard_size=8)
    assert [path.name for path in files] == [f"center-64-0000{n}-of-00003.tar" for n in range(3)]
    samples = read(files, "rgb8")
    assert sorted(sample["json"].pop("id") for sample in samples) == sorted(IDS)
    ids = [name for name in cache.ids if name != BROKEN]  # in this order
    np.testing.assert_array_equal([sample["png"] for sample in samples], crops_of(cache, ids, "center-64"))
    found = np.array([list(sample["json"].values()) for sample in samples], float)
    np.testing.assert_array_equal(found, labels_of(cache, ids))
    files = exported(classes, tmp_path / "two", "webdataset")
    samples = read(files, "rgb8")
    np.testing.assert_array_equal([sample["npy"] for sample in samples], classes.view("normalized"))
    assert [sample.get("cls") for sample in samples] == [1, 0, 1, None, 0]
    assert [sample["json"]["kind"] for sample in samples] == ["spiral", "ring", "spiral", None, "ring"]


def test_tfrecord(cache, classes, tmp_path):
    tensorflow = pytest.importorskip("tensorflow")

    def read(files, dtype):
        found = []
        for record in tensorflow.data.TFRecordDataset([str(path) for path in files]):
            feature = tensorflow.train.Example.FromString(record.numpy()).features.feature
            crop = tensorflow.io.parse_tensor(feature["crop"].bytes_list.value[0], dtype).numpy()
            found.append((feature["id"].bytes_list.value[0].decode(), crop, feature))
        return found

    found = read(exported(cache, tmp_path / "one", "tfrecord"), tensorflow.uint8)
    ids = [name for name, _, _ in found]
    assert sorted(ids) == sorted(IDS)
    np.testing.assert_array_equal([crop for _, crop, _ in found], crops_of(cache, ids))
    answers = [[feature[name].float_list.value[0] for name in cache.label_names] for _, _, feature in found]
    np.testing.assert_array_equal(answers, labels_of(cache, ids).astype(np.float32))
    found = read(exported(classes, tmp_path / "two", "tfrecord", shard_size=2), tensorflow.float32)
    np.testing.assert_array_equal([crop for _, crop, _ in found], classes.view("normalized"))
    assert [feature["kind"].int64_list.value[0] for _, _, feature in found] == [1, 0, 1, -1, 0]


def test_huggingface(cache, classes, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")

    def read(folder):
        files = sorted(map(str, folder.glob("*.parquet")))
        return datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "hf"), split="train")

    exported(cache, tmp_path / "one", "huggingface", shard_size=10)
    found = read(tmp_path / "one")
    assert sorted(found["id"]) == sorted(IDS)
    np.testing.assert_array_equal([np.asarray(image) for image in found["image"]], crops_of(cache, found["id"]))
    answers = np.array([found[name][:] for name in cache.label_names], float).T
    np.testing.assert_array_equal(answers, labels_of(cache, found["id"][:]))
    exported(classes, tmp_path / "two", "huggingface")
    found = read(tmp_path / "two")
    assert found.features["kind"] == datasets.ClassLabel(names=["ring", "spiral"])
    assert found["kind"][:] == [1, 0, 1, None, 0]
    np.testing.assert_array_equal(np.array(found.with_format("numpy")["image"][:]), classes.view("normalized"))


@pytest.mark.parametrize("to", FORMATS)
def test_quiet_exports_are_silent(to, classes, tmp_path):
    """In a process of their own: compiled parts of TensorFlow write before Python does."""
    pytest.importorskip(FORMATS[to][0])
    code = "import sys; from scalenorm.commands import export; sys.exit(export.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(classes.path), "--to", to, str(tmp_path / "out"), "--quiet"]
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "out" / ABOUT).is_file()


@pytest.mark.parametrize("enabled", [True, False])
def test_exports_draw_no_progress_bars(classes, tmp_path, capsys, monkeypatch, enabled):
    """Those of `datasets` are as they were afterwards, also if the export fails."""
    datasets = pytest.importorskip("datasets")
    bars = datasets.utils
    monkeypatch.setattr(bars._tqdm, "_hf_datasets_progress_bars_disabled", not enabled)

    assert export.main([str(classes.path), "--to", "huggingface", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err == ""
    assert bars.is_progress_bar_enabled() == enabled

    def full(*arguments):
        raise OSError("the disk is full")

    monkeypatch.setattr(datasets.Dataset, "to_parquet", full)
    assert export.main([str(classes.path), "--to", "huggingface", str(tmp_path / "full")]) == 1
    assert bars.is_progress_bar_enabled() == enabled


def test_zarr(cache, classes, tmp_path):
    zarr = pytest.importorskip("zarr")
    write_shards(cache, tmp_path / "one", to="zarr", shard_size=4)
    found = zarr.open_group(str(tmp_path / "one"), mode="r")
    assert sorted(found["id"][:]) == sorted(IDS)
    np.testing.assert_array_equal(found["crops"][:], crops_of(cache, found["id"][:].tolist()))
    np.testing.assert_array_equal(found["labels"][:], labels_of(cache, found["id"][:].tolist()))
    assert found["labels"].attrs["names"] == list(cache.label_names)
    write_shards(classes, tmp_path / "two", to="zarr")
    found = zarr.open_group(str(tmp_path / "two"), mode="r")
    assert found["labels"].attrs["classes"] == {"kind": ["ring", "spiral"]}
    np.testing.assert_array_equal(found["labels"][:, 0], [1, 0, 1, np.nan, 0])


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_goes_on_where_it_stopped(to, cache, tmp_path, monkeypatch):
    pytest.importorskip(FORMATS[to][0])
    write_shards(cache, tmp_path / "whole", to=to, shard_size=4)
    read, taken = shards._samples, []

    def interrupted(*arguments):
        if len(taken) == 2:
            raise KeyboardInterrupt
        taken.append(len(arguments[2]))
        return read(*arguments)

    monkeypatch.setattr(shards, "_samples", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_shards(cache, tmp_path / "resumed", to=to, shard_size=4)
    monkeypatch.setattr(shards, "_samples", lambda *arguments: taken.append(len(arguments[2])) or read(*arguments))
    write_shards(cache, tmp_path / "resumed", to=to, shard_size=4)
    assert taken == [4, 4, 4, 4, 3]
    write_shards(cache, tmp_path / "resumed", to=to, shard_size=4)
    assert len(taken) == 5
    contents = [
        {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}
        for top in (tmp_path / "whole", tmp_path / "resumed")
    ]
    assert contents[0] == contents[1]


def test_what_does_not_fit(cache, classes, tmp_path, capsys):
    for options, error in (
        ({"to": "tar"}, "no format 'tar'; there are webdataset, tfrecord, huggingface, zarr"),
        ({"to": "zarr", "view": "center-3"}, "has no view 'center-3'; it has normalized, center-64"),
        ({"to": "zarr", "shard_size": 0}, "shard_size must be positive, got 0"),
    ):
        with pytest.raises(OutputError, match=error):
            write_shards(cache, tmp_path / "none", **options)
    assert not (tmp_path / "none").exists()
    command = [str(cache.path), "--to", "webdataset", str(tmp_path / "out")]
    assert export.main(command) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'}: {len(IDS)} crops for webdataset\n"
    assert json.loads((tmp_path / "out" / ABOUT).read_text())["settings"]["size"] == 32
    assert export.main([str(classes.path), *command[1:]]) == 1
    assert "holds an export of another cache, view or format: choose a new folder" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    assert export.main([*command[:3], str(tmp_path / "mine")]) == 1
    assert "mine is not empty" in capsys.readouterr().err


def test_a_missing_package_is_named(cache, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    with pytest.raises(OutputError, match=r"the format zarr needs zarr: pip install 'scalenorm\[export\]'"):
        write_shards(cache, tmp_path / "out", to="zarr")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", ["huggingface", "zarr"])
def test_overwriting_replaces_an_export_and_nothing_else(to, cache, classes, tmp_path):
    pytest.importorskip(FORMATS[to][0])
    write_shards(cache, tmp_path / "out", to=to, shard_size=2)
    (tmp_path / "out" / "mine.h5").write_bytes(b"precious")
    write_shards(classes, tmp_path / "out", to=to, shard_size=3, overwrite=True)
    write_shards(classes, tmp_path / "fresh", to=to, shard_size=3)
    names = [{str(path.relative_to(top)) for path in top.rglob("*")} for top in (tmp_path / "out", tmp_path / "fresh")]
    assert names[0] - names[1] == {"mine.h5"}
    assert names[1] <= names[0]
    assert write_shards(classes, tmp_path / "out", to=to, shard_size=3) == 5
