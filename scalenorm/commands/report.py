"""``scalenorm-report``: show the galaxies of a cache and their measurements."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..cache import open_cache
from ..reporting.montage import write_montage
from ..reporting.page import write_report
from .common import Parser, add_common, counted, names, run_guarded, say

_EXAMPLES = """\
examples:
  scalenorm-report galaxies.h5 --html galaxies.html
  scalenorm-report galaxies.h5 --montage worst.png --worst -n 24 --images images/
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``scalenorm-report``; return the exit code."""
    parser = Parser(
        "scalenorm-report", "scalenorm-report [options] CACHE", "Show the galaxies of a cache and their measurements.",
        epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("cache", metavar="CACHE", help="cache file")
    parser.add_argument(
        "--html", metavar="PAGE.html", help="write an HTML report: charts, and a table of galaxies to sort and filter"
    )
    parser.add_argument(
        "--montage", metavar="OUT.png", help="draw some galaxies: original with ellipse and window, and views"
    )
    parser.add_argument(
        "--images", action="append", metavar="PATH",
        help="folder, archive or list with the original images; may be repeated (default: the inputs of the cache)",
    )  # fmt: skip
    group = parser.add_argument_group("montage")
    group.add_argument(
        "--worst", action="store_true", help="draw the most suspicious galaxies (default: galaxies of all sizes)"
    )
    group.add_argument("--ids", type=names, metavar="A,B", help="draw the galaxies with these ids")
    group.add_argument("-n", dest="count", type=int, metavar="N", help="number of galaxies (12)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that this command did not write")
    add_common(parser)
    options = parser.parse_args(arguments)
    if not (options.html or options.montage):
        parser.error("give --montage OUT.png, --html PAGE.html or both")
    if not options.montage and (options.worst or options.ids or options.count is not None):
        parser.error("--worst, --ids and -n need --montage OUT.png")
    if options.ids is not None and (options.worst or options.count is not None):
        parser.error("--ids cannot be combined with --worst or -n")
    if options.count is not None and options.count < 1:
        parser.error(f"-n must be at least 1, got {options.count}")

    def show() -> None:
        if options.montage:
            drawn, found = write_montage(
                open_cache(options.cache), options.montage, images=options.images, ids=options.ids,
                worst=options.worst, count=options.count or 12, overwrite=options.overwrite,
            )  # fmt: skip
            if not options.quiet:
                say(f"{options.montage}: {counted(drawn, 'galaxy')}{_without(drawn - found)}")
        if options.html:
            write_page(options.cache, options.html, options.images, options.overwrite, options.quiet)

    return run_guarded(parser, show)


def write_page(cache: str, page: str, images: list[str] | None, overwrite: bool, quiet: bool) -> None:
    """Write the page and print a line about it."""
    drawn, found = write_report(open_cache(cache), page, images=images, overwrite=overwrite)
    if not quiet:
        say(f"{page}: pictures of {counted(drawn, 'galaxy')}{_without(drawn - found)}")


def _without(missing: int) -> str:
    return f", {missing} without the original image; use --images to say where the originals are" if missing else ""
