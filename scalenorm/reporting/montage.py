"""A picture of originals with ellipse and window beside their views: ``scalenorm-report --montage``."""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..cache import Cache
from ..files.errors import OutputError
from ..files.names import printable
from ..files.writing import check_output, whole_file
from ..images.showing import fitted
from ..measuring.flags import describe
from ..measuring.showing import ELLIPSE, WINDOW
from . import MARKER
from .choosing import in_range, most_suspicious, offsets, rows_of, spread_over_sizes
from .drawing import draw_measurement, draw_rows

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

_WIDTH = 1400  # of the whole, for a laptop's screen
_MARGIN, _GAP, _GUTTER = 24, 6, 28
_HEAD, _CAPTION = 64, 42
_LARGEST_TILE = 176
_GROUND, _EMPTY, _TEXT, _FAINT, _WARN = "#101318", "#1b2028", "#e8eaed", "#9aa4b2", "#ffb86b"


def write_montage(
    cache: Cache,
    output: str | os.PathLike[str],
    *,
    images: Sequence[str | os.PathLike[str]] | None = None,
    ids: Sequence[str] | None = None,
    worst: bool = False,
    count: int = 12,
    overwrite: bool = False,
) -> tuple[int, int]:
    """Write a montage of some galaxies of a cache as a PNG file.

    Parameters
    ----------
    cache : Cache
        The cache.
    output : path
        The file, which ends in ``.png``.
    images : sequence of path, optional
        Where the originals are; by default where the batch command found them.
    ids : sequence of str, optional
        The galaxies to draw, in this order.
    worst : bool
        Draw the most suspicious ones, the worst first (see `choosing.suspicion`); by default galaxies of
        all sizes, the smallest first.
    count : int > 0
        How many to draw, if `ids` does not say so.
    overwrite : bool
        Replace a file that is not an earlier montage.

    Returns
    -------
    drawn, found : int
        Galaxies drawn, and how many of their originals were found.

    Raises
    ------
    CacheError
        If there is no such id.
    InputError
        If one of `images` cannot be listed.
    OutputError
        If the file exists or cannot be written.
    """
    path = Path(output)
    if path.suffix.lower() != ".png":
        raise OutputError(f"{path}: a montage is a PNG file: its name must end in .png")
    check_output(path, overwrite=overwrite, marker=MARKER)
    if ids is not None:
        rows = rows_of(cache, ids)
    else:
        rows = most_suspicious(cache, count) if worst else spread_over_sizes(cache, count)
    if not rows:
        raise OutputError(f"{cache.path}: there is nothing to draw, all {len(cache)} images failed")
    picture, found = draw_montage(cache, rows, images)
    from PIL import PngImagePlugin

    about = PngImagePlugin.PngInfo()
    about.add_text("Software", MARKER.decode())
    with whole_file(path) as file:
        picture.save(file, "PNG", pnginfo=about)
    return len(rows), found


class _Sheet:
    """The picture: two columns of galaxies, each a row of tiles with a caption below."""

    def __init__(self, cache: Cache, count: int) -> None:
        from PIL import Image, ImageDraw

        tiles = 1 + len(cache.view_names)
        self.columns = min(count, 2)
        room = (_WIDTH - 2 * _MARGIN - _GUTTER) // 2
        self.tile = min(_LARGEST_TILE, (room - (tiles - 1) * _GAP) // tiles)
        self.block = tiles * self.tile + (tiles - 1) * _GAP  # width of a galaxy
        width = 2 * _MARGIN + self.columns * self.block + (self.columns - 1) * _GUTTER
        height = _MARGIN + _HEAD + math.ceil(count / self.columns) * (self.tile + _CAPTION) + _MARGIN // 2
        self.picture = Image.new("RGB", (width, height), _GROUND)
        self.draw = ImageDraw.Draw(self.picture)

    def text(self, left: float, top: float, text: str, size: int, color: str, room: float) -> float:
        """Write text in the room there is; return where it ends."""
        font = _font(size)
        text = _cut(self.draw, printable(text), font, room)
        self.draw.text((left, top), text, color, font)
        return left + self.draw.textlength(text, font)


def draw_montage(
    cache: Cache, rows: Sequence[int], images: Sequence[str | os.PathLike[str]] | None = None
) -> tuple[Image.Image, int]:
    """Draw some rows of a cache, in two columns; return the picture and how many originals it shows."""
    sheet = _Sheet(cache, len(rows))
    _draw_head(sheet, cache)
    offset = offsets(cache)
    found = 0
    drawn = draw_rows(cache, rows, images, sheet.tile)
    for place, (row, (original, entry, views)) in enumerate(zip(rows, drawn, strict=True)):
        left = _MARGIN + (place % sheet.columns) * (sheet.block + _GUTTER)
        top = _MARGIN + _HEAD + (place // sheet.columns) * (sheet.tile + _CAPTION)
        found += original is not None
        _draw_galaxy(sheet, original, entry, views, left, top)
        _draw_caption(sheet, cache, row, float(offset[row]), left, top + sheet.tile + 5)
    return sheet.picture, found


def _draw_head(sheet: _Sheet, cache: Cache) -> None:
    sheet.text(_MARGIN, _MARGIN - 6, cache.path.name, 19, _TEXT, sheet.block)
    small = _font(13)
    x = sheet.picture.width - _MARGIN
    for text, color in ((" window", WINDOW), ("ellipse   ", ELLIPSE)):
        x -= round(sheet.draw.textlength(text, small))
        sheet.draw.text((x, _MARGIN - 2), text, color, small)
    for column in range(sheet.columns):
        for place, name in enumerate(("original", *cache.view_names)):
            left = _MARGIN + column * (sheet.block + _GUTTER) + place * (sheet.tile + _GAP)
            sheet.text(left, _MARGIN + _HEAD - 21, name, 13, _FAINT, sheet.tile)


def _draw_galaxy(
    sheet: _Sheet, original: Image.Image | None, entry: np.void, views: Sequence[Image.Image], left: int, top: int
) -> None:
    tile = sheet.tile
    sheet.draw.rectangle((left, top, left + tile - 1, top + tile - 1), _EMPTY)
    if original is None:
        middle = (left + tile / 2, top + tile / 2)
        sheet.draw.multiline_text(middle, "original\nnot found", _FAINT, _font(12), anchor="mm", align="center")
    else:
        draw_measurement(original, entry)
        corner = (left + (tile - original.width) // 2, top + (tile - original.height) // 2)
        sheet.picture.paste(original, corner)
    for place, view in enumerate(views, 1):
        sheet.picture.paste(fitted(view, tile), (left + place * (tile + _GAP), top))


def _draw_caption(sheet: _Sheet, cache: Cache, row: int, offset: float, left: int, top: int) -> None:
    found = cache.catalog[row]
    major, minor, apart = (
        f"{value:.{digits}f}" if in_range(value) else "?"
        for value, digits in ((found["major_axis"], 0), (found["minor_axis"], 0), (offset, 1))
    )
    sizes = f"axes {major} x {minor} px"
    if not cache.settings.get("all_objects"):
        sizes += f", offset {apart} px"
    end = left + sheet.block
    x = sheet.text(left, top, cache.ids[row], 14, _TEXT, sheet.block * 0.34) + 12
    x = sheet.text(x, top + 1, sizes, 13, _FAINT, end - x) + 12
    sheet.text(x, top + 1, ", ".join(describe(int(found["flags"]))), 13, _WARN, end - x)


def _cut(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """Return text on one line, shortened in the middle to the room there is."""
    # Pillow's own font has ASCII only, and shows boxes for the rest.
    text = unicodedata.normalize("NFKD", " ".join(text[:300].split()))
    text = "".join(sign for sign in text if not unicodedata.combining(sign)).encode("ascii", "replace").decode()
    if draw.textlength(text, font) <= room:
        return text
    for keep in range(len(text) - 1, 0, -1):
        short = f"{text[: (keep + 1) // 2]}...{text[len(text) - keep // 2 :]}"
        if draw.textlength(short, font) <= room:
            return short
    return ""


def _font(size: int) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)  # type: ignore[return-value]
