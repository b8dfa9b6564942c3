"""Thousands of damaged files, in a child process so that a crash, a hang or output on stderr is seen."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from mutate import ARCHIVES, OPTIONS, check_file, check_listing, mutate, samples

from scalenorm.files.errors import ImageError
from scalenorm.images.decoding import decode

CASES = int(os.environ.get("SCALENORM_FUZZ_CASES", "4000"))
SECONDS = int(os.environ.get("SCALENORM_FUZZ_SECONDS", "60"))


@pytest.mark.slow
def test_damaged_files():
    script = Path(__file__).parents[1] / "helpers" / "mutate.py"
    command = [sys.executable, str(script), "--cases", str(CASES), "--seconds", str(SECONDS)]
    root = str(script.parents[2])
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=SECONDS + 120,
        env={**os.environ, "PYTHONPATH": root, "PYTHONWARNINGS": "error"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    counts = json.loads(done.stdout)["counts"]
    # Without both outcomes the damage would be no test of the decoders.
    for ending in ("jpg", "tif", "bmp", "npy", "fits", "zip", "tar"):
        assert counts[f"{ending} good"] > 0, ending
        assert counts[f"{ending} refused"] > 0, ending
    assert counts["png refused"] > 0


def test_every_sample_is_good_undamaged(tmp_path):
    files = samples()
    for name, data in files.items():
        if name.endswith(ARCHIVES):
            assert check_listing(data, name, tmp_path, set(files.values())) == "ok", name
        elif not name.startswith("list"):
            assert check_file(data, name) == "ok", name


@pytest.mark.slow
def test_threads_see_the_same_damage():
    """What one thread's decoder reports must not reach, or hide from, another."""
    files = {name: data for name, data in samples().items() if not name.endswith(ARCHIVES)}
    cases = [
        (mutate(data, np.random.default_rng([7, turn, number])) if turn else data, name)
        for turn in range(6)
        for number, (name, data) in enumerate(files.items())
        if not name.startswith(("list", "real"))
    ]

    def outcome(case):
        try:
            return decode(*case, OPTIONS).tobytes()
        except ImageError as error:
            return str(error)

    expected = [outcome(case) for case in cases]
    assert {type(value) for value in expected} == {str, bytes}
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(outcome, cases)) == expected
