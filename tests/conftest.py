"""What several tests need: real images where the environment names them, and a few simulated galaxies."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import pytest
from compiled import one_writer_at_a_time

gc.disable()  # until all tests are collected: it would go again and again through what TensorFlow makes on import

# The files that take longest, longest first: with several workers none is left alone with one of them at the end.
LONGEST = (
    "network/test_backends.py",
    "measuring/test_measure.py",
    "experiment/test_experiment.py",
    "project/test_examples.py",
    "training/test_training.py",
    "batch/test_interruption.py",
    "images/test_fuzz.py",
    "training/test_machines.py",
    "answers/test_targets.py",
    "training/test_starting.py",
    "asking/test_evaluation.py",
    "project/test_docs.py",
    "commands/test_cli.py",
    "runs/test_checks.py",
    "simulation/test_simulation.py",
    "batch/test_all_objects.py",
    "batch/test_batch.py",
    "batch/test_positions.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)  # it takes seconds to start, beside this process

    def rank(item: pytest.Item) -> int:
        name = "/".join(item.path.parts[-2:])
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_configure() -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        one_writer_at_a_time()


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
