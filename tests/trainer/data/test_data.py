"""Rows, splits, order, batches, statistics."""

import multiprocessing
import pickle
import shutil

import h5py
import numpy as np
import pytest
from conftest import sky_blobs, write_cache

from galaxy_trainer.data.galaxies import Batches, epoch_order, open_galaxies, pixel_statistics, read_ids
from galaxy_trainer.data.splitting import split
from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.network.augmentation import Augmentation
from galaxy_trainer.training.epochs import epoch_draws

IDS = [str(i) for i in range(61578)]


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a.dtype == b.dtype and np.array_equal(a, b)


def test_split_gives_the_papers_numbers():
    test = split(IDS)
    assert (int((~test).sum()), int(test.sum())) == (55420, 6158)


def test_split_depends_on_ids_and_seed_only():
    ids = IDS[:500]
    chosen = {i for i, t in zip(ids, split(ids), strict=True) if t}
    shuffled = [str(i) for i in np.random.default_rng(0).permutation(500)]
    assert {i for i, t in zip(shuffled, split(shuffled), strict=True) if t} == chosen
    assert {i for i, t in zip(ids, split(ids, seed=1), strict=True) if t} != chosen
    assert split(ids, fraction=0.2).sum() == 100


def test_split_by_name_and_empty_sets():
    assert split(list("abcd"), test_ids=["c", "x"]).tolist() == [False, False, True, False]
    with pytest.raises(TrainerError, match="0 of 3"):
        split(list("abc"), fraction=0.1)
    with pytest.raises(TrainerError, match="2 of 2"):
        split(list("ab"), test_ids=["a", "b"])


def test_files_of_ids(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text("b\n\n# comment\na\n")
    assert read_ids(path, ["a", "b"]) == ["b", "a"]
    with pytest.raises(TrainerError, match="1 ids are not in the cache: b"):
        read_ids(path, ["a"])
    path.write_bytes(b"\xef\xbb\xbfa\nb\n")  # as editors on Windows begin a file
    assert read_ids(path, ["a", "b"]) == ["a", "b"]
    path.write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(TrainerError, match=r"ids\.txt: not a text in UTF-8"):
        read_ids(path, ["a"])


def test_order_is_a_function_of_seed_and_epoch():
    rows = np.arange(100)
    orders = [epoch_order(rows, seed=s, epoch=e) for s in (0, 1) for e in (0, 1)]
    assert all(sorted(o.tolist()) == rows.tolist() for o in orders)
    assert len({tuple(o.tolist()) for o in orders}) == 4
    np.testing.assert_array_equal(orders[3], epoch_order(rows, seed=1, epoch=1))


def test_failed_and_unlabelled_rows_are_not_used(cache):
    galaxies = open_galaxies(cache, ["normalized"])
    assert sorted(set(range(96)) - set(galaxies.labelled.tolist())) == [5, 7]


def draws(batch, n):
    return epoch_draws(batch, n, augmentation=Augmentation(), size=16, seed=3, epoch=2)


@pytest.fixture
def batches(cache):
    galaxies = open_galaxies(cache, ["normalized", "center-64"], in_memory=False)
    return Batches(galaxies, galaxies.labelled[::-1], batch_size=10, train=True, draws=draws)


def test_batches_hold_what_the_cache_holds(batches):
    galaxies = batches.galaxies
    assert batches.num_batches == 9
    rows = batches.rows[10:20]
    inputs, answers = batches[1]
    np.testing.assert_array_equal(inputs["view_0"], np.stack([galaxies.cache.view("normalized")[r] for r in rows]))
    np.testing.assert_array_equal(inputs["view_1"], inputs["view_0"][:, ::-1])
    np.testing.assert_array_equal(answers, galaxies.labels[rows].astype("f4"))
    np.testing.assert_array_equal(inputs["transform"], draws(1, 10).transform)
    assert not np.array_equal(batches[0][0]["transform"], inputs["transform"])
    assert inputs["sky"].tolist() == [[20.0] * 3] * 10


def test_batches_read_the_file_or_memory_alike(cache, batches):
    assert batches.galaxies.arrays is None
    loaded = open_galaxies(cache, ["normalized", "center-64"], in_memory=True)
    assert loaded.arrays is not None
    other = Batches(loaded, batches.rows, batch_size=10, train=True, draws=draws)
    assert all(same(batches[i], other[i]) for i in range(9))


def test_memory_is_used_for_small_views_only(cache, monkeypatch):
    assert open_galaxies(cache, ["normalized"]).arrays is not None
    monkeypatch.setattr("galaxy_trainer.data.galaxies.SMALL", 96 * 16 * 16 * 3 - 1)
    assert open_galaxies(cache, ["normalized"]).arrays is None


def test_prediction_batches_are_filled_up(cache):
    galaxies = open_galaxies(cache, ["normalized"])
    batches = Batches(galaxies, np.arange(25), batch_size=10)
    assert batches.num_batches == 3
    last = batches[2][0]
    assert last.shape == (10, 16, 16, 3)
    np.testing.assert_array_equal(last[:5], galaxies.cache.view("normalized")[20:25])


def test_batches_survive_pickle(batches):
    blob = pickle.dumps(batches)
    assert len(blob) < 96 * 16 * 16 * 3, "the pixels went along"
    assert same(pickle.loads(blob)[3], batches[3])


def _send(batches, queue):
    queue.put(batches[3])


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
def test_batches_in_another_process(batches, method):
    here = batches[3]
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=_send, args=(batches, queue))
    process.start()
    there = queue.get(timeout=60)
    process.join()
    assert same(there, here)


def test_statistics_of_the_training_rows(cache):
    galaxies = open_galaxies(cache, ["normalized", "center-64"])
    rows = np.arange(10, 60)
    mean, std = pixel_statistics(galaxies, rows)
    for i, name in enumerate(galaxies.views):
        pixels = galaxies.cache.view(name)[rows].astype(float)
        np.testing.assert_allclose(mean[i], pixels.mean(axis=(0, 1, 2)), rtol=1e-12)
        np.testing.assert_allclose(std[i], pixels.std(axis=(0, 1, 2)), rtol=1e-12)


def test_a_constant_band_is_not_divided_by_zero(tmp_path):
    path = write_cache(tmp_path / "flat.h5", {"normalized": np.full((20, 8, 8, 1), 7, np.uint8)})
    assert pixel_statistics(open_galaxies(path, ["normalized"]), np.arange(20)) == ([[7.0]], [[1.0]])


UNITS = [1e-30, 1e-17, 1e-9, 1.0, 1e15, 1e30]


@pytest.fixture(scope="module")
def counts():
    """Fluxes with a sky that is large beside what varies, and a band that never does."""
    pixels = sky_blobs(40, size=16)[0].astype(np.float64) / 255 + 30
    pixels[..., 2] = 0.1
    return pixels


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("unit", UNITS)
def test_statistics_in_any_unit(counts, unit, dtype, tmp_path):
    images = (counts * unit).astype(dtype)
    path = write_cache(tmp_path / "fluxes.h5", {"normalized": images})
    (mean,), (std,) = pixel_statistics(open_galaxies(path, ["normalized"]), np.arange(40))
    exact = images.astype(np.longdouble)
    np.testing.assert_allclose(mean, exact.mean(axis=(0, 1, 2)).astype(float), rtol=1e-14)
    np.testing.assert_allclose(std[:2], exact.std(axis=(0, 1, 2))[:2].astype(float), rtol=1e-11)
    assert std[2] == 1.0


def test_units_that_32_bits_do_not_hold(counts, tmp_path):
    for unit in (1e-40, 1e40):
        path = write_cache(tmp_path / f"{unit}.h5", {"normalized": counts * unit})
        with pytest.raises(TrainerError, match=r"view 'normalized' have a standard deviation .*: use another unit"):
            pixel_statistics(open_galaxies(path, ["normalized"]), np.arange(40))


def test_caches_that_do_not_fit(tmp_path, cache):
    images, labels = sky_blobs(12, size=16)
    with pytest.raises(TrainerError, match="no view 'centre'; it has: normalized, center-64"):
        open_galaxies(cache, ["centre"])
    bare = write_cache(tmp_path / "bare.h5", {"normalized": images})
    with pytest.raises(TrainerError, match="no labels; name a CSV file"):
        _ = open_galaxies(bare, ["normalized"]).labelled
    newer = write_cache(tmp_path / "newer.h5", {"normalized": images}, version=99)
    with pytest.raises(TrainerError, match="version 99"):
        open_galaxies(newer, ["normalized"])
    labels[3, 0] *= 0.5
    wrong = write_cache(tmp_path / "wrong.h5", {"normalized": images}, labels=labels)
    with pytest.raises(TrainerError, match=r"question Class1 do not sum to 1 \(.*\) in 1 rows; first ids: 000003"):
        open_galaxies(wrong, ["normalized"])
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(TrainerError, match=r"text\.h5"):
        open_galaxies(tmp_path / "text.h5", ["normalized"])


def test_caches_that_other_programs_wrote_anew(tmp_path, cache):
    path = tmp_path / "foreign.h5"
    with h5py.File(cache) as old, h5py.File(path, "w") as new:
        new.attrs.update(old.attrs)
        for name, view in old["views"].items():
            options = {"chunks": (5, *view.shape[1:]), "compression": "gzip", "shuffle": True}
            new.create_dataset(f"views/{name}", data=view[:].astype(">u2"), **options)
        rows = old["catalog"][:]
        kinds = [(name, h5py.string_dtype() if kind.kind == "S" else kind.newbyteorder(">"))
                 for name, (kind, _) in rows.dtype.fields.items()]  # fmt: skip
        new["catalog"] = rows.astype(kinds)
        new["labels"] = old["labels"][:].astype(">f8")
        new["labels"].attrs["names"] = old["labels"].attrs["names"]
    views = ["normalized", "center-64"]
    ours, foreign = open_galaxies(cache, views), open_galaxies(path, views)
    assert (foreign.ids, foreign.dtype) == (ours.ids, "uint16")
    for name in ("good", "labels", "sky", "labelled"):
        np.testing.assert_array_equal(getattr(foreign, name), getattr(ours, name))
    for in_memory in (True, False):
        read = open_galaxies(path, views, in_memory=in_memory).read(np.array([3, 90, 4]))
        assert read["view_1"].dtype.isnative
        assert same(read, {name: crops.astype(np.uint16) for name, crops in ours.read(np.array([3, 90, 4])).items()})
    bare = shutil.copy(path, tmp_path / "bare.h5")
    with h5py.File(bare, "r+") as file:
        del file["catalog"]
    with pytest.raises(TrainerError, match=r"damaged \(it has no dataset catalog\)"):
        open_galaxies(bare, views)
