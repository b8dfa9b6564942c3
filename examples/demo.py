"""From images to crops to a trained network: what ``make demo`` runs.

Simulated galaxies with known answers, and real ones cut from the Hubble deep field picture that scikit-image ships.
Each step is a command that could be typed; it is printed before it runs.
"""

from __future__ import annotations

import argparse
import csv
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import scipy.ndimage
import skimage.data
from PIL import Image

import scalenorm

BIN = Path(sys.executable).parent


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def run(*words: str | Path) -> None:
    """Print a command as one would type it, and run it."""
    print("$ " + shlex.join(str(word) for word in words), flush=True)
    start = time.perf_counter()
    code = subprocess.run([BIN / str(words[0]), *map(str, words[1:])], env=os.environ).returncode
    print(f"  ({time.perf_counter() - start:.0f} s)", flush=True)
    if code:
        raise SystemExit(f"{words[0]} ended with exit code {code}")


def simulate(folder: Path, labels: Path, count: int) -> None:
    """JPEG files of simulated galaxies, and their 37 answers in the Galaxy Zoo challenge's format."""
    folder.mkdir(parents=True)
    with labels.open("w", newline="") as file:
        writer = csv.writer(file)
        for first in range(0, count, 50):
            sample = scalenorm.make_galaxies(min(50, count - first), seed=2016, first=first)
            if first == 0:
                writer.writerow(["GalaxyID", *sample.answer_names])
            for name, image, answers in zip(sample.ids, sample.images, sample.answers, strict=True):
                Image.fromarray(image).save(folder / f"{name}.jpg", quality=92)
                writer.writerow([name, *answers.tolist()])


def cut_hubble(folder: Path, count: int, size: int = 120) -> None:
    """Cutouts around the largest objects of the Hubble deep field picture."""
    folder.mkdir(parents=True)
    field = skimage.data.hubble_deep_field()
    grey = field.mean(axis=2)
    labels, _ = scipy.ndimage.label(scipy.ndimage.gaussian_filter(grey, 2) > grey.mean() + 2 * grey.std())
    areas = np.bincount(labels.ravel())[1:]
    centers = scipy.ndimage.center_of_mass(labels > 0, labels, np.arange(1, len(areas) + 1))
    made = 0
    for index in np.argsort(-areas, kind="stable"):
        top, left = (round(x) - size // 2 for x in centers[index])
        if top >= 0 and left >= 0 and top + size <= field.shape[0] and left + size <= field.shape[1]:
            Image.fromarray(field[top : top + size, left : left + size]).save(folder / f"hubble-{made:02d}.png")
            made += 1
        if made == count:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    parser.add_argument("--count", type=int, default=600, help="simulated galaxies (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args()
    output = options.output
    shutil.rmtree(output, ignore_errors=True)

    say(f"{options.count} simulated galaxies, and 24 cut from the Hubble deep field")
    simulate(output / "simulated", output / "labels.csv", options.count)
    cut_hubble(output / "hubble", 24)

    say("Measure each galaxy, crop to it, write a cache")
    run("scalenorm-batch", output / "simulated", output / "simulated.h5", "--labels", output / "labels.csv")
    run("scalenorm-batch", output / "hubble", output / "hubble.h5", "--views", "normalized,center-64")
    run("scalenorm-inspect", output / "simulated.h5")

    say("Draw what was measured")
    run("scalenorm-report", output / "simulated.h5", "--montage", output / "simulated.png")
    run("scalenorm-report", output / "hubble.h5", "--montage", output / "hubble.png")
    run("scalenorm-report", output / "simulated.h5", "--html", output / "report.html")

    say("Train a small network on the crops: a few epochs, a quarter of the paper's widths")
    run(
        "galaxy-train", output / "simulated.h5", "--view", "normalized", "-o", output / "run",
        "--epochs", str(options.epochs), "--width", "0.25",
    )  # fmt: skip
    run("galaxy-evaluate", output / "run")

    say("Look at")
    for path, what in (
        ("simulated.png", "simulated galaxies: the fitted ellipse and the window, beside the three views"),
        ("hubble.png", "the same for real galaxies of the Hubble deep field"),
        ("report.html", "all measurements in one page: open it in a browser"),
        ("simulated.h5", "the cache: scalenorm.open_cache(...).view('normalized')"),
        ("run/", "the training: history.csv, curves as PNG, metrics.json, best.keras"),
    ):
        print(f"  {output / path}  {what}")


if __name__ == "__main__":
    main()
