"""Run tasks: in threads of this process, or through joblib in processes or on a Dask cluster."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from ..cache.part import Rows
from ..files.errors import BatchError
from ..sources.listing import Sources
from ..sources.reader import Reader, open_reader
from .work import Recipe, Task, fill_rows, make_part

BACKENDS = ("threads", "loky", "dask")

#: Images per queued piece of work in threads: one at a time, the queue would take a quarter of the time.
_BLOCK = 64

#: So many pieces wait while a part is written and flushed, which may take long on a busy disk.
_AHEAD = 16

Report = Callable[[int], None]


@dataclass
class _Building:
    """A part that threads are filling."""

    task: Task
    rows: Rows
    left: int


@contextlib.contextmanager
def reading_pool(jobs: int, max_bytes: int) -> Iterator[tuple[ThreadPoolExecutor, threading.local, threading.Event]]:
    """Give threads that each have a reader, ``own.reader``, and an event that is set when they are to stop."""
    stop = threading.Event()
    own = threading.local()
    readers: list[Reader] = []

    def open_own() -> None:
        own.reader = open_reader(max_bytes=max_bytes)
        readers.append(own.reader)

    pool = ThreadPoolExecutor(jobs, "scalenorm", open_own)
    try:
        yield pool, own, stop
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        for reader in readers:
            reader.close()


def run_threads(tasks: Iterable[Task], recipe: Recipe, jobs: int, report: Report) -> Generator[Task]:
    """Make parts in `jobs` threads; yield each task once its part is on the disk.

    Parameters
    ----------
    tasks : iterable of Task
        Read as far as needed to keep the threads busy.
    recipe : Recipe
        How to make rows.
    jobs : int > 0
        Number of threads. This thread writes the finished parts.
    report : callable
        Told the number of images done since the last call.
    """
    waiting = iter(tasks)
    ahead = 2 * jobs + (0 if recipe.all_objects else _AHEAD)  # a piece may then be a whole part
    pending: dict[Future[int], _Building] = {}
    spare: list[Rows] = []  # fresh memory costs as much as filling it

    with reading_pool(jobs, recipe.decode.max_bytes) as (pool, own, stop):

        def fill(building: _Building, start: int, sources: Sources) -> int:
            fill_rows(building.rows, start, sources, recipe, own.reader, stop)
            return len(sources)

        def feed() -> None:
            while len(pending) < ahead and (task := next(waiting, None)) is not None:
                count = len(task.sources)
                block = max(1, min(_BLOCK, -(-count // (4 * jobs))))
                starts = list(range(0, count, block))
                if recipe.all_objects:  # what an image's objects have in common is found once for each piece
                    starts = [start for start in starts if not start or not task.sources.same_image(start - 1, start)]
                used = next((rows for rows in spare if len(rows) == count), None)
                if used is not None:
                    spare.remove(used)
                building = _Building(task, used or Rows.empty(recipe.head, count), len(starts))
                for start, end in itertools.pairwise([*starts, count]):
                    pending[pool.submit(fill, building, start, task.sources[start:end])] = building

        feed()
        while pending:
            wait(pending, return_when=FIRST_COMPLETED)
            # In their order, so that parts from before an error are written before it ends the run.
            for future in [future for future in pending if future.done()]:
                building = pending.pop(future)
                report(future.result())
                building.left -= 1
                feed()
                if not building.left:
                    building.task.write(recipe, building.rows)
                    spare.append(building.rows)
                    yield building.task


def run_joblib(tasks: Iterable[Task], recipe: Recipe, report: Report) -> Generator[Task]:
    """Make parts through joblib, in the backend and with the number of jobs that are active."""
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    sent: dict[str, Task] = {}

    def calls() -> Iterator[Any]:
        for task in tasks:
            sent[task.path] = task
            yield joblib.delayed(make_part)(task, recipe)

    try:
        for path in joblib.Parallel(batch_size=1, return_as="generator_unordered")(calls()):
            task = sent.pop(path)
            report(len(task.sources))
            yield task
    except TerminatedWorkerError as error:
        raise BatchError(
            "a worker process died: it was killed, or the machine ran out of memory (try fewer --jobs)"
        ) from error


def run_dask(tasks: Iterable[Task], recipe: Recipe, client: Any, report: Report) -> Generator[Task]:
    """Make parts on a Dask cluster; the parts of a worker that is lost are made by another."""
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    ahead = 2 * max(1, sum(client.nthreads().values()))
    waiting = iter(tasks)
    sent: dict[Any, Task] = {}
    done = as_completed(loop=client.loop)

    def send(task: Task) -> None:
        future = client.submit(make_part, task, recipe, pure=False)
        sent[future.key] = task
        done.add(future)

    for task in itertools.islice(waiting, ahead):
        send(task)
    try:
        for future in done:
            task = sent.pop(future.key)
            future.result()
            future.release()  # else Dask makes the part again if it loses the worker that has this answer
            report(len(task.sources))
            yield task
            if (following := next(waiting, None)) is not None:
                send(following)
    except KilledWorker as error:
        raise BatchError(f"Dask lost several workers on one part: {str(error).splitlines()[0]}") from error
    finally:
        client.cancel(list(done.futures))


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
            cluster = distributed.LocalCluster(
                n_workers=jobs, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR
            )
            stack.enter_context(cluster)
        try:
            client = distributed.Client(cluster if scheduler is None else scheduler, set_as_default=False)
        except (OSError, ValueError) as error:
            raise BatchError(f"no Dask scheduler at {scheduler}: {str(error).splitlines()[0]}") from error
        yield stack.enter_context(client)


def run(
    tasks: Iterable[Task],
    recipe: Recipe,
    report: Report,
    *,
    backend: str | None,
    jobs: int | None,
    scheduler: str | None,
) -> Generator[Task]:
    """Make parts; yield each task once its part is on the disk.

    Parameters
    ----------
    tasks : iterable of Task
        The parts.
    recipe : Recipe
        How to make rows.
    report : callable
        Told the number of images done since the last call.
    backend : {None, "threads", "loky", "dask"}
        None: what an active ``joblib.parallel_config`` says, else threads.
    jobs : int > 0, optional
        Number of threads or processes; None: as many as this process may use cores.
    scheduler : str, optional
        Address of a Dask scheduler.
    """
    active = _active_backend() if backend is None else None
    if active is not None:
        client = getattr(active[0], "client", None)
        if client is not None:
            yield from run_dask(tasks, recipe, client, report)
            return
        if not getattr(active[0], "uses_threads", False):
            yield from run_joblib(tasks, recipe, report)
            return
        jobs = jobs or active[1]
    jobs = jobs or cores()
    if backend == "loky":
        import joblib

        with joblib.parallel_config("loky", n_jobs=jobs):
            yield from run_joblib(tasks, recipe, report)
    elif backend == "dask":
        with dask_client(scheduler, jobs) as client:
            yield from run_dask(tasks, recipe, client, report)
    else:
        yield from run_threads(tasks, recipe, jobs, report)


def is_local(backend: str | None) -> bool:
    """Return whether all workers run on this machine."""
    return backend in ("threads", "loky") or (backend is None and _active_backend() is None)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _active_backend() -> tuple[Any, int | None] | None:
    """Return backend and number of jobs of the active ``joblib.parallel_config``, if there is one."""
    import joblib
    from joblib.parallel import get_active_backend

    backend, jobs = get_active_backend(prefer="threads")
    # Without a configuration joblib does as it is told, with one it does not.
    if type(backend) is not type(get_active_backend(prefer="processes")[0]):
        return None
    return backend, joblib.effective_n_jobs(jobs) if jobs else None
