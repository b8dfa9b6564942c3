"""One page, in one file, that shows what is in a cache: ``scalenorm-report --html``."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..cache import Cache
from ..cache.contents import count_contents
from ..cache.format import FAILED
from ..files.errors import OutputError
from ..files.names import as_html, printable
from ..files.reading import is_url
from ..files.writing import check_output, whole_file
from ..images.showing import as_jpeg, fitted
from ..measuring.flags import Flag, describe
from . import MARKER
from .charts import flag_table, histogram
from .choosing import good_rows, in_range, most_suspicious, offsets, spread_over_sizes, suspicion
from .drawing import DRAWN, can_be_drawn, draw_rows
from .tiles import DrawnTile, draw_tiles

#: Galaxies shown as pictures at most, and what the pictures may take in all: a page must stay quick to open.
PICTURES, PICTURE_BYTES = 480, 12_000_000
#: Galaxies in the table at most.
LISTED = 100_000

_ORIGINAL, _VIEW = 176, 128
_EACH_FLAG = 12
_FAILURES, _REASONS = 5000, 20


def check_page(page: str | os.PathLike[str], cache: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Return the page's path; `OutputError` if it cannot be written there, or `cache` is not a local file."""
    path = Path(page)
    if is_url(os.fspath(cache)):
        raise OutputError(f"{path}: a report needs a local cache, not {cache}")
    if os.path.realpath(path) == os.path.realpath(cache):
        raise OutputError(f"{path}: the report would replace the cache: choose another name")
    check_output(path, overwrite=overwrite, marker=MARKER)
    return path


def write_report(
    cache: Cache,
    output: str | os.PathLike[str],
    *,
    images: Sequence[str | os.PathLike[str]] | None = None,
    overwrite: bool = False,
) -> tuple[int, int]:
    """Write a page on a cache: summary, failures, distributions, settings, and galaxies to sort and filter.

    Pictures are those of the most suspicious galaxies, of some with each flag, and of galaxies of all sizes, up to
    480 of them; the table lists up to 100,000 galaxies. The page is one file that loads nothing.

    Parameters
    ----------
    cache : Cache
        The cache.
    output : path
        The HTML file.
    images : sequence of path, optional
        Where the originals are; by default where the batch command found them.
    overwrite : bool
        Replace a file that is not an earlier page.

    Returns
    -------
    drawn, found : int
        Galaxies shown as pictures, and how many of their originals were found.

    Raises
    ------
    InputError
        If one of `images` cannot be listed.
    OutputError
        If the file exists or cannot be written.
    """
    path = check_page(output, cache.path, overwrite=overwrite)
    listed = _listed_rows(cache)
    pictures = _pictures(cache, set(listed), images)
    found = sum(picture[0] is not None for picture in pictures.values())
    tiles, of = draw_tiles(cache, listed, pictures, images)
    fields = _fields(cache, listed, pictures, found, tiles, of)
    write_page(path, "report.html", template("report.css"), template("report.js"), fields)
    return len(pictures), found


def _listed_rows(cache: Cache) -> list[int]:
    rows = good_rows(cache)
    if len(rows) <= LISTED:
        return rows.tolist()
    half = LISTED // 2
    return sorted({*most_suspicious(cache, half), *spread_over_sizes(cache, half)})


def _pictured_rows(cache: Cache, listed: set[int]) -> list[int]:
    """Return rows worth a picture, the most useful first."""
    flags, good = cache.catalog["flags"], good_rows(cache)
    by_flag = [good[(flags[good] & flag) != 0][:_EACH_FLAG].tolist() for flag in Flag]
    turns = zip_longest(most_suspicious(cache, PICTURES), spread_over_sizes(cache, PICTURES))
    rows = dict.fromkeys(row for row in chain(*by_flag, *turns) if row in listed)
    return list(rows)[:PICTURES]


def _pictures(
    cache: Cache, listed: set[int], images: Sequence[str | os.PathLike[str]] | None
) -> dict[int, tuple[str | None, list[str], list[float] | None]]:
    """Return, by row: the original, the views (JPEG in base64), and what to draw on the original, if it can be."""
    rows = _pictured_rows(cache, listed)
    pictures: dict[int, tuple[str | None, list[str], list[float] | None]] = {}
    size = 0
    drawn = draw_rows(cache, rows, images, _ORIGINAL)
    for row, (picture, entry, crops) in zip(rows, drawn, strict=True):
        original = None if picture is None else as_jpeg(picture)
        views = [as_jpeg(fitted(crop, min(_VIEW, max(crop.size)))) for crop in crops]
        size += len(original or "") + sum(map(len, views))
        if size > PICTURE_BYTES:
            break
        shape = [round(float(entry[field]), 2) for field in DRAWN] if can_be_drawn(entry) else None
        pictures[row] = (original, views, shape)
    return pictures


def _fields(
    cache: Cache, listed: list[int], pictures: dict[int, Any], found: int, tiles: list[DrawnTile], of: int
) -> dict[str, str]:
    contents = count_contents(cache, _FAILURES)
    flags = cache.catalog["flags"][good_rows(cache)]
    good = len(flags)
    named = {describe(flag)[0]: str(int(flag)) for flag in Flag}
    counts = {named[name]: (name, count) for name, count in contents.flags.items()}
    none = int(np.count_nonzero(flags == 0))
    distributions = "Sizes and flags" if _of_objects(cache) else "Sizes, offsets and flags"
    sections = {
        "summary": "Summary", **({"failures": "Failures"} if contents.failed else {}),
        "distributions": distributions, **({"tiles": "Tiles"} if of else {}), "galaxies": "Galaxies",
        "settings": "Settings",
    }  # fmt: skip
    return {
        "title": as_html(cache.path.name),
        "made": _made(cache.attributes),
        "links": "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in sections.items()),
        "counts": _counts(cache, contents.failed, good - none),
        "failures": _failures(contents.failed, contents.reasons),
        "distributions": distributions,
        "tiles": _tiles(tiles, of),
        "charts": _charts(cache, {"none": ("no flag", none), **counts}),
        "sample": _sample(good, len(listed), len(pictures), found),
        "options": "".join(f'<option value="{value}">{name}</option>' for value, (name, _) in counts.items()),
        "settings": _settings(cache),
        "data": _data(cache, listed, pictures, tiles),
    }


def _of_objects(cache: Cache) -> bool:
    """Whether rows are objects: their windows are centred on them, so there are no offsets."""
    return bool(cache.settings.get("all_objects"))


def template(name: str) -> str:
    """Return a file of the folder ``templates``."""
    return resources.files(__package__).joinpath("templates", name).read_text("utf-8")


def write_page(path: Path, name: str, style: str, script: str, fields: Mapping[str, str]) -> None:
    """Write a template with its fields filled; a browser runs this style and script only, and loads nothing."""

    def digest(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    policy = (
        f"default-src 'none'; img-src data:; style-src {digest(style)}; script-src {digest(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    fields = {**fields, "policy": policy, "style": style, "script": script, "version": __version__}
    text = re.sub(r"\{\{(\w+)\}\}", lambda field: fields[field[1]], template(name))
    with whole_file(path) as file:
        file.write(text.encode())


def _made(attributes: dict[str, Any]) -> str:
    source, version, created = (as_html(attributes[name]) for name in ("source", "scalenorm_version", "created"))
    day, _, time = created.partition("T")
    when = f"{day} {time[:5]} UTC" if time else day
    return f"From <bdi>{source}</bdi>, by scalenorm {version}, {when}"


def _data(cache: Cache, listed: list[int], pictures: dict[int, Any], tiles: list[DrawnTile]) -> str:
    catalog = cache.catalog[listed]
    major = catalog["major_axis"]
    with np.errstate(all="ignore"):
        ratio = catalog["minor_axis"] / np.where(major > 0, major, 1)
    columns = {
        "id": [printable(cache.ids[row]) for row in listed],
        "flags": catalog["flags"].tolist(),
        "size": _rounded(major, 1),
        "ratio": _rounded(ratio, 3),
        "offset": None if _of_objects(cache) else _rounded(offsets(cache)[listed], 1),
        "suspicion": _rounded(suspicion(cache)[listed], 2),
    }
    place = {row: number for number, row in enumerate(listed)}
    failed = cache.catalog[cache.catalog["status"] == FAILED.encode()][:_FAILURES]
    data = {
        "columns": columns,
        "flagNames": [[int(flag), describe(flag)[0]] for flag in Flag],
        "viewNames": list(map(printable, cache.view_names)),
        "pictures": {place[row]: picture for row, picture in pictures.items()},
        "windows": [
            [[place[row], *window.tolist()] for row, window in zip(tile.rows, tile.windows.round(1), strict=True)]
            for tile in tiles
        ],
        "failed": [[printable(row[name].decode()) for name in ("id", "source", "message")] for row in failed],
    }
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # In a script element only these could end it or begin a comment; in JSON they stand in strings only.
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _rounded(values: np.ndarray, digits: int) -> list[float | None]:
    """Return numbers for the table; None for one that is out of range."""
    known = in_range(values)
    numbers = np.round(np.where(known, values, 0), digits).tolist()
    return [number if good else None for number, good in zip(numbers, known.tolist(), strict=True)]


def _median(values: np.ndarray) -> str:
    known = values[in_range(values)]
    return f"{np.median(known):.1f} <small>px</small>" if len(known) else "unknown"


def _counts(cache: Cache, failed: int, flagged: int) -> str:
    rows = good_rows(cache)
    good = max(len(rows), 1)
    counts = [
        ("Objects", f"{len(rows):,}", "") if _of_objects(cache) else ("Images", f"{len(cache):,}", ""),
        ("Failed", f"{failed:,}", "bad" if failed else ""),
        ("With a flag", f"{flagged:,} <small>{100 * flagged / good:.1f}%</small>", ""),
    ]
    if len(rows):
        counts += [("Median major axis", _median(cache.catalog["major_axis"][rows]), "")]
        if not _of_objects(cache):
            counts += [("Median offset", _median(offsets(cache)[rows]), "")]
    layout = "1 band" if cache.layout.bands == 1 else f"{cache.layout.bands} bands"
    counts.append(("Crops", f"{cache.size} × {cache.size} <small>{cache.layout.dtype}, {layout}</small>", ""))  # noqa: RUF001
    if cache.label_names:
        counts.append(("Labels", f"{len(cache.label_names)} <small>answers</small>", ""))
    return "".join(f'<div class="{kind}"><dt>{name}</dt><dd>{value}</dd></div>' for name, value, kind in counts)


def _tiles(tiles: list[DrawnTile], of: int) -> str:
    if not of:
        return ""
    text = "Choose a window to see its galaxy below: bright ones have pictures there, faint ones are in the table."
    if len(tiles) < of:
        text = f"{len(tiles):,} of {of:,} tiles, those with the most galaxies among those that were found. {text}"
    if not tiles:
        text = "No tile was found unchanged; use scalenorm-report --images to say where they are."
    figures = []
    for tile in tiles:
        (height, width), name = tile.shape, as_html(tile.name)
        shown = "" if len(tile.rows) == tile.galaxies else f", {len(tile.rows):,} of their windows"
        figures.append(
            f'<figure><div class="sheet" data-height="{height}" data-width="{width}">'
            f'<img src="data:image/jpeg;base64,{as_jpeg(tile.picture)}" alt="tile {name}"></div>'
            f"<figcaption><bdi>{name}</bdi> <small>{height:,} × {width:,} px, "  # noqa: RUF001
            f"{tile.galaxies:,} galax{'y' if tile.galaxies == 1 else 'ies'}{shown}</small></figcaption></figure>"
        )
    return (
        '<section id="tiles" aria-labelledby="tiles-title"><h2 id="tiles-title">Tiles</h2>'
        f'<p class="note">{text}</p><div class="sheets">{"".join(figures)}</div></section>'
    )


def _failures(failed: int, reasons: dict[str, int]) -> str:
    if not failed:
        return ""
    rows = "".join(
        f'<tr><td class="number">{count:,}</td><td>{as_html(reason)}</td></tr>'
        for reason, count in list(reasons.items())[:_REASONS]
    )
    more = f'<p class="note">and {len(reasons) - _REASONS:,} other reasons</p>' if len(reasons) > _REASONS else ""
    return (
        '<section id="failures" aria-labelledby="failures-title"><h2 id="failures-title">Failures</h2>'
        '<div class="scroll"><table><caption>Reasons, the most frequent first</caption><thead><tr>'
        '<th scope="col" class="number">Images</th><th scope="col">Reason</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{more}"
        '<div id="failed" class="scroll" role="region" aria-label="Failed images" tabindex="0"></div>'
        '<nav id="failed-pager" class="pager" aria-label="Pages of failed images"></nav></section>'
    )


def _charts(cache: Cache, counts: dict[str, tuple[str, int]]) -> str:
    rows = good_rows(cache)
    charts = [histogram(cache.catalog["major_axis"][rows], title="Size", axis="major axis", unit="px")]
    if not _of_objects(cache):
        expected = "the image's centre" if isinstance(cache.settings.get("center"), str) else "the given centre"
        axis = f"distance of the centroid from {expected}"
        charts.append(histogram(offsets(cache)[rows], title="Offset", axis=axis, unit="px"))
    return "".join([*charts, flag_table(counts, len(rows))])


def _sample(good: int, listed: int, pictured: int, found: int) -> str:
    if not good:
        return "There is no galaxy to show."
    all_of = f"all {good:,} galaxies" if good > 1 else "the only galaxy"
    text = f"The table lists {all_of if listed == good else f'{listed:,} of the {good:,} galaxies'}. "
    if pictured == good:
        text += "It has pictures" if good == 1 else "All of them have pictures"
    else:
        text += f"{pictured:,} of them have pictures: the most suspicious, some with each flag, and some of every size"
    if found < pictured:
        text += (
            f". For {pictured - found:,} the original was not found or has changed; "
            "use scalenorm-report --images to say where the originals are"
        )
    return as_html(text + ".")


def _settings(cache: Cache) -> str:
    return "".join(
        f'<tr><th scope="row">{as_html(name)}</th><td>{as_html(_shown(value))}</td></tr>'
        for name, value in {**cache.settings, "settings hash": cache.settings_hash}.items()
    )


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "not set" if value is None else str(value)
