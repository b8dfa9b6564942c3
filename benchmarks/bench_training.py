"""Training on this machine: does the input keep up, and what do untied biases, maxout and augmentation cost?

Measured in turns in one run:

* a training step of the paper's network, of the same with augmentation, and of a plain Keras network with the same
  convolutions (ordinary biases) and plain dense layers of as many units;
* reading and putting together all batches of an epoch, from memory and from the mapped file.

    python benchmarks/bench_training.py [--width 1.0] [--batch-size 16] [--cache CACHE]
"""

import functools
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import common
import keras
import numpy as np

from galaxy_trainer.data.galaxies import Batches, open_galaxies
from galaxy_trainer.network import backend
from galaxy_trainer.network.augmentation import Augmentation, Augmented
from galaxy_trainer.network.networks import CONVOLUTIONS, DENSE_UNITS, paper_network
from galaxy_trainer.training.epochs import epoch_draws


def plain_network(size, channels, width):
    """The same convolutions and dense sizes, with what Keras has: one bias per filter, ReLU, no maxout."""
    layers = [keras.Input((size, size, channels)), keras.layers.Normalization(mean=0.0, variance=1.0)]
    for group, filters in enumerate(CONVOLUTIONS):
        if group:
            layers.append(keras.layers.MaxPooling2D(2))
        layers += [keras.layers.Conv2D(round(n * width), 3, padding="same", activation="relu") for n in filters]
    layers.append(keras.layers.Flatten())
    for _ in range(2):
        layers += [keras.layers.Dense(round(DENSE_UNITS * width), activation="relu"), keras.layers.Dropout(0.5)]
    return keras.Sequential([*layers, keras.layers.Dense(37)])


def compiled(model):
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer=optimizer, loss="mse", jit_compile=backend.compile_step())
    return model


def main():
    parser = common.parser(__doc__.splitlines()[0])
    parser.add_argument("--cache", help="default: 2,048 simulated galaxies")
    parser.add_argument("--view", default="normalized")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.set_defaults(rounds=25)
    parser.add_argument("--steps", type=int, default=3, help="steps per measurement (default %(default)s)")
    args = parser.parse_args()
    common.print_environment()
    with tempfile.TemporaryDirectory() as folder:
        measure(args.cache or simulated_cache(Path(folder)), args)


def simulated_cache(folder, count=2048, *, size=128, views=("normalized",), distinct=2048):
    """A cache of simulated galaxies, made as a user would make it; above `distinct` they repeat."""
    import scalenorm

    sample = scalenorm.make_galaxies(min(count, distinct), seed=0, size=size)
    which = np.arange(count) % len(sample.images)
    np.save(folder / "images.npy", sample.images[which])
    lines = [",".join(["GalaxyID", *sample.answer_names])]
    for i, answers in enumerate(sample.answers[which]):
        lines.append(",".join([f"images/{i:06d}", *map(repr, answers.tolist())]))
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    cache = folder / "cache.h5"
    scalenorm.convert([folder / "images.npy"], cache, views=views, labels=folder / "labels.csv")
    return cache


def measure(cache, args):
    loaded, mapped = (open_galaxies(cache, (args.view,), in_memory=memory) for memory in (True, False))
    rows = np.random.default_rng(0).permutation(loaded.labelled)
    size, channels, batch = loaded.size, loaded.channels, args.batch_size
    draws = functools.partial(epoch_draws, augmentation=Augmentation(), size=size, seed=0, epoch=0)
    network = compiled(paper_network(size, channels=channels, width=args.width))
    augmented = compiled(Augmented(paper_network(size, channels=channels, width=args.width)))
    plain = compiled(plain_network(size, channels, args.width))
    whole = {
        name: Batches(galaxies, rows, batch_size=batch, train=True, draws=draws)
        for name, galaxies in (("from memory", loaded), ("from the mapped file", mapped))
    }
    print(
        f"Keras on {backend.name()}; {len(rows)} images, {size} x {size} x {channels}; width {args.width:g}, batch "
        f"{batch}: {network.count_params():,} parameters (plain: {plain.count_params():,})"
    )

    inputs, answers = whole["from memory"][0]

    def train(model, images):
        return lambda: [model.train_on_batch(images, answers) for _ in range(args.steps)]

    steps = common.interleave(
        {
            "this network": train(network, inputs["view_0"]),
            "plain network": train(plain, inputs["view_0"]),
            "this network, augmented": train(augmented, inputs),
        },
        args.rounds,
        args.steps,
    )
    batches = common.interleave(
        {name: lambda b=b: [b[i] for i in range(b.num_batches)] for name, b in whole.items()},
        3,
        next(iter(whole.values())).num_batches,
    )
    common.print_times("one training step", steps, unit="ms", scale=1e3)
    common.print_times("one batch read and put together", batches)
    step = {name: times["median"] for name, times in steps.items()}
    print(f"\n{batch / step['this network, augmented']:.0f} images/s in training")
    ratios = {
        f"input {name} over training": step["this network, augmented"] / t["median"] for name, t in batches.items()
    }
    goals = dict.fromkeys(ratios, "goal: at least 20")
    ratios["step: this network over plain"] = step["this network"] / step["plain network"]
    ratios["step: augmented over not"] = step["this network, augmented"] / step["this network"]
    goals["step: this network over plain"] = "goal: at most 1.1"
    common.print_ratios(ratios, goals)
    settings = {"width": args.width, "batch_size": batch, "backend": backend.name(), "steps": args.steps}
    common.save("training", {"settings": settings, "seconds": {**steps, **batches}, "ratios": ratios}, args.output)


if __name__ == "__main__":
    main()
