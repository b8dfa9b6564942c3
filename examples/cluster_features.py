"""Galaxies in groups that nobody named: the features of a trained network, clustered by scikit-learn.

python examples/cluster_features.py NETWORK IMAGES    a run or stored network, and a folder, archive or cache
python examples/cluster_features.py                   simulated galaxies, and a network trained on them for a minute
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

import galaxy_trainer
import scalenorm

GROUPS = 4


def train_on_simulated(folder: Path) -> tuple[Path, Path]:
    sample = scalenorm.make_galaxies(400, seed=1, size=96)
    np.save(folder / "sky.npy", sample.images)
    rows = [f"sky/{i:06d}," + ",".join(map(repr, answers.tolist())) for i, answers in enumerate(sample.answers)]
    (folder / "labels.csv").write_text("\n".join([",".join(["GalaxyID", *sample.answer_names]), *rows]) + "\n")
    scalenorm.convert(folder / "sky.npy", folder / "galaxies.h5", views=["normalized"], labels=folder / "labels.csv")
    recipe = galaxy_trainer.recipe_of("best", {"width": 0.15, "epochs": 12, "batch_size": 16, "learning_rate": 2e-3})
    galaxy_trainer.train(folder / "galaxies.h5", folder / "run", recipe=recipe)
    return folder / "run", folder / "sky.npy"


def main(network_path: str | Path, images: str | Path) -> None:
    network = galaxy_trainer.load(network_path)
    features = network.features(images)
    good = np.isfinite(features.values).all(axis=1)
    scaled = StandardScaler().fit_transform(features.values[good])
    groups = KMeans(GROUPS, n_init=10, random_state=0).fit_predict(scaled)

    # What the groups are is seen best in pictures (scalenorm-report); here what the network answers of them.
    answers = network.predict(images).answers[good]
    ids = np.array(features.ids)[good]
    for group in range(GROUPS):
        mine = groups == group
        smooth, disk = answers[mine].mean(axis=0)[:2]
        print(f"group {group}: {mine.sum():4d} galaxies like {ids[mine][0]}; smooth {smooth:.2f}, features {disk:.2f}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        main(sys.argv[1], sys.argv[2])
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(*train_on_simulated(Path(temporary)))
