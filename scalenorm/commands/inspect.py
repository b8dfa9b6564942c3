"""``scalenorm-inspect``: print a summary of a cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .._version import __version__
from ..cache import Cache, open_cache
from ..cache.contents import count_contents
from ..cache.format import FAILED, OK, as_text
from ..files.names import printable
from ..reporting.choosing import in_range
from .common import Parser, counted, rows_and_failed, run_guarded, say
from .config import to_toml

_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_COLUMNS = ("major_axis", "minor_axis", "side", "area")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``scalenorm-inspect``; return the exit code."""
    parser = Parser("scalenorm-inspect", "scalenorm-inspect [options] CACHE", "Print a summary of a cache.")
    parser.add_argument("cache", metavar="CACHE", help="cache file")
    parser.add_argument("--failures", action="store_true", help="list all failed images with the reason")
    parser.add_argument(
        "--settings", action="store_true", help="print the settings as TOML, for scalenorm-batch --config"
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    options = parser.parse_args(arguments)

    def show() -> None:
        cache = open_cache(options.cache)
        if options.settings:
            say(*to_toml(cache.settings).splitlines())
        elif options.failures:
            say(*failures(cache))
        else:
            say(*describe_cache(cache))

    return run_guarded(parser, show)


def describe_cache(cache: Cache) -> Iterator[str]:
    """Yield lines that describe a cache: counts, settings, digest, flags, distribution of sizes."""
    contents = count_contents(cache)
    rows = rows_and_failed(len(cache), contents.failed, bool(cache.settings.get("all_objects")))
    yield f"{cache.path}: {rows}"
    yield f"views       {', '.join(cache.view_names)}: {cache.size} x {cache.size}, {cache.layout}"
    yield f"layout      {_layout(cache)}"
    if cache.label_names:
        shown = ", ".join(cache.label_names[:4]) + (", ..." if len(cache.label_names) > 4 else "")
        yield f"labels      {counted(len(cache.label_names), 'answer')} ({shown})"
        for name, found in cache.classes.items():
            shown = ", ".join(found[:4]) + (", ..." if len(found) > 4 else "")
            yield f"            {name}: {counted(len(found), 'class')} ({shown})"
    yield f"digest      {cache.digest()}"
    made = cache.attributes
    yield f"created by  scalenorm {made['scalenorm_version']}, {made['created']}, from {made['source']}"
    yield "settings    " + ", ".join(f"{name}={as_text(value)}" for name, value in sorted(cache.settings.items()))
    for name in cache.view_names:
        mean, std = cache.view_statistics(name)
        yield f"{name}: mean {_list(mean)}, standard deviation {_list(std)}"
    yield from _sizes(cache)
    if contents.flags:
        yield "flags"
        for flag, count in contents.flags.items():
            yield f"  {flag:22s} {count:8d} {100 * count / len(cache):6.1f}%"
    if contents.reasons:
        yield "failures by reason (--failures lists the images)"
        for reason, count in contents.reasons.items():
            yield f"  {count:8d}  {reason}"


def failures(cache: Cache) -> Iterator[str]:
    """Yield one line per failed image: id, source, reason, separated by tabs."""
    for rows in cache.row_blocks("catalog"):
        for row in rows[rows["status"] == FAILED.encode()]:
            yield "\t".join(printable(row[name].decode()) for name in ("id", "source", "message"))


def _layout(cache: Cache) -> str:
    if cache.is_virtual:
        return f"virtual, over {len({part for _, part, _, _ in cache.parts})} parts"
    if cache.is_compressed:
        return "compressed"
    mapped = all(cache.offset(name) is not None for name in cache.view_names)
    return "contiguous" if mapped else "of another program"


def _sizes(cache: Cache) -> Iterator[str]:
    good = cache.catalog[cache.catalog["status"] == OK.encode()]
    known = np.logical_and.reduce([in_range(good[name]) for name in _COLUMNS])
    if not known.all():
        strange = counted(int(np.count_nonzero(~known)), "galaxy")
        yield f"{strange} left out of this table: numbers that are out of range"
        good = good[known]
    if not len(good):
        return
    yield "pixels      " + "".join(f"{f'{percent}%':>9s}" for percent in _PERCENTILES)
    for name in _COLUMNS:
        values = np.percentile(good[name], _PERCENTILES)
        yield f"{name.replace('_', ' '):12s}" + "".join(f"{value:9.1f}" for value in values)


def _list(values: np.ndarray) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
