"""Threads, processes and Dask make the same; tasks are small; lost workers do no harm."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import threading
import time
import warnings

import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from pictures import beside, write_pictures

import scalenorm
from scalenorm.batch import engines
from scalenorm.batch.rows import Task, make_parts
from scalenorm.cache import Layout, open_cache
from scalenorm.cache.part import Head, Rows
from scalenorm.cache.recipe import Recipe
from scalenorm.files.errors import BatchError
from scalenorm.sources.finding import find

SMALL = {"size": 12, "part_size": 4}


@pytest.fixture
def images(tmp_path):
    folder = write_pictures(tmp_path / "images", range(22))
    (folder / "g0005b.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def expected(images, tmp_path):
    scalenorm.convert(images, tmp_path / "threads.h5", jobs=2, backend="threads", **SMALL)
    return open_cache(tmp_path / "threads.h5")


def assert_same(path, expected):
    cache = open_cache(path)
    for name in expected.view_names:
        assert cache.view(name).tobytes() == expected.view(name).tobytes()
    assert cache.catalog.dtype == expected.catalog.dtype
    assert cache.catalog.tobytes() == expected.catalog.tobytes()
    assert beside(path) == [path.name]


def test_loky_gives_the_same_bytes(images, tmp_path, expected):
    scalenorm.convert(images, tmp_path / "out.h5", jobs=2, backend="loky", **SMALL)
    assert_same(tmp_path / "out.h5", expected)


class Images(list):
    def take(self, which):
        return Images(self[n] for n in which)


@pytest.mark.parametrize(("count", "jobs", "together", "backend"), [
    (100_000, 4, 0.064, "loky"), (100_000, 4, 0.033, "threads"), (6_000, 4, 0.050, "threads"),
    (100_000, 1, 0.064, "threads"), (4_000, 4, 0.064, "threads"),
])  # fmt: skip
def test_processes_where_they_save_more_than_they_cost(monkeypatch, caplog, count, jobs, together, backend):
    """Up to 32 images take 32 ms alone, and as many in each of several threads at once take longer."""
    monkeypatch.setattr(engines, "perf_counter", iter([0.0, 0.032, 1.0, 1.0 + together]).__next__)
    caplog.set_level("DEBUG", "scalenorm")
    tried = []
    assert engines.choose(tried.extend, Images(range(count)), jobs) == backend
    assert len(tried) == len(set(tried)) <= count / 50
    assert bool(tried) == (jobs > 1 and count >= 5000)
    assert ("processes," if backend == "loky" else "threads") in caplog.messages[0]


@pytest.mark.slow
def test_active_joblib_configuration_is_honoured(images, tmp_path, expected, monkeypatch):
    import joblib

    used = []
    for name in ("run_threads", "run_joblib", "run_dask"):
        original = getattr(engines, name)

        def spy(*args, original=original, name=name):
            used.append((name, args[3] if name == "run_threads" else None))
            return original(*args)

        monkeypatch.setattr(engines, name, spy)
    with joblib.parallel_config("loky", n_jobs=2):
        scalenorm.convert(images, tmp_path / "loky.h5", **SMALL)
    with joblib.parallel_config("threading", n_jobs=3):
        scalenorm.convert(images, tmp_path / "threading.h5", **SMALL)
        scalenorm.convert(images, tmp_path / "own.h5", jobs=1, **SMALL)
    scalenorm.convert(images, tmp_path / "plain.h5", **SMALL)
    assert used == [
        ("run_joblib", None), ("run_threads", 3), ("run_threads", 1), ("run_threads", engines.usable_cores()),
    ]  # fmt: skip
    for name in ("loky", "threading", "own", "plain"):
        assert_same(tmp_path / f"{name}.h5", expected)


def test_tasks_and_results_are_small(tmp_path):
    """A part of the default size, with the long names that surveys have, is sent in under 100 kB."""
    folder = tmp_path / ("a-long-folder-name-" * 5)
    folder.mkdir()
    rng = np.random.default_rng(1)
    for _ in range(512):
        (folder / f"survey-{rng.bytes(32).hex()}.jpg").touch()
    sources = find([folder])
    task = Task(str(folder / "part-01234567-000000"), sources, 512)
    recipe = Recipe.checked(None, 64, "stem", False, {})
    head = Head(recipe.settings, Layout("uint8", 3))
    assert len(pickle.dumps((make_parts, recipe, head, task))) < 100_000
    assert len(pickle.dumps([task.path])) < 1000
    again = pickle.loads(pickle.dumps(task))
    assert list(again.sources) == list(sources)
    assert (again.path, again.part_size) == (task.path, 512)


@pytest.mark.slow
def test_killed_process_is_one_clear_error(images, tmp_path, expected, monkeypatch):
    monkeypatch.setattr("scalenorm.batch.run.make_parts", _DieOnSecond(str(tmp_path / "mark")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joblib tells of the dead worker, too
        with pytest.raises(BatchError, match="a worker process died"):
            scalenorm.convert(images, tmp_path / "out.h5", jobs=2, backend="loky", **SMALL)
    monkeypatch.undo()
    summary = scalenorm.convert(images, tmp_path / "out.h5", **SMALL)
    assert summary.reused >= 4
    assert_same(tmp_path / "out.h5", expected)


class _DieOnSecond:
    def __init__(self, mark):
        self.mark = mark

    def __call__(self, recipe, head, task):
        if os.path.exists(self.mark):
            os.kill(os.getpid(), signal.SIGKILL)
        result = make_parts(recipe, head, task)
        with open(self.mark, "w"):
            return result


def no_semaphore(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_no_room_for_semaphores(images, tmp_path, monkeypatch):
    """It is not the disk of the output that is full."""
    get_reusable_executor().shutdown(wait=True)  # which has its semaphores
    monkeypatch.setattr("joblib.externals.loky.backend.synchronize._SemLock", no_semaphore)
    with pytest.raises(BatchError, match=r"^cannot start processes: No space left on device; .*/dev/shm"):
        scalenorm.convert(images, tmp_path / "out.h5", jobs=2, backend="loky", **SMALL)


@pytest.mark.filterwarnings("ignore:joblib backend 'loky' is not available")
def test_no_semaphores_at_all(images, tmp_path, expected, monkeypatch, caplog):
    """As joblib finds a /dev/shm that is read-only."""
    monkeypatch.setattr("joblib._parallel_backends.mp", None)
    scalenorm.convert(images, tmp_path / "out.h5", jobs=2, backend="loky", **SMALL)
    assert open_cache(tmp_path / "out.h5").digest() == expected.digest()
    assert "/dev/shm" in caplog.text


@pytest.mark.slow
def test_both_threads_work_on_a_small_input(images, tmp_path, monkeypatch):
    """It is divided between threads, and memory is bounded: parts are not all begun at once."""
    seen, alive, most = set(), set(), []
    add_image = scalenorm.batch.rows.add_image

    def add(rows, *args):
        seen.add(threading.get_ident())
        alive.add(id(rows))
        most.append(len(alive))
        time.sleep(0.02)
        add_image(rows, *args)

    write = Rows.write

    def write_and_forget(self, path):
        write(self, path)
        alive.discard(id(self))

    monkeypatch.setattr("scalenorm.batch.rows.add_image", add)
    monkeypatch.setattr(Rows, "write", write_and_forget)
    scalenorm.convert(images, tmp_path / "out.h5", jobs=2, size=12)
    assert len(seen) == 2
    write_pictures(images, range(100, 180))
    scalenorm.convert(images, tmp_path / "many.h5", jobs=2, size=12, part_size=1)
    assert max(most) == 2


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50, processes=True
            ) as cluster,
            distributed.Client(cluster, set_as_default=False) as client,
        ):
            yield client


@pytest.mark.slow
def test_dask_gives_the_same_bytes(images, tmp_path, expected, cluster):
    address = cluster.scheduler.address
    scalenorm.convert(images, tmp_path / "out.h5", backend="dask", scheduler=address, **SMALL)
    assert_same(tmp_path / "out.h5", expected)


@pytest.mark.slow
def test_active_dask_configuration_is_honoured(images, tmp_path, expected, cluster):
    import joblib

    with joblib.parallel_config("dask", client=cluster):
        scalenorm.convert(images, tmp_path / "out.h5", **SMALL)
    assert_same(tmp_path / "out.h5", expected)


@pytest.mark.slow
def test_parts_of_a_lost_worker_are_made_by_another(images, tmp_path, expected, cluster, monkeypatch):
    """One of two workers is killed half-way, in the middle of a part."""
    mark = tmp_path / "mark"
    original = cluster.submit

    def submit(work, task, **kwargs):
        return original(_die_once, str(mark), work, task, **kwargs)

    pids = cluster.run(os.getpid)
    with monkeypatch.context() as patch:
        patch.setattr(engines, "dask_client", lambda *_: _unclosed(cluster))
        patch.setattr(cluster, "submit", submit)
        scalenorm.convert(images, tmp_path / "out.h5", backend="dask", **SMALL)
    killed = int(mark.read_text())
    assert killed in pids.values()
    assert_same(tmp_path / "out.h5", expected)


class _unclosed:
    def __init__(self, client):
        self.client = client

    def __enter__(self):
        return self.client

    def __exit__(self, *_):
        pass


def _die_once(mark, work, task):
    if "-000002" in task.path:
        try:
            with open(mark, "x") as file:
                file.write(str(os.getpid()))
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    return work(task)


def test_a_part_that_is_there_is_not_made_again(images, tmp_path):
    """Of two workers with one task the second must not touch the part that the run may be reading."""
    task = Task(str(tmp_path / "part-1"), find([images])[:4], 4)
    recipe = Recipe.checked(["normalized"], 12, "stem", False, {})
    head = Head(recipe.settings, Layout("uint8", 3))
    (path,) = make_parts(recipe, head, task)
    before = os.stat(path)
    assert make_parts(recipe, head, task) == [path]
    after = os.stat(path)
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_dask_without_a_scheduler(images, tmp_path):
    pytest.importorskip("distributed")
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(BatchError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:9"),
    ):
        scalenorm.convert(images, tmp_path / "out.h5", backend="dask", scheduler="tcp://127.0.0.1:9", **SMALL)


def test_dask_that_is_not_installed(images, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BatchError, match=r"pip install 'scalenorm\[dask\]'"):
        scalenorm.convert(images, tmp_path / "out.h5", backend="dask", **SMALL)
