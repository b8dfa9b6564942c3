"""What is said while kernels are compiled, and a cache of Numba that is damaged."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
from types import SimpleNamespace

import numba
import pytest
from numba.core.event import Event, EventStatus

from scalenorm.kernels.compile import _Notice, _warn_of_cache


def happen(notice, status, module):
    function = SimpleNamespace(py_func=SimpleNamespace(__module__=module))
    getattr(notice, f"on_{status.name.lower()}")(Event("numba:compile", status, data={"dispatcher": function}))


class Clock:
    """Takes the place of ``threading``; time passes when it is told to."""

    def __init__(self):
        self.now, self.timers = 0.0, []

    def Timer(self, seconds, action):
        timer = SimpleNamespace(at=math.inf, action=action)
        timer.start = lambda: setattr(timer, "at", self.now + seconds)
        timer.cancel = lambda: setattr(timer, "at", math.inf)
        self.timers.append(timer)
        return timer

    def pass_by(self, seconds):
        self.now += seconds
        for timer in self.timers:
            if timer.at <= self.now:
                timer.cancel()
                timer.action()


@pytest.mark.parametrize(("module", "seconds", "lines"), [
    ("scalenorm.kernels.grey", 1.2, 1), ("scalenorm.kernels.grey", 0.1, 0), ("somebody.elses", 1.2, 0),
])  # fmt: skip
def test_a_long_compilation_is_announced_once(caplog, monkeypatch, module, seconds, lines):
    clock = Clock()
    monkeypatch.setattr("scalenorm.kernels.compile.threading", clock)
    notice = _Notice()
    for _ in range(2):
        for status in (EventStatus.START, EventStatus.START, EventStatus.END):  # one kernel, and one that it calls
            happen(notice, status, module)
        clock.pass_by(seconds)
        happen(notice, EventStatus.END, module)
    clock.pass_by(1.1)
    assert [record.name for record in caplog.records] == ["scalenorm"] * lines


def test_an_interruption_while_numba_is_imported():
    """As one presses Ctrl-C in a notebook: the next call works."""
    script = """
import signal, sys
from scalenorm import kernels
class Press:
    def find_spec(self, name, *_):
        if name == "numba.core.types":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Press())
try:
    kernels.grey
except KeyboardInterrupt:
    sys.meta_path.pop(0)
    print(kernels.grey.__name__)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "scalenorm.kernels.grey\n"


def load(path):
    spec = importlib.util.spec_from_file_location("tried", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A kernel of its own, compiled and cached beside its file."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    path = tmp_path / "tried.py"
    path.write_text("from scalenorm.kernels.compile import kernel\n\n@kernel\ndef double(x):\n    return 2 * x\n")
    assert load(path).double(3) == 6
    _warn_of_cache.cache_clear()
    return path


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"garbage"])
def test_a_damaged_cache_is_made_anew(cached, caplog, ending, damage):
    (file,) = cached.parent.glob(f"__pycache__/*.{ending}")
    file.write_bytes(damage(file.read_bytes()))
    assert load(cached).double(4) == 8
    assert len(caplog.messages) == 1
    assert f"{cached.parent}/__pycache__ is damaged" in caplog.text
    caplog.clear()
    again = load(cached)
    assert again.double(5) == 10
    assert sum(again.double.stats.cache_hits.values()) == 1
    assert not caplog.messages


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_a_cache_that_cannot_be_written(cached, caplog, monkeypatch):
    def full(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile._open_for_write", full)
    assert load(cached).double(2.5) == 5.0
    assert len(caplog.messages) == 1
    assert "No space left on device" in caplog.text


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_two_processes_that_compile_at_once(cached, monkeypatch):
    """Each knows nothing of what the other saves: the last index stays, and leads to its own machine code only."""
    found = set(cached.parent.glob("__pycache__/*.nbc"))
    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile._load_index", lambda file: {})
    monkeypatch.setattr("scalenorm.kernels.compile._PROCESS", "another")
    assert load(cached).double(2.5) == 5.0
    assert len(found) == 1
    assert found < set(cached.parent.glob("__pycache__/*.nbc"))
    monkeypatch.undo()
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    again = load(cached)
    assert (again.double(2.5), again.double(3)) == (5.0, 6)
    assert sum(again.double.stats.cache_hits.values()) == 1
