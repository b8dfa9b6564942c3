"""The tiles that the rows of a cache were cut from, drawn small, and where the windows are in them."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cache.originals import open_tiles
from ..images.showing import as_picture, limits_of, shrunk
from .choosing import in_range

if TYPE_CHECKING:
    from PIL import Image

    from ..cache import Cache

#: Tiles that are drawn at most, those with the most galaxies; windows in each; and the pixels of their longer side.
TILES, WINDOWS, SIDE = 12, 2000, 960


class DrawnTile(NamedTuple):
    """A tile as a picture, and the windows in it."""

    name: str
    shape: tuple[int, ...]  # height, width
    picture: Image.Image
    galaxies: int  # that were cut from it
    rows: NDArray[np.intp]  # those whose windows are drawn, the largest first
    windows: NDArray[np.float64]  # left, top and side, pixels of the tile, 0 at its edge


def draw_tiles(
    cache: Cache,
    rows: Sequence[int],
    preferred: Collection[int],
    images: Sequence[str | os.PathLike[str]] | None = None,
) -> tuple[list[DrawnTile], int]:
    """Draw the tiles that some rows were cut from, as far as they can be found; return how many there are, too.

    Where a tile has too many windows, those of `preferred` rows are drawn. There are no tiles in other caches.
    """
    catalog = cache.catalog
    if "stamp_row" not in (catalog.dtype.names or ()) or not len(rows):
        return [], 0
    numbers = np.array(rows)
    names, tile_of, counts = np.unique(catalog["source"][numbers], return_inverse=True, return_counts=True)
    members = [numbers[tile_of == tile] for tile in np.sort(np.argsort(-counts, kind="stable")[:TILES])]
    drawn = []
    for mine, tile in zip(members, open_tiles(cache, [int(mine[0]) for mine in members], images), strict=True):
        if tile is None:
            continue
        small = shrunk(tile.pixels, SIDE)
        chosen = np.array(sorted(mine.tolist(), key=lambda row: row not in preferred)[:WINDOWS])
        name, picture = catalog["source"][mine[0]].decode(), as_picture(small, limits_of(small))
        drawn.append(DrawnTile(name, tile.shape, picture, len(mine), *_windows(catalog, chosen)))
    return drawn, len(names)


def _windows(catalog: np.ndarray, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    found = catalog[rows]
    side = found["side"]
    with np.errstate(all="ignore"):
        left, top = (found[f"stamp_{axis}"] + found[f"window_{axis}"] + 0.5 - side / 2 for axis in ("col", "row"))
    windows = np.column_stack([left, top, side])
    known = in_range(windows).all(axis=1)
    order = np.argsort(-side[known], kind="stable")
    return rows[known][order], windows[known][order]
