"""Where crops are on the sky: the WCS of their originals, shifted and scaled; regions for DS9."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..cache import Cache
from ..cache.format import OK
from ..cache.originals import find_originals
from ..cache.recipe import Recipe
from ..files.errors import ImageError, OutputError
from ..files.names import file_names
from ..files.writing import check_output, make_folder, whole_file
from ..sources.tiles import Sky, sky_of_file

_HEAD = "# Region file format: DS9 version 4.1\nimage\n"


class Skies:
    """The WCS of a cache's originals, where they can be found."""

    def __init__(self, cache: Cache) -> None:
        self._options = Recipe.from_settings(cache.settings).decode
        self._sources = find_originals(cache, range(len(cache)))
        self._last: tuple[str, Sky | None] = ("", None)

    def of(self, row: int) -> Sky | None:
        """Return that of a row's original; None where it cannot be had."""
        for source in self._sources[row]:
            if source.member is None and source.index is None:
                if self._last[0] != source.container:
                    self._last = source.container, self._open(source.container)
                return self._last[1]
        return None

    def _open(self, path: str) -> Sky | None:
        with contextlib.suppress(ImageError, OSError):
            return sky_of_file(path, self._options)
        return None


def sky_of_crop(sky: Sky, col_scale: float, row_scale: float, col_shift: float, row_shift: float) -> Any:
    """Return the header of the WCS of a crop whose pixel x is ``col_scale`` * x + ``col_shift`` in FITS' counting."""
    from astropy.io.fits import Header
    from astropy.wcs import Sip

    if sky.wcs.cpdis1 is not None or sky.wcs.cpdis2 is not None or sky.wcs.det2im1 is not None:
        return Header()  # distorted by a table of pixels of the original
    wcs, scale, shift = sky.wcs.deepcopy(), np.array([col_scale, row_scale]), np.array([col_shift, row_shift])
    wcs.wcs.crpix = scale * wcs.wcs.crpix + shift
    if wcs.wcs.has_cd():
        wcs.wcs.cd = wcs.wcs.cd / scale
    else:
        wcs.wcs.cdelt = wcs.wcs.cdelt / scale
    if wcs.sip is not None:  # a polynomial in pixels: its coefficients have powers of their size
        powers = 1 - np.add.outer(np.arange(10), np.arange(10))
        named = (wcs.sip.a, wcs.sip.b, wcs.sip.ap, wcs.sip.bp)
        scaled = [None if table is None else table * col_scale ** powers[: len(table), : len(table)] for table in named]
        wcs.sip = Sip(*scaled, wcs.wcs.crpix)
    return wcs.to_header(relax=True)


def write_regions(cache: Cache, output: str | os.PathLike[str], *, overwrite: bool = False) -> int:
    """Write ellipses and windows as regions that DS9 shows over the originals.

    Parameters
    ----------
    cache : Cache
        The cache.
    output : path
        A file ending in ``.reg`` for a cache of one original; else a folder, which gets a file for each.
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    int
        The number of galaxies written.

    Raises
    ------
    OutputError
        If there are several originals and a file was named, or a file exists or cannot be written.
    """
    rows = np.concatenate(list(cache.row_blocks("catalog")))
    rows = rows[rows["status"] == OK.encode()]
    names, original = np.unique(rows["source"], return_inverse=True)
    path = Path(output)
    if path.suffix == ".reg":
        if len(names) > 1:
            raise OutputError(f"{path}: the rows are of {len(names)} images: give a folder, which gets a file for each")
        paths = [path]
    else:
        make_folder(path, overwrite=True)
        paths = [path / f"{name}.reg" for name in file_names([name.decode() for name in names.tolist()])]
    for number, file in enumerate(paths):
        check_output(file, overwrite=overwrite)
        with whole_file(file) as out:
            out.write((_HEAD + "".join(map(_region, rows[original == number]))).encode())
    return len(rows)


def _region(row: np.void) -> str:
    """Return a row's ellipse and window, in FITS' counting of pixels."""
    top, left = (int(row[name]) if name in (row.dtype.names or ()) else 0 for name in ("stamp_row", "stamp_col"))
    name = row["id"].decode().translate({ord("{"): "(", ord("}"): ")"})
    text = ""
    if row["area"]:
        x, y = row["col"] + left + 1, row["row"] + top + 1
        angle = 90 - math.degrees(row["orientation"])
        text = f"ellipse({x:.3f},{y:.3f},{row['major_axis'] / 2:.3f},{row['minor_axis'] / 2:.3f},{angle:.3f})\n"
    x, y, side = row["window_col"] + left + 1, row["window_row"] + top + 1, row["side"]
    return f"{text}box({x:.3f},{y:.3f},{side:.3f},{side:.3f},0) # text={{{name}}}\n"
