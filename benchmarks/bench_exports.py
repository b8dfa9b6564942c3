"""One pass over crops and labels in shuffled batches: of a cache as it is, and of what ``scalenorm-export --to`` made.

    python benchmarks/bench_exports.py [--cache CACHE] [--folder FOLDER]

Each format is read as its own manual says, in one process, with no network behind it. All of them mix the rows as
well: a cache and Hugging Face draw from all rows, WebDataset and TFRecord from a buffer of 10,000, Zarr draws chunks
and mixes the rows in each, because a row drawn by itself costs a chunk (which is shown too). PyTorch's DataLoader is
left out if it is not installed. What is timed is the processor time of all threads together.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import common
import numpy as np

import scalenorm
from scalenorm.exporting.shards import ABOUT, FORMATS, write_shards

BATCH, BUFFER = 64, 10_000

Passes = dict[str, Callable[[], Iterator[tuple[Any, Any]]]]
"""By name: what begins a pass, over batches of crops and labels."""


def main() -> None:
    arguments = common.parser(__doc__)
    arguments.add_argument("--cache", type=Path, help="of one view, 8 bits, with labels (default: simulated galaxies)")
    arguments.add_argument("--count", type=int, default=4096, help="simulated galaxies (default %(default)s)")
    arguments.add_argument("--folder", type=Path, help="where exports are kept for the next time (default: nowhere)")
    arguments.set_defaults(rounds=5)
    options = arguments.parse_args()
    common.print_environment()
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        path = options.cache or simulated(folder, options.count)
        cache = scalenorm.open_cache(path)
        passes, sizes = of_cache(cache), {"cache": path.stat().st_size}
        for to in FORMATS:
            write_shards(cache, folder / to, to=to)
            sizes[to] = sum(file.stat().st_size for file in (folder / to).rglob("*") if file.is_file())
            passes |= READERS[to](folder / to)
        crops = cache.view(cache.view_names[0])[:]
        for kind, begin in passes.items():
            if sum(np.asarray(batch).sum(dtype=np.int64) for batch, _ in begin()) != crops.sum(dtype=np.int64):
                raise SystemExit(f"{kind}: other crops than in the cache")
        times = common.interleave(
            {kind: lambda begin=begin: sum(1 for _ in begin()) for kind, begin in passes.items()},
            options.rounds, len(cache), clock=time.process_time,
        )  # fmt: skip
    common.print_times(f"{len(cache)} crops, batches of {BATCH}, per crop", times)
    common.save("exports", {"count": len(cache), "batch": BATCH, "times": times, "bytes": sizes}, options.output)


def simulated(folder: Path, count: int) -> Path:
    """Make a cache of simulated galaxies with 37 labels."""
    path = folder / "cache.h5"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        sample = scalenorm.make_galaxies(count, seed=1, size=128)
        np.save(folder / "stack.npy", sample.images)
        lines = [",".join(["id", *sample.answer_names])]
        for row, answers in enumerate(sample.answers.tolist()):
            lines.append(",".join([f"stack/{row:06d}", *map(str, answers)]))
        (folder / "labels.csv").write_text("\n".join(lines))
        views = ["normalized"]
        scalenorm.convert(folder / "stack.npy", path, views=views, labels=folder / "labels.csv")
    return path


def of_cache(cache: scalenorm.Cache) -> Passes:
    """Return the ways to read a cache itself."""
    crops, labels = cache.view(cache.view_names[0]), np.asarray(cache.labels, np.float32)

    def by_hand() -> Iterator[tuple[Any, Any]]:
        order = np.random.default_rng(1).permutation(len(cache))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            yield crops[rows], labels[rows]

    of_tensorflow = cache.to_tf(batch_size=BATCH, shuffle=1)
    passes: Passes = {"cache, rows by hand": by_hand, "cache.to_tf()": lambda: iter(of_tensorflow)}
    with contextlib.suppress(ImportError):
        from torch.utils.data import DataLoader

        loader = DataLoader(cache.to_torch(), batch_size=BATCH, shuffle=True)
        passes["cache.to_torch(), DataLoader"] = lambda: iter(loader)
    return passes


def webdataset(folder: Path) -> Passes:
    """Tar files of PNG and JSON."""
    import webdataset

    shards = sorted(map(str, folder.glob("*.tar")))
    opened = webdataset.WebDataset(shards, shardshuffle=len(shards)).shuffle(BUFFER)
    batches = opened.decode("rgb8").to_tuple("png", "json").batched(BATCH)
    return {"webdataset": lambda: iter(batches)}


def tfrecord(folder: Path) -> Passes:
    """Records of pixels, through tf.data."""
    import tensorflow as tf

    names = json.loads((folder / ABOUT).read_text())["labels"]
    features = {name: tf.io.FixedLenFeature([], tf.float32) for name in names}
    features["crop"] = tf.io.FixedLenFeature([], tf.string)

    def parsed(record: Any) -> tuple[Any, Any]:
        found = tf.io.parse_single_example(record, features)
        return tf.io.parse_tensor(found["crop"], tf.uint8), tf.stack([found[name] for name in names])

    records = tf.data.TFRecordDataset(sorted(map(str, folder.glob("*.tfrecord")))).shuffle(BUFFER)
    loaded = records.map(parsed, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)
    return {"tfrecord": lambda: iter(loaded)}


def huggingface(folder: Path) -> Passes:
    """Parquet files of PNG; ``datasets`` unpacks them once into Arrow files of its own, which is not timed."""
    import datasets

    datasets.disable_progress_bars()
    files = sorted(map(str, folder.glob("*.parquet")))
    arrow = str(folder.parent / "arrow")
    found = datasets.load_dataset("parquet", data_files=files, cache_dir=arrow, split="train").with_format("numpy")
    names = json.loads((folder / ABOUT).read_text())["labels"]

    def batches() -> Iterator[tuple[Any, Any]]:
        for batch in found.shuffle().iter(batch_size=BATCH):
            yield batch["image"], np.stack([batch[name] for name in names], axis=1)

    return {"huggingface": batches}


def zarr(folder: Path) -> Passes:
    """Chunks of 256 rows."""
    import zarr

    group = zarr.open_group(str(folder), mode="r")
    crops, labels = group["crops"], group["labels"]
    step, count = crops.chunks[0], crops.shape[0]

    def by_chunk() -> Iterator[tuple[Any, Any]]:
        generator = np.random.default_rng(1)
        for start in generator.permutation(range(0, count, step)).tolist():
            images, answers = crops[start : start + step], labels[start : start + step]
            order = generator.permutation(len(images))
            for first in range(0, len(order), BATCH):
                rows = order[first : first + BATCH]
                yield images[rows], answers[rows]

    def by_row() -> Iterator[tuple[Any, Any]]:
        order = np.random.default_rng(1).permutation(count)
        for start in range(0, count, BATCH):
            rows = order[start : start + BATCH]
            yield crops.oindex[rows], labels.oindex[rows]

    return {"zarr, chunk by chunk": by_chunk, "zarr, rows at random": by_row}


READERS: dict[str, Callable[[Path], Passes]] = {
    "webdataset": webdataset,
    "tfrecord": tfrecord,
    "huggingface": huggingface,
    "zarr": zarr,
}


if __name__ == "__main__":
    main()
