"""Images whose bands have files of their own: how their files are named, and the files as one image."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..files.errors import ImageError
from ..images.fits import Sliced
from ..images.options import BAND, DecodeOptions
from .tiles import Sky, Tile

_ID = "{id}"
_MOST_APART = 0.5  # pixels

T = TypeVar("T")


class Named(NamedTuple):
    """What the path of a band's file says."""

    folder: str  # what comes before the pattern
    name: str  # the rest, with ``{band}`` in place of the band
    id: str


class BandFiles:
    """A pattern of file names, such as ``{id}_{band}.fits``, and the bands that are meant.

    It is the end of a path: ``{id}`` and ``{band}`` may stand in it more than once, and in names of folders. It is a
    `ValueError` if one of them is missing, or there is another placeholder.

    Examples
    --------
    >>> from scalenorm.sources.bands import BandFiles
    >>> BandFiles("{id}_{band}.fits", ["g", "r"]).match("survey/12/a_7_r.fits")
    Named(folder='survey/12', name='a_7_{band}.fits', id='a_7')
    """

    def __init__(self, pattern: str, bands: Sequence[str]) -> None:
        self.pattern, self.bands = pattern, bands
        words = {_ID: r"(?P<id>[^/]+)", BAND: f"(?P<band>{'|'.join(map(re.escape, bands))})"}
        parts = re.split(r"(\{[^{}]*\})", pattern)
        for word in parts[1::2]:
            if word not in words:
                raise ValueError(f"band_files knows {_ID} and {BAND}, not {word}, got {pattern!r}")
        for word in words:
            if word not in parts:
                raise ValueError(f"band_files must hold {_ID} and {BAND}, as {_ID}_{BAND}.fits does, got {pattern!r}")
        text = ""
        for number, part in enumerate(parts):
            again = part in parts[:number] and part in words
            text += f"(?P={part[1:-1]})" if again else words.get(part, re.escape(part))
        self._path = re.compile(f"(?:(?P<folder>.*)/)?{text}", re.DOTALL)

    def match(self, path: str) -> Named | None:
        """Return what a path says, or None where it is not the file of one of the bands."""
        found = self._path.fullmatch(path.replace(os.sep, "/"))
        if found is None or BAND in path:  # that could not be told from the place of the band
            return None
        folder = "/" if found["folder"] == "" else found["folder"] or ""
        return Named(folder, self.pattern.replace(_ID, found["id"]), found["id"])


def each_band(act: Callable[[Any], T], files: Sequence[str | bytes], options: DecodeOptions) -> list[T]:
    """Return what is made of the file of each band.

    A band that has no file, or one that cannot be used, is an `ImageError` that names it; that no band has a file is a
    `FileNotFoundError`.
    """
    done: list[T] = []
    missing: dict[str, FileNotFoundError] = {}
    for band, file in zip(options.bands, files, strict=True):
        try:
            done.append(act(file))
        except FileNotFoundError as error:
            missing[band] = error
        except ImageError as error:
            raise ImageError(f"band {band}: {error}") from error
    if missing and not done:
        raise next(iter(missing.values()))
    if missing:
        raise ImageError(f"there is no file of band {', '.join(missing)}")
    return done


class JoinedBands:
    """The open files of one image, in the order of ``options.bands``; all else is as for a `Tile`.

    It is an `ImageError` if one is missing or damaged, or they differ in size, or by over half a pixel on the sky.
    """

    def __init__(self, files: Sequence[str | bytes], options: DecodeOptions) -> None:
        one = options.of_one_file
        with contextlib.ExitStack() as stack:
            tiles = each_band(lambda file: stack.enter_context(contextlib.closing(Tile(file, one))), files, options)
            for band, tile in zip(options.bands, tiles, strict=True):
                _check_alike(band, tile, options.bands[0], tiles[0])
            self._tiles, self._open = tiles, stack.pop_all()
        self.shape = tiles[0].shape
        pixels = [tile.pixels for tile in tiles]
        self.pixels = Sliced((*self.shape, len(tiles)), lambda key: np.stack([band[key] for band in pixels], axis=2))

    @property
    def sky(self) -> Sky | None:
        """Where the pixels are on the sky."""
        return self._tiles[0].sky

    @cached_property
    def mask(self) -> np.ndarray | None:
        """Shape (H, W), True = excluded in any band."""
        masks = [tile.mask for tile in self._tiles]
        known = [mask for mask in masks if mask is not None]
        return np.logical_or.reduce(known) if known else None

    def close(self) -> None:
        """Close the files."""
        self._open.close()


def open_tile(path: str, options: DecodeOptions) -> Tile | JoinedBands:
    """Open an image of which only stamps are used."""
    return JoinedBands(options.files(path), options) if options.has_band_files else Tile(path, options)


def _check_alike(band: str, tile: Tile, first_band: str, first: Tile) -> None:
    if tile.pixels.ndim != 2:
        raise ImageError(f"the file of band {band} holds {tile.pixels.shape[2]} bands: it must hold one")
    if tile.shape != first.shape:
        sizes = [f"{height} x {width}" for height, width in (tile.shape, first.shape)]
        raise ImageError(f"band {band} has {sizes[0]} pixels, but band {first_band} has {sizes[1]}")
    if tile.wcs_words == first.wcs_words:  # to compare these is quicker
        return
    if (tile.sky is None) != (first.sky is None):
        without, other = (band, first_band) if tile.sky is None else (first_band, band)
        raise ImageError(f"band {without} has no WCS, but band {other} has one")
    if tile.sky is not None and first.sky is not None and not (apart := _apart(tile.sky, first.sky)) <= _MOST_APART:
        away = f"{apart:.1f} pixels" if np.isfinite(apart) else "far"
        raise ImageError(f"band {band} lies {away} from band {first_band} on the sky: resample one to the other")


def _apart(sky: Sky, other: Sky) -> float:
    """Return how far, at most, a pixel of one image lies from the same one of another, in pixels."""
    rows, cols = (np.repeat([0, sky.height - 1], 2), np.tile([0, sky.width - 1], 2))
    there = other.pixels_of(*sky.sky_of(rows, cols))
    return float(np.hypot(there[0] - rows, there[1] - cols).max())
