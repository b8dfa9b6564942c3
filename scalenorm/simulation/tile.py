"""A simulated survey tile: many galaxies in one image, with the true place and size of each."""

from __future__ import annotations

import operator
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .galaxies import GREY, blurred, central_region, check_range, ellipse_of
from .light import FRAME, Array, draw_galaxy, light_of

_STAMP = 128  # pixels that show what a cutout of `make_galaxies` shows
_SKY, _SEEING = 0.2, 1.2


@dataclass(frozen=True, slots=True)
class TileSample:
    """A simulated tile and what is true of its galaxies; `make_tile` gives the definitions.

    Attributes
    ----------
    image : ndarray of float32, shape (size, size, 3)
        Linear flux in three bands: red, green, blue.
    ids : list of str, length n
    row, col : ndarray of float64, shape (n,)
        Where the galaxies were put, pixels.
    major_axis : ndarray of float64, shape (n,)
        True axis lengths, pixels.
    """

    image: npt.NDArray[np.float32]
    ids: list[str]
    row: npt.NDArray[np.float64]
    col: npt.NDArray[np.float64]
    major_axis: npt.NDArray[np.float64]

    def wcs(self) -> Any:
        """Return the tile's ``astropy.wcs.WCS``: 0.25 arcsec a pixel, around right ascension 150 and declination 2."""
        from astropy.wcs import WCS

        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval, wcs.wcs.cdelt = [150.0, 2.0], [-0.25 / 3600, 0.25 / 3600]
        wcs.wcs.crpix = [self.image.shape[1] / 2 + 0.5, self.image.shape[0] / 2 + 0.5]
        return wcs

    def write(self, folder: str | os.PathLike[str]) -> tuple[Path, Path]:
        """Write ``tile.fits`` (bands first, with the WCS) and ``catalog.csv`` (id, ra, dec); return their paths."""
        from astropy.io import fits

        tile, table = Path(folder) / "tile.fits", Path(folder) / "catalog.csv"
        wcs = self.wcs()
        fits.writeto(tile, np.moveaxis(self.image, 2, 0), wcs.to_header(), overwrite=True)
        ra, dec = wcs.all_pix2world(self.col, self.row, 0)
        rows = zip(self.ids, ra.tolist(), dec.tolist(), strict=True)
        table.write_text("id,ra,dec\n" + "".join(f"{name},{a!r},{d!r}\n" for name, a, d in rows))
        return tile, table


def make_tile(n: int, *, seed: int, size: int = 2000, apart: int = 0, noise: float = 0.01) -> TileSample:
    """Simulate a survey tile.

    Parameters
    ----------
    n : int > 0
        Number of galaxies; those of `make_galaxies`, smaller, at random places.
    seed : int >= 0
    size : int >= 256
        Height and width, pixels.
    apart : int >= 0
        Least distance between two galaxies, in rows or columns.
    noise : float >= 0
        Standard deviation of the noise, in units in which 1.1 is half of white.

    Returns
    -------
    TileSample

    Raises
    ------
    ValueError
        If an argument is out of its range, or the galaxies do not fit.

    Notes
    -----
    The true major axis is that of the galaxy alone without noise, in a stamp of 128 pixels around it: the region at
    or above mean + 1 standard deviation that holds its middle.

    Examples
    --------
    >>> from scalenorm.simulation.tile import make_tile
    >>> sample = make_tile(3, seed=1, size=400)
    >>> sample.image.shape, sample.ids
    ((400, 400, 3), ['source-000000', 'source-000001', 'source-000002'])
    """
    for name, value, low in (("n", n, 1), ("seed", seed, 0), ("size", size, 256), ("apart", apart, 0)):
        check_range(name, operator.index(value), low)
    check_range("noise", noise, 0)
    rng = np.random.default_rng(seed)
    field = np.zeros((3, size, size), np.float32)
    places = _places(rng, n, size, apart)
    major = np.empty(n)
    for number, place in enumerate(places):
        corner = np.ceil(place - _STAMP / 2).astype(int)
        light = _light(rng, place - corner)
        grey = (GREY * light).sum(axis=0)
        major[number] = ellipse_of(central_region(grey, place - corner))[2]
        _add(field, light, corner)
    field += np.float32(_SKY) + rng.standard_normal(field.shape, np.float32) * np.float32(noise)
    ids = [f"source-{number:06d}" for number in range(n)]
    image = np.ascontiguousarray(np.moveaxis(field, 0, 2))
    return TileSample(image, ids, places[:, 0], places[:, 1], major)


def _places(rng: np.random.Generator, n: int, size: int, apart: int) -> Array:
    """Draw positions one by one, each again until no earlier one is too near."""
    places = np.empty((n, 2))
    number = 0
    for place in rng.uniform(8, size - 9, (1000 * n, 2)):
        if not (np.abs(places[:number] - place).max(axis=1) < apart).any():
            places[number] = place
            number += 1
            if number == n:
                return places
    raise ValueError(f"{n} galaxies {apart} pixels apart do not fit into {size} x {size} pixels")


def _light(rng: np.random.Generator, middle: Array) -> Array:
    """Draw a galaxy that is no star and no merger, whose middle is not its own, in a stamp of its own."""
    galaxy = draw_galaxy(rng)
    while galaxy.kind in ("star", "merger"):
        galaxy = draw_galaxy(rng)
    rows, cols = ((np.arange(_STAMP) - at) * (FRAME / _STAMP) for at in middle)
    light = light_of(galaxy, rows.astype(np.float32), cols.astype(np.float32), rng)
    return blurred(light, _SEEING)


def _add(field: Array, light: Array, corner: Array) -> None:
    """Add a stamp's light to the field, as far as the field goes."""
    first = np.maximum(corner, 0)
    last = np.minimum(corner + _STAMP, field.shape[1])
    (r0, c0), (r1, c1) = first - corner, last - corner
    field[:, first[0] : last[0], first[1] : last[1]] += light[:, r0:r1, c0:c1]
