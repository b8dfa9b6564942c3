"""Run tasks in threads of this process, in processes through joblib, or on a Dask cluster."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from ..cache.format import Layout
from ..cache.recipe import Recipe
from ..cropping.crop import measure_and_crop
from ..cropping.many import usable_cores
from ..files.errors import BatchError, Stopped
from ..sources.listing import Sources
from .rows import Task

BACKENDS = ("auto", "threads", "loky", "dask")

_log = logging.getLogger("scalenorm")

#: Seconds that processes take to start, and below which images no saving could make up for them.
_START, _FEW = 2.0, 5000

_ADVICE = "they need some room in /dev/shm; the backend 'threads' does not"

#: Makes a task's parts and returns their paths; in threads it is given what to call after each image, too.
Work = Callable[..., list[str]]
Report = Callable[[int], object]


def warm_up(recipe: Recipe, layout: Layout) -> None:
    """Compile the kernels before workers start that would all do so.

    Raises
    ------
    BatchError
        If an option needs other bands, or a package that is missing: every image would fail.
    """
    image = np.zeros((48, 48) if layout.bands == 1 else (48, 48, layout.bands), layout.dtype)
    image[16:32, 14:34] = 9
    measure = recipe.measure
    if not isinstance(measure.center, str):
        measure = replace(measure, center="image")
    try:
        measure_and_crop(image, recipe.views, recipe.size, measure)
    except (ValueError, ImportError) as error:
        raise BatchError(str(error)) from error


def run(
    work: Work, tasks: Iterable[Task], report: Report, *, backend: str, jobs: int | None, scheduler: str | None
) -> Generator[list[str]]:
    """Make parts; yield the paths of each task once they are on the disk.

    Parameters
    ----------
    work : callable
        Makes the parts of a task.
    tasks : iterable of Task
        Read as far as needed to keep the workers busy.
    report : callable
        Told the number of images done since the last call.
    backend : {"auto", "threads", "loky", "dask"}
        auto: what the active ``joblib.parallel_config`` says, see `is_configured`.
    jobs : int > 0, optional
        Number of threads or processes; None: as many as this process may use cores.
    scheduler : str, optional
        Address of a Dask scheduler.
    """
    active, active_jobs = _active_backend() if backend == "auto" else (None, None)
    client = getattr(active, "client", None)
    if client is not None:
        yield from run_dask(work, tasks, report, client)
    elif backend == "dask":
        with dask_client(scheduler, jobs or usable_cores()) as client:
            yield from run_dask(work, tasks, report, client)
    elif backend == "loky" or (active is not None and not getattr(active, "uses_threads", False)):
        yield from run_joblib(work, tasks, report, None if backend == "auto" else backend, jobs)
    else:
        yield from run_threads(work, tasks, report, jobs or active_jobs or usable_cores())


def is_configured() -> bool:
    """Whether a ``joblib.parallel_config`` is active."""
    return _active_backend()[0] is not None


def choose(make: Callable[[Sources], object], sources: Sources, jobs: int) -> str:
    """Threads, or processes (loky) where they save more than they take to start; the reason goes to the log.

    Threads wait for each other at every call of Python. How long depends on the machine and on the images, so some are
    made by one thread, as many by each of ``jobs`` threads at once, and the times compared.

    Parameters
    ----------
    make : callable
        Makes the rows of some images, which are thrown away.
    sources : Sources
        The images to be made.
    jobs : int > 0
    """
    if jobs == 1 or len(sources) < _FEW or multiprocessing.current_process().daemon:
        _log.debug("%d images, %d workers: threads", len(sources), jobs)
        return "threads"
    count = max(4, min(32, len(sources) // (50 * (jobs + 1))))
    picked = range(0, len(sources), len(sources) // (count * (jobs + 1)))
    samples = [sources.take(list(picked[k * count : (k + 1) * count])) for k in range(jobs + 1)]
    began = perf_counter()
    make(samples[0])
    alone = perf_counter() - began
    with ThreadPoolExecutor(jobs) as pool:
        began = perf_counter()
        list(pool.map(make, samples[1:]))
        together = perf_counter() - began
    saved = len(sources) / count / jobs * max(together - alone, 0.0)
    backend = "loky" if saved > _START else "threads"
    _log.info(
        "%d images, %d workers: %s, because processes would save about %.1f s and take %.0f s to start (an image takes "
        "%.2f ms alone, %.2f ms in %d threads)",
        len(sources), jobs, "processes" if backend == "loky" else "threads", saved, _START,
        1e3 * alone / count, 1e3 * together / count, jobs,
    )  # fmt: skip
    return backend


def run_threads(work: Work, tasks: Iterable[Task], report: Report, jobs: int) -> Generator[list[str]]:
    """Make parts in `jobs` threads; when the run stops, each of them ends with its present image."""
    stop, lock = threading.Event(), threading.Lock()

    def tick() -> None:
        if stop.is_set():
            raise Stopped
        with lock:
            report(1)

    pool = ThreadPoolExecutor(jobs, "scalenorm")
    try:
        for _, paths in _completed(lambda task: pool.submit(work, task, tick), tasks, 2 * jobs):
            yield paths
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def run_dask(work: Work, tasks: Iterable[Task], report: Report, client: Any) -> Generator[list[str]]:
    """Make parts on a Dask cluster; the parts of a worker that is lost are made by another."""
    from distributed.scheduler import KilledWorker

    pool = client.get_executor(pure=False)
    try:
        for task, paths in _completed(
            lambda task: pool.submit(work, task), tasks, 2 * max(1, sum(client.nthreads().values()))
        ):
            report(len(task.sources))
            yield paths
    except KilledWorker as error:
        raise BatchError(f"Dask lost several workers on one part: {str(error).splitlines()[0]}") from error
    finally:
        pool.shutdown(wait=False)


def _completed(
    submit: Callable[[Task], Future[list[str]]], tasks: Iterable[Task], most: int
) -> Generator[tuple[Task, list[str]]]:
    """Yield tasks and what became of them as they are completed; `most` are under way at once."""
    waiting = iter(tasks)
    pending: dict[Future[list[str]], Task] = {}
    while True:
        while len(pending) < most and (task := next(waiting, None)) is not None:
            pending[submit(task)] = task
        if not pending:
            return
        for future in wait(pending, return_when=FIRST_COMPLETED).done:
            yield pending.pop(future), future.result()


def run_joblib(
    work: Work, tasks: Iterable[Task], report: Report, backend: str | None, jobs: int | None
) -> Generator[list[str]]:
    """Make parts through joblib, in `backend`, or else in the one that is active with its number of jobs."""
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    jobs = jobs or usable_cores()
    config = contextlib.nullcontext() if backend is None else joblib.parallel_config(backend, n_jobs=jobs)
    try:
        with config:
            if backend == "loky" and joblib.effective_n_jobs(jobs) < min(jobs, 2):
                _log.warning("joblib cannot start processes (is /dev/shm full, or read-only?): threads are used")
                yield from run_threads(work, tasks, report, jobs)
                return
            calls = (joblib.delayed(_with_count)(work, task) for task in tasks)
            try:
                results = joblib.Parallel(batch_size=1, return_as="generator_unordered")(calls)
            except OSError as error:
                raise BatchError(f"cannot start processes: {error.strerror or error}; {_ADVICE}") from error
            for count, paths in results:
                report(count)
                yield paths
    except TerminatedWorkerError as error:
        raise BatchError(
            "a worker process died: it was killed, or the machine ran out of memory (try fewer --jobs)"
        ) from error


def _with_count(work: Work, task: Task) -> tuple[int, list[str]]:
    return len(task.sources), work(task)


@contextlib.contextmanager
def dask_client(scheduler: str | None, jobs: int) -> Iterator[Any]:
    """Connect to a Dask scheduler, or start a cluster of `jobs` processes on this machine.

    Raises
    ------
    BatchError
        If Dask is not installed or there is no scheduler at this address.
    """
    try:
        import distributed
    except ImportError:
        raise BatchError("the dask backend needs Dask: pip install 'scalenorm[dask]'") from None
    with contextlib.ExitStack() as stack:
        if scheduler is None:
            try:
                cluster = distributed.LocalCluster(
                    n_workers=jobs, threads_per_worker=1, silence_logs=logging.ERROR,
                    # No dashboard; its port would be opened all the same, with a warning where it is taken.
                    dashboard_address=None, scheduler_kwargs={"dashboard_address": "localhost:0"},
                )  # fmt: skip
            except RuntimeError as error:
                cause: BaseException = error
                while cause.__context__ is not None:
                    cause = cause.__context__
                raise BatchError(f"cannot start Dask's processes: {cause}; {_ADVICE}") from error
            stack.enter_context(cluster)
        try:
            client = distributed.Client(cluster if scheduler is None else scheduler, set_as_default=False)
        except (OSError, ValueError) as error:
            raise BatchError(f"no Dask scheduler at {scheduler}: {str(error).splitlines()[0]}") from error
        yield stack.enter_context(client)


def _active_backend() -> tuple[Any, int | None]:
    """Return backend and number of jobs of the active ``joblib.parallel_config``, or None and None without one."""
    import joblib
    from joblib.parallel import get_active_backend

    backend, jobs = get_active_backend(prefer="threads")
    # Without a configuration joblib does as it is told, with one it does not.
    if type(backend) is not type(get_active_backend(prefer="processes")[0]):
        return None, None
    return backend, joblib.effective_n_jobs(jobs) if jobs else None
