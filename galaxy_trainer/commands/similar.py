"""``galaxy-similar``: list the galaxies of a cache that a network finds most like one of them."""

from collections.abc import Sequence
from pathlib import Path

from galaxy_trainer.commands.common import NETWORK, new_parser, run_command
from galaxy_trainer.commands.options import at_least
from galaxy_trainer.files.writing import check_png
from galaxy_trainer.network.start import silent_start
from scalenorm.commands.common import DONE, say


def main(argv: Sequence[str] | None = None) -> int:
    """Run galaxy-similar; returns the exit code."""
    parser = new_parser("galaxy-similar", "List the galaxies of a cache that a network finds most like one of them.")
    parser.add_argument("cache", metavar="CACHE", help="cache written by scalenorm-batch")
    parser.add_argument("query", metavar="ID", help="id of a galaxy of the cache, or an image file")
    parser.add_argument("--network", default="gz2", metavar="NETWORK", help=f"{NETWORK} (gz2)")
    parser.add_argument("-n", "--count", type=at_least(1), default=10, metavar="N", help="how many (10)")
    parser.add_argument("-o", "--output", metavar="PNG", help="also draw them")
    parser.add_argument("--any-settings", action="store_true",
                        help="take a cache that was made with other settings than the network's")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace PNG if it exists")
    args = parser.parse_args(argv)

    def action() -> int:
        if args.output:
            check_png(Path(args.output), overwrite=args.overwrite)
        with silent_start():
            import galaxy_trainer
        found = galaxy_trainer.load(args.network).similar(
            args.cache, args.query, count=args.count, any_settings=args.any_settings
        )
        say(*(f"{distance:.3f}  {name}" for name, distance in zip(found.ids, found.distances, strict=True)))
        if args.output:
            found.draw(args.output)
        return DONE

    return run_command(parser, action, quiet=args.quiet)
