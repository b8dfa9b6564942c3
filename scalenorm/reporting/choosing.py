"""Which rows of a cache are worth a look."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cache import Cache
from ..cache.format import OK
from ..files.errors import CacheError
from ..measuring.flags import Flag

# About 1 is "unusual", 3 is "hardly a galaxy".
_SEVERITY = {
    Flag.NO_FOREGROUND: 4.0,
    Flag.MOST_OF_IMAGE: 3.0,
    Flag.DEGENERATE_ELLIPSE: 3.0,
    Flag.TOUCHES_EDGE: 2.0,
    Flag.LOW_CONTRAST: 2.0,
    Flag.OFF_CENTER: 1.0,
    Flag.BLENDED: 1.0,
}
_OTHER_FLAG = 0.5
_MOST = 5.0

#: More pixels than any image has, on a side or in all.
_LARGEST = 1e10


def in_range(values: ArrayLike) -> NDArray[np.bool_]:
    """Return which numbers can be positions or sizes in an image: a cache may hold others."""
    numbers = np.asarray(values, np.float64)
    return np.isfinite(numbers) & (np.abs(numbers) < _LARGEST)


def good_rows(cache: Cache) -> NDArray[np.intp]:
    """Return the numbers of the rows whose image could be used."""
    return np.flatnonzero(cache.catalog["status"] == OK.encode())


def offsets(cache: Cache) -> NDArray[np.float64]:
    """Return the distance of each centroid from where the galaxy was expected, in pixels.

    That is the image's centre, or the position that ``center=(row, col)`` gave; one of all objects of an image is
    expected where it is.
    """
    catalog = cache.catalog
    if cache.settings.get("all_objects"):
        return np.zeros(len(catalog))
    center = cache.settings.get("center")
    if isinstance(center, list) and len(center) == 2:
        row, col = center
    else:
        row, col = (catalog["height"] - 1) / 2, (catalog["width"] - 1) / 2
    with np.errstate(all="ignore"):
        return np.hypot(catalog["row"] - row, catalog["col"] - col)


def suspicion(cache: Cache) -> NDArray[np.float64]:
    """Return how suspicious each row is: 0 for the most ordinary galaxy, above 3 worth a look.

    The sum of three parts, the last two at most 5 each: the severities of its flags (0.5 to 4); its offset from the
    expected place in units of half the major axis; and how far the logarithm of its major axis lies from the median,
    in units of the robust standard deviation (1.4826 times the median absolute deviation), beyond the first two of
    them. A row whose major axis or offset is out of range has 5 for each of the two. Failed rows are 0.
    """
    catalog = cache.catalog
    score = np.zeros(len(catalog))
    rows = good_rows(cache)
    if not len(rows):
        return score
    for flag in Flag:
        score[rows] += np.where(catalog["flags"][rows] & flag, _SEVERITY.get(flag, _OTHER_FLAG), 0.0)
    known = in_range(catalog["major_axis"][rows]) & in_range(offsets(cache)[rows])
    score[rows[~known]] += 2 * _MOST
    rows = rows[known]
    if not len(rows):
        return score
    major = catalog["major_axis"][rows]
    score[rows] += np.minimum(offsets(cache)[rows] / np.maximum(major / 2, 1), _MOST)
    size = np.log(np.maximum(major, 0.1))
    deviation = np.abs(size - np.median(size))
    robust = max(1.4826 * float(np.median(deviation)), 1e-3)
    score[rows] += np.clip(deviation / robust - 2, 0, _MOST)
    return score


def most_suspicious(cache: Cache, count: int) -> list[int]:
    """Return the `count` most suspicious rows, the worst first."""
    rows = good_rows(cache)
    return rows[np.argsort(-suspicion(cache)[rows], kind="stable")[:count]].tolist()


def spread_over_sizes(cache: Cache, count: int) -> list[int]:
    """Return `count` rows evenly spread over the galaxies in order of major axis, smallest first."""
    rows = good_rows(cache)
    rows = rows[np.argsort(cache.catalog["major_axis"][rows], kind="stable")]
    if count >= len(rows):
        return rows.tolist()
    places = ((np.arange(count) + 0.5) * len(rows) / count).astype(int)
    return rows[places].tolist()


def rows_of(cache: Cache, ids: Sequence[str]) -> list[int]:
    """Return the rows of some ids; `CacheError` if one is not in the cache, or its image failed."""
    number = {name: row for row, name in enumerate(cache.ids)}
    for name in ids:
        if name not in number:
            raise CacheError(
                f"{cache.path}: no image has the id {name!r}; list all ids with scalenorm-export --catalog"
            )
        row = cache.catalog[number[name]]
        if row["status"] != OK.encode():
            raise CacheError(f"{cache.path}: the image {name!r} failed ({row['message'].decode()})")
    return [number[name] for name in ids]
