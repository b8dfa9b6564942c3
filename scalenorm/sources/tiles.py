"""Tiles: large images of which only the stamps around given positions are used."""

from __future__ import annotations

import contextlib
import re
import warnings
from functools import cached_property
from typing import Any

import numpy as np

from ..files.errors import ImageError, turned_into
from ..files.reading import COMPRESSED, is_url, open_file, read_file
from ..images.decoding import decode_masked
from ..images.fits import FitsImage, Sliced
from ..images.npy import map_npy
from ..images.options import DecodeOptions, blank_to_nan

#: Words of a FITS header that say where pixels are on the sky.
_WCS_WORD = re.compile(
    r"WCS|CTYPE|CUNIT|CR(VAL|PIX|OTA)|CD|PC|PV|PS|[AB]P?_|L(ON|AT)POLE|RAD.*SYS|EQUI|EPOCH|CPDIS|DP|D2IM"
)


class Tile:
    """An open tile: a path or URL, or what is in the file.

    FITS and .npy files on this machine that are not compressed are read only where stamps are; all others whole, once.
    """

    def __init__(self, file: str | bytes, options: DecodeOptions):
        self._options = options
        begin = _first_bytes(file)
        self._fits = _open_fits(file, begin, options)
        self._plain: tuple[Any, np.ndarray | None]
        if self._fits is None:
            if begin == b"\x93NUMPY" and isinstance(file, str) and not is_url(file):
                self._plain = map_npy(file, options), None
            else:
                data = file if isinstance(file, bytes) else read_file(file, options.max_bytes)
                self._plain = decode_masked(data, "", options)
        self.shape = (self._plain[0] if self._fits is None else self._fits).shape[:2]  # height and width

    @cached_property
    def sky(self) -> Sky | None:
        """Where its pixels are on the sky, if its header says so."""
        return None if self._fits is None else Sky.of(self._fits.header, *self.shape)

    @cached_property
    def wcs_words(self) -> dict[str, Any]:
        """What the header says of the sky: the same words are the same sky."""
        header = {} if self._fits is None else self._fits.header
        return {word: header[word] for word in header if _WCS_WORD.match(word)}

    @cached_property
    def pixels(self) -> Any:
        """An array, or what gives one when sliced, shape (H, W) or (H, W, C)."""
        pixels = self._plain[0] if self._fits is None else self._fits.pixels
        options = self._options  # not the tile itself: a circle would keep its pixels and its file
        if options.blank is None:
            return pixels
        return Sliced(pixels.shape, lambda key: blank_to_nan(np.asarray(pixels[key]), options))

    @property
    def mask(self) -> np.ndarray | None:
        """Shape (H, W), True = excluded."""
        return self._plain[1] if self._fits is None else self._fits.mask

    def close(self) -> None:
        """Close the file."""
        if self._fits is not None:
            self._fits.close()


class Sky:
    """Where the pixels of a tile are on the sky, by its WCS."""

    def __init__(self, wcs: Any, height: int, width: int) -> None:
        self.wcs, self.height, self.width = wcs, height, width

    @classmethod
    def of(cls, header: Any, height: int, width: int) -> Sky | None:
        """Return that of a FITS header, or None where it has no WCS in right ascension and declination."""
        from astropy.wcs import WCS, FITSFixedWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)  # remarks on obsolete keywords
            with turned_into(ImageError, "its WCS cannot be used", Exception):  # nearly anything, of hostile headers
                wcs = WCS(header, naxis=2)
        if not wcs.has_celestial:
            return None
        wcs = wcs.celestial
        # Galactic coordinates and those of 1950 would be other places.
        usual = wcs.wcs.lngtyp == "RA" and not wcs.wcs.radesys.startswith("FK4")
        return cls(wcs, height, width) if usual else None

    def pixels_of(self, ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and columns of sky positions, degrees; NaN far from the tile, where a projection comes round."""
        near = _cosine(ra, dec, *self._middle) >= self._reach
        rows, cols = np.full(len(ra), np.nan), np.full(len(ra), np.nan)
        if near.any():
            # Farther out, polynomials of the distortion have no inverse; a first look without it is within some pixels.
            col, row = self.wcs.wcs_world2pix(ra[near], dec[near], 0)
            close = (abs(row - self.height / 2) < self.height) & (abs(col - self.width / 2) < self.width)
            at = np.flatnonzero(near)[close]
            if len(at):
                cols[at], rows[at] = self.wcs.all_world2pix(ra[at], dec[at], 0, quiet=True)
        return rows, cols

    def sky_of(self, rows: Any, cols: Any) -> tuple[Any, Any]:
        """Return right ascension and declination of pixels, degrees."""
        ra, dec = self.wcs.all_pix2world(cols, rows, 0)
        return ra, dec

    def sky_at(self, row: float, col: float) -> tuple[float, float]:
        """Return right ascension and declination of one pixel, degrees, without the time that arrays take."""
        if self.wcs.has_distortion:
            ra, dec = self.sky_of(row, col)
        else:
            ra, dec = self.wcs.wcs.p2s(np.array([[col, row]]), 0)["world"][0]
        return float(ra), float(dec)

    def square_in(self, other: Sky, row: float, col: float, side: float) -> tuple[float, float, float]:
        """Return centre and side in the pixels of another image of a square of the same area on the sky.

        It is not turned. NaN where the centre lies far from the other image.
        """
        step = side / 4
        ra, dec = self.sky_of(row + step * np.array([0, -1, 1, 0, 0]), col + step * np.array([0, 0, 0, -1, 1]))
        rows, cols = other.pixels_of(ra[:1], dec[:1])
        if not np.isfinite(rows[0]):
            return np.nan, np.nan, np.nan
        x, y = other.wcs.all_world2pix(ra, dec, 0, quiet=True)
        area = (x[2] - x[1]) * (y[4] - y[3]) - (x[4] - x[3]) * (y[2] - y[1])
        return float(rows[0]), float(cols[0]), float(np.sqrt(abs(area)) / (2 * step) * side)

    def pixels_per_degree(self) -> float:
        """Return the square root of the number of pixels in a square degree at the reference point."""
        from astropy.wcs.utils import proj_plane_pixel_area

        return float(proj_plane_pixel_area(self.wcs) ** -0.5)

    @cached_property
    def _middle(self) -> tuple[float, float]:
        ra, dec = self.sky_of((self.height - 1) / 2, (self.width - 1) / 2)
        return float(ra), float(dec)

    @cached_property
    def _reach(self) -> float:
        """Return the cosine of the distance from the middle beyond which nothing can lie in the tile."""
        along = np.linspace(0, 1, 9)
        rows = np.concatenate([along, along, np.zeros(9), np.ones(9)]) * self.height - 0.5
        cols = np.concatenate([np.zeros(9), np.ones(9), along, along]) * self.width - 0.5
        cosines = _cosine(*self.sky_of(rows, cols), *self._middle)
        return float(np.nanmin(cosines)) - 1e-9


def sky_of_file(file: str | bytes, options: DecodeOptions) -> Sky | None:
    """Return where an image is on the sky; None where its header does not say, or it has none.

    `file` is a path, or what is in the file.
    """
    if isinstance(file, str):
        file = options.files(file)[0]
    opened = _open_fits(file, _first_bytes(file), options)
    if opened is None:
        return None
    with contextlib.closing(opened):
        return Sky.of(opened.header, *opened.shape[:2])


def _open_fits(file: str | bytes, begin: bytes, options: DecodeOptions) -> FitsImage | None:
    """Open a FITS file, mapped if it can be; None for another one."""
    if not begin.startswith((b"SIMPLE", *COMPRESSED)):
        return None
    if isinstance(file, bytes) or (begin.startswith(b"SIMPLE") and not is_url(file)):
        return FitsImage(file, options)
    return FitsImage(read_file(file, options.max_bytes), options)


def _first_bytes(file: str | bytes) -> bytes:
    if isinstance(file, bytes):
        return file[:6]
    with open_file(file) as opened:
        return opened.read(6)


def _cosine(ra: Any, dec: Any, ra0: float, dec0: float) -> Any:
    """Return the cosine of the angle between sky positions, degrees, and one other."""
    ra, dec, ra0, dec0 = (np.radians(value) for value in (ra, dec, ra0, dec0))
    return np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(ra - ra0)
