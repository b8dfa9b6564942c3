"""Memory and time of scalenorm-batch as the number of images grows: peak private memory (USS) and seconds.

A few thousand small files are listed again and again, each time under its own id, and the real command runs over the
list in a process of its own, whose USS is sampled all the while: once to make the file; once more, dry, which is what
a resumed run does before its first image (list, look at every file, compare with every row). Then all rows are written
anew, as when slices are joined, and the catalogue is read back.
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

import scalenorm

BATCH = Path(sys.executable).parent / "scalenorm-batch"
MERGE = BATCH.with_name("scalenorm-merge")
FILES = 2000
GOALS = {
    "private memory per extra image, bytes": "<= 200",
    "seconds per image, most / fewest images": "about 1",
    "seconds until a resumed run starts, most images": "<= 60 for 10^6",
}


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


def watch(command: Path, *words: str | Path) -> tuple[float, float]:
    """Seconds and peak USS in bytes of a command."""
    start = time.perf_counter()
    with subprocess.Popen([command, *words], stdout=subprocess.DEVNULL) as process:
        watched = psutil.Process(process.pid)
        peak = 0
        while process.poll() is None:
            try:
                peak = max(peak, watched.memory_full_info().uss)
            except psutil.Error:
                break
            time.sleep(0.05)
        process.wait()
    if process.returncode:
        raise SystemExit(f"{command} {' '.join(map(str, words))} ended with {process.returncode}")
    return time.perf_counter() - start, peak


def run(folder: Path, files: list[Path], count: int, jobs: int) -> dict[str, float]:
    """Seconds and peak USS in bytes of each step over ``count`` images."""
    listed, output, merged = folder / "list.csv", folder / "out.h5", folder / "merged.h5"
    with listed.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "id"])
        writer.writerows((files[number % len(files)].name, f"survey-{number:08d}") for number in range(count))
    options = ["--size", "16", "--views", "normalized", "--jobs", str(jobs), "--backend", "threads"]
    made, peak = watch(BATCH, "--list", listed, output, *options)
    resumed, resumed_peak = watch(BATCH, "--list", listed, output, *options, "--dry-run")
    start = time.perf_counter()
    cache = scalenorm.open_cache(output)
    rows = int((cache.catalog["status"] == b"ok").sum())
    read = time.perf_counter() - start
    if rows != count:
        raise SystemExit(f"{rows} good rows of {count}")
    joined, joined_peak = watch(MERGE, output, merged)
    for path in (output, merged):
        path.unlink()
    return {
        "made": made, "made, peak": peak, "resumed": resumed, "resumed, peak": resumed_peak, "joined": joined,
        "joined, peak": joined_peak, "catalogue read": read,
    }  # fmt: skip


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="numbers of images")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", help="where to work: 3 GB for a million images (default: the system's)")
    options = parser.parse_args()
    common.print_environment()
    counts = sorted(options.counts)
    found: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        files = write_files(folder, FILES)
        run(folder, files, FILES, options.jobs)  # compiles
        for count in counts:
            found[count] = run(folder, files, count, options.jobs)
            print(f"  {count:8d} images: " + ", ".join(
                f"{step} {value / 1e6:.0f} MB" if "peak" in step else f"{step} {value:.1f} s"
                for step, value in found[count].items()
            ), flush=True)  # fmt: skip
    least, most = counts[0], counts[-1]
    ratios = {
        "private memory per extra image, bytes": (found[most]["made, peak"] - found[least]["made, peak"])
        / (most - least),
        "seconds per image, most / fewest images": found[most]["made"] / most / (found[least]["made"] / least),
        "seconds until a resumed run starts, most images": found[most]["resumed"],
    }
    common.print_ratios(ratios, GOALS)
    common.save("memory_growth", {"rows": found, "ratios": ratios, "goals": GOALS}, options.output)


if __name__ == "__main__":
    main()
