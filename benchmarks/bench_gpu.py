"""Training on a GPU: images per second by precision and batch, what bounds the step, and the paper's three trainings.

    python benchmarks/bench_gpu.py [--cache CACHE] [--skip-trainings] [--trace FOLDER]

1. Images per second in float32 and bfloat16, batch 16 and 256, with augmentation, as `galaxy-train` runs
them. 2. What bounds the step: the same steps with parts left out (the input replaced by one batch,
augmentation left out,
   forward only). ``--trace`` also writes a profile of ten steps with the backend's own profiler, for
   TensorBoard.
3. Three trainings (20 epochs, 55,420 + 6,158 images of 64 x 64) with `galaxy_trainer.train`, at the first of
   ``--batch-sizes``. The paper took 45 hours for them; the goal is 10 minutes on one current data-centre GPU.

Not run yet: no GPU was to be had where this was written. It runs on a CPU too (``--count 500 --width 0.1``).
"""

import contextlib
import functools
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import common
import keras
import numpy as np
from bench_training import compiled, simulated_cache

import galaxy_trainer
import scalenorm
from galaxy_trainer.data.galaxies import Batches, open_galaxies
from galaxy_trainer.network import backend
from galaxy_trainer.network.augmentation import Augmentation, Augmented
from galaxy_trainer.network.networks import paper_network
from galaxy_trainer.runs.run import POLICIES
from galaxy_trainer.training.epochs import epoch_draws

VIEWS = ("normalized", "center-64", "center-96")


class SameBatch(keras.utils.PyDataset):
    """One batch, again and again: a step without its input."""

    def __init__(self, batch, count):
        super().__init__()
        self.batch, self.num_batches_ = batch, count

    @property
    def num_batches(self):
        return self.num_batches_

    def __getitem__(self, index):
        return self.batch


def main():
    parser = common.parser(__doc__.splitlines()[0])
    parser.add_argument("--cache", help="default: simulated galaxies, 2,048 distinct ones repeated")
    parser.add_argument("--count", type=int, default=61578, help="simulated galaxies (default %(default)s)")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=100, help="steps per measurement (default %(default)s)")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[256, 16])
    parser.add_argument("--precisions", nargs="+", default=["bfloat16", "float32"], choices=list(POLICIES))
    parser.add_argument("--trace", help="folder for a profile of ten steps")
    parser.add_argument("--skip-trainings", action="store_true")
    args = parser.parse_args()
    common.print_environment()
    print(f"Keras on {backend.name()}; devices: {', '.join(device_names())}")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        cache = args.cache or simulated_cache(folder, args.count, size=96, views=VIEWS)
        results = {"devices": device_names(), "steps": steps(cache, args)}
        if not args.skip_trainings:
            results["trainings"] = trainings(cache, folder, args)
    common.save("gpu", results, args.output)


def device_names():
    if backend.name() == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus] or ["CPU"]
    if backend.name() == "jax":
        import jax

        return [device.device_kind for device in jax.devices()]
    import torch

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] or ["CPU"]


def steps(cache, args):
    galaxies = open_galaxies(cache, ("normalized",), in_memory=True)
    rows = galaxies.labelled
    found = {}
    for precision in args.precisions:
        for batch in args.batch_sizes:
            draws = functools.partial(epoch_draws, augmentation=Augmentation(), size=galaxies.size, seed=0, epoch=0)
            order = np.resize(rows, batch * args.steps)
            network = paper_network(
                galaxies.size, channels=galaxies.channels, width=args.width, dtype=POLICIES[precision]
            )
            whole = compiled(Augmented(network))
            bare = compiled(network)
            drawn = Batches(galaxies, order, batch_size=batch, train=True, draws=draws)
            images = Batches(galaxies, order, batch_size=batch, train=True)
            same, same_images = SameBatch(drawn[0], args.steps), SameBatch(images[0], args.steps)

            def fit(model, data):
                return lambda: model.fit(data, epochs=1, shuffle=False, verbose=0)

            def answer(model, data):
                return lambda: model.predict(data, verbose=0)

            times = common.interleave(
                {
                    "as galaxy-train": fit(whole, drawn),
                    "the same batch again": fit(whole, same),
                    "the same batch, no augmentation": fit(bare, same_images),
                    "the same batch, forward only": answer(bare, SameBatch((images[0][0],), args.steps)),
                },
                args.rounds,
                args.steps,
            )
            name = f"{precision}, batch {batch}"
            common.print_times(f"one step: {name}", times, unit="ms", scale=1e3)
            rate = batch / times["as galaxy-train"]["median"]
            print(f"  {rate:.0f} images/s")
            found[name] = {"images_per_second": rate, "seconds": times}
            if args.trace:
                with traced(Path(args.trace) / name.replace(", ", "-").replace(" ", "-")):
                    fit(whole, Batches(galaxies, order[: 10 * batch], batch_size=batch, train=True, draws=draws))()
    return found


@contextlib.contextmanager
def traced(folder):
    """Profile with the backend's own profiler."""
    if backend.name() == "tensorflow":
        import tensorflow as tf

        with tf.profiler.experimental.Profile(str(folder)):
            yield
    elif backend.name() == "jax":
        import jax

        with jax.profiler.trace(str(folder)):
            yield
    else:
        import torch

        folder.mkdir(parents=True, exist_ok=True)
        with torch.profiler.profile() as profile:
            yield
        profile.export_chrome_trace(str(folder / "trace.json"))


def trainings(cache, folder, args):
    found = {}
    precision, batch = args.precisions[0], args.batch_sizes[0]
    print(f"\ntrainings: {args.epochs} epochs, {precision}, batch {batch}")
    for view in scalenorm.open_cache(cache).view_names:
        began = time.perf_counter()
        run = galaxy_trainer.train(
            cache, folder / view, view=view, width=args.width, epochs=args.epochs, batch_size=batch,
            precision=precision,
        )  # fmt: skip
        found[view] = {"seconds": time.perf_counter() - began, "history": run.history}
        print(f"  {view:<20} {found[view]['seconds']:8.1f} s")
    total = sum(part["seconds"] for part in found.values())
    print(f"  {'together':<20} {total:8.1f} s   goal: 600; the paper: 45 h = 162,000")
    return {"precision": precision, "batch": batch, "epochs": args.epochs, "total_seconds": total, "views": found}


if __name__ == "__main__":
    main()
