"""Scale-normalised galaxy crops: measure each galaxy, crop to it, resize.

>>> import scalenorm
>>> image = scalenorm.make_galaxies(1, seed=1).images[0]
>>> scalenorm.crop(image).shape
(64, 64, 3)
"""

from __future__ import annotations

from typing import Any

from ._version import __version__
from .cropping.crop import crop, views
from .cropping.fields import crop_all
from .cropping.many import crop_many
from .cropping.stamps import crop_at
from .measuring.flags import Flag
from .measuring.measure import Measurement, measure

__all__ = [
    "Flag",
    "Measurement",
    "ScaleNormalizer",
    "__version__",
    "convert",
    "crop",
    "crop_all",
    "crop_at",
    "crop_many",
    "make_galaxies",
    "measure",
    "open_cache",
    "plot",
    "stream",
    "views",
]

# Names whose modules import what a plain crop does not need (h5py, scikit-learn, ...): loaded when first asked for.
_LATE = {
    "ScaleNormalizer": "cropping.transformer",
    "convert": "batch.convert",
    "make_galaxies": "simulation.galaxies",
    "open_cache": "cache",
    "plot": "reporting.plotting",
    "stream": "batch.stream",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'scalenorm' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"scalenorm.{_LATE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_LATE))
