"""Runs that stop, as by Ctrl-C, at a chosen part."""

from __future__ import annotations

import pytest

from scalenorm.cache.part import Rows


def stop_after(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    """Have the next run stopped when it has written so many parts and is about to write another one."""
    original = Rows.write
    count = 0

    def write(self, path):
        nonlocal count
        if count == parts:
            raise KeyboardInterrupt
        original(self, path)
        count += 1

    monkeypatch.setattr(Rows, "write", write)
