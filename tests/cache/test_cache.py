"""The cache file: as its specification says, and as plain h5py, pandas and astropy see it."""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import warnings

import h5py
import numpy as np
import pytest
from pictures import picture, write_pictures

import scalenorm
from scalenorm.cache import open_cache
from scalenorm.cache.format import Layout, digest
from scalenorm.cache.merge import Selection, write_merged
from scalenorm.cache.part import Head
from scalenorm.cache.reader import StoredView
from scalenorm.files.errors import CacheError, PartError

COUNT = 23


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The same images as a solid, a compressed and a virtual cache; two of them cannot be read."""
    folder = tmp_path_factory.mktemp("made")
    images = write_pictures(folder / "images", range(COUNT - 2))
    (images / "bad.png").write_bytes(b"no picture")
    (images / "g0003b.jpg").write_bytes(b"")
    labels = folder / "labels.csv"
    labels.write_text("GalaxyID,a,b\n" + "".join(f"g{n:04d},{n / 7},{n}\n" for n in range(1, 15)) + "g9,1,2\n")
    options = {"labels": labels, "size": 16, "part_size": 7}
    for name, more in {"solid": {}, "compressed": {"compress": True}, "virtual": {"keep_parts": True}}.items():
        scalenorm.convert(images, folder / f"{name}.h5", **options, **more)
    return folder


@pytest.fixture(params=["solid", "compressed", "virtual"])
def cache(made, request):
    return open_cache(made / f"{request.param}.h5")


def test_digest_is_what_the_specification_says(made, cache):
    """Computed anew, with h5py and hashlib alone, from docs/cache.rst."""
    lines = []
    with h5py.File(cache.path) as file:
        for name in sorted(file["views"]):
            view = file["views"][name]
            header = f"{view.dtype.name} {view.shape[1:]}".encode()
            lines.append(f"views/{name} {hashlib.sha256(header + view[:].tobytes()).hexdigest()}")
        rows = file["catalog"][:]
        for name in rows.dtype.names:
            if rows.dtype[name].kind == "S":
                data = b"".join(value + b"\0" for value in rows[name].tolist())
            else:
                data = rows[name].astype(rows.dtype[name].newbyteorder("<")).tobytes()
            lines.append(f"catalog/{name} {hashlib.sha256(data).hexdigest()}")
        labels = file["labels"]
        header = f"{labels.dtype.name} {labels.shape[1:]}".encode()
        lines.append(f"labels {hashlib.sha256(header + labels[:].tobytes()).hexdigest()}")
    assert cache.digest() == hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert cache.digest() == open_cache(made / "solid.h5").digest()


def test_digest_depends_on_values_not_on_blocks():
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (9, 4, 4, 3), np.uint8)
    rows = np.zeros(9, [("id", "S9"), ("x", "<f8")])
    rows["id"] = [f"{n}".encode() for n in range(9)]
    wider = rows.astype([("id", "S20"), ("x", "<f8")])
    whole = digest([("v", [pixels])], [rows], None)
    assert digest([("v", [pixels[:2], pixels[2:]])], [wider[:5], wider[5:]], None) == whole
    other = pixels.copy()
    other[8, 3, 3, 2] ^= 1
    assert digest([("v", [other])], [rows], None) != whole
    rows["x"][4] = -0.0
    assert digest([("v", [pixels])], [rows], None) != whole


def test_attributes_and_columns(made):
    with h5py.File(made / "solid.h5") as file:
        assert file.attrs["format"] == "scalenorm-cache"
        assert file.attrs["format_version"] == 1
        settings = json.loads(file.attrs["settings"])
        assert settings["size"] == 16
        assert settings["views"] == ["normalized", "center-64", "center-256"]
        assert not {"jobs", "backend", "part_size", "labels"} & set(settings)
        text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
        assert file.attrs["settings_hash"] == hashlib.sha256(text.encode()).hexdigest()
        assert {"scalenorm_version", "created", "source"} <= set(file.attrs)
        assert " ".join(file["catalog"].dtype.names) == (
            "id source status message flags threshold sky_0 sky_1 sky_2 row col major_axis minor_axis orientation "
            "area bbox_0 bbox_1 bbox_2 bbox_3 window_row window_col side height width sha256"
        )
        for view in file["views"].values():
            assert view.chunks is None
            assert view.shape == (COUNT, 16, 16, 3)
            assert view.dtype == np.uint8


def test_catalog_is_read_by_pandas_and_astropy(made):
    pandas = pytest.importorskip("pandas")
    table = pytest.importorskip("astropy.table")
    with h5py.File(made / "solid.h5") as file:
        frame = pandas.DataFrame(file["catalog"][:])
    ids = open_cache(made / "solid.h5").ids
    text = frame.select_dtypes(object).columns
    frame[text] = frame[text].apply(lambda column: column.str.decode("utf-8"))
    assert len(frame.merge(pandas.DataFrame({"id": ids}))) == COUNT
    read = table.Table.read(made / "solid.h5", path="catalog")
    read.convert_bytestring_to_unicode()
    assert read["id"].tolist() == ids
    np.testing.assert_array_equal(read["major_axis"], frame["major_axis"])


def test_cache_object(made, cache):
    assert len(cache) == COUNT
    assert cache.ids == sorted(cache.ids)
    assert cache.ids[0] == "bad"
    assert cache.view_names == ("normalized", "center-64", "center-256")
    assert cache.size == 16
    assert cache.layout == Layout("uint8", 3)
    assert cache.label_names == ("a", "b")
    assert cache.labels.shape == (COUNT, 2)
    row = cache.ids.index("g0007")
    np.testing.assert_array_equal(cache.labels[row], [1.0, 7.0])
    assert np.isnan(cache.labels[cache.ids.index("g0000")]).all()
    with pytest.raises(KeyError, match="center-65"):
        cache.view("center-65")
    with pytest.raises((ValueError, TypeError)):
        cache.view("normalized")[0] = 1


def test_solid_views_are_memory_maps(made):
    view = open_cache(made / "solid.h5").view("normalized")
    assert type(view) is np.ndarray
    assert not view.flags.owndata
    with h5py.File(made / "solid.h5") as file:
        np.testing.assert_array_equal(view, file["views/normalized"][:])


@pytest.mark.parametrize(("maps", "number"), [("private", errno.ENODEV), ("no", errno.ENODEV), ("no", errno.ENOMEM)])
def test_file_systems_without_maps(made, monkeypatch, maps, number):
    """As some of virtual machines and FUSE: private maps, or else the values are read."""
    expected, map_any = open_cache(made / "solid.h5").digest(), mmap.mmap

    def map_file(*arguments, access, **options):
        if maps == "no" or access != mmap.ACCESS_COPY:
            raise OSError(number, os.strerror(number))
        return map_any(*arguments, access=access, **options)

    monkeypatch.setattr(mmap, "mmap", map_file)
    cache = open_cache(made / "solid.h5")
    view = cache.view("normalized")
    assert type(view) is (np.ndarray if maps == "private" else StoredView)
    assert cache.digest() == expected
    with pytest.raises((ValueError, TypeError)):
        view[0] = 1


def test_maps_that_fail_name_the_file(made, monkeypatch):
    def map_file(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(mmap, "mmap", map_file)
    with pytest.raises(OSError, match=r"Input/output error: '.*solid\.h5'"):
        open_cache(made / "solid.h5").view("normalized")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a compiler")
def test_locks_that_the_file_system_does_not_have(made, tmp_path):
    """HDF5 asks for them only where its variable says so, and then the message does, too."""
    (tmp_path / "no_locks.c").write_text("#include <errno.h>\nint flock(int f, int o) { errno = ENOSYS; return -1; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "no_locks.so", "no_locks.c"], check=True, cwd=tmp_path)
    script = """
import sys
from scalenorm.commands import batch, inspect
print(inspect.main([sys.argv[1]]), batch.main([sys.argv[2], sys.argv[3]]))
"""
    write_pictures(tmp_path / "images", range(2))
    for forced in ("", "TRUE"):
        environment = {"LD_PRELOAD": str(tmp_path / "no_locks.so"), "HDF5_USE_FILE_LOCKING": forced}
        done = subprocess.run(
            [sys.executable, "-c", script, made / "solid.h5", tmp_path / "images", tmp_path / "out.h5"],
            capture_output=True, text=True, check=True, env={**os.environ, **environment},
        )  # fmt: skip
        said = [line for line in done.stderr.splitlines() if "error" in line]
        if not forced:
            assert (done.stdout.splitlines()[-1], said) == ("0 0", [])
            (tmp_path / "out.h5").unlink()
            continue
        assert done.stdout == "1 1\n"
        assert len(said) == 2
        for line, file in zip(said, ("solid.h5", "part-"), strict=True):
            assert file in line
            assert "it cannot be locked, but HDF5_USE_FILE_LOCKING asks for locks: unset that variable" in line


@pytest.mark.parametrize(
    "key",
    [
        slice(None), slice(3, 20), slice(20, 3), slice(None, None, 3), slice(None, None, -2), 5, -1, np.int64(9),
        [4, 2, 2, -3], np.array([], int), np.arange(COUNT) % 3 == 0, np.array([[1, 2], [20, 9]]),
        (slice(2, 9), 4), (7, slice(1, 3), 2, 1), ([3, 1], slice(None), 0), ..., (..., 0), (3, ..., 1),
    ],
    ids=str,
)  # fmt: skip
def test_views_of_every_layout_index_like_arrays(made, cache, key):
    expected = open_cache(made / "solid.h5").view("center-64")[key]
    np.testing.assert_array_equal(cache.view("center-64")[key], expected)


def test_view_as_array_and_bad_indices(made, cache):
    view = cache.view("center-64")
    np.testing.assert_array_equal(np.asarray(view), open_cache(made / "solid.h5").view("center-64"))
    if not isinstance(view, np.ndarray) and np.lib.NumpyVersion(np.__version__) >= "2.0.0":  # copy is new there
        with pytest.raises(ValueError, match="not in memory"):
            np.asarray(view, copy=False)
    with pytest.raises(IndexError):
        view[COUNT]
    with pytest.raises(IndexError):
        view[np.ones(COUNT + 1, bool)]


def test_attributes_of_fixed_length(made, tmp_path):
    """Fortran, MATLAB and many C programs store text so."""
    path = shutil.copy(made / "solid.h5", tmp_path / "fixed.h5")
    with h5py.File(path, "r+") as file:
        for holder in (file, file["labels"]):
            for name, value in holder.attrs.items():
                if isinstance(value, str):
                    holder.attrs[name] = np.bytes_(value.encode())
    fixed, cache = open_cache(path), open_cache(made / "solid.h5")
    for name in ("settings", "settings_hash", "attributes", "label_names", "labels_sha256"):
        assert getattr(fixed, name) == getattr(cache, name)


def test_statistics_are_over_good_rows(cache):
    good = cache.catalog["status"] == b"ok"
    assert good.sum() == COUNT - 2
    for name in cache.view_names:
        pixels = cache.view(name)[good].astype(float)
        mean, std = cache.view_statistics(name)
        np.testing.assert_allclose(mean, pixels.mean(axis=(0, 1, 2)), rtol=1e-13)
        np.testing.assert_allclose(std, pixels.std(axis=(0, 1, 2)), rtol=1e-11)


def test_pickle_and_fork(cache):
    copy = pickle.loads(pickle.dumps(cache))
    np.testing.assert_array_equal(copy.view("normalized")[:], cache.view("normalized")[:])
    view = cache.view("normalized")
    expected = np.asarray(view[:]).sum(axis=(1, 2, 3)).tolist()
    if not isinstance(view, np.ndarray):
        again = pickle.loads(pickle.dumps(view))
        np.testing.assert_array_equal(again[:], view[:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: fork in a process with threads
        with multiprocessing.get_context("fork").Pool(2, _share, (view,)) as pool:
            sums = pool.map(_sum_of_row, range(COUNT))
    assert sums == expected


def _share(view):
    global _shared
    _shared = view


def _sum_of_row(row):
    return int(np.asarray(_shared[row]).sum())


def test_what_is_no_cache(tmp_path, made):
    with pytest.raises(FileNotFoundError, match=r"none\.h5"):
        open_cache(tmp_path / "none.h5")
    other = tmp_path / "other.h5"
    other.write_text("text")
    with pytest.raises(CacheError, match=r"other\.h5"):
        open_cache(other)
    with h5py.File(other, "w") as file:
        file["x"] = 1
    with pytest.raises(CacheError, match="an HDF5 file, but not one that scalenorm-batch wrote"):
        open_cache(other)
    other.write_bytes(b"")
    with pytest.raises(CacheError, match=r"other\.h5: the file is empty$"):
        open_cache(other)
    whole = (made / "solid.h5").read_bytes()
    other.write_bytes(whole[:5000])
    with pytest.raises(CacheError, match=rf"damaged: it ends after 5000 of {len(whole)} bytes; copy it again"):
        open_cache(other)
    with pytest.raises(CacheError, match="a folder, not a cache"):
        open_cache(tmp_path)
    shutil.copy(made / "solid.h5", other)
    with h5py.File(other, "r+") as file:
        file.attrs["format_version"] = 2
    with pytest.raises(CacheError, match=r"format version 2.*update"):
        open_cache(other)
    shutil.copy(made / "solid.h5", other)
    with h5py.File(other, "r+") as file:
        file.attrs["settings"] = file.attrs["settings"].replace(":", ";")
    with pytest.raises(CacheError, match="damaged"):
        open_cache(other)
    other.write_bytes((made / "solid.h5").read_bytes()[:-1000])
    with pytest.raises(CacheError, match="damaged"):
        open_cache(other)


def test_virtual_cache_notices_missing_and_stale_parts(made, tmp_path):
    shutil.copy(made / "virtual.h5", tmp_path)
    shutil.copytree(made / "virtual.h5.parts", tmp_path / "virtual.h5.parts")
    path = tmp_path / "virtual.h5"
    assert open_cache(path).digest() == open_cache(made / "solid.h5").digest()  # both moved together
    parts = sorted((tmp_path / "virtual.h5.parts").iterdir())
    assert len(parts) == 4
    with h5py.File(path) as file:
        assert file["views/normalized"].is_virtual
    first = parts[0].read_bytes()
    shutil.copy(parts[1], parts[0])
    with pytest.raises(PartError, match="was replaced"):
        open_cache(path)
    parts[0].unlink()
    with pytest.raises(PartError, match=f"{parts[0].name} is missing"):
        open_cache(path)
    parts[0].write_bytes(first)
    open_cache(path)


def test_percent_signs_in_names(tmp_path):
    images = write_pictures(tmp_path / "100%b", range(5))
    output = tmp_path / "50%d.h5"
    scalenorm.convert(images, output, keep_parts=True, part_size=2, size=8)
    with h5py.File(output) as file:
        np.testing.assert_array_equal(file["views/normalized"][:], open_cache(output).view("normalized")[:])
        assert file["views/normalized"][:].any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_merge_of_any_rows_of_any_layout(made, tmp_path, compress, seed):
    """Against NumPy's own indexing."""
    rng = np.random.default_rng(seed)
    solid = open_cache(made / "solid.h5")
    caches = [solid, open_cache(made / "compressed.h5"), open_cache(made / "virtual.h5")]
    cache_of = rng.integers(0, 3, COUNT).astype(np.int32)
    keep = np.sort(rng.choice(COUNT, 15, replace=False))
    selection = Selection.by_id([(cache, keep[cache_of[keep] == number]) for number, cache in enumerate(caches)])
    np.testing.assert_array_equal(selection.cache_of, cache_of[keep])
    np.testing.assert_array_equal(selection.row_of, keep)
    head = Head(solid.settings, solid.layout, "", compress)
    write_merged(tmp_path / "out.h5", tmp_path, head, selection)
    out = open_cache(tmp_path / "out.h5")
    assert out.is_compressed is compress
    assert out.ids == [solid.ids[row] for row in keep]
    for name in solid.view_names:
        np.testing.assert_array_equal(out.view(name)[:], solid.view(name)[keep])
        good = solid.catalog["status"][keep] == b"ok"
        expected = solid.view(name)[keep][good].astype(float)
        np.testing.assert_allclose(out.view_statistics(name)[0], expected.mean(axis=(0, 1, 2)), rtol=1e-13)
    for name in out.catalog.dtype.names:
        np.testing.assert_array_equal(out.catalog[name], solid.catalog[name][keep])
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


def test_picture_helper_is_a_galaxy():
    """The other tests are worth something only if their images have something to measure."""
    found = scalenorm.measure(picture(3))
    assert not found.flags & scalenorm.Flag.NO_FOREGROUND
    assert 8 < found.major_axis < 40


def test_a_file_that_was_replaced_is_not_read_with_the_old_layout(tmp_path, galaxies):
    np.save(tmp_path / "a.npy", galaxies.images[:2])
    np.save(tmp_path / "b.npy", galaxies.images[2:4])
    path = tmp_path / "galaxies.h5"
    scalenorm.convert(tmp_path / "a.npy", path)
    cache = scalenorm.open_cache(path)
    scalenorm.convert(tmp_path / "b.npy", path, append=True)
    for read in (lambda: cache.ids, lambda: cache.catalog, lambda: cache.view("normalized")):
        with pytest.raises(CacheError, match="changed since it was opened: open it again"):
            read()


def test_a_view_in_use_outlives_its_file(tmp_path, galaxies):
    """Our own programs put a new file in its place, and never write into one that is there."""
    path = tmp_path / "galaxies.h5"
    for first in (0, 4):
        np.save(tmp_path / "a.npy", galaxies.images[first : first + 3])
        scalenorm.convert(tmp_path / "a.npy", path, overwrite=True)
        if first == 0:
            view = open_cache(path).view("normalized")
            before = view[:].copy()
    assert (open_cache(path).view("normalized") != before).any()
    np.testing.assert_array_equal(view, before)


def test_a_pickle_finds_its_file_from_any_folder(tmp_path, galaxies, monkeypatch):
    np.save(tmp_path / "a.npy", galaxies.images[:2])
    monkeypatch.chdir(tmp_path)
    scalenorm.convert("a.npy", "a.h5")
    data = pickle.dumps(scalenorm.open_cache("a.h5"))
    monkeypatch.chdir("/")
    assert len(pickle.loads(data)) == 2
