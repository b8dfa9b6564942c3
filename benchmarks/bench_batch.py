"""Folder to cache: scalenorm-batch against decoding the same files alone, and against the paper's way.

Steady state is the slope between a short and a long list of the same files (each file appears many times under its
own id), so that start-up, which is reported on its own, does not count. The paper's way is scikit-image in joblib
processes, one HDF5 write an image.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import common
import numpy as np
import simplejpeg
from PIL import Image

from scalenorm.cropping.crop import measure_and_crop
from scalenorm.measuring.options import MeasureOptions

BATCH = Path(sys.executable).parent / "scalenorm-batch"
GOALS = {
    "folder to cache / decode-only, rate, 2 workers": ">= 0.90",
    "folder to cache / decode-only, rate, 1 worker": "",
    "folder to cache / scikit-image with joblib processes, rate": ">= 14",
    "2 workers / 1 worker, rate": ">= 1.9",
}


def write_list(path: Path, files: list[Path], count: int) -> Path:
    """A list of ``count`` rows over the files, each row with an id of its own."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "id"])
        writer.writerows((files[index % len(files)], f"{index:07d}") for index in range(count))
    return path


def convert(list_file: Path, jobs: int, backend: str = "threads") -> float:
    """Seconds of one run of the command."""
    output = list_file.with_suffix(f".{jobs}.h5")
    output.unlink(missing_ok=True)
    start = time.perf_counter()
    options = ["--jobs", str(jobs), "--backend", backend, "--quiet"]
    subprocess.run([BATCH, "--list", list_file, output, *options], check=True)
    seconds = time.perf_counter() - start
    output.unlink()
    return seconds


def decode_only(files: list[Path], count: int, jobs: int, *, crop: bool = False) -> float:
    """Seconds to read and decode ``count`` files, each worker into its own buffer, 64 files a task.

    With ``crop`` the three views are measured and cut as well, and thrown away: what the command does to each image
    less hash, catalogue and files. No pipeline around the same kernels can be faster.
    """
    options, views = MeasureOptions(channel_axis=-1), ("normalized", "center-64", "center-256")

    def decode(start: int) -> None:
        buffer = None
        for index in range(start, min(start + 64, count)):
            data = files[index % len(files)].read_bytes()
            if buffer is None:
                height, width, _, _ = simplejpeg.decode_jpeg_header(data)
                buffer = np.empty((height, width, 3), np.uint8)
            simplejpeg.decode_jpeg(data, buffer=buffer)
            if crop:
                measure_and_crop(buffer, views, 64, options)

    start = time.perf_counter()
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(decode, range(0, count, 64)))
    return time.perf_counter() - start


def papers_way(files: list[Path], count: int, jobs: int) -> float:
    """Seconds of scikit-image in joblib processes, each crop written to HDF5 on its own."""
    import h5py
    from bench_crop import with_skimage
    from joblib import Parallel, delayed

    def one(path: Path) -> np.ndarray:
        return with_skimage(np.asarray(Image.open(path)))[2]

    with tempfile.TemporaryDirectory() as folder:
        Parallel(jobs)(delayed(one)(path) for path in files[: 2 * jobs])  # start the workers
        start = time.perf_counter()
        chosen = [files[index % len(files)] for index in range(count)]
        with h5py.File(Path(folder) / "crops.h5", "w") as file:
            for index, crop in enumerate(Parallel(jobs, return_as="generator")(delayed(one)(path) for path in chosen)):
                file.create_dataset(str(index), data=crop)
        return time.perf_counter() - start


def main() -> None:
    arguments = common.parser(__doc__)
    arguments.add_argument("--count", type=int, default=20000, help="images of a long run (default %(default)s)")
    arguments.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    arguments.set_defaults(rounds=3)
    options = arguments.parse_args()
    common.print_environment()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.images:
            files = sorted(Path(options.images).glob("*.jpg"))[:2000]
        else:
            files = []
            for index, image in enumerate(common.load_images(None, 200)):
                files.append(folder / f"{index:04d}.jpg")
                Image.fromarray(image).save(files[-1], quality=90)
        jobs, long, short = options.jobs, options.count, 1024
        lists = {n: write_list(folder / f"{n}.csv", files, n) for n in (short, long)}
        rows: dict[str, list[float]] = {}
        convert(lists[short], jobs)  # warm: kernels compiled, files in the page cache
        for _ in range(options.rounds):
            for key, run in (
                (f"command, {jobs} workers, short", lambda: convert(lists[short], jobs)),
                (f"command, {jobs} workers, long", lambda: convert(lists[long], jobs)),
                (f"command, {jobs} processes, short", lambda: convert(lists[short], jobs, "loky")),
                (f"command, {jobs} processes, long", lambda: convert(lists[long], jobs, "loky")),
                (f"decode only, {jobs} workers", lambda: decode_only(files, long, jobs)),
                (f"decode and crop only, {jobs} workers", lambda: decode_only(files, long, jobs, crop=True)),
                ("decode and crop only, 1 worker", lambda: decode_only(files, long, 1, crop=True)),
                ("command, 1 worker, short", lambda: convert(lists[short], 1)),
                ("command, 1 worker, long", lambda: convert(lists[long], 1)),
                ("decode only, 1 worker", lambda: decode_only(files, long, 1)),
                ("scikit-image, joblib processes", lambda: papers_way(files, max(200, long // 50), jobs)),
            ):
                rows.setdefault(key, []).append(run())
                print(f"  {key:<40} {rows[key][-1]:8.2f} s", flush=True)
    median = {key: float(np.median(values)) for key, values in rows.items()}
    rates = {
        f"command, {jobs} workers": (long - short)
        / (median[f"command, {jobs} workers, long"] - median[f"command, {jobs} workers, short"]),
        "command, 1 worker": (long - short) / (median["command, 1 worker, long"] - median["command, 1 worker, short"]),
        f"command, {jobs} processes": (long - short)
        / (median[f"command, {jobs} processes, long"] - median[f"command, {jobs} processes, short"]),
        f"decode only, {jobs} workers": long / median[f"decode only, {jobs} workers"],
        "decode only, 1 worker": long / median["decode only, 1 worker"],
        f"decode and crop only, {jobs} workers": long / median[f"decode and crop only, {jobs} workers"],
        "decode and crop only, 1 worker": long / median["decode and crop only, 1 worker"],
        "scikit-image, joblib processes": max(200, long // 50) / median["scikit-image, joblib processes"],
    }
    startup = median[f"command, {jobs} workers, short"] - short / rates[f"command, {jobs} workers"]
    print("\nsteady rates, images/s")
    for key, rate in rates.items():
        print(f"  {key:<40} {rate:8.0f}")
    print(f"  start-up of the command: {startup:.2f} s")
    ratios = {
        f"folder to cache / decode-only, rate, {jobs} workers": rates[f"command, {jobs} workers"]
        / rates[f"decode only, {jobs} workers"],
        "folder to cache / decode-only, rate, 1 worker": rates["command, 1 worker"] / rates["decode only, 1 worker"],
        f"folder to cache / decode and crop only, rate, {jobs} workers": rates[f"command, {jobs} workers"]
        / rates[f"decode and crop only, {jobs} workers"],
        "folder to cache / decode and crop only, rate, 1 worker": rates["command, 1 worker"]
        / rates["decode and crop only, 1 worker"],
        "folder to cache / scikit-image with joblib processes, rate": rates[f"command, {jobs} workers"]
        / rates["scikit-image, joblib processes"],
        f"{jobs} processes / 1 worker, rate": rates[f"command, {jobs} processes"] / rates["command, 1 worker"],
        f"{jobs} workers / 1 worker, rate": rates[f"command, {jobs} workers"] / rates["command, 1 worker"],
    }
    common.print_ratios(ratios, GOALS)
    print(f"\nat this rate the paper's 61,578 images take {61578 / rates[f'command, {jobs} workers']:.0f} s "
          "(about 20 minutes with 4 threads there, on a machine of 2016)")  # fmt: skip
    common.save(
        "batch",
        {
            "source": "real images" if options.images else "simulated galaxies",
            "seconds": rows, "rates": rates, "startup_s": startup, "count": long, "ratios": ratios, "goals": GOALS,
        },
        options.output,
    )  # fmt: skip


if __name__ == "__main__":
    main()
