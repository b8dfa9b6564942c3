"""Caches as data sets of PyTorch and TensorFlow, against the arrays in the file."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest
from pictures import write_pictures

import scalenorm

COUNT = 9


@pytest.fixture(scope="module", params=["solid", "compressed"])
def cache(tmp_path_factory, request):
    """Nine images, the fourth of which failed, with labels for all."""
    folder = tmp_path_factory.mktemp("datasets")
    images = write_pictures(folder / "images", range(COUNT))
    (images / "g0003.png").write_bytes(b"no picture")
    (folder / "labels.csv").write_text("\n".join(["id,a,b", *(f"g{n:04d},{n},{n / 2}" for n in range(COUNT))]))
    scalenorm.convert(
        images, folder / "cache.h5", labels=folder / "labels.csv", size=16, views=["normalized", "center-64"],
        compress=request.param == "compressed",
    )  # fmt: skip
    return scalenorm.open_cache(folder / "cache.h5")


def stored(cache, view):
    with h5py.File(cache.path) as file:
        good = file["catalog"]["status"] == b"ok"
        assert list(np.flatnonzero(~good)) == [3]
        return file["views"][view][:][good], file["labels"][:][good]


@pytest.mark.parametrize("view", ["normalized", "center-64"])
def test_a_map_style_data_set(cache, view):
    crops, labels = stored(cache, view)
    found = pickle.loads(pickle.dumps(cache.to_torch(view)))
    assert len(found) == COUNT - 1
    for place, (crop, answers) in enumerate(found.__getitems__([5, 0, 7])):
        np.testing.assert_array_equal(crop, crops[[5, 0, 7][place]].transpose(2, 0, 1))
        np.testing.assert_array_equal(answers, labels[[5, 0, 7][place]])
        assert answers.dtype == np.float32
        assert crop.flags.c_contiguous
    np.testing.assert_array_equal(found[2][0], crops[2].transpose(2, 0, 1))
    some = cache[[8, 3, 1]].to_torch(view)
    np.testing.assert_array_equal([answers for _, answers in some.__getitems__(range(2))], labels[[7, 1]])


def test_a_pickle_has_no_pixels(cache):
    """It is sent to every worker process that is spawned."""
    assert len(pickle.dumps(cache.to_torch())) < cache.view("normalized")[:].nbytes


@pytest.mark.slow
def test_pytorch_reads_it_in_workers(cache):
    data = pytest.importorskip("torch.utils.data")
    crops, labels = stored(cache, "normalized")
    for workers in (0, 2):
        batches = list(data.DataLoader(cache.to_torch(), batch_size=3, num_workers=workers))
        found = np.concatenate([batch.numpy() for batch, _ in batches])
        np.testing.assert_array_equal(found.transpose(0, 2, 3, 1), crops)
        np.testing.assert_array_equal(np.concatenate([batch.numpy() for _, batch in batches]), labels)


@pytest.mark.slow
def test_tensorflow(cache):
    pytest.importorskip("tensorflow")
    crops, labels = stored(cache, "center-64")
    batches = list(cache.to_tf("center-64", batch_size=3).as_numpy_iterator())
    assert [len(batch) for batch, _ in batches] == [3, 3, 2]
    np.testing.assert_array_equal(np.concatenate([batch for batch, _ in batches]), crops)
    np.testing.assert_array_equal(np.concatenate([batch for _, batch in batches]), labels)
    shuffled = cache.to_tf("center-64", batch_size=8, shuffle=3)
    (first, first_labels), (second, _) = (next(shuffled.as_numpy_iterator()) for _ in range(2))
    order = first_labels[:, 0].astype(int)
    assert sorted(order) == [0, 1, 2, 4, 5, 6, 7, 8] != list(order)
    np.testing.assert_array_equal(first, crops[[n - (n > 3) for n in order]])
    assert (first != second).any()
    assert shuffled.element_spec[0].shape.as_list() == [None, 16, 16, 3]


def test_without_labels_and_unknown_views(cache, tmp_path):
    scalenorm.convert(cache.path.parent / "images", tmp_path / "bare.h5", size=16)
    bare = scalenorm.open_cache(tmp_path / "bare.h5")
    np.testing.assert_array_equal(bare.to_torch()[0], bare.view("normalized")[0].transpose(2, 0, 1))
    with pytest.raises(KeyError, match="center-3"):
        cache.to_torch("center-3")
