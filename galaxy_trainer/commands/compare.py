"""``galaxy-compare``: train the same network on several views of the same galaxies."""

from collections.abc import Sequence

from galaxy_trainer.commands.common import new_parser, run_command, tell
from galaxy_trainer.commands.options import (
    add_duplicates,
    add_recipe,
    add_split,
    add_target,
    at_least,
    chosen_recipe,
    chosen_target,
    share,
)
from galaxy_trainer.network.start import silent_start
from scalenorm.commands.common import DONE, say


def main(argv: Sequence[str] | None = None) -> int:
    """Run galaxy-compare; returns the exit code."""
    parser = new_parser(
        "galaxy-compare",
        "Train the same network on several views of the same galaxies, and write tables, figures and a page. "
        "Run the same command again to resume after an interruption.",
    )
    parser.add_argument("cache", metavar="CACHE", help="cache with labels, or a JSON file that lists what to compare")
    parser.add_argument("-o", "--output", required=True, metavar="EXPERIMENT", help="folder for everything")
    parser.add_argument("--views", nargs="+", metavar="VIEW", help="views to compare (default: all of the cache)")
    parser.add_argument("--seeds", type=at_least(1), default=3, metavar="N", help="trainings per view and test (3)")
    parser.add_argument("--folds", type=at_least(1), default=1, metavar="N", help="disjoint test sets (1)")
    parser.add_argument("--labels", metavar="CSV", help="answers, in place of those in the cache")
    parser.add_argument("--test-candidates", metavar="FILE",
                        help="ids to draw test galaxies from, and to finish on if the recipe does (all)")  # fmt: skip
    parser.add_argument("--test-fraction", type=share, default=0.1, metavar="X",
                        help="share of the candidates in a test set (0.1)")  # fmt: skip
    parser.add_argument("--split-seed", type=int, default=0, metavar="N", help="another one, other test sets (0)")
    parser.add_argument("--passes", type=at_least(1), default=10, metavar="N",
                        help="passes with dropout and augmentation on (10)")  # fmt: skip
    add_split(parser)
    add_duplicates(parser)
    add_target(parser)
    add_recipe(parser)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="(float32)")
    parser.add_argument("--jobs", type=at_least(1), default=1, metavar="N", help="trainings side by side (1)")
    args = parser.parse_args(argv)

    def action() -> int:
        with silent_start():
            from galaxy_trainer.experiment import arms, compare
        settings = arms.Settings(
            test_candidates=args.test_candidates, test_fraction=args.test_fraction, split_seed=args.split_seed,
            labels=args.labels, precision=args.precision, passes=args.passes,
            target=chosen_target(parser, args), group=args.group, split_column=args.split_column,
        )  # fmt: skip
        compared = arms.arms_of(args.cache, views=args.views, recipe=chosen_recipe(parser, args))
        table = compare.compare(
            compared, args.output, settings=settings, seeds=args.seeds, folds=args.folds, jobs=args.jobs,
            allow_duplicates=args.allow_duplicates, report=None if args.quiet else tell,
        )  # fmt: skip
        if not args.quiet:
            from galaxy_trainer.experiment.statistics import as_text

            say(*as_text(table).splitlines())
        return DONE

    return run_command(parser, action, lambda: "; run the same command again to resume", quiet=args.quiet)
