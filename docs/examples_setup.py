"""What examples in the pages find in their folder: images/, labels.csv and galaxies.h5 of 12 simulated galaxies."""

import csv
import functools
from pathlib import Path

from PIL import Image

import scalenorm
from scalenorm.simulation.galaxies import GalaxySample


@functools.cache
def prepare() -> GalaxySample:
    """Write the files into the current folder, once; return the galaxies."""
    sample = scalenorm.make_galaxies(12, seed=1)
    Path("images").mkdir(exist_ok=True)
    for name, image in zip(sample.ids, sample.images, strict=True):
        Image.fromarray(image).save(f"images/{name}.png")
    with open("labels.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["GalaxyID", *sample.answer_names])
        writer.writerows([name, *answers] for name, answers in zip(sample.ids, sample.answers.tolist(), strict=True))
    scalenorm.convert("images", "galaxies.h5", labels="labels.csv")
    return sample
