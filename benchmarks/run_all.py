"""Run every benchmark, in turn, then make the tables in docs/ and README.rst from the results: ``make bench``."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS: dict[str, list[str]] = {
    "bench_crop.py": [],
    "bench_batch.py": ["--count", "20000", "--rounds", "3"],
    "bench_loading.py": [],
    "bench_growth.py": ["--rounds", "5"],
    "bench_training.py": [],
}
TAKES_IMAGES = ("bench_crop.py", "bench_batch.py")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", help="folder of JPEG images to use in place of simulated galaxies")
    options = parser.parse_args()
    failed = []
    for script, words in SCRIPTS.items():
        if options.images and script in TAKES_IMAGES:
            words = [*words, "--images", options.images]
        print(f"\n#### {script} {' '.join(words)}", flush=True)
        start = time.perf_counter()
        if subprocess.run([sys.executable, HERE / script, *words]).returncode:
            failed.append(script)
        print(f"#### {script}: {time.perf_counter() - start:.0f} s", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}; the tables are left as they were", file=sys.stderr)
        return 1
    return subprocess.run([sys.executable, HERE / "tables.py"]).returncode


if __name__ == "__main__":
    raise SystemExit(main())
