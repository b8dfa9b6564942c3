"""Stacks of images with their labels in .npz and .npy files, as NumPy writes them."""

from __future__ import annotations

import numpy as np
import pytest
from typed import run

import scalenorm
from scalenorm.files.errors import ImageError, InputError, TableError
from scalenorm.sources.finding import find
from scalenorm.sources.labels import read_labels
from scalenorm.sources.reader import Reader

SHAPES = np.array(["spiral", "edge-on", "smooth"])


@pytest.fixture(scope="module")
def sample():
    return scalenorm.make_galaxies(12, seed=2, size=64)


@pytest.fixture(params=[np.savez, np.savez_compressed])
def stack(request, sample, tmp_path):
    """A file laid out as MNIST's, with labels as MedMNIST's, and something else."""
    numbers = np.arange(12)
    request.param(
        tmp_path / "set.npz", y_train=numbers[:, None].astype("u1"), x_train=sample.images, shape=SHAPES[numbers % 3],
        wavelengths=[477.0, 623.0, 762.0], notes=np.array({"any": "object"}, object),
    )  # fmt: skip
    return tmp_path / "set.npz"


def test_one_command(sample, stack, tmp_path, capsys):
    """The same crops as of the array, and each with its own labels."""
    code, out, err = run(capsys, "batch", stack, tmp_path / "out.h5", "--labels", stack, "--views", "normalized")
    assert (code, err) == (0, [])
    assert "labels: 12 images matched, 0 without a label" in out
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    assert cache.ids == [f"set/{number:06d}" for number in range(12)]
    assert cache.catalog["source"][3] == b"set.npz[3]"
    assert cache.label_names == ("y_train", "shape")
    assert cache.labels[:, 0].tolist() == list(range(12))
    assert [cache.classes["shape"][int(code)] for code in cache.labels[:, 1]] == [*SHAPES] * 4
    np.testing.assert_array_equal(cache.view("normalized")[:], scalenorm.crop_many(sample.images))
    assert scalenorm.convert(stack, tmp_path / "out.h5", views=["normalized"], labels=stack).complete


@pytest.mark.parametrize("options", [{"backend": "loky", "jobs": 2}, {"part_size": 3, "jobs": 1}])
def test_any_worker(stack, tmp_path, options):
    scalenorm.convert(stack, tmp_path / "one.h5", views=["normalized"])
    scalenorm.convert(stack, tmp_path / "two.h5", views=["normalized"], **options)
    first, second = (scalenorm.open_cache(tmp_path / name).digest() for name in ("one.h5", "two.h5"))
    assert first == second


def test_any_order(sample, stack):
    listing = find([stack])
    with Reader() as reader:
        for index in (11, 0, 5, 4):
            assert reader.read(listing[index]).endswith(sample.images[index].tobytes())


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"x_train": np.zeros((5, 8, 8)), "x_test": np.zeros((3, 8, 8))},
            r".*several stacks .*\(x_train, x_test",
        ),
        ({"spectra": np.zeros((5, 100))}, r"a .npz file without an array of images \(N, H, W\) or \(N, H, W, C\)"),
        (b"PK\3\4 and no more", r"damaged .npz file: File is not a zip file"),
    ],
)
def test_what_is_no_stack(tmp_path, arrays, message):
    path = tmp_path / "set.npz"
    path.write_bytes(arrays) if isinstance(arrays, bytes) else np.savez(path, **arrays)
    with pytest.raises(InputError, match=rf"set.npz: {message}"):
        find([path])


def test_damaged_images_fail_alone(sample, tmp_path):
    path = tmp_path / "set.npz"
    np.savez_compressed(path, images=sample.images)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 50] = b"\xff" * 50
    path.write_bytes(data)
    listing = find([path])
    with Reader() as reader:
        assert reader.read(listing[0]).endswith(sample.images[0].tobytes())
        for index in (11, 10):
            with pytest.raises(ImageError, match=r"^damaged .npz file: [^\n]*$"):
                reader.read(listing[index])
        assert reader.read(listing[1]).endswith(sample.images[1].tobytes())


def test_as_many_labels_as_images(sample, tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, images=sample.images, ans=np.arange(11))
    with pytest.raises(TableError, match=r"set.npz: column 'ans': 11 values for 12 images"):
        read_labels(path)
    np.savez(path, images=sample.images)
    with pytest.raises(TableError, match=r"set.npz: no columns besides the ids"):
        read_labels(path)


def test_labels_of_a_npy_stack(sample, tmp_path):
    images, labels = tmp_path / "galaxies.npy", tmp_path / "classes.npy"
    np.save(images, sample.images)
    for values in (np.arange(12), SHAPES[np.arange(12) % 3], np.arange(12.0)[:, None]):
        np.save(labels, values)
        scalenorm.convert(images, tmp_path / "out.h5", views=["normalized"], labels=labels, overwrite=True)
        cache = scalenorm.open_cache(tmp_path / "out.h5")
        found = [cache.classes["classes"][int(code)] for code in cache.labels[:, 0]] if cache.classes else cache.labels
        np.testing.assert_array_equal(np.array(found).ravel(), values.ravel())
    together = tmp_path / "together"
    together.mkdir()
    for path in (images, labels):
        (together / path.name).write_bytes(path.read_bytes())
    scalenorm.convert(together, tmp_path / "both.h5", views=["normalized"], labels=together / labels.name)
    np.testing.assert_array_equal(scalenorm.open_cache(tmp_path / "both.h5").labels, cache.labels)
    np.save(tmp_path / "more.npy", sample.images)
    with pytest.raises(TableError, match=r"classes.npy: values without ids: they can only be those of one stack"):
        scalenorm.convert([images, tmp_path / "more.npy"], tmp_path / "two.h5", labels=labels)
    for values in (np.arange(11), np.zeros((12, 2)), np.zeros((6, 2)), 3):
        np.save(labels, values)
        with pytest.raises(TableError, match=r"classes.npy: values of shape \(.*\) for the 12 images in .*s.npy"):
            scalenorm.convert(images, tmp_path / "two.h5", labels=labels)
    labels.write_bytes(labels.read_bytes()[:70])
    with pytest.raises(TableError, match=r"classes.npy: damaged .npy file: [^\n]*$"):
        scalenorm.convert(images, tmp_path / "two.h5", labels=labels)
