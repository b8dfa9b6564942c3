"""What is said while kernels are compiled."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from numba.core.event import Event, EventStatus

from scalenorm.kernels.compile import _Notice


def happen(notice, status, module):
    function = SimpleNamespace(py_func=SimpleNamespace(__module__=module))
    getattr(notice, f"on_{status.name.lower()}")(Event("numba:compile", status, data={"dispatcher": function}))


@pytest.mark.parametrize(("module", "seconds", "lines"), [
    ("scalenorm.kernels.grey", 1.2, 1), ("scalenorm.kernels.grey", 0.1, 0), ("somebody.elses", 1.2, 0),
])  # fmt: skip
def test_a_long_compilation_is_announced_once(caplog, module, seconds, lines):
    notice = _Notice()
    for _ in range(2):
        for status in (EventStatus.START, EventStatus.START, EventStatus.END):  # one kernel, and one that it calls
            happen(notice, status, module)
        time.sleep(seconds)
        happen(notice, EventStatus.END, module)
    time.sleep(1.1 if not lines else 0)
    assert [record.name for record in caplog.records] == ["scalenorm"] * lines
