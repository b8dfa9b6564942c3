"""Images with their labels in tar archives, laid out as webdataset does."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image
from typed import run

import scalenorm
from scalenorm.files.errors import TableError
from scalenorm.sources.labels import read_labels

SHAPES = ["spiral", "edge-on", "smooth"]


@pytest.fixture(scope="module")
def files():
    """The bytes of twelve pictures."""
    found = []
    for image in scalenorm.make_galaxies(12, seed=2, size=64).images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        found.append(file.getvalue())
    return found


def write_tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def sample(key, image, number):
    answers = {
        "shape": SHAPES[number % 3], "share": number / 8 if number != 5 else None, "objid": 587722981736120347 + number,
        "barred": number % 2 == 0, "votes": [1, 2],
    }  # fmt: skip
    text = json.dumps(answers).encode()
    return [(f"{key}.png", image), (f"{key}.json", text), (f"{key}.cls", f"{number}\n".encode())]


@pytest.mark.parametrize(("ending", "mode"), [(".tar", "w"), (".tar.gz", "w:gz")])
def test_one_command(files, tmp_path, capsys, ending, mode):
    members = [member for number, image in enumerate(files) for member in sample(f"g{number:02d}", image, number)]
    path = write_tar(tmp_path / f"train{ending}", members, mode)
    columns = ["--label-columns", "shape,share,barred,cls"]
    code, out, err = run(capsys, "batch", path, tmp_path / "out.h5", "--labels", path, *columns)
    assert (code, err) == (0, [])
    assert "labels: 12 images matched, 0 without a label" in out
    assert not [line for line in out if "skipped" in line]
    assert "skipped files: 12 .cls, 12 .json" in run(capsys, "batch", path, tmp_path / "unlabelled.h5")[1]
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    assert [cache.classes["shape"][int(code)] for code in cache.labels[:, 0]] == SHAPES * 4
    np.testing.assert_array_equal(cache.labels[:, 1], [n / 8 if n != 5 else np.nan for n in range(12)])
    assert cache.labels[:, 2].tolist() == [1, 0] * 6
    assert cache.labels[:, 3].tolist() == list(range(12))
    run(capsys, "batch", path, tmp_path / "two.h5", "--labels", path, *columns, "--backend", "loky", "--jobs", "2")
    assert scalenorm.open_cache(tmp_path / "two.h5").digest() == cache.digest()
    assert "already complete" in run(capsys, "batch", path, tmp_path / "out.h5", "--labels", path, *columns)[1][0]


def test_shards(files, tmp_path):
    """Keys may have folders, and be those of other samples in another archive; images may have endings of two parts."""
    first = [*sample("a/1", files[0], 0), *sample("a/2", files[1], 1)]
    second = [("b/1.image.png", files[2]), ("b/1.cls", b"7"), ("b/2.png", files[3]), ("b/3.cls", b"9")]
    second += [("._x.cls", b"of a Mac"), ("b/3.json", b'{"\\ud800": 1}'), ("b/3.txt", b"caption")]
    for number, members in enumerate((first, second)):
        write_tar(tmp_path / f"train-{number:06d}.tar", members)
    labels = tmp_path / "train-*.tar"
    options = {"views": ["normalized"], "labels": labels, "label_columns": ["cls"]}
    summary = scalenorm.convert(labels, tmp_path / "out.h5", id_from="path", **options)
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    assert cache.ids == ["a/1", "a/2", "b/1.image", "b/2"]
    np.testing.assert_array_equal(cache.labels[:, 0], [0, 1, 7, np.nan])
    assert (summary.labels.missing_ids, summary.labels.surplus_ids) == (["b/2"], ["b/3"])
    assert summary.skipped == {".txt": 1}


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.json", b"{'no': json}", r"t.tar\[a.json\]: no answers by name: Expecting"),
        ("a.json", b"[1, 2]", r"t.tar\[a.json\]: no answers by name: "),
        ("a.cls", b"\xff\xfe", r"t.tar\[a.cls\]: no answers by name: "),
        ("b.txt", b"caption", r"t.tar: no columns besides the ids"),
    ],
)
def test_answers_that_are_none(files, tmp_path, name, data, message):
    path = write_tar(tmp_path / "t.tar", [("a.png", files[0]), (name, data)])
    with pytest.raises(TableError, match=message):
        read_labels(path)


def test_truncated(files, tmp_path):
    path = write_tar(tmp_path / "t.tar", sample("a", files[0], 0))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(TableError, match=r"cannot read the archive .*t.tar: [^\n]*$"):
        read_labels(path)
