"""Simulated galaxies, from images to a cache, a short training and its scores, all from Python (about a minute).

python examples/train_from_python.py [FOLDER]
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import galaxy_trainer
import scalenorm


def main(folder: Path) -> None:
    sample = scalenorm.make_galaxies(1200, seed=1, size=128)
    np.save(folder / "sky.npy", sample.images)
    rows = [f"sky/{i:06d}," + ",".join(map(repr, answers.tolist())) for i, answers in enumerate(sample.answers)]
    header = ",".join(["GalaxyID", *sample.answer_names])
    (folder / "labels.csv").write_text("\n".join([header, *rows]) + "\n")

    cache = folder / "galaxies.h5"
    scalenorm.convert([folder / "sky.npy"], cache, views=("normalized", "center-64"), labels=folder / "labels.csv")

    # A recipe is data: take one, change what should differ.
    recipe = galaxy_trainer.recipe_of("paper", {"width": 0.25, "epochs": 5, "optimizer": "adam", "learning_rate": 1e-3})
    run = galaxy_trainer.train(cache, folder / "run", recipe=recipe, report=print)

    scores = run.metrics
    print(f"mean squared error on {scores['galaxies']} galaxies not trained on")
    print(f"  the network      {scores['deterministic']['mse']:.5f}")
    print(f"  the mean answer  {scores['baselines']['mean_answer']['mse']:.5f}")

    # Raw images in, answers out: the standardisation is part of the network.
    network = galaxy_trainer.load_run(folder / "run").network()
    crop = scalenorm.crop(sample.images[0])
    smooth, features, artifact = network.predict(crop[None], verbose=0)[0, :3]
    print(f"first galaxy: smooth {smooth:.2f}, features or disk {features:.2f}, artifact {artifact:.2f}")

    galaxy_trainer.predict(run, cache, folder / "predictions.csv", orientations=8)
    print(f"predictions, averaged over 8 orientations: {folder / 'predictions.csv'}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        target = Path(sys.argv[1])
        target.mkdir(parents=True, exist_ok=True)
        main(target)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
