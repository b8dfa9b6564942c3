"""A number learned from images: the true axis ratio of simulated galaxies (about a minute on two cores).

python examples/regression.py [FOLDER]

The ellipse that scalenorm fits has an axis ratio too, which is hard to beat here and shows what to compare with. A
network is for what no formula gives: put your own column of numbers in its place.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import galaxy_trainer
import scalenorm

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "regression")
folder.mkdir(exist_ok=True)
sample = scalenorm.make_galaxies(1000, seed=3, size=128)
ratio = sample.minor_axis / sample.major_axis
np.save(folder / "sky.npy", sample.images)
lines = ["id,axis_ratio", *(f"sky/{i:06d},{value}" for i, value in enumerate(ratio))]
(folder / "labels.csv").write_text("\n".join(lines))

cache = folder / "galaxies.h5"
scalenorm.convert([folder / "sky.npy"], cache, labels=folder / "labels.csv")
run = galaxy_trainer.train(
    cache, folder / "run", target=galaxy_trainer.Choice(kind="values", columns=["axis_ratio"]), report=print,
    recipe="best", rotations=1, width=0.25, epochs=12, test_fraction=0.2,
)  # fmt: skip
scores = run.metrics["deterministic"]["answers"]["axis_ratio"]

catalog = scalenorm.open_cache(cache).catalog
tested = np.array([run.parts.get(row["id"].decode()) == "test" for row in catalog])
measured = (catalog["minor_axis"] / catalog["major_axis"])[tested]
print(f"{tested.sum()} galaxies not trained on, mean absolute error of the axis ratio")
print(f"  the network            {scores['mae']:.3f} (R2 {scores['r2']:.2f})")
print(f"  the fitted ellipse     {np.abs(measured - ratio[tested]).mean():.3f}")
print(f"  the mean of the others {np.abs(ratio[tested] - ratio[~tested].mean()).mean():.3f}")

galaxy_trainer.predict(run, cache, folder / "answers.csv", orientations=8)
print((folder / "answers.csv").read_text().splitlines()[0])
