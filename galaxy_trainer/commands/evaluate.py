"""``galaxy-evaluate``: score a network on galaxies it was not trained on."""

from collections.abc import Sequence
from pathlib import Path

from galaxy_trainer.commands.common import NETWORK, new_parser, run_command
from galaxy_trainer.commands.options import add_answering, add_duplicates, at_least
from galaxy_trainer.commands.scores import question_lines, summary_lines
from galaxy_trainer.files.writing import check_new, check_png
from galaxy_trainer.network.start import silent_start
from scalenorm.commands.common import DONE, say


def main(argv: Sequence[str] | None = None) -> int:
    """Run galaxy-evaluate; returns the exit code."""
    parser = new_parser("galaxy-evaluate", "Score a network on galaxies it was not trained on.")
    parser.add_argument("network", metavar="NETWORK", help=NETWORK)
    parser.add_argument("cache", nargs="?", metavar="CACHE", help="another cache than the run's own")
    parser.add_argument("--labels", metavar="CSV", help="answers, in place of those in the cache")
    parser.add_argument("--passes", type=at_least(0), default=10, metavar="N",
                        help="passes with dropout and augmentation on (10; 0: none)")  # fmt: skip
    add_answering(parser)
    add_duplicates(parser)
    parser.add_argument("--json", metavar="FILE", help="write all scores, also per question and answer, to FILE")
    parser.add_argument("--calibration", metavar="PNG",
                        help="draw errors against deviations between orientations into PNG")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace FILE and PNG if they exist")
    args = parser.parse_args(argv)
    if args.calibration and args.orientations == 1:
        parser.error("--calibration needs --orientations K")

    def action() -> int:
        if args.json:
            check_new(Path(args.json), overwrite=args.overwrite)
        if args.calibration:
            check_png(Path(args.calibration), overwrite=args.overwrite)
        with silent_start():
            import galaxy_trainer
            from galaxy_trainer.drawing.curves import draw_calibration
            from galaxy_trainer.files.writing import write_json
        scores = galaxy_trainer.evaluate(
            args.network, args.cache, labels=args.labels, passes=args.passes, orientations=args.orientations,
            weights=args.weights, clip=args.clip, any_settings=args.any_settings,
            allow_duplicates=args.allow_duplicates,
        )  # fmt: skip
        if args.json:
            write_json(Path(args.json), scores)
        if args.calibration:
            draw_calibration(scores["orientations"]["calibration"], Path(args.calibration))
        if not args.quiet:
            say(*summary_lines(scores), *question_lines(scores))
        return DONE

    return run_command(parser, action, quiet=args.quiet)
