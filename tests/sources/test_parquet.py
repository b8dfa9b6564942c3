"""Images in Parquet files, laid out as Hugging Face's ``datasets`` writes them."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from typed import run

import scalenorm
from scalenorm.files.errors import ImageError, InputError, TableError
from scalenorm.sources.finding import find
from scalenorm.sources.labels import read_labels
from scalenorm.sources.reader import Reader

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SHAPES = ["spiral", "edge-on", "smooth"]
FEATURES = {
    "image": {"_type": "Image"},
    "label": {"names": SHAPES, "_type": "ClassLabel"},
    "share": {"dtype": "float32", "_type": "Value"},
}


@pytest.fixture(scope="module")
def files():
    """The bytes of twelve pictures."""
    found = []
    for image in scalenorm.make_galaxies(12, seed=2, size=64).images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        found.append(file.getvalue())
    return found


def shard(path, files, labels, group=2, **more):
    """Write a shard as ``datasets`` does: features in the metadata of the schema, some rows to a group."""
    images = pa.array([None if data is None else {"bytes": data, "path": "x.png"} for data in files], IMAGE)
    columns = {"image": images, "label": pa.array(labels, pa.int64()), "share": pa.array(np.arange(len(files)) / 8)}
    about = {"huggingface": json.dumps({"info": {"features": FEATURES}})}
    pq.write_table(pa.table(columns | more).replace_schema_metadata(about), path, row_group_size=group)


@pytest.fixture
def dataset(files, tmp_path):
    """Three shards of five, four and three images."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "README.md").write_text("what it is")
    pq.write_table(pa.table({"id": ["a"], "n": [1.0]}), folder / "other.parquet")
    for number, (start, stop) in enumerate([(0, 5), (5, 9), (9, 12)]):
        labels = [index % 3 for index in range(start, stop)]
        shard(folder / f"train-{number:05d}-of-00003.parquet", files[start:stop], labels)
    return folder


def test_one_command(files, dataset, tmp_path, capsys):
    """The same crops as of the pictures in a folder, and each with its own labels."""
    code, out, err = run(capsys, "batch", dataset, tmp_path / "out.h5", "--labels", dataset, "--views", "normalized")
    assert (code, err) == (0, [])
    assert "labels: 12 images matched, 0 without a label" in out
    assert "skipped files: 1 .md, 1 .parquet" in out
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    assert cache.ids[4:6] == ["train-00000-of-00003/000004", "train-00001-of-00003/000000"]
    assert cache.catalog["source"][4] == b"train-00000-of-00003.parquet[4]"
    assert cache.classes == {"label": tuple(sorted(SHAPES))}
    names = [cache.classes["label"][int(code)] for code in cache.labels[:, cache.label_names.index("label")]]
    assert names == [SHAPES[index % 3] for index in range(12)]
    (tmp_path / "plain").mkdir()
    for number, data in enumerate(files):
        (tmp_path / "plain" / f"{number:02d}.png").write_bytes(data)
    scalenorm.convert(tmp_path / "plain", tmp_path / "plain.h5", views=["normalized"])
    plain = scalenorm.open_cache(tmp_path / "plain.h5")
    np.testing.assert_array_equal(cache.view("normalized")[:], plain.view("normalized")[:])
    assert cache.catalog["sha256"].tolist() == plain.catalog["sha256"].tolist()
    assert scalenorm.convert(dataset, tmp_path / "out.h5", views=["normalized"], labels=dataset).complete


@pytest.mark.parametrize("options", [{"backend": "loky", "jobs": 2}, {"part_size": 3, "jobs": 1}])
def test_any_worker(dataset, tmp_path, options):
    scalenorm.convert(dataset, tmp_path / "one.h5", views=["normalized"], labels=dataset)
    scalenorm.convert(dataset, tmp_path / "two.h5", views=["normalized"], labels=dataset, **options)
    first, second = (scalenorm.open_cache(tmp_path / name).digest() for name in ("one.h5", "two.h5"))
    assert first == second


def test_changed_labels_are_noticed(files, dataset, tmp_path):
    scalenorm.convert(dataset, tmp_path / "out.h5", views=["normalized"], labels=dataset, label_columns=["share"])
    path = dataset / "train-00002-of-00003.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(2, "share", pa.array([7.0, 8.0, 9.0])), path, row_group_size=2)
    scalenorm.convert(dataset, tmp_path / "out.h5", views=["normalized"], labels=dataset, label_columns=["share"])
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    assert cache.labels[-4:, 0].tolist() == [3 / 8, 7, 8, 9]


def test_ids_by_path(dataset, tmp_path):
    """Data sets may have files of one name in a folder for each split."""
    for split in ("train", "test"):
        (dataset / split).mkdir()
        (dataset / f"{split}-0.parquet").write_bytes(next(dataset.glob("train-00000*")).read_bytes())
        (dataset / f"{split}-0.parquet").rename(dataset / split / "0000.parquet")
    for path in dataset.glob("train-*"):
        path.unlink()
    with pytest.raises(InputError, match=r"two inputs have the id '0000/000000'.*use --id path"):
        find([dataset])
    scalenorm.convert(dataset, tmp_path / "out.h5", views=["normalized"], labels=dataset, id_from="path")
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    assert cache.ids[4:6] == ["test/0000/000004", "train/0000/000000"]
    assert not np.isnan(cache.labels).any()


@pytest.mark.parametrize("group", [1, 5, 12])
def test_any_order(files, tmp_path, group):
    shard(tmp_path / "s.parquet", files, [0] * 12, group)
    listing = find([tmp_path / "s.parquet"])
    with Reader() as reader:
        for index in [*range(12), 11, 3, 4, 9, 0, 7]:
            assert reader.read(listing[index]) == files[index]


@pytest.mark.slow
def test_one_image_of_a_large_shard_costs_one_batch(tmp_path):
    """A row group may be as large as the file."""
    rng = np.random.default_rng(1)
    images = pa.array([{"bytes": rng.bytes(1 << 18), "path": None} for _ in range(400)], IMAGE)
    pq.write_table(pa.table({"image": images}), tmp_path / "s.parquet", use_dictionary=False, write_batch_size=8)
    del images
    assert pq.ParquetFile(tmp_path / "s.parquet").num_row_groups == 1
    listing = find([tmp_path / "s.parquet"])
    before = pa.total_allocated_bytes()
    with Reader() as reader:
        for index in (0, 1, 160, 161):
            assert len(reader.read(listing[index])) == 1 << 18
            assert pa.total_allocated_bytes() - before < 60e6  # of 105e6


def test_rows_without_an_image_fail_alone(files, tmp_path):
    rows = [*files[:3], None, b"no image", *files[3:5]]
    shard(tmp_path / "s.parquet", rows, [0, 1, 2, None, -1, 0, 1])
    table = pq.read_table(tmp_path / "s.parquet")
    images = table.column("image").to_pylist()
    images[5]["bytes"] = None  # the path of a file that is somewhere else
    pq.write_table(table.set_column(0, "image", pa.array(images, IMAGE)), tmp_path / "s.parquet")
    summary = scalenorm.convert(tmp_path / "s.parquet", tmp_path / "out.h5", labels=tmp_path / "s.parquet")
    assert summary.failed == 3
    assert "no image: its bytes in column 'image' are null" in dict(summary.reasons)
    labels = scalenorm.open_cache(tmp_path / "out.h5").labels
    assert np.isnan(labels[:, 0]).tolist() == [False, False, False, True, True, False, False]


def test_what_is_no_set_of_images(files, tmp_path):
    path = tmp_path / "s.parquet"
    pq.write_table(pa.table({"image": pa.array([{"path": "x.png"}]), "label": [1]}), path)
    with pytest.raises(InputError, match=r"s.parquet: a Parquet file without a column of images, .*are image, label"):
        find([path])
    with pytest.raises(InputError, match=r"no images in .* \(skipped files: 1 .parquet\)$"):
        find([tmp_path])
    shard(path, files, [0] * 12, mask=pa.array([{"bytes": data, "path": None} for data in files], IMAGE))
    with pytest.raises(InputError, match=r"several columns of images \(image, mask\)"):
        find([path])
    shard(path, files, [0] * 12)
    path.write_bytes(path.read_bytes()[:-1000])
    for given in (path, tmp_path):
        with pytest.raises(InputError, match=r"s.parquet: damaged Parquet file: [^\n]*$"):
            find([given])
    with pytest.raises(TableError, match=r"s.parquet: cannot read it as Parquet: [^\n]*$"):
        read_labels(path)


def test_damaged_pages(files, tmp_path):
    """Rows that cannot be read fail; the others are read."""
    path = tmp_path / "s.parquet"
    shard(path, files, [0] * 12, 6)
    data = path.read_bytes()
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    path.write_bytes(data[:start] + b"\xff" * 40 + data[start + 40 :])
    listing = find([path])
    with Reader() as reader:
        assert reader.read(listing[5]) == files[5]
        for index in (6, 11):
            with pytest.raises(ImageError, match=r"^damaged Parquet file: "):
                reader.read(listing[index])
        assert reader.read(listing[0]) == files[0]


def test_labels_that_do_not_fit(files, dataset, tmp_path):
    path = tmp_path / "s.parquet"
    shard(path, files[:2], [0, 3])
    with pytest.raises(TableError, match=r"s.parquet: column 'label': it holds the class 3, but names for 3 classes"):
        read_labels(path)
    pq.write_table(pq.read_table(path).drop_columns(["image"]).add_column(0, "id", pa.array(["a", "b"])), path)
    with pytest.raises(TableError, match=r"s.parquet: .*'label'.*class 3"):  # also without images
        read_labels(path).join(np.array([b"a"]))
    table = pq.read_table(dataset / "train-00001-of-00003.parquet").drop_columns(["share"])
    pq.write_table(table, dataset / "train-00001-of-00003.parquet")
    with pytest.raises(TableError, match=r"train-00001-of-00003.parquet: no column 'share', which .*train-00000"):
        read_labels(dataset)


def test_a_set_with_ids_of_its_own(files, tmp_path):
    """Its own ids are answers, or those of other files if they are asked for."""
    path = tmp_path / "s.parquet"
    shard(path, files[:3], [0, 1, 2], id=pa.array([7, 8, 9]))
    assert read_labels(path).ids() == ["s/000000", "s/000001", "s/000002"]
    assert read_labels(path, id_column="id", columns=["label"]).join(np.array([b"8"])).classes


def test_without_pyarrow(dataset, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match=r"skipped files: 1 .md, 4 .parquet\); reading Parquet needs pyarrow: pip"):
        find([dataset])
    with pytest.raises(InputError, match=r"other.parquet: reading Parquet needs pyarrow: pip install 'scalenorm\[parq"):
        find([dataset / "other.parquet"])
