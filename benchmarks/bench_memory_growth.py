"""Memory and time of scalenorm-batch as the number of images grows: peak private memory (USS) and seconds per image.

A few thousand small files are listed again and again, each time under its own id, and the real command runs over the
list in a process of its own, whose USS is sampled all the while.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
import numpy as np
import psutil
from PIL import Image

BATCH = Path(sys.executable).parent / "scalenorm-batch"
FILES = 2000
GOALS = {"private memory per extra image, bytes": "<= 200", "seconds per image, most / fewest images": "about 1"}


def write_files(folder: Path, count: int) -> list[Path]:
    """Small JPEGs, each of one bright blob."""
    rng = np.random.default_rng(1)
    row, col = np.mgrid[:48, :48] - 23.5
    files = []
    for number in range(count):
        width = rng.uniform(4, 8)
        light = 200 * np.exp(-0.5 * ((row / width) ** 2 + (col / (width * rng.uniform(0.4, 1))) ** 2))
        image = (light[..., None] + rng.uniform(0, 20, (48, 48, 3))).clip(0, 255).astype(np.uint8)
        files.append(folder / f"{number:05d}.jpg")
        Image.fromarray(image).save(files[-1], quality=90)
    return files


def run(folder: Path, files: list[Path], count: int, jobs: int) -> tuple[float, float]:
    """Peak USS in bytes, and seconds, of one run over `count` images."""
    listed = folder / "list.csv"
    with listed.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "id"])
        writer.writerows((files[number % len(files)].name, f"survey-{number:08d}") for number in range(count))
    output = folder / "out.h5"
    options = ["--size", "16", "--views", "normalized", "--jobs", str(jobs), "--quiet", "--overwrite"]
    start = time.perf_counter()
    with subprocess.Popen([BATCH, "--list", listed, output, *options]) as process:
        watched = psutil.Process(process.pid)
        peak = 0
        while process.poll() is None:
            try:
                peak = max(peak, watched.memory_full_info().uss)
            except psutil.Error:
                break
            time.sleep(0.01)
        process.wait()
    if process.returncode:
        raise SystemExit(f"the command ended with {process.returncode}")
    seconds = time.perf_counter() - start
    output.unlink()
    return peak, seconds


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[5_000, 50_000, 200_000], help="numbers of images")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    common.print_environment()
    counts = sorted(options.counts)
    peaks: dict[int, float] = {}
    times: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_files(folder, FILES)
        run(folder, files, counts[0], options.jobs)  # compiles
        for count in counts:
            peaks[count], times[count] = run(folder, files, count, options.jobs)
            print(
                f"  {count:8d} images: peak USS {peaks[count] / 1e6:7.1f} MB, {times[count]:7.1f} s, "
                f"{1e6 * times[count] / count:6.0f} us/image"
            )
    least, most = counts[0], counts[-1]
    growth = (peaks[most] - peaks[least]) / (most - least)
    ratios = {
        "private memory per extra image, bytes": growth,
        "seconds per image, most / fewest images": (times[most] / most) / (times[least] / least),
    }
    common.print_ratios(ratios, GOALS)
    results = {"peak USS, bytes": peaks, "seconds": times, "ratios": ratios, "goals": GOALS}
    common.save("memory_growth", results, options.output)


if __name__ == "__main__":
    main()
