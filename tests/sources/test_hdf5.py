"""Stacks of images in HDF5 files, laid out as Galaxy10 is."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from typed import run

import scalenorm
from scalenorm.files.errors import InputError


@pytest.fixture(scope="module")
def sample():
    return scalenorm.make_galaxies(12, seed=2, size=64)


@pytest.fixture
def galaxy10(sample, tmp_path):
    path = tmp_path / "Galaxy10.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=sample.images, chunks=(4, 64, 64, 3), compression="gzip")
        file["ans"] = np.arange(12) % 10
        file["ra"] = np.linspace(0, 1, 12)
    return path


def test_one_command(sample, galaxy10, tmp_path, capsys):
    """The same crops as of the array, and each with its own label."""
    code, _, err = run(capsys, "batch", galaxy10, tmp_path / "out.h5", "--labels", galaxy10,
                         "--label-columns", "ans", "--views", "normalized")  # fmt: skip
    assert (code, err) == (0, [])
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    assert cache.ids == [f"Galaxy10/{number:06d}" for number in range(12)]
    assert cache.catalog["source"][3] == b"Galaxy10.h5[3]"
    np.testing.assert_array_equal(cache.view("normalized")[:], scalenorm.crop_many(sample.images))
    np.testing.assert_array_equal(cache.labels[:, 0], np.arange(12) % 10)
    np.save(tmp_path / "Galaxy10.npy", sample.images)
    scalenorm.convert(tmp_path / "Galaxy10.npy", tmp_path / "npy.h5", views=["normalized"])
    other = scalenorm.open_cache(tmp_path / "npy.h5")
    np.testing.assert_array_equal(other.view("normalized")[:], cache.view("normalized")[:])
    assert other.catalog["sha256"].tolist() == cache.catalog["sha256"].tolist()


@pytest.mark.parametrize("options", [{"backend": "loky", "jobs": 2}, {"part_size": 3, "jobs": 1}])
def test_any_worker(galaxy10, tmp_path, options):
    scalenorm.convert(galaxy10, tmp_path / "one.h5", views=["normalized"])
    scalenorm.convert(galaxy10, tmp_path / "two.h5", views=["normalized"], **options)
    first, second = (scalenorm.open_cache(tmp_path / name).digest() for name in ("one.h5", "two.h5"))
    assert first == second
    assert scalenorm.convert(galaxy10, tmp_path / "one.h5", views=["normalized"]).complete


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"spectra": np.zeros((5, 100))}, r"without an array of images \(N, H, W\) or \(N, H, W, C\)"),
        ({"g": np.zeros((5, 8, 8)), "r": np.zeros((5, 8, 8))}, r"several stacks of images \(g, r\)"),
        (None, r"it is a scalenorm cache, not images"),
        (b"\x89HDF\r\n\x1a\n and no more", r"damaged HDF5 file"),
    ],
)
def test_what_is_no_stack(galaxy10, tmp_path, content, message):
    path = tmp_path / "other.h5"
    if content is None:
        scalenorm.convert(galaxy10, path, views=["normalized"])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with h5py.File(path, "w") as file:
            file.update(content)
    with pytest.raises(InputError, match=message):
        scalenorm.convert(path, tmp_path / "out.h5")
