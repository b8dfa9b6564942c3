"""`stream`: the same rows as a cache has, however the images come."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import threading

import numpy as np
import pytest
from pictures import write_pictures
from PIL import Image

import scalenorm
from scalenorm.batch import rows
from scalenorm.batch import stream as module
from scalenorm.batch.rows import read_ahead
from scalenorm.files.errors import BatchError, InputError, OptionError
from scalenorm.images.options import DecodeOptions
from scalenorm.simulation.tile import make_tile
from scalenorm.sources.reader import ArrayReader, array_sources

OPTIONS = {"size": 12, "sigma": 0.8, "views": ["center-20", "normalized"]}


@pytest.fixture
def images(tmp_path):
    """Nine good pictures, a grey one, and a file that is none."""
    folder = write_pictures(tmp_path / "images", range(9))
    Image.open(folder / "g0003.png").convert("L").save(folder / "grey.png")
    (folder / "g0005b.png").write_bytes(b"no picture")
    return folder


def joined(blocks):
    """Rows in the order of their ids: by id, what the catalogue and the views have."""
    found = {}
    for catalog, views in blocks:
        for number, row in enumerate(catalog):
            assert row["id"] not in found
            found[row["id"]] = (row, [view[number] for view in views.values()])
    return found


def assert_same(blocks, cache):
    found = joined(blocks)
    assert sorted(found) == cache.catalog["id"].tolist()
    for number, expected in enumerate(cache.catalog):
        row, views = found[expected["id"]]
        for name in expected.dtype.names:
            np.testing.assert_array_equal(row[name], expected[name], err_msg=name)
        for view, name in zip(views, cache.view_names, strict=True):
            np.testing.assert_array_equal(view, cache.view(name)[number])


@pytest.mark.parametrize("jobs", [1, 3])
def test_rows_are_those_of_a_cache(images, tmp_path, monkeypatch, jobs):
    monkeypatch.setattr(module, "_BLOCK", 2)
    scalenorm.convert(images, tmp_path / "out.h5", **OPTIONS)
    blocks = list(scalenorm.stream(images, jobs=jobs, **OPTIONS))
    assert len(blocks) == 6
    assert_same(blocks, scalenorm.open_cache(tmp_path / "out.h5"))
    shutil.make_archive(str(tmp_path / "images"), "zip", images)
    assert_same(scalenorm.stream(tmp_path / "images.zip", **OPTIONS), scalenorm.open_cache(tmp_path / "out.h5"))


def test_images_in_memory_are_as_npy_files(tmp_path):
    stack = scalenorm.make_galaxies(5, seed=2, size=48).images
    np.save(tmp_path / "stack.npy", stack)
    scalenorm.convert(tmp_path / "stack.npy", tmp_path / "out.h5", **OPTIONS)
    expected = scalenorm.open_cache(tmp_path / "out.h5")
    for given in (stack, list(stack), [Image.fromarray(image) for image in stack]):
        found = joined(scalenorm.stream(given, **OPTIONS))
        assert list(found) == [b"000000", b"000001", b"000002", b"000003", b"000004"]
        for number, (_, views) in enumerate(found.values()):
            for view, name in zip(views, expected.view_names, strict=True):
                np.testing.assert_array_equal(view, expected.view(name)[number])
    ((catalog, views),) = scalenorm.stream(stack[1], **OPTIONS)
    assert catalog["id"].tolist() == [b"000000"]
    np.testing.assert_array_equal(views["normalized"][0], expected.view("normalized")[1])


def test_positions_in_tiles(tmp_path):
    folder = tmp_path / "tiles"
    folder.mkdir()
    _, table = make_tile(6, seed=5, size=400, apart=90, noise=0.003).write(folder)
    table = table.rename(tmp_path / "catalog.csv")
    options = {"size": 16, "positions": table, "stamp": 64}
    scalenorm.convert(folder, tmp_path / "out.h5", **options)
    assert_same(scalenorm.stream(folder, **options), scalenorm.open_cache(tmp_path / "out.h5"))


def test_all_objects(tmp_path):
    image = np.zeros((60, 90, 3), np.uint8)
    for col, width in ((10, 8), (40, 12), (70, 6)):
        image[20 : 20 + width, col : col + width] = 200
    Image.fromarray(image).save(tmp_path / "field.png")
    options = {"size": 12, "all_objects": True, "min_area": 20}
    scalenorm.convert(tmp_path / "field.png", tmp_path / "out.h5", **options)
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    assert len(cache) == 3
    assert_same(scalenorm.stream(tmp_path / "field.png", **options), cache)


def test_another_layout_than_asked_for_fails(images):
    found = joined(scalenorm.stream(images, layout=("float32", 1), **OPTIONS))
    assert {row["status"] for row, _ in found.values()} == {b"failed"}
    assert b"uint8 with 3 bands, but float32 with 1 band is needed here" in found[b"grey"][0]["message"]


def test_what_is_no_image_fails_wherever_it_stands():
    image = np.zeros((40, 40), np.uint8)
    image[10:30, 10:30] = 90
    for images in ([None, image], [image, None], [{}, image]):
        ((catalog, _),) = scalenorm.stream(images, views=["normalized"], size=16, jobs=1)
        assert sorted(catalog["status"].tolist()) == [b"failed", b"ok"]
        (message,) = catalog["message"][catalog["status"] == b"failed"].tolist()
        assert message.startswith(b"not an image: ")


def test_options_that_no_image_can_follow(tmp_path):
    images = [np.eye(40, dtype=np.float32)] * 2
    for options, error in (({"stretch": "lupton"}, "colours of three bands"), ({"weights": [1, 0, 0]}, "weights")):
        with pytest.raises(BatchError, match=error):
            scalenorm.stream(images, **options)


def test_nothing_is_read_far_ahead_and_threads_end(tmp_path, monkeypatch):
    read = []

    class Images(list):
        def __getitem__(self, number):
            read.append(number)
            return super().__getitem__(number)

    monkeypatch.setattr(module, "_BLOCK", 1)
    images = Images(scalenorm.make_galaxies(1, seed=2, size=32).images[0] for _ in range(40))
    monkeypatch.setattr(module, "list", lambda items: items, raising=False)
    blocks = scalenorm.stream(images, jobs=2, layout=("uint8", 3), **OPTIONS)
    assert not read
    list(itertools.islice(blocks, 3))
    assert len(read) <= 3 + 5
    blocks.close()
    assert len(read) <= 3 + 5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("scalenorm")]


@pytest.mark.parametrize(("side", "seconds", "ahead"), [(4, 600, 32), (550, 600, 2), (4, 0, 1)])
def test_files_are_read_some_at_a_time(monkeypatch, side, seconds, ahead):
    """So many before the first of them is made, and fewer where they are large or slow to read."""
    monkeypatch.setattr(rows, "_AHEAD_SECONDS", seconds)
    sources, reader, numbers = array_sources(40), ArrayReader([np.zeros((side, side))] * 40, DecodeOptions()), []
    read = reader.read
    monkeypatch.setattr(reader, "read", lambda source: numbers.append(source.index) or read(source))
    for number, (source, (stat, sha256, data)) in enumerate(read_ahead(sources, reader)):
        assert (source, stat) == (sources[number], (0, 0))
        assert sha256 == hashlib.sha256(data).hexdigest().encode()
        assert numbers == list(range(min(number // ahead * ahead + ahead, 40)))


def test_what_cannot_be_streamed_is_told_at_once(images, tmp_path):
    (tmp_path / "none").mkdir()
    for given, options, error, message in (
        (tmp_path / "none", {}, InputError, "no images in"),
        ([], {}, InputError, "no images in no input"),
        (np.zeros((0, 8, 8, 3)), {}, InputError, "array of images is empty"),
        (images / "g0005b.png", {}, BatchError, "the only image cannot be read"),
        (images, {"margin": -1}, OptionError, "margin"),
        (np.zeros((2, 8, 8)), {"positions": "a.csv", "stamp": 8}, OptionError, "positions needs files, not images"),
    ):
        with pytest.raises(error, match=message):
            scalenorm.stream(given, **options)
