"""How many images a second a processor trains on: backends, precisions, widths, batches; and what share of its peak.

    python benchmarks/bench_recipes.py [--backends tensorflow,jax,torch]

Each row is a process of its own, because a process has one backend; rows take turns. The network is that of recipe
"best", with augmentation, on random pixels. Its multiplications and additions (three times those of a forward pass) are
compared with the rate of a product of two 2048 x 2048 matrices in the same precision, by the same backend, in the same
process.
"""

import json
import os
import subprocess
import sys
import time

import common
import numpy as np

SIZE, CHANNELS, STEPS = 64, 3, 6
ROWS = [
    (precision, width, batch)
    for precision in ("float32", "bfloat16")
    for width, batch in ((0.25, 32), (0.5, 32), (0.5, 64), (1.0, 32))
]


def flops(network):
    """Multiplications and additions of a forward pass of one image."""
    total = 0
    for layer in network.layers:
        turns = 1 if layer.name in ("maxout_2", "linear") else 4
        if layer.name.startswith(("conv", "maxout", "linear")):
            places = np.prod(layer.output.shape[1:3]) if layer.name.startswith("conv") else 1
            total += turns * 2 * places * np.prod(layer.kernel.shape)
    return float(total)


def measure(precision, width, batch):
    """Print the rates of one row."""
    import keras

    from galaxy_trainer import RECIPES
    from galaxy_trainer.network import backend
    from galaxy_trainer.network.augmentation import Augmented, draw
    from galaxy_trainer.network.networks import paper_network
    from galaxy_trainer.network.recipes import optimizer_of

    recipe = RECIPES["best"]
    policy = "float32" if precision == "float32" else "mixed_bfloat16"
    rng = np.random.default_rng(0)
    network = paper_network(
        SIZE, trunk=recipe.network, rotations=recipe.rotations, width=width, dropout=recipe.dropout, head=recipe.head,
        std=[[60.0] * CHANNELS], mean=[[40.0] * CHANNELS], dtype=policy,
    )  # fmt: skip
    model = Augmented(network)
    model.compile(optimizer=optimizer_of(recipe, [1000]), loss="mse", jit_compile=backend.compile_step())
    drawn = draw(recipe.augmentation, batch, SIZE, rng)
    inputs = {
        "view_0": rng.integers(0, 256, (batch, SIZE, SIZE, CHANNELS)).astype(np.uint8),
        "sky": np.full((batch, CHANNELS), 10, np.float32), "transform": drawn.transform, "gain": drawn.gain,
    }  # fmt: skip
    answers = rng.random((batch, 37)).astype(np.float32)

    def rate(step, amount):
        for _ in range(3):
            step()
        seconds = []
        for _ in range(STEPS):
            began = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - began)
        return amount / float(np.median(seconds))

    images = rate(lambda: float(np.asarray(model.train_on_batch(inputs, answers))), batch)
    number = keras.ops.convert_to_tensor(rng.random((2048, 2048)), precision)
    product = rate(lambda: keras.ops.convert_to_numpy(keras.ops.matmul(number, number)[:1, :1]), 2 * 2048.0**3)
    print(json.dumps({"images/s": images, "matmul": product, "flops": 3 * flops(network)}))


def main():
    parser = common.parser(__doc__.splitlines()[0])
    parser.add_argument("--backends", default="tensorflow,jax", help="(default %(default)s)")
    parser.add_argument("--measure", nargs=3, help="for the processes of this script")
    parser.set_defaults(rounds=3)
    args = parser.parse_args()
    if args.measure:
        precision, width, batch = args.measure
        return measure(precision, float(width), int(batch))
    common.print_environment()
    found = {}
    for turn in range(args.rounds):
        for name in args.backends.split(","):
            for row in ROWS:
                command = [sys.executable, __file__, "--measure", *map(str, row)]
                environment = {**os.environ, "KERAS_BACKEND": name, "TF_CPP_MIN_LOG_LEVEL": "3"}
                printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
                key = f"{name}, {row[0]}, width {row[1]:g}, batch {row[2]}"
                found.setdefault(key, []).append(json.loads(printed.splitlines()[-1]))
                print(f"{turn}: {key:<45}{found[key][-1]['images/s']:8.0f} images/s", flush=True)
    rows = {}
    for key, results in found.items():
        images, product = (float(np.median([result[name] for result in results])) for name in ("images/s", "matmul"))
        rows[key] = {
            "images/s": images,
            "matmul, TFLOP/s": product / 1e12,
            "share of the matmul rate": images * results[0]["flops"] / product,
        }
        share = rows[key]["share of the matmul rate"]
        print(f"{key:<45}{images:8.0f} images/s {share:6.1%} of {product / 1e12:.2f} TFLOP/s")
    common.save("recipes", {"rows": rows}, args.output)
    return None


if __name__ == "__main__":
    main()
