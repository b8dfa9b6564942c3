"""``scalenorm-merge``: merge caches made with the same settings."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..cache.joining import join_caches
from .common import Parser, add_common, counted, log_shown, run_guarded, say


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``scalenorm-merge``; return the exit code."""
    parser = Parser(
        "scalenorm-merge", "scalenorm-merge [options] CACHE... OUT.h5", "Merge caches made with the same settings.",
        "example:\n  scalenorm-merge galaxies-*.h5 galaxies.h5", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "paths", nargs="+", metavar="CACHE... OUT.h5", help="caches to merge; the last is the output file"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT.h5 if it exists")
    parser.add_argument("--compress", action="store_true", help="compress each crop")
    add_common(parser)
    options = vars(parser.parse_intermixed_args(arguments))
    paths, quiet = options.pop("paths"), options.pop("quiet")
    if len(paths) < 2:
        parser.error("at least one CACHE and the output OUT.h5 are required")

    def join() -> None:
        with log_shown(quiet=quiet):
            cache = join_caches(paths[:-1], paths[-1], **options)
        if not quiet:
            say(f"{paths[-1]}: {counted(len(cache), 'image')} from {counted(len(paths) - 1, 'cache')}")

    return run_guarded(parser, join)
