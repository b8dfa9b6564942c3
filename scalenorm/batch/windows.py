"""Windows that are not the galaxy's own: of a size from a table, or from another cache and the same on the sky."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

import numpy as np

from ..cache.format import OK, digest, has_stamps
from ..cache.merge import find_ids
from ..cache.originals import find_originals
from ..cache.reader import Cache
from ..cache.recipe import Recipe
from ..cropping.crop import Adjust
from ..files.errors import ImageError, reason
from ..images.options import DecodeOptions
from ..measuring.measure import Measurement
from ..measuring.options import MeasureOptions
from ..measuring.window import Window, window_of_size
from ..sources.listing import GivenWindow, Source, Sources, window_dtype
from ..sources.reader import Reader
from ..sources.tiles import Sky

_THERE = "the cache that gives the windows"


def windows_digest(cache: Cache) -> str:
    """Return a SHA-256 (hexadecimal) over what `with_windows` takes from a cache: ids, status and windows."""
    names = ["id", "status", "window_row", "window_col", "side", "height", "width"]
    if has_stamps(cache.settings):
        names += ["stamp_row", "stamp_col"]
    return digest([], (rows[names] for rows in cache.row_blocks("catalog")), None)


def with_windows(sources: Sources, cache: Cache) -> Sources:
    """Give each source the window of the row of its id in a cache; without a good one it is a missing image."""
    number = find_ids(sources.raw_ids, cache.column("id"))
    rows = np.flatnonzero(number >= 0)
    number, catalog = number[rows], cache.catalog[rows]
    stamps = has_stamps(cache.settings)
    paths, options = _originals(cache, rows)
    raw_paths = np.array([path.encode("utf-8", "surrogatepass") for path in paths], "S")
    windows = np.zeros(len(sources), window_dtype(max(1, raw_paths.itemsize)))
    for axis in ("row", "col"):
        corner = catalog[f"stamp_{axis}"] if stamps else 0
        windows[axis][number] = catalog[f"window_{axis}"] + corner
    for name in ("side", *(() if stamps else ("height", "width"))):
        windows[name][number] = catalog[name]
    windows["path"][number] = raw_paths
    finite = np.isfinite([windows[name] for name in ("row", "col", "side")]).all(axis=0) & (windows["side"] > 0)
    reasons = np.full(len(sources), f"{_THERE} has no row of this id", object)
    reasons[number] = np.where(finite[number], "", f"{_THERE} holds no window of finite numbers for it")
    for failed in np.flatnonzero(catalog["status"] != OK.encode()).tolist():
        reasons[number[failed]] = f"{_THERE} says: {catalog['message'][failed].decode()}"
    return sources.with_windows(windows, reasons, options)


def _originals(cache: Cache, rows: np.ndarray) -> tuple[list[str], DecodeOptions]:
    """Return the file of the image of each row, "" for one not to be found, and how they were decoded."""
    with contextlib.suppress(TypeError, ValueError):  # options of another program: how it decoded cannot be known
        options = Recipe.from_settings(cache.settings).decode
        found = find_originals(cache, rows.tolist())
        files = ((source for source in found[row] if source.member is None and source.index is None) for row in rows)
        # Workers may have another working folder.
        return [next((os.path.abspath(source.container) for source in of_row), "") for of_row in files], options
    return [""] * len(rows), DecodeOptions()


def adjust_of(
    source: Source, options: MeasureOptions, shape: tuple[int, ...], sky: Callable[[], Sky | None], reader: Reader
) -> Adjust | None:
    """Return what gives the window of a source, if it is not that of the galaxy found.

    Parameters
    ----------
    source : Source
    options : MeasureOptions
    shape : (int, int)
        Height and width of the image, or of its tile.
    sky : callable
        Where that is on the sky.
    reader : Reader

    Raises
    ------
    ImageError
        If the window is not known in the pixels of this image.
    """
    if source.window is not None:
        row, col, side = _in_pixels_of(source.window, shape, sky(), reader)
        return lambda window, top, left: Window(row - top, col - left, max(side, 1.0))
    if source.stamp is not None and not np.isnan(source.stamp.size):
        size = source.stamp.size
        return lambda window, top, left: window_of_size(window.row, window.col, size, options)
    return None


def check_window(source: Source, found: Measurement) -> None:
    """Refuse a window from another cache whose centre is not in the image that was measured."""
    if source.window is not None and not (
        0 <= found.window_row + 0.5 <= found.height and 0 <= found.window_col + 0.5 <= found.width
    ):
        raise ImageError("its window lies outside of this image")


def _in_pixels_of(
    given: GivenWindow, shape: tuple[int, ...], sky: Sky | None, reader: Reader
) -> tuple[float, float, float]:
    """Return centre and side of a window in another image than that in which it was found."""
    try:
        there = reader.sky_of_file(given.path, given.options) if given.path else None
    except (ImageError, OSError) as error:
        raise ImageError(f"the WCS of {given.path}, in which its window was found: {reason(error)}") from error
    if sky is not None and there is not None:
        row, col, side = there.square_in(sky, *given[:3])
        if not np.isfinite([row, col, side]).all():
            raise ImageError("its window lies outside of this image")
        return row, col, side
    if sky is not None:
        why = f"{given.path} has none" if given.path else "that image is not to be found"
        raise ImageError(f"its window needs the WCS of the image in which it was found, but {why}")
    if there is not None:
        raise ImageError(f"it has no WCS, but {given.path}, in which its window was found, has one")
    if (given.height, given.width) != shape:
        size = f"an image of {given.height} x {given.width} pixels" if given.height else "a tile"
        here = f"{shape[0]} x {shape[1]}"
        raise ImageError(f"its window was found in {size}, this image has {here}, and there is no WCS to go by")
    return given[:3]
