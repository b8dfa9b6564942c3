"""What all benchmark scripts share: the environment, interleaved timing, tables and result files.

Absolute times drift by a third on shared machines. So contenders run in turn, round after round, in one process, and
what is reported is each one's median with its spread (10th to 90th percentile), and ratios of medians.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    *("scalenorm", "numpy", "numba", "scipy", "scikit-image", "h5py", "simplejpeg", "pillow"),
    *("opencv-python-headless", "sep", "photutils", "keras", "tensorflow", "jax", "torch"),
    *("webdataset", "datasets", "zarr"),
)


def environment() -> dict[str, Any]:
    """Machine, date and versions."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {model}, {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def interleave(
    contenders: Mapping[str, Callable[[], Any]],
    rounds: int,
    per: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, dict[str, float]]:
    """Time each contender once a round, in turn; seconds divided by ``per``. The first, warming, round is left out."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, function in contenders.items():
            start = clock()
            function()
            if turn:
                seconds[name].append((clock() - start) / per)
    return {
        name: {
            "median": float(np.median(values)),
            "low": float(np.percentile(values, 10)),
            "high": float(np.percentile(values, 90)),
        }
        for name, values in seconds.items()
    }


def print_times(title: str, times: Mapping[str, Mapping[str, float]], unit: str = "us", scale: float = 1e6) -> None:
    """One line for each contender."""
    print(f"\n{title}")
    for name, t in times.items():
        print(f"  {name:<44} {t['median'] * scale:10.1f} {unit}   ({t['low'] * scale:.1f} to {t['high'] * scale:.1f})")


def print_ratios(ratios: Mapping[str, float], goals: Mapping[str, str] | None = None) -> None:
    """Ratios, beside what was asked of them."""
    print("\nratios of medians")
    for name, value in ratios.items():
        goal = (goals or {}).get(name, "")
        print(f"  {name:<60} {value:8.2f}   {goal}")


def save(name: str, results: Mapping[str, Any], output: str | None) -> None:
    """Write results and environment as JSON to benchmarks/results, or where ``output`` says."""
    path = Path(output) if output else RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"environment": environment(), **results}, indent=1) + "\n")
    print(f"\nwritten to {path}")


def parser(description: str | None) -> argparse.ArgumentParser:
    """Options that every script has."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--rounds", type=int, default=15, help="timed rounds (default %(default)s)")
    result.add_argument("--output", help="result file (default: benchmarks/results/NAME.json)")
    result.add_argument("--images", help="folder of JPEG images to use in place of simulated galaxies")
    return result


def load_images(folder: str | None, count: int, seed: int = 1) -> list[np.ndarray]:
    """``count`` RGB images of 424 x 424: real ones from a folder, or simulated."""
    import scalenorm

    if folder is None:
        return list(scalenorm.make_galaxies(count, seed=seed).images)
    from PIL import Image

    return [np.asarray(Image.open(path)) for path in sorted(Path(folder).glob("*.jpg"))[:count]]


def print_environment() -> None:
    """Print machine, date and versions."""
    found = environment()
    print(f"{found['date']}  {found['machine']}  Python {found['python']}")
    print("  ".join(f"{name} {version}" for name, version in found["versions"].items()))
