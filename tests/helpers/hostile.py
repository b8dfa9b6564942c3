"""A small cache whose ids, names and reasons hold what breaks pages, tables and file systems."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from scalenorm import convert, make_galaxies, open_cache

IDS = [
    "</script><script>document.title='broken'</script>", "<!-- <script>", "<img src=x onerror=document.title='bad'>",
    "NUL", "com1.fits", "../../etc/passwd", "a/b", "a_b", "Galaxy", "galaxy", "line\nbreak", 'comma, "quote"',
    ".hidden.", "é ünïcode 星系", "\u202egnp.exe", "x" * 300, "&amp;", "=1+1", "plain-1",
]  # fmt: skip
#: Those that are not shown as they are, and how they are.
ESCAPED = {"line\nbreak": "line\\nbreak", "\u202egnp.exe": "\\u202egnp.exe"}
BROKEN = "broken & <b>bold</b>"


def make_cache(folder: Path, *, labels: bool = False, **options):
    """A cache of one simulated galaxy per id, and one file that is no image."""
    images = folder / "images"
    images.mkdir()
    sample = make_galaxies(len(IDS), seed=5, size=212)
    with (folder / "list.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "path"])
        for number, (name, image) in enumerate(zip(IDS, sample.images, strict=True)):
            Image.fromarray(image).save(images / f"{number:02d} <i>&.png")
            writer.writerow([name, f"images/{number:02d} <i>&.png"])
        (images / "no <u>image.png").write_text("<p>no image</p>")
        writer.writerow([BROKEN, "images/no <u>image.png"])
    if labels:
        with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["id", *sample.answer_names])
            for name, answers in zip(IDS[:-1], sample.answers, strict=False):
                writer.writerow([name, *map(repr, answers.tolist())])
        options["labels"] = folder / "labels.csv"
    convert([], folder / "cache.h5", list_file=folder / "list.csv", **options)
    return open_cache(folder / "cache.h5")


def as_shown(name: str) -> str:
    """An id of `IDS` on a terminal or page."""
    return ESCAPED.get(name, name)


def answers_of(ids: list[str]) -> np.ndarray:
    """The simulated answers of some of `IDS`."""
    return make_galaxies(len(IDS), seed=5, size=212).answers[[IDS.index(name) for name in ids]]
