"""Folder to cache: scalenorm-batch against decoding the same files alone, and against the paper's way.

Steady state is the slope between a short and a long list of the same files (each file appears many times under its
own id), so that start-up, which is reported on its own, does not count. The paper's way is scikit-image in joblib
processes, one HDF5 write an image.

With --containers: the same images in a folder, archives, stacks and Parquet shards, each made into a cache by one
call, listing included.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import common
import numpy as np
import simplejpeg
from PIL import Image

from scalenorm.cropping.crop import measure_and_crop
from scalenorm.images.decoding import decode_masked
from scalenorm.images.options import DecodeOptions
from scalenorm.measuring.options import MeasureOptions

BATCH = Path(sys.executable).parent / "scalenorm-batch"
VIEWS = {"one view": "normalized", "three views": "normalized,center-64,center-256"}
TWO = ("2 workers", "2 processes")
GOALS = {
    **{f"command / decode-only, rate, one view, {who}": ">= 0.60" for who in TWO},
    "command / decode-only, rate, one view, 1 worker": ">= 0.64",
    **{f"command / decode-only, rate, three views, {who}": ">= 0.54" for who in TWO},
    "command / decode-only, rate, three views, 1 worker": ">= 0.58",
    **{f"command / bare loop, rate, one view, {who}": ">= 0.9" for who in TWO},
    **{f"{who} / 1 worker, rate, one view": ">= 1.75" for who in TWO},
    "command / scikit-image in joblib processes, rate, one view": ">= 8 on Intel, >= 5.5 on Zen 5",
}
OTHERS = {"16-bit PNG": ".png", "float32 FITS": ".fits"}


def write_list(path: Path, files: list[Path], count: int) -> Path:
    """A list of ``count`` rows over the files, each row with an id of its own."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "id"])
        writer.writerows((files[index % len(files)], f"{index:07d}") for index in range(count))
    return path


def convert(list_file: Path, views: str, jobs: int, backend: str = "threads") -> float:
    """Seconds of one run of the command."""
    output = list_file.with_suffix(f".{jobs}.h5")
    output.unlink(missing_ok=True)
    start = time.perf_counter()
    options = ["--views", views, "--jobs", str(jobs), "--backend", backend, "--quiet"]
    subprocess.run([BATCH, "--list", list_file, output, *options], check=True)
    seconds = time.perf_counter() - start
    output.unlink()
    return seconds


def decode_only(files: list[Path], count: int, jobs: int, views: str | None = None) -> float:
    """Seconds to read and decode ``count`` files, JPEGs each into its worker's own buffer, 64 files a task.

    With ``views`` they are measured and cut as well, and thrown away: what the command does to each image less hash,
    catalogue and files. No pipeline around the same kernels can be faster.
    """
    options, decoding = MeasureOptions(channel_axis=-1), DecodeOptions(dtype="uint16")

    def decode(start: int) -> None:
        buffer = None
        for index in range(start, min(start + 64, count)):
            path = files[index % len(files)]
            data = path.read_bytes()
            if path.suffix == ".jpg":
                if buffer is None:
                    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
                    buffer = np.empty((height, width, 3), np.uint8)
                image = simplejpeg.decode_jpeg(data, buffer=buffer)
            else:
                image = decode_masked(data, path.name, decoding)[0]
            if views is not None:
                measure_and_crop(image, views.split(","), 64, options)

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


def write_others(folder: Path, files: list[Path]) -> dict[str, list[Path]]:
    """The first images as 16-bit PNG, and their green band as float32 FITS."""
    import cv2
    from astropy.io import fits

    written: dict[str, list[Path]] = {kind: [] for kind in OTHERS}
    for number, path in enumerate(files[:200]):
        image = np.asarray(Image.open(path))
        for kind, ending in OTHERS.items():
            written[kind].append(folder / f"{number:04d}{ending}")
        cv2.imwrite(str(written["16-bit PNG"][-1]), image[:, :, ::-1].astype(np.uint16) * 257)
        fits.writeto(written["float32 FITS"][-1], image[:, :, 1].astype(np.float32))
    return written


def write_containers(folder: Path, files: list[Path]) -> dict[str, Path]:
    """The same JPEGs in everything that holds many, and their pixels in stacks."""
    import h5py
    import pyarrow as pa
    import pyarrow.parquet as pq

    images = np.stack([np.asarray(Image.open(path)) for path in files])
    found = {
        "folder of JPEG": files[0].parent, ".zip of JPEG": folder / "a.zip", ".tar of JPEG": folder / "a.tar",
        "Parquet shards of JPEG": folder / "shards", ".npy stack": folder / "a.npy", ".npz stack": folder / "a.npz",
        ".npz stack, compressed": folder / "b.npz", "HDF5 stack": folder / "a.h5", "HDF5 stack, gzip": folder / "b.h5",
    }  # fmt: skip
    with zipfile.ZipFile(found[".zip of JPEG"], "w") as zipped, tarfile.open(found[".tar of JPEG"], "w") as tar:
        for path in files:
            zipped.write(path, path.name)
            tar.add(path, path.name)
    found["Parquet shards of JPEG"].mkdir()
    for number, start in enumerate(range(0, len(files), 500)):
        rows = [{"bytes": path.read_bytes(), "path": path.name} for path in files[start : start + 500]]
        shard = found["Parquet shards of JPEG"] / f"train-{number:05d}.parquet"
        pq.write_table(pa.table({"image": rows}), shard, row_group_size=100)
    np.save(found[".npy stack"], images)
    np.savez(found[".npz stack"], images=images)
    np.savez_compressed(found[".npz stack, compressed"], images=images)
    for name, options in (("HDF5 stack", {}), ("HDF5 stack, gzip", {"compression": "gzip"})):
        with h5py.File(found[name], "w") as file:
            file.create_dataset("images", data=images, chunks=(1, *images.shape[1:]) if options else None, **options)
    return found


def measure_containers(files: list[Path], options: argparse.Namespace) -> None:
    """Processor time of each container, in turn: less disturbed by other programs than the time that passes."""
    import scalenorm

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        copies = [folder / "images" / f"{index:06d}.jpg" for index in range(min(options.count, 1000))]
        for index, copy in enumerate(copies):
            shutil.copy(files[index % len(files)], copy)
        containers = write_containers(folder, copies)
        make = partial(
            scalenorm.convert, output=folder / "out.h5", views=["normalized"], jobs=options.jobs, backend="threads",
            overwrite=True,
        )  # fmt: skip
        runs = {kind: partial(make, path) for kind, path in containers.items()}
        times = common.interleave(runs, options.rounds, len(copies), time.process_time)
        sizes = {
            kind: sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path]))
            for kind, path in containers.items()
        }
    common.print_times("an image, by what holds it", times)
    common.save(
        "containers",
        {
            "source": "real images" if options.images else "simulated galaxies", "count": len(copies),
            "workers": options.jobs, "times": times, "bytes": sizes,
        },
        options.output,
    )  # fmt: skip


def main() -> None:
    arguments = common.parser(__doc__)
    arguments.add_argument("--count", type=int, default=20000, help="images of a long run (default %(default)s)")
    arguments.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    arguments.add_argument("--containers", action="store_true", help="compare what holds the images, and no more")
    arguments.set_defaults(rounds=3)
    options = arguments.parse_args()
    common.print_environment()
    jobs, long, short = options.jobs, options.count, 1024
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.images:
            files = sorted(Path(options.images).glob("*.jpg"))[:2000]
        else:
            files = []
            for index, image in enumerate(common.load_images(None, 200)):
                files.append(folder / f"{index:04d}.jpg")
                Image.fromarray(image).save(files[-1], quality=90)
        if options.containers:
            measure_containers(files, options)
            return
        runs: dict[str, tuple[int, Callable[[], float]]] = {}  # images, and what makes them
        for workers in (jobs, 1):
            runs[f"decode only, {_workers(workers)}"] = long, partial(decode_only, files, long, workers)
        for view, names in VIEWS.items():
            for workers, backend in ((jobs, "threads"), (1, "threads"), (jobs, "loky")):
                who = _workers(workers) if backend == "threads" else f"{workers} processes"
                for count in (short, long):
                    listed = write_list(folder / f"{count}.csv", files, count)
                    runs[f"command, {view}, {who}, {count}"] = count, partial(convert, listed, names, workers, backend)
            for workers in (jobs, 1):
                runs[f"bare loop, {view}, {_workers(workers)}"] = (
                    long,
                    partial(decode_only, files, long, workers, names),
                )
        few = max(200, long // 50)
        runs["scikit-image, joblib processes"] = few, partial(papers_way, files, few, jobs)
        for kind, others in write_others(folder, files).items():
            count = long // 4
            runs[f"decode only, {kind}, {_workers(jobs)}"] = count, partial(decode_only, others, count, jobs)
            for size in (short, count):
                listed = write_list(folder / f"{kind}-{size}.csv", others, size)
                runs[f"command, {kind}, {_workers(jobs)}, {size}"] = (
                    size,
                    partial(convert, listed, VIEWS["one view"], jobs),
                )
        for turn in range(options.rounds):
            if not turn:  # kernels compiled, files in the page cache
                for view in VIEWS.values():
                    convert(folder / f"{short}.csv", view, jobs)
                for kind in OTHERS:
                    convert(folder / f"{kind}-{short}.csv", VIEWS["one view"], jobs)
            for key, (_, make) in runs.items():
                seconds.setdefault(key, []).append(make())
                print(f"  {key:<50} {seconds[key][-1]:8.2f} s", flush=True)
    median = {key: float(np.median(values)) for key, values in seconds.items()}
    rates, starts = {}, {}
    for key, (count, _) in runs.items():
        if not key.startswith("command"):
            rates[key] = count / median[key]
        elif count != short:
            what, begun = key.rpartition(", ")[0], median[f"{key.rpartition(', ')[0]}, {short}"]
            rates[what] = (count - short) / (median[key] - begun)
            starts[what] = begun - short / rates[what]
    ratios = ratios_of(rates, jobs)
    print("\nsteady rates, images/s")
    for key, rate in rates.items():
        print(f"  {key:<50} {rate:8.0f}" + (f"   start-up {starts[key]:.2f} s" if key in starts else ""))
    common.print_ratios(ratios, GOALS)
    rate = rates[f"command, three views, {_workers(jobs)}"]
    print(f"\nat this rate the paper's 61,578 images take {61578 / rate:.0f} s "
          "(about 20 minutes with 4 threads there, on a machine of 2016)")  # fmt: skip
    common.save(
        "batch",
        {
            "source": "real images" if options.images else "simulated galaxies", "seconds": seconds, "rates": rates,
            "startup_s": starts, "count": long, "ratios": ratios, "goals": GOALS,
        },
        options.output,
    )  # fmt: skip


def ratios_of(rates: dict[str, float], jobs: int) -> dict[str, float]:
    """What the rates of one run say: workers are threads, and processes what ``--backend auto`` takes for long runs."""
    ratios = {}
    for view in VIEWS:
        for who, workers in ((_workers(jobs), jobs), (f"{jobs} processes", jobs), (_workers(1), 1)):
            command = rates[f"command, {view}, {who}"]
            for name, other in (("decode-only", "decode only"), ("bare loop", f"bare loop, {view}")):
                ratios[f"command / {name}, rate, {view}, {who}"] = command / rates[f"{other}, {_workers(workers)}"]
        for who in (_workers(jobs), f"{jobs} processes"):
            ratios[f"{who} / 1 worker, rate, {view}"] = (
                rates[f"command, {view}, {who}"] / rates[f"command, {view}, 1 worker"]
            )
    ratios["command / scikit-image in joblib processes, rate, one view"] = (
        rates[f"command, one view, {_workers(jobs)}"] / rates["scikit-image, joblib processes"]
    )
    for kind in OTHERS:
        ratios[f"command / decode-only, rate, {kind}, {_workers(jobs)}"] = (
            rates[f"command, {kind}, {_workers(jobs)}"] / rates[f"decode only, {kind}, {_workers(jobs)}"]
        )
    return ratios


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


if __name__ == "__main__":
    main()
