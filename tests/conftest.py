"""What several tests need: real images where the environment names them, and a few simulated galaxies."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

# The files that take longest, longest first: with several workers none is left alone with one of them at the end.
LONGEST = (
    "trainer/test_backends.py",
    "trainer/test_training.py",
    "trainer/test_experiment.py",
    "batch/test_interruption.py",
    "trainer/test_evaluation.py",
    "measuring/test_measure.py",
    "batch/test_batch.py",
    "project/test_examples.py",
    "project/test_docs.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        name = "/".join(item.path.parts[-2:])
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=rank)


def pytest_configure() -> None:
    """One worker of pytest-xdist at a time writes to Numba's cache.

    Numba looks for a free file name and then takes it: two processes that compile one kernel for different dtypes can
    take the same, and the next one loads the machine code of the wrong dtype.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    from numba.core.caching import IndexDataCacheFile

    save = IndexDataCacheFile.save

    def save_alone(self, key, data):
        with open(Path(tempfile.gettempdir()) / f"scalenorm-tests-{os.getuid()}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            save(self, key, data)

    IndexDataCacheFile.save = save_alone


@pytest.fixture(scope="session")
def galaxyzoo() -> Path:
    """Folder with images/, labels.csv and unbiased_ids.txt."""
    folder = os.environ.get("SCALENORM_GALAXYZOO")
    if not folder:
        pytest.skip("SCALENORM_GALAXYZOO does not name the folder of real images")
    return Path(folder)


@pytest.fixture(scope="session")
def real_fits() -> Path:
    """Folder with real FITS cutouts."""
    folder = os.environ.get("SCALENORM_FITS")
    if not folder:
        pytest.skip("SCALENORM_FITS does not name the folder of real FITS files")
    return Path(folder)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20161)


@pytest.fixture(scope="session")
def galaxies():
    """Eight simulated galaxies, read-only."""
    from scalenorm import make_galaxies

    sample = make_galaxies(8, seed=3)
    sample.images.setflags(write=False)
    return sample
