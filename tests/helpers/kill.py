"""Kill runs of `convert` at every system call that matters and at random instants, and see that nothing is lost.

By itself for many kills: ``python tests/helpers/kill.py --random 100``. A child process runs `convert` and is killed;
another one runs the same command to its end; digest and folder must be those of an undisturbed run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent))

from pictures import beside, write_pictures

import scalenorm

PART = 4

# By default progress bars share a lock with all forked processes, and one that is killed may hold it; a thread of
# theirs takes it now and then.
tqdm.set_lock(threading.RLock())
tqdm.monitor_interval = 0


def _patch(owner: Any, name: str, before: Callable[..., None]) -> None:
    original = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        before(*args, **kwargs)
        return original(*args, **kwargs)

    setattr(owner, name, wrapped)


def die_at(event: int, torn: bool) -> None:
    """From now on count writes, flushes, renames, removals and the like, and die just before number `event`.

    With `torn` count plain writes only, and die in the middle of one.
    """
    import h5py

    import scalenorm.cache.merge
    import scalenorm.cache.part

    seen = 0

    def tick(*_args: Any, **_kwargs: Any) -> None:
        nonlocal seen
        if seen == event:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1

    def tick_write(file: Any, place: int, values: np.ndarray) -> None:
        if torn and seen == event:
            data = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
            file.seek(place)
            file.write(data[: len(data) // 2].data)
            file.flush()
        tick()

    for module in (scalenorm.cache.part, scalenorm.cache.merge):
        _patch(module, "write_at", tick_write)
    if not torn:
        for name in ("fsync", "replace", "unlink", "rmdir", "mkdir", "ftruncate", "copy_file_range"):
            _patch(os, name, tick)
        for name in ("__init__", "close"):
            _patch(h5py.File, name, tick)


def in_child(work: Callable[[], None]) -> int:
    """Start `work` in a forked child; return its process id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return child


def wait_for(child: int) -> int:
    """Return the exit code of a child, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Scenario:
    """One kind of run, in a folder of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder / name
        self.output = self.folder / "out.h5"
        self.options: dict[str, Any] = {"part_size": PART, "jobs": 2, "size": 12}
        self.before: dict[str, Any] | None = None
        self.first = write_pictures(self.folder / "a", list(range(0, 20, 2)))
        (self.first / "g0007.png").write_bytes(b"no picture")
        self.inputs = [self.first]
        if name == "append":
            self.before = {**self.options}
            self.options["append"] = True
            self.inputs = [self.first, write_pictures(self.folder / "b", list(range(1, 20, 4)))]
        elif name == "overwrite":
            self.before = {**self.options, "margin": 2.0}
            self.options["overwrite"] = True
        elif name == "keep_parts":
            self.options["keep_parts"] = True
        elif name == "compress":
            self.options["compress"] = True
        elif name == "retry_failed":
            self.before = {**self.options}
            self.options["retry_failed"] = True
        elif name == "all_objects":
            self.options["all_objects"] = True
            self.options["sigma"] = 0.0  # so low that noise makes objects
        self.start = self.folder / "start"

    def prepare(self) -> None:
        """Make what is there before the run, once."""
        self.start.mkdir()
        if self.before is not None:
            scalenorm.convert([self.first], self.output, **self.before)
            shutil.copy2(self.output, self.start / "out.h5")
        if self.name == "retry_failed":
            write_pictures(self.folder / "a", [7])
        self.reset()
        self.run()
        self.digest = scalenorm.open_cache(self.output).digest()
        self.names = beside(self.output)

    def reset(self) -> None:
        """Go back to what was there before the run."""
        for path in self.folder.glob("out.h5*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if self.before is not None:
            shutil.copy2(self.start / "out.h5", self.output)

    def run(self) -> None:
        """Do the run."""
        scalenorm.convert(self.inputs, self.output, **self.options)

    def check(self, what: str) -> None:
        """Do the run again after a kill, and compare."""
        if wait_for(in_child(self.run)) != 0:
            raise AssertionError(f"{self.name}, {what}: the run after it failed")
        cache = scalenorm.open_cache(self.output)
        if cache.digest() != self.digest:
            raise AssertionError(f"{self.name}, {what}: another digest")
        if beside(self.output) != self.names:
            raise AssertionError(f"{self.name}, {what}: left {beside(self.output)}")
        if self.name == "keep_parts":
            parts = {path for _, path, _, _ in cache.parts}
            if set((self.folder / "out.h5.parts").iterdir()) != parts:
                raise AssertionError(f"{self.name}, {what}: litter among the parts")


SCENARIOS = ("fresh", "append", "overwrite", "keep_parts", "compress", "retry_failed", "all_objects")


def every_event(scenario: Scenario, step: int = 1) -> int:
    """Kill at every `step`-th event; return the number of kills."""
    kills = 0
    for torn in (False, True):
        event = 0
        while True:
            scenario.reset()

            def dying(event: int = event, torn: bool = torn) -> None:
                die_at(event, torn)
                scenario.run()

            code = wait_for(in_child(dying))
            if code == 0:
                break
            if code != -signal.SIGKILL:
                raise AssertionError(f"{scenario.name}: exit code {code} instead of a kill at event {event}")
            scenario.check(f"killed at event {event}{', torn' if torn else ''}")
            kills += 1
            event += step
    return kills


def random_instants(scenario: Scenario, count: int, seed: int) -> int:
    """Kill from outside after random times; return the number of runs that were still going."""
    rng = np.random.default_rng(seed)
    scenario.reset()
    started = time.monotonic()
    wait_for(in_child(scenario.run))
    whole = time.monotonic() - started
    kills = 0
    for number in range(count):
        scenario.reset()
        child = in_child(scenario.run)
        time.sleep(rng.uniform(0, whole))
        os.kill(child, signal.SIGKILL)
        kills += wait_for(child) == -signal.SIGKILL
        scenario.check(f"random kill {number}")
    return kills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--random", type=int, default=100, help="kills at random instants, per scenario")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--step", type=int, default=1, help="kill at every STEP-th event")
    parser.add_argument("--scenario", choices=SCENARIOS, action="append")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in options.scenario or SCENARIOS:
            scenario = Scenario(name, Path(folder))
            scenario.prepare()
            events = every_event(scenario, options.step)
            instants = random_instants(scenario, options.random, options.seed)
            sys.stdout.write(f"{name}: {events} kills at events, {instants} at random instants: all well\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
