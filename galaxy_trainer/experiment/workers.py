"""Trainings side by side, each in a process of its own with its share of the cores."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.network.start import silent_start

_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


def side_by_side(calls: Sequence[Callable[[], object]], jobs: int) -> None:
    """Make calls, several at once; the first failure is raised and those not begun are left out.

    Parameters
    ----------
    calls : sequence of callable
        Picklable where `jobs` is above 1.
    jobs : int
        Processes. 1 makes the calls in this one.

    Raises
    ------
    TrainerError
        If the system ended a process.
    """
    if jobs == 1 or not calls:
        for call in calls:
            call()
        return
    # A single call left over gets its process and threads too: their number decides the order of sums, so that
    # an interrupted experiment would else not end with the same bits.
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with (
        _environment({name: threads for name in _THREADS}),
        ProcessPoolExecutor(jobs, mp_context=context, initializer=_start) as pool,
    ):
        futures = [pool.submit(call) for call in calls]
        try:
            for future in as_completed(futures):
                future.result()
        except BrokenProcessPool:
            raise TrainerError(
                "a process was ended from outside, by the system if memory ran out: "
                "run the same command again to resume, with a lower --jobs if memory ran out"
            ) from None
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if not isinstance(error, Exception):  # Ctrl-C reaches the workers too, SIGTERM only this process
                for process in set(multiprocessing.active_children()) - others:
                    process.terminate()
            raise


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the child processes, where the user has not."""
    added = [name for name in values if name not in os.environ]
    os.environ.update({name: values[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _start() -> None:
    """Import in silence, and end with the parent even if that is killed.

    Otherwise the same command, given again, would train in a run folder that an orphan still writes to.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    with silent_start(to_train=True):
        from tqdm import tqdm

    # Its own lock is a semaphore of the system, which Python complains of if this process is killed.
    tqdm.set_lock(threading.RLock())
