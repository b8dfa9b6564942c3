"""``scalenorm-export``: write the catalogue and the crops of a cache in other formats."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Sequence
from importlib import import_module

from ..cache import open_cache
from ..exporting.catalog import write_catalog
from ..exporting.images import write_images
from ..exporting.shards import FORMATS, write_shards
from ..exporting.sky import write_regions
from ..files.silence import stderr_hidden
from .common import Parser, add_common, counted, names, run_guarded, say

_EXAMPLES = """\
examples:
  scalenorm-export galaxies.h5 --catalog galaxies.ecsv
  scalenorm-export galaxies.h5 --images classes/ --by-label --label-columns Class1.1,Class1.2
  scalenorm-export galaxies.h5 --to webdataset shards/
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``scalenorm-export``; return the exit code."""
    parser = Parser(
        "scalenorm-export", "scalenorm-export [options] CACHE",
        "Export the catalogue and the crops of a cache to other formats.", _EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("cache", metavar="CACHE", help="cache file")
    parser.add_argument("--catalog", metavar="FILE", help="write the catalogue: .csv, .ecsv, .fits or .parquet")
    parser.add_argument("--images", metavar="DIR", help="write one image file per crop")
    parser.add_argument("--regions", metavar="FILE.reg", help="write ellipses and windows for DS9; or a folder")
    parser.add_argument("--view", metavar="NAME", help="view to write as --images or --to (first)")
    add = parser.add_argument_group("for training elsewhere").add_argument
    add(
        "--to", nargs=2, metavar=("FORMAT", "DIR"),
        help=f"write crops, ids and labels as {', '.join(FORMATS)}; run it again to resume",
    )  # fmt: skip
    add("--shard-size", type=int, default=10_000, metavar="N", help="crops in a file (%(default)s)")
    add = parser.add_argument_group("images").add_argument
    add("--format", choices=("png", "fits"), help="file format (png if it can hold the crops, else fits)")
    add("--by-label", action="store_true", help="one folder per class: the answer with the highest value")
    add("--label-columns", type=names, metavar="A,B", help="answers to choose from (those of the first question)")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    add_common(parser)
    options = parser.parse_args(arguments)
    if not (options.catalog or options.images or options.regions or options.to):
        parser.error("give --catalog FILE, --images DIR, --to FORMAT DIR or --regions FILE.reg")
    if options.label_columns is not None and not options.by_label:
        parser.error("--label-columns needs --by-label")
    if not options.images and (options.format or options.by_label):
        parser.error("--format and --by-label need --images DIR")
    if options.view and not (options.images or options.to):
        parser.error("--view needs --images DIR or --to FORMAT DIR")

    def write() -> None:
        cache = open_cache(options.cache)
        lines = []
        if options.catalog:
            rows = write_catalog(cache, options.catalog, overwrite=options.overwrite)
            lines.append(f"{options.catalog}: {counted(rows, 'row')}")
        if options.images:
            written, failed = write_images(
                cache, options.images, view=options.view, image_format=options.format, by_label=options.by_label,
                label_columns=options.label_columns, overwrite=options.overwrite,
            )  # fmt: skip
            lines.append(f"{options.images}: {counted(written, 'image')}" + (f"; {failed} failed" if failed else ""))
        if options.to:
            to, folder = options.to
            if to == "tfrecord":
                _start_tensorflow()
            count = write_shards(
                cache, folder, to=to, view=options.view, shard_size=options.shard_size, overwrite=options.overwrite
            )
            lines.append(f"{folder}: {counted(count, 'crop')} for {to}")
        if options.regions:
            drawn = write_regions(cache, options.regions, overwrite=options.overwrite)
            lines.append(f"{options.regions}: {counted(drawn, 'galaxy')}")
        if not options.quiet:
            say(*lines)

    return run_guarded(parser, write)


def _start_tensorflow() -> None:
    """Import it without the lines that its compiled parts write before they can be told not to."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with stderr_hidden(), contextlib.suppress(ImportError):  # without it the export says what to install
        import_module("tensorflow").zeros(())  # which looks for devices
