"""The same gain on another kind of image: handwritten digits at random scales on a large dark canvas.

scikit-learn's 1,797 digits (8 x 8 pixels) are enlarged by a random factor, laid on a canvas of 160 x 160 with a
little noise, and turned into three views: cropped to the digit (normalized), and two fixed crops. The same small
network then learns each view. Takes about a minute on two cores; draws not_only_galaxies.png.

    python examples/not_only_galaxies.py [--output PICTURE] [--seeds N] [--epochs N]
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_digits

import scalenorm

CANVAS, SIZE = 160, 32
VIEWS = ("normalized", "center-48", "center-160")
COLOURS = {"normalized": "#0072B2", "center-48": "#D55E00", "center-160": "#009E73"}  # Okabe & Ito


def draw_scene(digit, rng):
    """Lay one digit, 24 to 144 pixels high, in the middle of a canvas; returns uint8 (CANVAS, CANVAS)."""
    side = round(24 * 6 ** rng.random())
    picture = Image.fromarray((digit * 15).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    scene = rng.normal(10, 3, (CANVAS, CANVAS))
    corner = (CANVAS - side) // 2
    scene[corner : corner + side, corner : corner + side] += np.asarray(picture)
    return np.clip(scene, 0, 255).astype(np.uint8)


def network(seed):
    """A small convolutional network."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 1)),
            keras.layers.Rescaling(1 / 128, offset=-0.5),
            keras.layers.Conv2D(12, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(24, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(48, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="not_only_galaxies.png", metavar="PICTURE")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--epochs", type=int, default=12, metavar="N")
    args = parser.parse_args()
    began = time.monotonic()
    digits = load_digits()
    rng = np.random.default_rng(0)
    scenes = np.stack([draw_scene(digit, rng) for digit in digits.images])
    # A pen stroke is one object, but its loops touch the threshold: sigma 1 as for galaxies finds them all. The
    # margin leaves room beside the major axis of an ellipse, which for a thin 1 is all there is.
    options = {"margin": 1.25, "center": "galaxy"}
    views = {name: scalenorm.crop_many(scenes, SIZE, view=name, **options)[..., None] for name in VIEWS}
    order = rng.permutation(len(scenes))
    test, train = order[:450], order[450:]
    errors = {name: [] for name in VIEWS}
    for name, images in views.items():
        for seed in range(args.seeds):
            model = network(seed)
            model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
            history = model.fit(
                images[train], digits.target[train], batch_size=32, epochs=args.epochs, verbose=0,
                validation_data=(images[test], digits.target[test]),
            )  # fmt: skip
            errors[name].append(100 * (1 - np.array(history.history["val_accuracy"])))
        last = [curve[-1] for curve in errors[name]]
        print(f"{name:<12} test error {np.mean(last):5.1f}% +- {np.std(last):.1f}% ({args.seeds} seeds)")
    best_fixed = min(np.mean([curve[-1] for curve in errors[name]]) for name in VIEWS[1:])
    ratio = np.mean([curve[-1] for curve in errors["normalized"]]) / best_fixed
    print(f"normalized / best fixed crop: {ratio:.2f}; {time.monotonic() - began:.0f} s")
    draw(args.output, scenes, views, errors)
    print(f"drawn: {args.output}")


def draw(path, scenes, views, errors):
    """Three scenes with their views on the left, test error by epoch on the right."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))
    rows = np.argsort([scene.astype(float).sum() for scene in scenes])[[100, 900, 1700]]
    panels = left.subplots(3, 4)
    for line, row in zip(panels, rows, strict=True):
        for panel, image in zip(line, (scenes[row], *(views[name][row, ..., 0] for name in VIEWS)), strict=True):
            panel.imshow(image, cmap="gray", vmin=0, vmax=255)
            panel.set_axis_off()
    for panel, title in zip(panels[0], (f"scene ({CANVAS} px)", *VIEWS), strict=True):
        panel.set_title(title, fontsize=10)
    panel = right.subplots()
    for name, curves in errors.items():
        epochs = np.arange(1, len(curves[0]) + 1)
        for curve in curves:
            panel.plot(epochs, curve, color=COLOURS[name], linewidth=0.7, alpha=0.4)
        panel.plot(epochs, np.mean(curves, axis=0), color=COLOURS[name], linewidth=2, marker="o", label=name)
    panel.set_xlabel("epoch")
    panel.set_ylabel("test error (%)")
    panel.set_ylim(bottom=0)
    panel.grid(alpha=0.3)
    panel.legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
