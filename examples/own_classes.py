"""Galaxies sorted into folders by hand, to a network that sorts others (about a minute on two cores).

python examples/own_classes.py [FOLDER]

The folders are made from simulated galaxies here; put your own images into folders of your own and type the commands
that are printed.
"""

import shlex
import subprocess
import sys
from pathlib import Path

from PIL import Image

import scalenorm


def run(command: str) -> None:
    print(f"$ {command}", flush=True)
    name, *options = shlex.split(command)
    subprocess.run([Path(sys.executable).parent / name, *options], check=True)


folder = Path(sys.argv[1] if len(sys.argv) > 1 else "own-classes")
sample = scalenorm.make_galaxies(600, seed=5, size=128)
answers = dict(zip(sample.answer_names, sample.answers.T, strict=True))
for i, name in enumerate(sample.ids):
    kind = "smooth" if answers["Class1.1"][i] > 0.5 else "edge-on" if answers["Class2.1"][i] > 0.25 else "face-on"
    (folder / "sorted" / kind).mkdir(parents=True, exist_ok=True)
    Image.fromarray(sample.images[i]).save(folder / "sorted" / kind / f"{name}.png")

run(f"scalenorm-batch {folder}/sorted {folder}/galaxies.h5 --class-from-folder")
run(
    f"galaxy-train {folder}/galaxies.h5 --target classes -o {folder}/run --test-fraction 0.2 "
    "--recipe best --rotations 1 --width 0.25 --epochs 10"
)
run(f"galaxy-predict {folder}/run {folder}/galaxies.h5 -o {folder}/answers.csv")
print(f"{folder}/run/confusion.png shows which class was taken for which")
