"""Compile what most tests use, before several processes do so at once: ``make test`` calls this once after a change."""

from __future__ import annotations

import fcntl
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import scalenorm

DTYPES = ("float64", "uint8", "float32", "uint16", "int16")
OPTIONS = ({}, {"mask_neighbours": True, "margin": 3.0, "deblend": True}, {"sigma_clip": 3.0, "fill_holes": True})


def one_writer_at_a_time():
    """Let this process write to Numba's cache while no other one does: else one entry of the index may be lost."""
    from numba.core.caching import IndexDataCacheFile

    save = IndexDataCacheFile.save

    def save_alone(self, key, data):
        with open(Path(tempfile.gettempdir()) / f"scalenorm-tests-{os.getuid()}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            save(self, key, data)

    IndexDataCacheFile.save = save_alone


def compile_for(dtype):
    light = 20 + 200 * np.exp(-((np.indices((64, 64)) - 31.5) ** 2).sum(axis=0) / 50)
    for image in (light, np.stack([light] * 3, axis=2)):
        image = image.astype(dtype)
        for options in OPTIONS:
            scalenorm.crop(image, 16, **options)
            scalenorm.measure(image, **options)
        scalenorm.crop_all(image, 16)
    scalenorm.crop(image, 16, weights=(1, 1, 2))
    scalenorm.measure(image, weights=(1, 1, 2))


def main():
    workers = min(len(DTYPES), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, get_context("spawn"), one_writer_at_a_time) as pool:
        list(pool.map(compile_for, DTYPES))


if __name__ == "__main__":
    main()
