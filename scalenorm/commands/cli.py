"""The commands ``scalenorm-batch``, ``-merge``, ``-inspect``, ``-report`` and ``-export``."""

from __future__ import annotations

import argparse
import re
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from .._version import __version__
from ..batch.summary import Summary
from ..reporting.wording import counted, rows_and_failed

DONE, FAILURE, USAGE, DONE_WITH_FAILED = 0, 1, 2, 3

_LISTED = 20

BATCH_USAGE = "scalenorm-batch [options] INPUT... OUT.h5"
BATCH_EXAMPLES = """\
examples:
  scalenorm-batch images/ galaxies.h5
  scalenorm-batch images_training_rev1.zip galaxies.h5 --labels training_solutions_rev1.csv
  scalenorm-batch cutouts/*.fits galaxies.h5 --margin 1.5 --views normalized,center-128 --size 96
  scalenorm-batch fields/*.fits objects.h5 --all-objects --deblend --min-area 30
  scalenorm-batch --list survey.csv galaxies.h5 --part 3/100      # one job of an array; then scalenorm-merge
  scalenorm-batch --list survey.csv galaxies.h5 --backend dask --scheduler tcp://host:8786 --keep-parts

The same command goes on where an interrupted one stopped.
exit codes: 0 done; 3 done, with failed images; 2 wrong command line; 1 all else
"""

REPORT_EXAMPLES = """\
examples:
  scalenorm-report galaxies.h5 --html galaxies.html
  scalenorm-report galaxies.h5 --montage worst.png --worst -n 24 --images images/
"""
EXPORT_EXAMPLES = """\
examples:
  scalenorm-export galaxies.h5 --catalog galaxies.ecsv
  scalenorm-export galaxies.h5 --images classes/ --by-label --label-columns Class1.1,Class1.2
"""


def say(*lines: str, error: bool = False) -> None:
    """Write lines for people: results to stdout, what went wrong to stderr."""
    stream = sys.stderr if error else sys.stdout
    text, encoding = "".join(f"{line}\n" for line in lines), stream.encoding or "utf-8"
    # Names of files may hold what the terminal's or pipe's encoding has not.
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def batch(arguments: Sequence[str] | None = None) -> int:
    """Run ``scalenorm-batch``; return the exit code."""
    from ..files.errors import ConfigError
    from .config import expand_config

    parser = batch_parser()
    try:
        words = expand_config(parser, sys.argv[1:] if arguments is None else arguments)
    except ConfigError as error:
        parser.error(str(error))
    options = vars(parser.parse_intermixed_args(words))
    paths, quiet = options.pop("paths"), options.pop("quiet")
    if len(paths) < (1 if "list_file" in options else 2):
        parser.error("give at least one INPUT (or --list FILE), and OUT.h5 as the last")
    return _guarded(parser, lambda: _batch(paths[:-1], paths[-1], quiet, options))


def _batch(inputs: list[str], output: str, quiet: bool, options: dict[str, Any]) -> int:
    from ..batch.convert import convert

    page = options.pop("report", None)
    if page is not None:
        from ..reporting.page import check_page

        check_page(page, output)
    summary = convert(inputs, output, progress=not quiet, **options)
    if not quiet:
        say(*summary_lines(summary, options.get("dry_run", False), "all_objects" in options))
    if page is not None and not options.get("dry_run"):
        listed = [options["list_file"]] if "list_file" in options else []
        _write_page(output, page, [*inputs, *listed], overwrite=False, quiet=quiet)
    return DONE_WITH_FAILED if summary.failed else DONE


def merge(arguments: Sequence[str] | None = None) -> int:
    """Run ``scalenorm-merge``; return the exit code."""
    parser = argparse.ArgumentParser(
        "scalenorm-merge", "scalenorm-merge [options] CACHE... OUT.h5", "Join caches made with the same settings.",
        "example:\n  scalenorm-merge galaxies-*.h5 galaxies.h5", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("paths", nargs="+", metavar="CACHE... OUT.h5", help="caches, and the file to write as the last")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT.h5 if it exists")
    parser.add_argument("--compress", action="store_true", help="store each crop compressed")
    _add_common(parser)
    options = vars(parser.parse_intermixed_args(arguments))
    paths, quiet = options.pop("paths"), options.pop("quiet")
    if len(paths) < 2:
        parser.error("give at least one CACHE, and OUT.h5 as the last")

    def join() -> int:
        from ..cache.joining import join_caches

        cache = join_caches(paths[:-1], paths[-1], **options)
        if not quiet:
            say(f"{paths[-1]}: {counted(len(cache), 'image')} from {counted(len(paths) - 1, 'cache')}")
        return DONE

    return _guarded(parser, join)


def inspect(arguments: Sequence[str] | None = None) -> int:
    """Run ``scalenorm-inspect``; return the exit code."""
    parser = argparse.ArgumentParser("scalenorm-inspect", description="Print what is in a cache.")
    parser.add_argument("cache", metavar="CACHE", help="the file")
    parser.add_argument("--failures", action="store_true", help="list every failed image with the reason")
    parser.add_argument("--settings", action="store_true", help="print the settings as TOML, for --config")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    options = parser.parse_args(arguments)

    def show() -> int:
        from ..reporting.inspection import describe_cache, failures

        if options.settings:
            from ..cache import open_cache
            from .config import to_toml

            say(*to_toml(open_cache(options.cache).settings).splitlines())
        else:
            say(*(failures(options.cache) if options.failures else describe_cache(options.cache)))
        return DONE

    return _guarded(parser, show)


def report(arguments: Sequence[str] | None = None) -> int:
    """Run ``scalenorm-report``; return the exit code."""
    parser = argparse.ArgumentParser(
        "scalenorm-report", description="Show galaxies of a cache, with what was measured of them.",
        epilog=REPORT_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("cache", metavar="CACHE", help="the file")
    parser.add_argument("--html", metavar="PAGE.html", help="write a page: charts, and galaxies to sort and filter")
    parser.add_argument("--montage", metavar="OUT.png", help="draw some galaxies: original, ellipse, window, views")
    parser.add_argument(
        "--images", action="append", metavar="PATH",
        help="folder, archive or list with the originals; may be repeated (default: where they were found)",
    )  # fmt: skip
    group = parser.add_argument_group("montage")
    group.add_argument("--worst", action="store_true", help="the most suspicious galaxies (some of every size)")
    group.add_argument("--ids", type=_names, metavar="A,B", help="these galaxies")
    group.add_argument("-n", dest="count", type=int, metavar="N", help="so many galaxies (12)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that this command has not made")
    _add_common(parser)
    options = parser.parse_args(arguments)
    if not (options.html or options.montage):
        parser.error("give --montage OUT.png, --html PAGE.html or both")
    if not options.montage and (options.worst or options.ids or options.count is not None):
        parser.error("--worst, --ids and -n choose galaxies for --montage OUT.png")
    if options.ids is not None and (options.worst or options.count is not None):
        parser.error("--ids excludes --worst and -n")
    if options.count is not None and options.count < 1:
        parser.error(f"-n must be at least 1, got {options.count}")

    def show() -> int:
        if options.montage:
            from ..cache import open_cache
            from ..reporting.montage import write_montage

            drawn, found = write_montage(
                open_cache(options.cache), options.montage, images=options.images, ids=options.ids,
                worst=options.worst, count=options.count or 12, overwrite=options.overwrite,
            )  # fmt: skip
            if not options.quiet:
                say(f"{options.montage}: {counted(drawn, 'galaxy')}{_without(drawn - found)}")
        if options.html:
            _write_page(options.cache, options.html, options.images, options.overwrite, options.quiet)
        return DONE

    return _guarded(parser, show)


def _write_page(cache: str, page: str, images: list[str] | None, overwrite: bool, quiet: bool) -> None:
    from ..cache import open_cache
    from ..reporting.page import write_report

    drawn, found = write_report(open_cache(cache), page, images=images, overwrite=overwrite)
    if not quiet:
        say(f"{page}: pictures of {counted(drawn, 'galaxy')}{_without(drawn - found)}")


def _without(missing: int) -> str:
    return f", {missing} of them without the original: --images says where to look" if missing else ""


def export(arguments: Sequence[str] | None = None) -> int:
    """Run ``scalenorm-export``; return the exit code."""
    parser = argparse.ArgumentParser(
        "scalenorm-export", description="Write the catalogue and the crops of a cache in other formats.",
        epilog=EXPORT_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("cache", metavar="CACHE", help="the file")
    parser.add_argument("--catalog", metavar="FILE", help="write the catalogue: .csv, .ecsv, .fits or .parquet")
    parser.add_argument("--images", metavar="DIR", help="write one file per crop")
    group = parser.add_argument_group("images")
    group.add_argument("--view", metavar="NAME", help="which view (the first)")
    group.add_argument("--format", choices=("png", "fits"), help="format (png where it can hold the crops)")
    group.add_argument("--by-label", action="store_true", help="one folder per class, the highest answer")
    group.add_argument("--label-columns", type=_names, metavar="A,B", help="the answers (those of the first question)")
    parser.add_argument("--overwrite", action="store_true", help="replace files")
    _add_common(parser)
    options = parser.parse_args(arguments)
    if not (options.catalog or options.images):
        parser.error("give --catalog FILE, --images DIR or both")
    if options.label_columns is not None and not options.by_label:
        parser.error("--label-columns needs --by-label")
    if not options.images and (options.view or options.format or options.by_label):
        parser.error("--view, --format and --by-label are for --images DIR")

    def write() -> int:
        from ..cache import open_cache
        from ..exporting.export import write_catalog, write_images

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
        if not options.quiet:
            say(*lines)
        return DONE

    return _guarded(parser, write)


def _guarded(parser: argparse.ArgumentParser, command: Callable[[], int]) -> int:
    """Run a command; say in one line what stopped it, if anything does."""

    def interrupt(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        from ..files.errors import BatchError, CacheError, InputError, LabelsError, OptionError, OutputError

        try:
            return command()
        except OptionError as error:
            parser.error(_as_typed(str(error), parser))
        except (BatchError, CacheError, InputError, LabelsError, OutputError) as error:
            say(f"{parser.prog}: error: {error}", error=True)
    except KeyboardInterrupt as stopped:  # one of `convert` says how far it got
        say(f"{parser.prog}: {str(stopped) or 'stopped'}", error=True)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; Python would complain at exit
    except MemoryError as error:
        said = f" ({error})" if str(error) else ""
        say(f"{parser.prog}: error: not enough memory{said}", error=True)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say(f"{parser.prog}: error: {where + error.strerror if error.strerror else error}", error=True)
    finally:
        signal.signal(signal.SIGTERM, before)
    return FAILURE


def summary_lines(summary: Summary, dry_run: bool, all_objects: bool = False) -> list[str]:
    """Return what a run says at its end."""
    row = "row" if all_objects else "image"
    rows = counted(summary.images, row)
    if dry_run:
        lines = [f"{summary.output}: {rows}, {summary.made} to make, {summary.reused} at hand"]
    elif summary.complete:
        lines = [f"{summary.output}: complete, {rows}, nothing to do"]
    else:
        lines = [
            f"{summary.output}: {rows_and_failed(summary.images, summary.failed, all_objects)}; "
            f"{summary.made} made in {summary.seconds:.1f} s ({summary.rate:.0f} {row}s/s), {summary.reused} at hand"
        ]
    if summary.changed:
        lines.append(f"changed since they were made: {counted(summary.changed, row)}")
    if summary.labels is not None:
        labels = summary.labels
        with_labels = counted(labels.matched, row)
        lines.append(f"labels: {with_labels} with, {labels.missing} without{_some(labels.missing_ids)}")
        if labels.surplus:
            what = "a row" if all_objects else "an image"
            lines.append(f"labels without {what}: {labels.surplus}{_some(labels.surplus_ids)}")
    if summary.skipped:
        counts = ", ".join(f"{count} {suffix or '(no ending)'}" for suffix, count in summary.skipped.items())
        lines.append(f"files that are no images: {counts}")
    if summary.flags:
        lines.append("flags: " + ", ".join(f"{name} {count}" for name, count in summary.flags.items()))
    if summary.failed:
        lines += ["failures by reason:", *(f"  {count:6d}  {reason}" for reason, count in summary.reasons.items())]
        lines += ["failed images:", *(f"  {source}: {why}" for source, why in summary.failures[:_LISTED])]
        if summary.failed > _LISTED:
            more = summary.failed - _LISTED
            lines.append(f"  and {more} more: scalenorm-inspect {summary.output} --failures")
    return lines


def _some(ids: Sequence[str]) -> str:
    return f" ({', '.join(ids)}, ...)" if len(ids) > 3 else f" ({', '.join(ids)})" if ids else ""


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")


def batch_parser() -> argparse.ArgumentParser:
    """Return the parser of ``scalenorm-batch``; only options that were given appear in its result."""
    parser = argparse.ArgumentParser(
        "scalenorm-batch", BATCH_USAGE, "Measure galaxies, crop to them, and write crops and catalogue to one file.",
        BATCH_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter, argument_default=argparse.SUPPRESS,
    )  # fmt: skip
    parser.add_argument(
        "paths", nargs="+", metavar="INPUT... OUT.h5",
        help="folders, images, .zip and .tar archives, .npy stacks, globs or URLs; the file to write as the last",
    )  # fmt: skip
    _add_common(parser)
    parser.set_defaults(quiet=False, backend="threads")

    group = parser.add_argument_group("inputs")
    group.add_argument("--list", dest="list_file", metavar="FILE", help="text or CSV file that lists further inputs")
    group.add_argument("--id", dest="id_from", choices=("stem", "path"), help="id of an image: its name or its path")
    group.add_argument("--dtype", choices=("uint8", "uint16"), help="type of pictures (uint8)")
    group.add_argument("--bands", choices=("rgb", "grey"), help="bands of pictures (rgb)")
    group.add_argument("--max-pixels", type=int, metavar="N", help="largest image to decode (500000000)")
    group.add_argument("--hdu", type=_hdu, metavar="HDU", help="FITS: number or name of the image (first)")
    group.add_argument("--mask-hdu", type=_hdu, metavar="HDU", help="FITS: a mask, non-zero = excluded")
    group.add_argument("--weight-hdu", type=_hdu, metavar="HDU", help="FITS: a weight map, 0 = excluded")

    group = parser.add_argument_group("crops")
    group.add_argument("--views", type=_names, metavar="A,B", help="views (normalized,center-64,center-256)")
    group.add_argument("--size", type=int, metavar="N", help="height and width of all crops, pixels (64)")
    group.add_argument(
        "--all-objects", action="store_true",
        help="one row for each object of an image, not one per image; with --min-area, or noise counts as objects",
    )  # fmt: skip

    group = parser.add_argument_group("measuring")
    group.add_argument("--sigma", type=float, metavar="K", help="threshold: mean + K standard deviations (1)")
    group.add_argument("--margin", type=float, metavar="M", help="side of the window: M major axes (1)")
    group.add_argument("--center", type=_center, metavar="C", help="image (default), galaxy, log, dog, or ROW,COL")
    group.add_argument("--weights", type=_numbers, metavar="W,W", help="weights of the bands in the grey level")
    group.add_argument(
        "--sigma-clip", type=float, metavar="K", help="mean and deviation of what is within K deviations"
    )
    group.add_argument(
        "--smooth", type=float, metavar="S", help="find the galaxy in the image smoothed by S pixels (0)"
    )
    group.add_argument("--min-area", type=int, metavar="N", help="ignore regions of fewer pixels (1)")
    group.add_argument("--fill-holes", action="store_true", help="count holes in the galaxy as galaxy")
    group.add_argument("--deblend", action="store_true", help="separate the galaxy from neighbours that touch it")
    group.add_argument("--deblend-levels", type=int, metavar="N", help="number of thresholds for that (32)")
    group.add_argument("--deblend-contrast", type=float, metavar="F", help="least light of a neighbour (0.005)")
    group.add_argument("--size-from", metavar="S", help="major_axis (default), half_light or petrosian")
    group.add_argument(
        "--side-limits", type=_numbers, metavar="A,B", help="least and greatest side of the window, pixels"
    )
    group.add_argument("--mask-neighbours", action="store_true", help="paint neighbours in the window with sky")

    group = parser.add_argument_group("labels")
    group.add_argument("--labels", metavar="CSV", help="file with one id and its answers per line")
    group.add_argument("--id-column", metavar="NAME", help="its column of ids (GalaxyID, id, dr7objid or objid)")
    group.add_argument("--label-columns", type=_names, metavar="A,B", help="its columns of answers (all others)")

    group = parser.add_argument_group("output")
    for name, text in {
        "overwrite": "replace OUT.h5 if it exists",
        "append": "add images to OUT.h5",
        "retry-failed": "make failed images again",
        "verify": "notice changed images by their hash, not by size and time",
        "keep-parts": "leave pixels in OUT.h5.parts, and make OUT.h5 refer to them",
        "compress": "store each crop compressed",
        "dry-run": "only say what would be made",
    }.items():
        group.add_argument(f"--{name}", action="store_true", help=text)

    group.add_argument("--report", metavar="PAGE.html", help="then write a page on OUT.h5, as scalenorm-report")

    group = parser.add_argument_group("running")
    group.add_argument("--jobs", type=int, metavar="N", help="threads or processes (one per core)")
    group.add_argument("--backend", choices=("threads", "loky", "dask"), help="what runs them (threads)")
    group.add_argument("--scheduler", metavar="ADDRESS", help="Dask scheduler (with --backend dask; else a local one)")
    group.add_argument("--part", type=_part, metavar="K/N", help="make only the K-th of N slices")
    group.add_argument("--part-size", type=int, metavar="N", help="images per part (512)")
    group.add_argument("--config", metavar="FILE.toml", help="options, as scalenorm-inspect --settings prints")
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"numbers with commas between, for instance 1,2.5, not {text!r}") from None


def _as_typed(message: str, parser: argparse.ArgumentParser) -> str:
    """Name options as on the command line: ``--side-limits`` where the library says ``side_limits``."""
    known = parser.format_help()

    def typed(name: re.Match[str]) -> str:
        option = "--" + name[0].replace("_", "-")
        return option if option in known else name[0]

    return re.sub(r"(?<![\w-])[a-z]+(?:_[a-z]+)+(?!\w)", typed, message)


def _center(text: str) -> str | tuple[float, ...]:
    return _numbers(text) if "," in text else text


def _hdu(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _part(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal()):
        raise argparse.ArgumentTypeError(f"K/N, for instance 3/100, not {text!r}")
    return int(number), int(of)


if __name__ == "__main__":
    sys.exit(batch())
