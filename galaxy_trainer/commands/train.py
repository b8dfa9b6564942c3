"""``galaxy-train``: train a network on a cache, or resume an interrupted run."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from galaxy_trainer.commands.common import NETWORK, new_parser, run_command, tell
from galaxy_trainer.commands.options import (
    add_duplicates,
    add_recipe,
    add_split,
    add_target,
    at_least,
    chosen_changes,
    chosen_target,
    share,
)
from galaxy_trainer.commands.scores import summary_lines
from galaxy_trainer.network.start import silent_start
from scalenorm.commands.common import DONE, say


def main(argv: Sequence[str] | None = None) -> int:
    """Run galaxy-train; returns the exit code."""
    parser = new_parser("galaxy-train", "Train a network on a cache, or resume an interrupted run.")
    parser.add_argument("cache", nargs="?", metavar="CACHE", help="cache written by scalenorm-batch, with labels")
    parser.add_argument("-o", "--output", metavar="RUN", help="folder to create for the run")
    parser.add_argument(
        "--resume",
        metavar="RUN",
        help="resume this run after its last finished epoch; CACHE is needed only if it moved",
    )
    data = parser.add_argument_group("data")
    data.add_argument("--view", nargs="+", metavar="VIEW",
                      help="view to train on; several are seen at once (default: normalized)")  # fmt: skip
    data.add_argument("--labels", metavar="CSV", help="answers, in place of those in the cache")
    data.add_argument("--test-ids", metavar="FILE", help="the test set, one id per line (default: by hash)")
    data.add_argument("--finish-ids", metavar="FILE",
                      help="of the others, those seen by the last epochs of a recipe with a finish")  # fmt: skip
    data.add_argument("--test-fraction", type=share, default=0.1, metavar="X", help="share of the test set (0.1)")
    data.add_argument("--split-seed", type=int, default=0, metavar="N", help="another one, another test set (0)")
    data.add_argument("--in-memory", action=argparse.BooleanOptionalAction, default=None,
                      help="read the view into memory first (default: if it takes less than 1 GiB)")  # fmt: skip
    add_target(parser)
    add_split(data)
    add_recipe(parser)
    start = parser.add_argument_group("a trained network to start from")
    start.add_argument("--from", metavar="NETWORK", help=NETWORK)
    start.add_argument("--freeze", choices=("none", "trunk"), default="none",
                       help="trunk: train the last layer only (none)")  # fmt: skip
    computing = parser.add_argument_group("computing")
    computing.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="of weights, order and draws (0)")
    computing.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="(float32)")
    computing.add_argument("--devices", type=at_least(1), default=1, metavar="N", help="share every batch (1)")
    computing.add_argument("--tensorboard", action="store_true", help="write logs to RUN/tensorboard")
    computing.add_argument("--augmented-validation", action="store_true",
                           help="also log validation with augmentation and dropout on")  # fmt: skip
    add_duplicates(data)
    args = parser.parse_args(argv)
    given = [name for name, value in vars(args).items() if value != parser.get_default(name)]
    surplus = [name for name in given if name not in ("cache", "resume", "quiet")]
    if args.resume is not None and surplus:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in surplus)
        parser.error(f"--resume takes all options from the run: leave out {named}")
    if args.resume is None and not (args.cache and args.output):
        parser.error("give a CACHE and a folder for the run (-o), or --resume RUN")

    def action() -> int:
        with silent_start(to_train=True):
            import galaxy_trainer
        report = None if args.quiet else tell
        if args.resume is not None:
            run = galaxy_trainer.resume(args.resume, args.cache, report=report, progress=not args.quiet)
        else:
            run = galaxy_trainer.train(
                args.cache, args.output, view=args.view, labels=args.labels,
                start=vars(args)["from"], freeze=args.freeze,
                target=chosen_target(parser, args), group=args.group, split_column=args.split_column,
                test_ids=args.test_ids, test_fraction=args.test_fraction, finish_ids=args.finish_ids,
                split_seed=args.split_seed, seed=args.seed, precision=args.precision, devices=args.devices,
                in_memory=args.in_memory, tensorboard=args.tensorboard,
                augmented_validation=args.augmented_validation, allow_duplicates=args.allow_duplicates,
                report=report, progress=not args.quiet, recipe=args.recipe, **chosen_changes(parser, args),
            )  # fmt: skip
        if not args.quiet:
            say(*summary_lines(run.metrics))
        return DONE

    def advice() -> str:
        run = args.resume or args.output
        return f"; resume with galaxy-train --resume {shlex.quote(run)}" if Path(run, "split.csv").exists() else ""

    return run_command(parser, action, advice, quiet=args.quiet)
