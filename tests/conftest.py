"""What several tests need: real images where the environment names them, and a few simulated galaxies."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest


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
