"""Cache to network: random batches through scalenorm.open_cache against the other ways to read the same images."""

from __future__ import annotations

import tempfile
from pathlib import Path

import common
import h5py
import numpy as np

import scalenorm

GOALS = {
    "random batch of 16, us per image": "<= 5",
    "h5py fancy indexing / open_cache, batch of 16": ">= 20",
}


def main() -> None:
    arguments = common.parser(__doc__)
    arguments.add_argument("--count", type=int, default=8192, help="images in the cache (default %(default)s)")
    options = arguments.parse_args()
    common.print_environment()
    generator = np.random.default_rng(1)
    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = generator.integers(0, 256, (options.count, 64, 64, 3), dtype=np.uint8)
        np.save(folder / "stack.npy", images)
        scalenorm.convert(folder / "stack.npy", folder / "cache.h5", views=["center-64"])
        with h5py.File(folder / "gzip.h5", "w") as file:
            chunks = (64, 64, 64, 3)
            file.create_dataset("images", data=images, chunks=chunks, compression="gzip", compression_opts=1)
        view = scalenorm.open_cache(folder / "cache.h5").view("center-64")
        with h5py.File(folder / "cache.h5") as plain, h5py.File(folder / "gzip.h5") as packed:
            contiguous, chunked = plain["views/center-64"], packed["images"]
            for batch in (16, 256):
                draws = [np.sort(generator.choice(options.count, batch, replace=False)) for _ in range(20)]
                if not np.array_equal(view[draws[0]], contiguous[draws[0]]):
                    raise SystemExit("open_cache and h5py read different images")
                contenders = {
                    "scalenorm.open_cache": lambda: [np.asarray(view[rows]) for rows in draws],
                    "h5py fancy indexing, contiguous": lambda: [contiguous[rows] for rows in draws],
                    "h5py row by row, contiguous": lambda: [[contiguous[row] for row in rows] for rows in draws],
                    "array in memory": lambda: [images[rows] for rows in draws],
                }
                rounds = options.rounds
                times = common.interleave(contenders, rounds, 20 * batch)
                few = draws[:2]
                times |= common.interleave(
                    {"h5py fancy indexing, 64-image chunks, gzip": lambda: [chunked[rows] for rows in few]},
                    3,
                    2 * batch,
                )
                times |= loaders(images, batch, rounds)
                common.print_times(f"random batches of {batch}, per image", times)
                results[batch] = times
    ratios = {
        "random batch of 16, us per image": results[16]["scalenorm.open_cache"]["median"] * 1e6,
        "h5py fancy indexing / open_cache, batch of 16": results[16]["h5py fancy indexing, contiguous"]["median"]
        / results[16]["scalenorm.open_cache"]["median"],
        "h5py fancy indexing / open_cache, batch of 256": results[256]["h5py fancy indexing, contiguous"]["median"]
        / results[256]["scalenorm.open_cache"]["median"],
    }
    common.print_ratios(ratios, GOALS)
    common.save("loading", {"times": results, "ratios": ratios, "goals": GOALS}, options.output)


def loaders(images: np.ndarray, batch: int, rounds: int) -> dict[str, dict[str, float]]:
    """tf.data from an array in memory, and PyTorch's DataLoader where it is installed."""
    import tensorflow as tf

    pipeline = tf.data.Dataset.from_tensor_slices(images).shuffle(len(images)).batch(batch)
    contenders = {"tf.data from an array, shuffled": lambda: sum(1 for _ in pipeline)}
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed: its DataLoader is left out")
    else:
        loader = torch.utils.data.DataLoader(torch.from_numpy(images), batch_size=batch, shuffle=True)
        contenders["PyTorch DataLoader from an array, shuffled"] = lambda: sum(1 for _ in loader)
    return common.interleave(contenders, max(2, rounds // 7), len(images))


if __name__ == "__main__":
    main()
