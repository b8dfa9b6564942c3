"""``scalenorm-batch``: measure galaxies, crop to them, and write crops and catalogue to one file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import Field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files.errors import ConfigError
from ..measuring.options import OPTIONS, Call, Choice, Number, Switch
from .common import (
    DONE,
    DONE_WITH_FAILED,
    Parser,
    add_common,
    counted,
    log_shown,
    names,
    rows_and_failed,
    run_guarded,
    say,
    write_page,
)
from .config import expand_config

if TYPE_CHECKING:
    from ..batch.summary import Summary

_LISTED = 20

BATCH_USAGE = "scalenorm-batch [options] INPUT... OUT.h5"
BATCH_EXAMPLES = """\
examples:
  scalenorm-batch images/ galaxies.h5
  scalenorm-batch images_training_rev1.zip galaxies.h5 --labels training_solutions_rev1.csv
  scalenorm-batch cutouts/*.fits galaxies.h5 --margin 1.5 --views normalized,center-128 --size 96
  scalenorm-batch fields/*.fits objects.h5 --all-objects --deblend --min-area 30
  scalenorm-batch tiles/*.fits galaxies.h5 --positions catalog.csv --stamp 20arcsec
  scalenorm-batch cutouts/ galaxies.h5 --band-files '{id}_{band}.fits' --bands g,r,z --measure-band r
  scalenorm-batch --list survey.csv galaxies.h5 --part 3/100      # one job of an array; then scalenorm-merge
  scalenorm-batch --list survey.csv galaxies.h5 --backend dask --scheduler tcp://host:8786 --keep-parts

Run the same command again to resume an interrupted run.
exit codes: 0 success; 3 success, but some images failed; 2 invalid command line; 1 any other error
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``scalenorm-batch``; return the exit code."""
    parser = make_parser()
    try:
        words = expand_config(parser, sys.argv[1:] if arguments is None else arguments)
    except ConfigError as error:
        parser.error(str(error))
    options = vars(parser.parse_intermixed_args(words))
    paths, quiet = options.pop("paths"), options.pop("quiet")
    if len(paths) < (1 if {"list_file", "tile_column"} & set(options) else 2):
        parser.error("at least one INPUT (or --list FILE) and the output OUT.h5 are required")
    return run_guarded(parser, lambda: _run(paths[:-1], paths[-1], quiet, options))


def _run(inputs: list[str], output: str, quiet: bool, options: dict[str, Any]) -> int:
    from ..batch.convert import convert

    page = options.pop("report", None)
    if page is not None:
        from ..reporting.page import check_page

        check_page(page, output)
    with log_shown(quiet=quiet):
        summary = convert(inputs, output, progress=not quiet, **options)
    if not quiet:
        say(*summary_lines(summary, options.get("dry_run", False), "all_objects" in options))
        if not (Path(output).suffix or options.get("dry_run")):
            say(f"{output} is one file, a cache; scalenorm-export writes crops as image files")
    if page is not None and not options.get("dry_run"):
        listed = [options["list_file"]] if "list_file" in options else []
        write_page(output, page, [*inputs, *listed] or None, overwrite=False, quiet=quiet)
    return DONE_WITH_FAILED if summary.failed else DONE


def summary_lines(summary: Summary, dry_run: bool, all_objects: bool = False) -> list[str]:
    """Return the summary of a run."""
    row = "row" if all_objects else "image"
    rows = counted(summary.images, row)
    if dry_run:
        lines = [f"{summary.output}: {rows}, {summary.made} to process, {summary.reused} reused"]
    elif summary.complete:
        lines = [f"{summary.output}: {rows}, already complete"]
    else:
        speed = f"{summary.seconds:.1f} s ({summary.rate:.0f} {row}s/s)"
        lines = [
            f"{summary.output}: {rows_and_failed(summary.images, summary.failed, all_objects)}; "
            f"{summary.made} processed in {speed}, {summary.reused} reused"
        ]
    if summary.changed:
        lines.append(f"processed again because the image has changed: {counted(summary.changed, row)}")
    if summary.labels is not None:
        labels = summary.labels
        with_labels = counted(labels.matched, row)
        lines.append(f"labels: {with_labels} matched, {labels.missing} without a label{_some(labels.missing_ids)}")
        if labels.surplus:
            what = "a row" if all_objects else "an image"
            lines.append(f"labels without {what}: {labels.surplus}{_some(labels.surplus_ids)}")
    if summary.skipped:
        counts = ", ".join(f"{count} {suffix or '(no extension)'}" for suffix, count in summary.skipped.items())
        lines.append(f"skipped files: {counts}")
    if summary.flags:
        lines.append("flags: " + ", ".join(f"{name} {count}" for name, count in summary.flags.items()))
    if summary.failed:
        lines += ["failures by reason:", *(f"  {count:6d}  {reason}" for reason, count in summary.reasons.items())]
        lines += ["failed images:", *(f"  {source}: {why}" for source, why in summary.failures[:_LISTED])]
        if summary.failed > _LISTED:
            more = summary.failed - _LISTED
            lines.append(f"  and {more} more; list them with scalenorm-inspect {summary.output} --failures")
    return lines


def _some(ids: Sequence[str]) -> str:
    return f" ({', '.join(ids)}, ...)" if len(ids) > 3 else f" ({', '.join(ids)})" if ids else ""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of ``scalenorm-batch``; only options that were given appear in its result."""
    parser = Parser(
        "scalenorm-batch", BATCH_USAGE, "Measure galaxies, crop to them, and write crops and catalogue to one file.",
        BATCH_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter, argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument(
        "paths", nargs="+", metavar="INPUT... OUT.h5",
        help="folders, images, .zip and .tar archives, stacks (.npy, .npz, HDF5, Parquet), globs, URLs; last: OUT.h5",
    )  # fmt: skip
    add_common(parser)
    parser.set_defaults(quiet=False, backend="auto")

    group = parser.add_argument_group("inputs")
    add_listing(group)
    add = group.add_argument
    add("--dtype", choices=("uint8", "uint16"), help="pixel type of pictures (uint8)")
    add("--bands", type=_bands, metavar="A,B", help="bands of pictures, rgb or grey (rgb); or those of --band-files")
    add("--band-files", metavar="PATTERN", help="names of files of one band each, such as {id}_{band}.fits")
    add("--measure-band", metavar="A", help="the one of these bands that is measured")
    add("--max-pixels", type=int, metavar="N", help="largest image to decode, in pixels (500000000)")
    add("--hdu", type=_hdu, metavar="HDU", help="FITS: number or name of the HDU with the image (first image)")
    add("--mask-hdu", type=_hdu, metavar="HDU", help="FITS: HDU with a mask; non-zero pixels are excluded")
    add("--weight-hdu", type=_hdu, metavar="HDU", help="FITS: HDU with a weight map; pixels of weight 0 are excluded")
    add(
        "--blank", type=float, metavar="VALUE", help="FITS and .npy: value of pixels without data, beside NaN and BLANK"
    )

    add = parser.add_argument_group("crops").add_argument
    add("--views", type=names, metavar="A,B", help="views to crop (normalized,center-64,center-256)")
    add("--size", type=int, metavar="N", help="height and width of the crops, in pixels (64)")
    add(
        "--all-objects", action="store_true",
        help="one row per object instead of one per image; set --min-area, or noise counts as objects",
    )  # fmt: skip

    add("--windows-from", metavar="OTHER.h5", help="crop to the windows of another cache: the same on the sky, by id")
    add_positions(parser)

    group = parser.add_argument_group("measuring")
    for name, field in OPTIONS.items():
        if name != "channel_axis":  # decoding puts bands last, whatever the file has
            _add_option(group, name, field)

    add = parser.add_argument_group("labels").add_argument
    add("--labels", metavar="TABLE", help="an id and its answers in each row: CSV, FITS, Parquet, ...")
    add("--id-column", metavar="NAME", help="its id column (GalaxyID, id, dr7objid, objid, ...)")
    add("--label-columns", type=names, metavar="A,B", help="its answer columns or patterns (all others)")
    add("--id-map", metavar="TABLE", help="which image has which id in the table of labels")
    add("--id-map-columns", type=names, metavar="FROM,TO", help="its columns: labels' ids, images' ids")
    add("--class-from-folder", action="store_true", help="take the name of each image's folder as its class; --id path")

    add = parser.add_argument_group("output").add_argument
    for name, text in {
        "overwrite": "replace OUT.h5 if it exists",
        "append": "add new images to OUT.h5",
        "retry-failed": "process failed images again",
        "verify": "detect changed images by hash instead of size and time",
        "keep-parts": "keep the pixels in OUT.h5.parts, to which OUT.h5 then refers",
        "compress": "compress each crop",
        "dry-run": "only report what would be processed",
    }.items():
        add(f"--{name}", action="store_true", help=text)

    add("--report", metavar="PAGE.html", help="also write an HTML report, as scalenorm-report does")

    add = parser.add_argument_group("running").add_argument
    add("--jobs", type=int, metavar="N", help="number of threads or processes (one per core)")
    add(
        "--backend",
        choices=("auto", "threads", "loky", "dask"),
        help="threads, processes (loky), or a Dask cluster (auto: what is faster)",
    )
    add("--scheduler", metavar="ADDRESS", help="Dask scheduler for --backend dask (default: start a local one)")
    add("--part", type=_part, metavar="K/N", help="process only the K-th of N slices")
    add("--part-size", type=int, metavar="N", help="images per part (512)")
    add("--config", metavar="FILE.toml", help="read options from a file, as scalenorm-inspect --settings prints them")
    return parser


def add_listing(group: Any) -> None:
    """Add the options that say which images there are and what they are called."""
    group.add_argument("--list", dest="list_file", metavar="FILE", help="text, CSV or other table with further inputs")
    group.add_argument(
        "--id", dest="id_from", choices=("stem", "path"),
        help="id of an image: its file name, or its path in the given folder (stem)",
    )  # fmt: skip


def add_positions(parser: argparse.ArgumentParser) -> None:
    """Add the options of galaxies at positions in tiles."""
    add = parser.add_argument_group("positions in tiles").add_argument
    add("--positions", metavar="TABLE", help="a row for each galaxy; the inputs are tiles that hold them")
    add(
        "--stamp", metavar="SIDE",
        help="what is cut around each position: pixels, 20arcsec, or 64..512: the smallest that holds the galaxy",
    )  # fmt: skip
    add("--stamp-from", metavar="NAME", help="the column with the side of each stamp, in pixels")
    add("--side-from", metavar="NAME", help="the column with the size of each galaxy (as measured)")
    add("--side-unit", choices=("pixel", "arcsec", "arcmin", "deg"), help="its unit (pixel)")
    add(
        "--position-columns", metavar="A,B",
        help="ra=A,dec=B or row=A,col=B or x=A,y=B (ra and dec in degrees, row and col, x and y)",
    )  # fmt: skip
    add("--tile-column", metavar="NAME", help="the column with the name of each position's tile")


def _add_option(group: Any, name: str, field: Field[Any]) -> None:
    """Add a measuring option; its help is the first sentence of its text, and its default."""
    check, text = field.metadata["check"], field.metadata["text"].partition(". ")[0].removesuffix(".")
    text = (text[0].lower() + text[1:]).replace("%", "%%")
    flag = "--" + name.replace("_", "-")
    if isinstance(check, Switch):
        group.add_argument(flag, action="store_true", help=text)
        return
    kind: Any = _numbers
    if isinstance(check, Number):
        kind = int if check.whole else float
    elif isinstance(check, Call):
        kind = str
    elif isinstance(check, Choice):
        kind = _position if check.position else str
        text += f"; {', '.join(check.names)}{' or ROW,COL' if check.position else ''}"
    if field.default is not None:
        text += f" ({field.default})"
    group.add_argument(flag, type=kind, metavar=field.metadata["metavar"], help=text)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers separated by commas, such as 1,2.5, got {text!r}") from None


def _position(text: str) -> str | tuple[float, ...]:
    return _numbers(text) if "," in text else text


def _bands(text: str) -> str | list[str]:
    return text if text in ("rgb", "grey") else names(text)


def _hdu(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _part(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected K/N, such as 3/100, got {text!r}")
    return int(number), int(of)


if __name__ == "__main__":
    sys.exit(main())
