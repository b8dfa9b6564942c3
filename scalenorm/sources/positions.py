"""Positions of galaxies in tiles: a table with a row for each, made into a listing of stamps."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files.errors import ImageError, InputError, OptionError, TableError, turned_into
from ..files.names import visible
from ..files.optional import optional_package
from ..images.options import DecodeOptions
from .bands import JoinedBands, open_tile
from .labels import find_id_column
from .listing import Root, Source, Sources, lose, row_dtype
from .tables import MISSING, Table, open_table, to_numbers, to_texts
from .tiles import Tile

#: Pairs of columns that positions are looked for under, whatever the case: sky; pixels from 0; from 1 (FITS).
SKY = (("ra", "dec"), ("raj2000", "dej2000"), ("ra_icrs", "de_icrs"), ("alpha_j2000", "delta_j2000"))
PIXELS = (("row", "col"), ("y", "x"), ("ycentroid", "xcentroid"), ("y_centroid", "x_centroid"))
PIXELS_FROM_1 = (("y_image", "x_image"), ("ywin_image", "xwin_image"))

#: Units of lengths, and how many are in a degree.
UNITS = {"pixel": None, "arcsec": 3600.0, "arcmin": 60.0, "deg": 1.0}
_LENGTH = re.compile(r"(\d+(?:\.\d*)?)([a-z]*)", re.IGNORECASE)


@dataclass(frozen=True)
class StampSide:
    """The side of stamps: one, or the smallest and the largest of those that are tried."""

    least: float
    most: float
    per_degree: float | None  # of the unit; None is pixels

    @classmethod
    def parse(cls, text: str) -> StampSide:
        """Read ``128``, ``64..512``, ``20arcsec`` or ``0.5..2arcmin``."""
        first, _, last = str(text).replace(" ", "").partition("..")
        found = [_LENGTH.fullmatch(part) for part in (first, last or first)]
        if None in found:
            raise OptionError(f"stamp must be a side such as 128, 20arcsec or 64..512, got {text!r}")
        (least, unit), (most, same) = (match.groups() for match in found if match)
        unit, same = unit.lower() or same.lower() or "pixel", same.lower() or "pixel"
        if unit not in UNITS or unit != same:
            raise OptionError(f"the unit of stamp must be one of arcsec, arcmin, deg, or none for pixels, got {text!r}")
        if not 0 < float(least) <= float(most):
            raise OptionError(f"stamp must be above 0, the smallest side first, got {text!r}")
        if UNITS[unit] is None and not (float(least).is_integer() and float(most).is_integer()):
            raise OptionError(f"stamp must be a whole number of pixels, got {text!r}")
        return cls(float(least), float(most), UNITS[unit])

    def pixels(self, tile: Tile | JoinedBands) -> tuple[int, int]:
        """Return the sides in a tile."""
        scale = _pixels_per_unit(tile, self.per_degree)
        return max(1, round(self.least * scale)), max(1, round(self.most * scale))


def _pixels_per_unit(tile: Tile | JoinedBands, per_degree: float | None) -> float:
    if per_degree is None:
        return 1.0
    if tile.sky is None:
        raise ImageError("it has no WCS in right ascension and declination: give lengths in pixels")
    return tile.sky.pixels_per_degree() / per_degree


@dataclass(frozen=True)
class PositionColumns:
    """Which columns of a table hold the positions, and what they mean."""

    first: str  # of rows, or right ascensions
    second: str  # of columns, or declinations
    sky: bool
    origin: int = 0  # of pixels: the number of the first row and column

    @classmethod
    def find(cls, names: Sequence[str], given: str | None = None, *, where: str) -> PositionColumns:
        """Find the columns by their names, or by what was `given`: ``A,B`` (sky), ``row=A,col=B``, ``x=A,y=B``."""
        if given is not None:
            return cls._given(names, given, where)
        lower: dict[str, list[str]] = {}
        for name in names:
            lower.setdefault(name.lower(), []).append(name)
        for pairs, sky, origin in ((SKY, True, 0), (PIXELS, False, 0), (PIXELS_FROM_1, False, 1)):
            found = [(a, b) for one, two in pairs for a in lower.get(one, ()) for b in lower.get(two, ())]
            if len(found) > 1:
                some = " and ".join(", ".join(pair) for pair in found)
                raise InputError(f"{where}: the positions may be {some}: name two columns with --position-columns")
            if found:
                return cls(*found[0], sky, origin)
        raise InputError(
            f"{where}: no columns of positions (ra and dec, row and col, x and y): name them with --position-columns, "
            "for instance ra=A,dec=B"
        )

    @classmethod
    def _given(cls, names: Sequence[str], given: str, where: str) -> PositionColumns:
        parts = [part.strip().rpartition("=") for part in given.split(",")]
        meanings = tuple(meaning.strip().lower() for meaning, _, _ in parts)
        columns = [name.strip() for _, _, name in parts]
        if meanings == ("x", "y"):
            meanings, columns = ("row", "col"), columns[::-1]
        if len(parts) != 2 or meanings not in (("", ""), ("ra", "dec"), ("row", "col")):
            raise OptionError(f"position_columns must be A,B, or ra=A,dec=B, or row=A,col=B, or x=A,y=B, got {given!r}")
        for name in columns:
            if name not in names:
                raise InputError(f"{where}: no column {name!r}; its columns are {', '.join(names[:8])}")
        return cls(columns[0], columns[1], meanings != ("row", "col"))


@dataclass(frozen=True)
class Positions:
    """Positions as a table gives them; NaN where one is missing."""

    ids: Sequence[str]
    first: np.ndarray  # rows, or right ascensions in degrees
    second: np.ndarray  # columns, or declinations in degrees
    sky: bool
    tiles: Sequence[str] | None = None  # the tile of each, where the table names it
    sides: np.ndarray | None = None  # of each stamp, pixels, where the table gives it
    sizes: np.ndarray | None = None  # of each galaxy, where the table gives it


def find_stamps(tiles: Sources, positions: Positions, settings: Mapping[str, str], options: DecodeOptions) -> Sources:
    """List the stamps around positions, each in the tile in which it lies furthest from the edge.

    `settings` are those of a cache, such as ``stamp``. A tile that cannot be read, or does not fit, or two positions
    with one id are an `InputError`.
    """
    count = len(positions.ids)
    raw_ids = np.array([visible(identifier).encode() for identifier in positions.ids])
    names = [source.name.encode() for source in tiles]
    rows = np.zeros(count, row_dtype(raw_ids.itemsize, max(raw_ids.itemsize, *map(len, names)), stamps=True))
    rows["id"] = rows["name"] = raw_ids
    rows["index"], rows["size"] = -1, np.nan
    chosen = None if positions.tiles is None else _named(tiles, positions.tiles, options)
    depth, reasons = np.full(count, -np.inf), _reasons(positions, chosen, options)
    if chosen is None and len(tiles) > 1 and not positions.sky:
        raise InputError("positions in pixels belong to one tile, but several are given: say which with --tile-column")
    for number, source in enumerate(tiles):
        mine = np.flatnonzero(reasons == "" if chosen is None else chosen == number)
        with _opened(source, options) as tile:
            row, col = _pixels(tile, positions, mine)
            least, most = StampSide.parse(settings["stamp"]).pixels(tile) if "stamp" in settings else (1, 1)
            scale = _pixels_per_unit(tile, UNITS[settings.get("side_unit", "pixel")])
        if most**2 > options.max_pixels:
            raise InputError(f"a stamp of {most} x {most} pixels is more than {options.max_pixels} (raise max_pixels)")
        height, width = tile.shape
        inside = np.min([row + 0.5, height - 0.5 - row, col + 0.5, width - 0.5 - col], axis=0)
        better = (inside > depth[mine]) & (inside >= 0)
        at = mine[better]
        depth[at] = inside[better]
        rows["row"][at], rows["col"][at] = row[better], col[better]
        rows["name"][at], rows["root"][at] = names[number], number
        rows["least"][at], rows["most"][at] = least, most
        if positions.sizes is not None:
            rows["size"][at] = positions.sizes[at] * scale
    if positions.sides is not None:
        rows["least"] = rows["most"] = np.ceil(np.where(reasons == "", positions.sides, 0)).astype(np.int32)
    reasons[(reasons == "") & (depth < 0)] = "the position is outside every tile"
    roots = [*(Root("tile", source.container) for source in tiles), *lose(rows, reasons, len(tiles))]
    rows = rows[np.argsort(rows["id"], kind="stable")]
    twins = np.flatnonzero(rows["id"][1:] == rows["id"][:-1])
    if len(twins):
        more = f" ({len(twins) - 1} more)" if len(twins) > 1 else ""
        raise InputError(f"two positions have the id {rows['id'][twins[0]].decode()!r}{more}: give each one of its own")
    found = Sources(roots, rows)
    found.skipped = tiles.skipped
    return found


def _reasons(positions: Positions, chosen: np.ndarray | None, options: DecodeOptions) -> np.ndarray:
    """Return for each position why it cannot be used, as far as the table tells; empty text for those that can."""
    reasons = np.full(len(positions.ids), "", object)
    for what, values in (("size", positions.sizes), ("side of the stamp", positions.sides)):
        if values is not None:
            reasons[~(np.isfinite(values) & (values > 0))] = f"the {what} in the table is not a number above 0"
    if positions.sides is not None:
        too_large = np.isfinite(positions.sides) & (positions.sides > math.sqrt(options.max_pixels))
        reasons[too_large] = f"a stamp of more than {options.max_pixels} pixels (raise max_pixels)"
    if chosen is not None and positions.tiles is not None:
        for row in np.flatnonzero(chosen < 0).tolist():
            reasons[row] = f"its tile {visible(positions.tiles[row])!r} is not among those given"
    if positions.sky:
        reasons[abs(positions.second) > 90] = "the declination is more than 90 degrees from the equator"
    reasons[~(np.isfinite(positions.first) & np.isfinite(positions.second))] = "the position is not a number"
    return reasons


@contextmanager
def _opened(source: Source, options: DecodeOptions) -> Iterator[Tile | JoinedBands]:
    """Open a tile; what is wrong with it is an `InputError` that names it."""
    if source.member is not None or source.index is not None:
        raise InputError(f"{visible(source.container)} is an archive or stack: tiles must be files of their own")
    words = f"cannot use the tile {visible(source.container)}"
    with turned_into(InputError, words, ImageError, OSError), closing(open_tile(source.container, options)) as tile:
        yield tile


def _pixels(tile: Tile | JoinedBands, positions: Positions, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where positions of these numbers lie in a tile, rows and columns."""
    first, second = positions.first[numbers], positions.second[numbers]
    if not positions.sky:
        return first, second
    if tile.sky is None:
        raise ImageError("it has no WCS in right ascension and declination, as the positions are")
    return tile.sky.pixels_of(first, second)


def _named(tiles: Sources, names: Sequence[str], options: DecodeOptions) -> np.ndarray:
    """Return for each name the number of the tile whose path, name, or file's name it is; -1 for none."""
    numbers: dict[str, int] = {}
    for number, source in enumerate(tiles):
        for path in (*options.files(source.name), *options.files(source.container)):
            for name in (os.path.basename(path), path):
                numbers[name] = -1 if numbers.get(name, number) != number else number
    return np.array([numbers.get(name, numbers.get(os.path.basename(name), -1)) for name in names])


def read_positions(
    path: str | os.PathLike[str],
    *,
    id_column: str | None = None,
    position_columns: str | None = None,
    tile_column: str | None = None,
    stamp_from: str | None = None,
    side_from: str | None = None,
) -> Positions:
    """Read a table of positions; the options are those of `scalenorm.convert`."""
    table = open_table(path)
    found = PositionColumns.find(table.names, position_columns, where=str(path))
    names = [find_id_column(table, id_column), found.first, found.second]
    further = {
        what: name for what, name in (("tiles", tile_column), ("sides", stamp_from), ("sizes", side_from)) if name
    }
    blocks = list(table.blocks([*names, *further.values()]))
    if not blocks:
        raise TableError(f"{path}: a table without rows")
    ids = [name for block in blocks for name in table.ids(block)]
    if "" in ids:
        raise TableError(f"{path}: row {ids.index('') + 1} has no id")
    rows = np.concatenate([block.rows for block in blocks])
    columns = {
        what: np.concatenate([block.columns[number] for block in blocks])
        for number, what in enumerate(("first", "second", *further), 1)
    }
    tiles = [_one_path(table.path, text) for text in to_texts(table, columns.pop("tiles"))] if tile_column else None
    if found.sky:
        columns["first"] = _to_degrees(table, found.first, columns["first"], rows, ra=True)
        columns["second"] = _to_degrees(table, found.second, columns["second"], rows, ra=False)
    numbers = {what: to_numbers(table, column, rows) for what, column in columns.items()}
    return Positions(
        ids, numbers["first"] - found.origin, numbers["second"] - found.origin, found.sky, tiles,
        numbers.get("sides"), numbers.get("sizes"),
    )  # fmt: skip


def _to_degrees(table: Table, name: str, column: np.ndarray, rows: np.ndarray, *, ra: bool) -> np.ndarray:
    """Return right ascensions or declinations in degrees, NaN where one is missing.

    Numbers and text such as 10:00:24.5 are in the unit that the table gives for the column. If it gives none they are
    in degrees, but right ascensions in such text in hours, as everywhere in astronomy.
    """
    unit = _angular_unit(table, name)
    is_text = column.ndim == 1 and column.dtype.kind == "O"
    plain = np.array([_is_number(text) for text in column]) if is_text else np.ones(len(column), bool)
    values = np.full(len(column), math.nan)
    values[plain] = to_numbers(table, column[plain], rows[plain]) * (1 if unit is None else unit.to("deg"))
    if plain.all():
        return values
    what, limit, sexagesimal = "right ascension", 360, "hours, minutes and seconds (10:00:24.5)"
    if not ra:
        what, limit, sexagesimal = "declination", 90, "degrees, minutes and seconds (-02:30:00)"
    given = unit or ("hourangle" if ra else "deg")
    values[~plain] = _parsed(column[~plain], given, f"{table.path}: text as {what}")
    wrong = ~plain & ~(abs(values) <= limit)
    if wrong.any():
        place = int(np.argmax(wrong))
        raise TableError(
            f"{table.path}, {table.row} {rows[place]}: {column[place]!r} is not a {what}"
            f"{'' if unit is None else f' in {unit}'}: write degrees ({'150.1' if ra else '-2.5'}), or {sexagesimal}"
        )
    if ra and unit is None and np.isfinite(values[plain]).any():
        place = int(np.flatnonzero(plain & np.isfinite(values))[0])
        raise TableError(
            f"{table.path}, {table.row} {rows[place]}: {column[place]!r} may be degrees or hours, as others are like "
            f"{column[int(np.argmin(plain))]!r}: write all in degrees, or all in {sexagesimal}"
        )
    return values


def _parsed(texts: np.ndarray, unit: Any, needed_for: str) -> np.ndarray:
    """Return the degrees that texts in a unit mean, most of them sexagesimal, NaN for what is no angle."""
    coordinates = optional_package("astropy.coordinates", "fits", needed_for, TableError)
    factor = {"hourangle": 15, "deg": 1}.get(str(unit), 0)
    values = np.full(len(texts), math.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 60 seconds, as rounding makes them
        for place, text in enumerate(" ".join(cell.translate(_DASHES).lower().split()) for cell in texts):
            if found := _SEXAGESIMAL.fullmatch(text):
                sign, whole, minutes, seconds, hour_minutes, hour_seconds = found.groups()
                value = int(whole) + int(minutes or hour_minutes) / 60 + float(seconds or hour_seconds) / 3600
                if hour_minutes or factor:  # sixtieths of radians are no angle
                    values[place] = (-value if sign == "-" else value) * (15 if hour_minutes else factor)
            else:
                with suppress(ValueError, TypeError):
                    values[place] = coordinates.Angle(text, unit).deg
    return values


#: Text as nearly all tables have it; astropy reads the rest, a hundred times as slowly.
_SEXAGESIMAL = re.compile(
    r"([-+]?)(\d+)(?:[: ]([0-5]?\d)[: ]([0-5]?\d(?:\.\d*)?)|h ?([0-5]?\d)m ?([0-5]?\d(?:\.\d*)?)s)", re.ASCII
)
_DASHES = str.maketrans("\N{EN DASH}\N{MINUS SIGN}", "--")

#: Units that tables have and astropy does not read.
_UNITS = {
    "degrees": "deg", "d:m:s": "deg", "dms": "deg", "dd:mm:ss": "deg", "radian": "rad", "radians": "rad",
    "hr": "hourangle", "hrs": "hourangle", "hour": "hourangle", "hours": "hourangle", "hour angle": "hourangle",
    "h:m:s": "hourangle", "hms": "hourangle", "hh:mm:ss": "hourangle",
}  # fmt: skip


def _angular_unit(table: Table, name: str) -> Any:
    """Return the unit of angles that a table gives for a column, or None."""
    if name not in table.units:
        return None
    units = optional_package("astropy.units", "fits")
    word = table.units[name].strip("[]\"' .").lower()
    unit = units.Unit(_UNITS.get(word, word), parse_strict="silent")
    if unit == units.hour:
        return units.hourangle
    return unit if unit.is_equivalent("deg") else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in MISSING
    return True


def _one_path(table: Path, text: str) -> str:
    """Return the path in a cell: it may be a list of one, as Cutana has it; relative paths start at the table."""
    text = text.strip("[]'\" ")
    beside = table.parent / text
    return str(beside) if text and not os.path.isabs(text) and beside.is_file() else text
