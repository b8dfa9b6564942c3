"""Make a cache on a Dask cluster: here one on this machine; for another give its scheduler's address.

Usage: python dask_cluster.py [ADDRESS]
Every worker must see the images and the output's folder under the same paths. Only names travel, never pixels.
"""

import sys
import tempfile
from pathlib import Path

from distributed import Client, LocalCluster
from PIL import Image

import scalenorm

if __name__ == "__main__":  # a worker process imports this file too
    cluster = None if len(sys.argv) > 1 else LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    address = sys.argv[1] if cluster is None else cluster.scheduler_address
    sample = scalenorm.make_galaxies(40, seed=1, size=212)
    with tempfile.TemporaryDirectory() as name, Client(address) as client:
        folder = Path(name)
        (folder / "images").mkdir()
        for galaxy, image in zip(sample.ids, sample.images, strict=True):
            Image.fromarray(image).save(folder / "images" / f"{galaxy}.png")
        print(f"{len(client.scheduler_info()['workers'])} workers")

        # Like: scalenorm-batch images cache.h5 --backend dask --scheduler ADDRESS
        summary = scalenorm.convert(
            folder / "images", folder / "cache.h5", backend="dask", scheduler=address, part_size=10
        )
        digest = scalenorm.open_cache(folder / "cache.h5").digest()
        print(f"{summary.images} images, {summary.failed} failed, digest {digest[:16]}")

        scalenorm.convert(folder / "images", folder / "here.h5")
        same = scalenorm.open_cache(folder / "here.h5").digest() == digest
        print(f"the same as without a cluster: {same}")
    if cluster is not None:
        cluster.close()
