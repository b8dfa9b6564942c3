"""The crops of a cache as image files, one each."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..cache import Cache
from ..cache.format import OK
from ..cropping.views import center_window, parse_view
from ..files.errors import OutputError, turned_into
from ..files.names import file_names
from ..files.optional import optional_package
from ..files.writing import make_folder
from ..sources.tiles import Sky
from .sky import Skies, sky_of_crop

UNLABELLED = "unlabelled"


def write_images(
    cache: Cache,
    folder: str | os.PathLike[str],
    *,
    view: str | None = None,
    image_format: str | None = None,
    by_label: bool = False,
    label_columns: Sequence[str] | None = None,
    overwrite: bool = False,
) -> tuple[int, int]:
    """Write each crop of one view as a file of its own; failed images have none.

    Parameters
    ----------
    cache : Cache
        The cache.
    folder : path
        Where to; made if it does not exist.
    view : str, optional
        One of ``cache.view_names``; by default the first.
    image_format : {"png", "fits"}, optional
        PNG holds 8-bit crops of 1, 3 or 4 bands and 16-bit ones of 1 band; FITS (needs astropy) holds all, bands
        first, with keywords that map pixels back to the original (``LTV``, ``LTM``), and the WCS of the crop where the
        original is a FITS file that is still where it was and has one. By default PNG where it can.
    by_label : bool
        One folder per class, ``unlabelled`` without labels. The class is that of the label where this is one, else the
        answer with the highest label, ties to the first.
    label_columns : sequence of str, optional
        The answers to choose among; by default those of the first question, which are the ones whose names begin
        as the first's up to its last dot (``Class1.1``, ``Class1.2``, ``Class1.3``), or all if it has no dot.
    overwrite : bool
        Write into a folder that holds files, replacing those of the same name.

    Returns
    -------
    written, failed : int
        Files written, and failed images left out.

    Raises
    ------
    OutputError
        If an option does not fit to the cache, the folder is not empty, or a file cannot be written.

    Notes
    -----
    A file is named for its image's id, see `scalenorm.files.names.file_names`.
    """
    view = cache.view_names[0] if view is None else view
    if view not in cache.view_names:
        raise OutputError(f"{cache.path} has no view {view!r}; it has {', '.join(cache.view_names)}")
    if image_format is None:
        image_format = "png" if fits_png(cache) else "fits"
    if image_format == "png" and not fits_png(cache):
        raise OutputError(f"PNG cannot hold crops of {cache.layout}: use the format fits")
    if label_columns is not None and not by_label:
        raise OutputError("label_columns needs by_label")
    class_of = _classes(cache, label_columns) if by_label else [""] * len(cache)
    fits = optional_package("astropy.io.fits", "fits") if image_format == "fits" else None
    top = Path(folder)
    make_folder(top, overwrite=overwrite)
    names = file_names(cache.ids)
    skies = Skies(cache) if fits is not None else None
    crops = cache.view(view)
    written = failed = 0
    for row, found in enumerate(chain.from_iterable(cache.row_blocks("catalog"))):
        if found["status"] != OK.encode():
            failed += 1
            continue
        place = top / class_of[row]
        place.mkdir(exist_ok=True)
        data = as_png(crops[row]) if skies is None else _as_fits(fits, crops[row], found, view, skies.of(row))
        path = place / f"{names[row]}.{image_format}"
        with turned_into(OutputError, str(path), OSError), path.open("wb" if overwrite else "xb") as file:
            file.write(data)
        written += 1
    return written, failed


def _classes(cache: Cache, columns: Sequence[str] | None) -> list[str]:
    """Return the name of the folder of each row, that of its highest answer."""
    labels = cache.labels
    if labels is None:
        raise OutputError(f"{cache.path} has no labels: add them with scalenorm-batch --labels")
    if columns is None and cache.label_names[0] in cache.classes:
        columns = cache.label_names[:1]
    if columns is None:
        question, dot, _ = cache.label_names[0].rpartition(".")
        columns = [name for name in cache.label_names if not dot or name.rpartition(".")[:2] == (question, dot)]
    for name in columns:
        if name not in cache.label_names:
            raise OutputError(f"{cache.path} has no label {name!r}; it has {', '.join(cache.label_names)}")
    chosen = labels[:, [cache.label_names.index(name) for name in columns]]
    names, missing = columns, np.isnan(chosen)
    if len(columns) == 1 and columns[0] in cache.classes:
        names, codes = cache.classes[columns[0]], chosen[:, 0]
    else:
        codes = np.where(missing.all(axis=1), np.nan, np.where(missing, -np.inf, chosen).argmax(axis=1))
    folders = file_names([*names, UNLABELLED])
    return [folders[code] for code in np.nan_to_num(codes, nan=len(names)).astype(int).tolist()]


def fits_png(cache: Cache) -> bool:
    """Whether PNG can hold the crops of a cache."""
    bands = cache.layout.bands
    return (cache.layout.dtype == "uint8" and bands in (1, 3, 4)) or (cache.layout.dtype == "uint16" and bands == 1)


def as_png(crop: np.ndarray) -> bytes:
    """Return a crop, (size, size, C), as the bytes of a PNG file."""
    from PIL import Image

    pixels = crop[:, :, 0] if crop.shape[2] == 1 else crop
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return file.getvalue()


def _as_fits(fits: Any, crop: np.ndarray, found: np.void, view: str, sky: Sky | None) -> bytes:
    data = crop[:, :, 0] if crop.shape[2] == 1 else np.moveaxis(crop, 2, 0)
    if data.dtype.kind == "f" and data.dtype.itemsize not in (4, 8):  # FITS has no others
        data = data.astype(np.float32 if data.dtype.itemsize == 2 else np.float64)
    header = fits.Header()
    for name, field in (("IMAGEID", "id"), ("SOURCE", "source")):
        header[name] = found[field].decode().encode("unicode_escape").decode()
    header["VIEW"] = view
    header["FLAGS"] = (int(found["flags"]), "see scalenorm.Flag")
    position = _position(crop.shape[0], found, view)
    header.update(position)
    if sky is not None and position:
        header.update(sky_of_crop(sky, *position.values()))
    file = io.BytesIO()
    fits.PrimaryHDU(np.ascontiguousarray(data), header).writeto(file)
    return file.getvalue()


def _position(size: int, found: np.void, view: str) -> dict[str, float]:
    """Return the keywords that map a crop to its original; none for a view or numbers of another program."""
    try:
        pixels = parse_view(view)
    except ValueError:
        return {}
    if pixels is None:
        row, col, side = (float(found[name]) for name in ("window_row", "window_col", "side"))
    else:
        row, col, side, _ = center_window(int(found["height"]), int(found["width"]), pixels)
    scale = size / side if side > 0 else math.nan
    if "stamp_row" in (found.dtype.names or ()):  # the original is the tile
        row, col = row + float(found["stamp_row"]), col + float(found["stamp_col"])
    # FITS pixels count from 1 at the centre: x of the crop = LTM1_1 * x of the original + LTV1.
    keywords = {
        "LTM1_1": scale,
        "LTM2_2": scale,
        "LTV1": 0.5 - scale * (col - side / 2 + 1),
        "LTV2": 0.5 - scale * (row - side / 2 + 1),
    }
    return keywords if all(map(math.isfinite, keywords.values())) else {}
