"""``galaxy-predict``: write the answers of a trained network for images, or for a cache."""

from collections.abc import Sequence

from galaxy_trainer.asking.features import check_features
from galaxy_trainer.commands.common import NETWORK, new_parser, run_command, tell
from galaxy_trainer.commands.options import add_answering, at_least
from galaxy_trainer.files.writing import check_answers
from galaxy_trainer.labels.questions import first_few
from galaxy_trainer.network.start import silent_start
from scalenorm.commands.batch import add_listing, add_positions
from scalenorm.commands.common import DONE, DONE_WITH_FAILED, counted, say

_WHERE = (
    "list_file", "id_from", "id_column", "positions", "stamp", "stamp_from", "side_from", "side_unit",
    "position_columns", "tile_column", "jobs",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run galaxy-predict; returns the exit code."""
    parser = new_parser("galaxy-predict", "Write the answers of a trained network for images, or for a cache.")
    parser.add_argument("network", metavar="NETWORK", help=NETWORK)
    parser.add_argument("images", nargs="*", metavar="IMAGES",
                        help="folders, images, archives, stacks, globs, URLs; or a cache")  # fmt: skip
    parser.add_argument("-o", "--output", required=True, metavar="FILE",
                        help="file to write: .csv, .ecsv, .fits or .parquet")  # fmt: skip
    parser.add_argument("--features", action="store_true",
                        help="write what the network sees, not what it answers; also .npy")  # fmt: skip
    parser.add_argument("--no-deviation", action="store_true",
                        help="leave out the deviation between orientations, as for a competition")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    add_answering(parser)
    inputs = parser.add_argument_group("images")
    add_listing(inputs)
    inputs.add_argument("--cache", metavar="OUT.h5", help="keep the crops in this cache")
    inputs.add_argument("--jobs", type=at_least(1), metavar="N", help="threads that read images (one per core)")
    add_positions(parser)
    inputs.add_argument("--id-column", metavar="NAME", help="the column of ids in the table of --positions")
    args = parser.parse_args(argv)
    if not (args.images or args.list_file or args.positions):
        parser.error("give IMAGES, or say where they are with --list or --positions")
    if args.features and (args.orientations != 1 or args.clip or args.no_deviation):
        parser.error("--features leaves out answers, so it takes no --orientations, --clip or --no-deviation")

    def action() -> int:
        check = check_features if args.features else check_answers
        check(args.output, overwrite=args.overwrite)  # before Keras starts, which takes seconds
        with silent_start():
            import galaxy_trainer
        network = galaxy_trainer.load(args.network, weights=args.weights)
        where = {name: getattr(args, name) for name in _WHERE if getattr(args, name) is not None}
        if not args.features:
            where |= {"orientations": args.orientations, "deviation": not args.no_deviation, "clip": args.clip}
        result = (network.features if args.features else network.predict)(
            args.images[0] if len(args.images) == 1 else args.images, args.output, any_settings=args.any_settings,
            cache=args.cache, overwrite=args.overwrite, progress=not args.quiet, **where,
        )  # fmt: skip
        if not args.quiet:
            say(f"{counted(len(result.ids), 'galaxy')} written to {args.output}")
        if not result.messages:
            return DONE
        if set(result.messages) <= set(result.ids):
            reasons = [f"{name} ({reason})" for name, reason in result.messages.items()]
            tell(f"without answers, as {counted(len(reasons), 'image')} failed: {first_few(reasons)}")
        else:
            failed = list(result.messages)
            tell(f"{len(failed)} failed images of {args.images[0]} are left out: {first_few(failed)}")
        return DONE_WITH_FAILED

    return run_command(parser, action, quiet=args.quiet)
