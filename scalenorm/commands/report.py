"""``scalenorm-report``: show the galaxies of a cache and their measurements."""

from __future__ import annotations

import argparse
import itertools
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..cache import open_cache
from ..measuring.options import OPTIONS, Switch
from ..reporting.montage import write_montage
from .batch import make_parser
from .common import Parser, add_common, counted, names, run_guarded, say, without, write_page

if TYPE_CHECKING:
    from ..reporting.trying import Setting

_EXAMPLES = """\
examples:
  scalenorm-report galaxies.h5 --html galaxies.html
  scalenorm-report galaxies.h5 --montage worst.png --worst -n 24 --images images/
  scalenorm-report images/ --try sigma=0.5,1,2 --try margin=1,1.25 --html try.html
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``scalenorm-report``; return the exit code."""
    parser = Parser(
        "scalenorm-report", "scalenorm-report [options] CACHE | --try OPTION=A,B IMAGES...",
        "Show the galaxies of a cache and their measurements, or images with several settings.",
        epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("inputs", nargs="+", metavar="CACHE", help="cache file; with --try the images")
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
    add = parser.add_argument_group("montage").add_argument
    add("--worst", action="store_true", help="draw the most suspicious galaxies (default: galaxies of all sizes)")
    add("--ids", type=names, metavar="A,B", help="draw the galaxies with these ids")
    add("-n", dest="count", type=int, metavar="N", help="number of galaxies (12)")
    add = parser.add_argument_group("trying settings").add_argument
    add(
        "--try", dest="trials", action="append", metavar="OPTION=A,B",
        help="show images with these values of an option of scalenorm-batch; may be repeated, for all combinations",
    )  # fmt: skip
    add("--sample", type=int, metavar="N", help="number of images to show (12)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that this command did not write")
    add_common(parser)
    options = parser.parse_args(arguments)
    if not (options.html or options.montage):
        parser.error("give --montage OUT.png, --html PAGE.html or both")
    if not options.montage and (options.worst or options.ids or options.count is not None):
        parser.error("--worst, --ids and -n need --montage OUT.png")
    if options.ids is not None and (options.worst or options.count is not None):
        parser.error("--ids cannot be combined with --worst or -n")
    for name, number in (("-n", options.count), ("--sample", options.sample)):
        if number is not None and number < 1:
            parser.error(f"{name} must be at least 1, got {number}")
    if options.trials:
        if options.montage or options.images or not options.html:
            parser.error("--try writes a page: give --html PAGE.html, and neither --montage nor --images")
        return run_guarded(parser, lambda: _try(options))
    if options.sample is not None:
        parser.error("--sample needs --try")
    if len(options.inputs) > 1:
        parser.error("give one CACHE")
    cache = options.inputs[0]

    def show() -> None:
        if options.montage:
            drawn, found = write_montage(
                open_cache(cache), options.montage, images=options.images, ids=options.ids,
                worst=options.worst, count=options.count or 12, overwrite=options.overwrite,
            )  # fmt: skip
            if not options.quiet:
                say(f"{options.montage}: {counted(drawn, 'galaxy')}{without(drawn - found)}")
        if options.html:
            write_page(cache, options.html, options.images, options.overwrite, options.quiet)

    return run_guarded(parser, show)


def _try(options: argparse.Namespace) -> None:
    from ..reporting.trying import write_trial

    settings = settings_of(options.trials, options.inputs)
    count = options.sample or 12
    shown = write_trial(options.inputs, options.html, settings, sample=count, overwrite=options.overwrite)
    if not options.quiet:
        say(f"{options.html}: {counted(shown, 'image')} with {counted(len(settings), 'setting')}")


def settings_of(trials: Sequence[str], images: Sequence[str]) -> list[Setting]:
    """Return all combinations of values such as ``sigma=0.5,1,2``, as ``scalenorm-batch`` understands them."""
    from ..reporting.trying import Setting

    parser = make_parser()
    parser.prog, parser.usage = "scalenorm-report --try", "scalenorm-report --try OPTION=A,B IMAGES... --html PAGE.html"
    found = []
    for chosen in itertools.product(*(_choices(trial, parser) for trial in trials)):
        words = [word for _, word in chosen if word]
        options = vars(parser.parse_args(["images", "galaxies.h5", *words]))
        for name in ("paths", "quiet", "backend"):
            del options[name]
        command = shlex.join(["scalenorm-batch", *images, "galaxies.h5", *words])
        found.append(Setting(", ".join(label for label, _ in chosen), command, options))
    return found


def _choices(trial: str, parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    """Return the values of an option, each with the word that sets it (none for a switch that is off)."""
    name, _, text = trial.partition("=")
    name = name.strip().removeprefix("--").replace("_", "-")
    values = [value.strip() for value in text.split(";" if ";" in text else ",") if value.strip()]
    option = OPTIONS.get(name.replace("-", "_"))
    if option is None and name not in ("size", "hdu", "mask-hdu", "weight-hdu", "blank", "dtype", "bands"):
        parser.error(f"{trial}: --try takes an option of measuring, such as sigma, margin or deblend, not {name!r}")
    if not values:
        parser.error(f"{trial}: no value is given; write {name}=A,B")
    if option is not None and isinstance(option.metadata["check"], Switch):
        if set(values) - {"yes", "no"}:
            parser.error(f"{trial}: {name} is yes or no")
        return [(f"{name} {value}", f"--{name}" if value == "yes" else "") for value in values]
    return [(f"{name} {value}", f"--{name}={value}") for value in values]
