"""Runs that are killed: see kill.py, which does the same at greater length."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pictures import beside, write_pictures

import scalenorm

KILL = Path(__file__).parents[1] / "helpers" / "kill.py"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "step", "instants"),
    [
        ("fresh", 1, 12),
        ("append", 9, 2),
        ("overwrite", 9, 2),
        ("keep_parts", 9, 2),
        ("compress", 9, 2),
        ("retry_failed", 9, 2),
        ("all_objects", 9, 2),
    ],
)
def test_killed_runs_end_as_if_undisturbed(scenario, step, instants):
    """At every (`step`-th) write, flush, rename and removal, and at random instants."""
    command = [sys.executable, KILL, "--scenario", scenario, "--step", str(step), "--random", str(instants)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "all well" in done.stdout
    assert int(done.stdout.split()[1]) >= 100 // step  # as many as there were events


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_say_how_far_it_got(tmp_path, number):
    images = write_pictures(tmp_path / "images", range(40))
    # A stream of images that never ends keeps the run going until the signal: here a slow decoder.
    slow = (
        "import signal, sys, time, scalenorm.batch.rows as rows, scalenorm.commands.batch as batch\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background ignores it
        "add = rows.add_image\n"
        "def slowly(*args):\n"
        "    time.sleep(0.03)\n"
        "    return add(*args)\n"
        "rows.add_image = slowly\n"
        "sys.exit(batch.main())\n"
    )
    output = tmp_path / "out.h5"
    arguments = [str(images), str(output), "--part-size", "4", "--jobs", "1", "--size", "12"]
    with subprocess.Popen([sys.executable, "-c", slow, *arguments], stderr=subprocess.PIPE, text=True) as run:
        while len(list(tmp_path.glob("out.h5.parts/part-*.h5"))) < 2:
            assert run.poll() is None
            time.sleep(0.01)
        run.send_signal(number)
        error = run.communicate(timeout=60)[1]
    assert run.returncode == 1
    lines = error.strip().splitlines()
    assert len(lines) == 1
    assert "stopped" in lines[0]
    assert "finished images are kept" in lines[0]
    assert "the same command resumes" in lines[0]
    assert beside(output) == ["out.h5.parts"]
    summary = scalenorm.convert(images, output, size=12)
    assert summary.reused >= 8
    scalenorm.convert(images, tmp_path / "other.h5", size=12)
    assert scalenorm.open_cache(output).digest() == scalenorm.open_cache(tmp_path / "other.h5").digest()
    assert beside(output) == ["out.h5"]
