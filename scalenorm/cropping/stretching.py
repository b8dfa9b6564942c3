"""Crops as pictures: 8-bit values, by the stretches of astropy (extra ``fits``), after everything is measured."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files.optional import optional_package
from ..measuring.options import STRETCH, MeasureOptions

Stretch = Callable[[NDArray[Any]], NDArray[np.uint8]]


def crop_dtype(dtype: np.dtype[Any], options: MeasureOptions) -> np.dtype[Any]:
    """Return what crops of an image of `dtype` are made of."""
    return dtype if options.stretch is None else np.dtype(np.uint8)


def stretched(crops: NDArray[Any], options: MeasureOptions) -> NDArray[Any]:
    """Return crops (N, size, size[, C]) as the pictures that ``options.stretch`` makes of each, if it is given.

    Raises
    ------
    ImportError
        Without astropy.
    ValueError
        If they have other bands than it needs.
    """
    if options.stretch is None:
        return crops
    stretch = _stretch(options.stretch)
    pictures = np.empty(crops.shape, np.uint8)
    for picture, crop in zip(pictures, crops, strict=True):
        picture[...] = stretch(crop.astype(np.float64))
    return pictures


@functools.lru_cache(maxsize=8)
def _stretch(text: str) -> Stretch:
    name, given = STRETCH.parse(text)
    visualization = optional_package("astropy.visualization", "fits", "stretch", ImportError)

    def limits(crop: NDArray[np.float64]) -> tuple[float, float]:
        """Return what becomes black and white; (0, 0) for a crop without a number."""
        known = crop[np.isfinite(crop)]
        if not len(known):
            return 0.0, 0.0
        if name == "zscale":
            return visualization.ZScaleInterval(**given).get_limits(known)
        percents = given.get("min_percent", 0), given.get("max_percent", 100)
        low, high = visualization.AsymmetricPercentileInterval(*percents).get_limits(known)
        return given.get("vmin", given.get("minimum", low)), given.get("vmax", high)

    def by_limits(crop: NDArray[np.float64]) -> NDArray[np.uint8]:
        low, high = limits(crop)
        if not low < high:
            return np.zeros(crop.shape, np.uint8)
        values = curve(visualization.ManualInterval(low, high)(crop))
        return (np.nan_to_num(values) * 255 + 0.5).astype(np.uint8)

    def lupton(crop: NDArray[np.float64]) -> NDArray[np.uint8]:
        bands = crop.shape[2] if crop.ndim == 3 else 1
        if bands != 3:
            raise ValueError(f"the stretch lupton makes colours of three bands, got {bands}")
        low, high = limits(crop)
        stretch = given.get("stretch", (high - low) / 20)
        if not stretch > 0:
            return np.zeros(crop.shape, np.uint8)
        known = np.isfinite(crop)
        red, green, blue = np.moveaxis(np.where(known, crop, low), 2, 0)
        with np.errstate(invalid="ignore"):  # astropy divides by 0 before it sets black
            picture = visualization.make_lupton_rgb(red, green, blue, minimum=low, stretch=stretch, Q=given["Q"])
        return np.where(known, picture, 0).astype(np.uint8)

    curves = {"asinh": visualization.AsinhStretch, "log": visualization.LogStretch}
    curve = curves[name](given["a"]) if name in curves else visualization.LinearStretch()
    return lupton if name == "lupton" else by_limits
