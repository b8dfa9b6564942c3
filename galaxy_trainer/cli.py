"""The commands galaxy-train, galaxy-evaluate, galaxy-predict, galaxy-similar, galaxy-export and galaxy-compare."""

import argparse
import functools
import shlex
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galaxy_trainer.errors import TrainerError, TrainerWarning
from galaxy_trainer.features import check_features
from galaxy_trainer.files import check_answers, check_new, check_png
from galaxy_trainer.questions import SHIPPED, first_few
from galaxy_trainer.start import silent_start
from scalenorm.commands.batch import add_listing, add_positions
from scalenorm.commands.common import DONE, DONE_WITH_FAILED, Parser, add_common, counted, run_guarded, say
from scalenorm.files.errors import BatchError, CacheError, InputError, OutputError, TableError

if TYPE_CHECKING:
    from galaxy_trainer.choices import Choice
    from galaxy_trainer.recipes import Recipe

#: Lines about progress; it is picklable.
_tell = functools.partial(say, error=True)

_CHANGES = (
    ("network", str, "paper, or compact: fewer convolutions, for few galaxies"),
    ("rotations", int, "average over 4 orientations (right angles), 8 (and mirrored) or 16 (and 45 degrees)"),
    ("width", float, "factor on the numbers of filters and dense units"),
    ("pieces", int, "linear pieces of a maxout unit"),
    ("dropout", float, "fraction dropped behind the maxout layers"),
    ("head", str, "linear, or tree: answers that obey the decision tree"),
    ("epochs", int, "epochs"),
    ("finish", float, "share of the epochs, at the end, that see only the galaxies of --finish-ids"),
    ("batch-size", int, "images per step"),
    ("learning-rate", float, "learning rate at the start"),
)

_NETWORK = "a run, a file that galaxy-export wrote, or a network that comes with the package, such as gz2"

_WHERE = (
    "list_file", "id_from", "id_column", "positions", "stamp", "stamp_from", "side_from", "side_unit",
    "position_columns", "tile_column", "jobs",
)  # fmt: skip


def train(argv: Sequence[str] | None = None) -> int:
    """Run galaxy-train; returns the exit code."""
    parser = _parser("galaxy-train", "Train a network on a cache, or resume an interrupted run.")
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
    data.add_argument("--test-fraction", type=_share, default=0.1, metavar="X", help="share of the test set (0.1)")
    data.add_argument("--split-seed", type=int, default=0, metavar="N", help="another one, another test set (0)")
    data.add_argument("--in-memory", action=argparse.BooleanOptionalAction, default=None,
                      help="read the view into memory first (default: if it takes less than 1 GiB)")  # fmt: skip
    _add_target(parser)
    _add_group(data)
    data.add_argument("--split-column", metavar="COLUMN", help="column that says train or test")
    _add_recipe(parser)
    start = parser.add_argument_group("a trained network to start from")
    start.add_argument("--from", metavar="NETWORK", help=_NETWORK)
    start.add_argument("--freeze", choices=("none", "trunk"), default="none",
                       help="trunk: train the last layer only (none)")  # fmt: skip
    computing = parser.add_argument_group("computing")
    computing.add_argument("--seed", type=_at_least(0), default=0, metavar="N", help="of weights, order and draws (0)")
    computing.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="(float32)")
    computing.add_argument("--devices", type=_at_least(1), default=1, metavar="N", help="share every batch (1)")
    computing.add_argument("--tensorboard", action="store_true", help="write logs to RUN/tensorboard")
    computing.add_argument("--augmented-validation", action="store_true",
                           help="also log validation with augmentation and dropout on")  # fmt: skip
    _add_duplicates(data)
    args = parser.parse_args(argv)
    given = [name for name, value in vars(args).items() if value != parser.get_default(name)]
    surplus = [name for name in given if name not in ("cache", "resume", "quiet")]
    if args.resume is not None and surplus:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in surplus)
        parser.error(f"--resume takes all options from the run: leave out {named}")
    if args.resume is None and not (args.cache and args.output):
        parser.error("give a CACHE and a folder for the run (-o), or --resume RUN")

    def action() -> int:
        with silent_start():
            import galaxy_trainer
        report = None if args.quiet else _tell
        if args.resume is not None:
            run = galaxy_trainer.resume(args.resume, args.cache, report=report, progress=not args.quiet)
        else:
            run = galaxy_trainer.train(
                args.cache, args.output, view=args.view, labels=args.labels,
                start=vars(args)["from"], freeze=args.freeze,
                target=_target(parser, args), group=args.group, split_column=args.split_column, test_ids=args.test_ids,
                test_fraction=args.test_fraction, finish_ids=args.finish_ids, split_seed=args.split_seed,
                seed=args.seed, precision=args.precision, devices=args.devices, in_memory=args.in_memory,
                tensorboard=args.tensorboard, augmented_validation=args.augmented_validation,
                allow_duplicates=args.allow_duplicates, report=report, progress=not args.quiet,
                recipe=args.recipe, **_changes(parser, args),
            )  # fmt: skip
        if not args.quiet:
            say(*_summary(run.metrics))
        return DONE

    def advice() -> str:
        run = args.resume or args.output
        return f"; resume with galaxy-train --resume {shlex.quote(run)}" if Path(run, "split.csv").exists() else ""

    return _run(parser, action, advice, quiet=args.quiet)


def evaluate(argv: Sequence[str] | None = None) -> int:
    """Run galaxy-evaluate; returns the exit code."""
    parser = _parser("galaxy-evaluate", "Score a network on galaxies it was not trained on.")
    parser.add_argument("network", metavar="NETWORK", help=_NETWORK)
    parser.add_argument("cache", nargs="?", metavar="CACHE", help="another cache than the run's own")
    parser.add_argument("--labels", metavar="CSV", help="answers, in place of those in the cache")
    parser.add_argument("--passes", type=_at_least(0), default=10, metavar="N",
                        help="passes with dropout and augmentation on (10; 0: none)")  # fmt: skip
    _add_answering(parser)
    _add_duplicates(parser)
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
            from galaxy_trainer.curves import draw_calibration
            from galaxy_trainer.files import write_json
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
            say(*_summary(scores), *_questions(scores))
        return DONE

    return _run(parser, action, quiet=args.quiet)


def predict(argv: Sequence[str] | None = None) -> int:
    """Run galaxy-predict; returns the exit code."""
    parser = _parser("galaxy-predict", "Write the answers of a trained network for images, or for a cache.")
    parser.add_argument("network", metavar="NETWORK", help=_NETWORK)
    parser.add_argument("images", nargs="*", metavar="IMAGES",
                        help="folders, images, archives, stacks, globs, URLs; or a cache")  # fmt: skip
    parser.add_argument("-o", "--output", required=True, metavar="FILE",
                        help="file to write: .csv, .ecsv, .fits or .parquet")  # fmt: skip
    parser.add_argument("--features", action="store_true",
                        help="write what the network sees, not what it answers; also .npy")  # fmt: skip
    parser.add_argument("--no-deviation", action="store_true",
                        help="leave out the deviation between orientations, as for a competition")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    _add_answering(parser)
    inputs = parser.add_argument_group("images")
    add_listing(inputs)
    inputs.add_argument("--cache", metavar="OUT.h5", help="keep the crops in this cache")
    inputs.add_argument("--jobs", type=_at_least(1), metavar="N", help="threads that read images (one per core)")
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
            _tell(f"without answers, as {counted(len(reasons), 'image')} failed: {first_few(reasons)}")
        else:
            failed = list(result.messages)
            _tell(f"{len(failed)} failed images of {args.images[0]} are left out: {first_few(failed)}")
        return DONE_WITH_FAILED

    return _run(parser, action, quiet=args.quiet)


def similar(argv: Sequence[str] | None = None) -> int:
    """Run galaxy-similar; returns the exit code."""
    parser = _parser("galaxy-similar", "List the galaxies of a cache that a network finds most like one of them.")
    parser.add_argument("cache", metavar="CACHE", help="cache written by scalenorm-batch")
    parser.add_argument("query", metavar="ID", help="id of a galaxy of the cache, or an image file")
    parser.add_argument("--network", default="gz2", metavar="NETWORK", help=f"{_NETWORK} (gz2)")
    parser.add_argument("-n", "--count", type=_at_least(1), default=10, metavar="N", help="how many (10)")
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

    return _run(parser, action, quiet=args.quiet)


def export(argv: Sequence[str] | None = None) -> int:
    """Run galaxy-export; returns the exit code."""
    parser = _parser("galaxy-export", "Write a trained network to one file, to be used elsewhere.")
    parser.add_argument("network", metavar="NETWORK", help=_NETWORK)
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="file to write")
    parser.add_argument("--format", choices=("stored", "keras", "savedmodel", "onnx"), default="stored",
                        help="stored (default): an .npz that all commands take in place of a run")  # fmt: skip
    parser.add_argument("--credit", default="", metavar="TEXT", help="data trained on, and their licence")
    _add_weights(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    args = parser.parse_args(argv)

    def action() -> int:
        with silent_start():
            import galaxy_trainer
        galaxy_trainer.export(
            args.network, args.output, format=args.format, weights=args.weights, credit=args.credit,
            overwrite=args.overwrite,
        )  # fmt: skip
        if not args.quiet:
            files = [path for path in (Path(args.output), *Path(args.output).rglob("*")) if path.is_file()]
            say(f"{args.output}: {sum(path.stat().st_size for path in files) / 1e6:.2f} MB")
        return DONE

    return _run(parser, action, quiet=args.quiet)


def compare(argv: Sequence[str] | None = None) -> int:
    """Run galaxy-compare; returns the exit code."""
    parser = _parser(
        "galaxy-compare",
        "Train the same network on several views of the same galaxies, and write tables, figures and a page. "
        "Run the same command again to resume after an interruption.",
    )
    parser.add_argument("cache", metavar="CACHE", help="cache with labels, or a JSON file that lists what to compare")
    parser.add_argument("-o", "--output", required=True, metavar="EXPERIMENT", help="folder for everything")
    parser.add_argument("--views", nargs="+", metavar="VIEW", help="views to compare (default: all of the cache)")
    parser.add_argument("--seeds", type=_at_least(1), default=3, metavar="N", help="trainings per view and test (3)")
    parser.add_argument("--folds", type=_at_least(1), default=1, metavar="N", help="disjoint test sets (1)")
    parser.add_argument("--labels", metavar="CSV", help="answers, in place of those in the cache")
    parser.add_argument("--test-candidates", metavar="FILE",
                        help="ids to draw test galaxies from, and to finish on if the recipe does (all)")  # fmt: skip
    parser.add_argument("--test-fraction", type=_share, default=0.1, metavar="X",
                        help="share of the candidates in a test set (0.1)")  # fmt: skip
    parser.add_argument("--split-seed", type=int, default=0, metavar="N", help="another one, other test sets (0)")
    parser.add_argument("--passes", type=_at_least(1), default=10, metavar="N",
                        help="passes with dropout and augmentation on (10)")  # fmt: skip
    _add_group(parser)
    _add_duplicates(parser)
    _add_target(parser)
    _add_recipe(parser)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="(float32)")
    parser.add_argument("--jobs", type=_at_least(1), default=1, metavar="N", help="trainings side by side (1)")
    args = parser.parse_args(argv)

    def action() -> int:
        with silent_start():
            from galaxy_trainer import arms, experiment
        settings = arms.Settings(
            test_candidates=args.test_candidates, test_fraction=args.test_fraction, split_seed=args.split_seed,
            labels=args.labels, precision=args.precision, passes=args.passes,
            target=_target(parser, args), group=args.group,
        )  # fmt: skip
        compared = arms.arms_of(args.cache, views=args.views, recipe=_recipe(parser, args))
        table = experiment.compare(
            compared, args.output, settings=settings, seeds=args.seeds, folds=args.folds, jobs=args.jobs,
            allow_duplicates=args.allow_duplicates, report=None if args.quiet else _tell,
        )  # fmt: skip
        if not args.quiet:
            from galaxy_trainer.statistics import as_text

            say(*as_text(table).splitlines())
        return DONE

    return _run(parser, action, lambda: "; run the same command again to resume", quiet=args.quiet)


def _parser(name: str, text: str) -> argparse.ArgumentParser:
    parser = Parser(prog=name, description=text)
    add_common(parser)
    return parser


def _run(
    parser: argparse.ArgumentParser, action: Callable[[], int], advice: Callable[[], str] = str, *, quiet: bool
) -> int:
    def show(message: Warning | str, category: type[Warning], *details: Any, **options: Any) -> None:
        if issubclass(category, TrainerWarning):
            say(f"{parser.prog}: warning: {message}", error=True)
        else:
            shown(message, category, *details, **options)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if quiet else "always", TrainerWarning)
        shown, warnings.showwarning = warnings.showwarning, show
        errors = (TrainerError, BatchError, CacheError, InputError, OutputError, TableError)
        return run_guarded(parser, action, errors=errors, advice=advice)


def _add_duplicates(parser: Any) -> None:
    parser.add_argument("--allow-duplicates", action="store_true",
                        help="do not warn of pictures that are both trained and tested on, under two ids")  # fmt: skip


def _add_group(parser: Any) -> None:
    parser.add_argument("--group", metavar="COLUMN",
                        help="galaxies with the same value here are never on both sides of the split")  # fmt: skip


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument("--recipe", default="paper", metavar="NAME", help="paper (default), long, best or shipped")
    for name, kind, text in _CHANGES:
        recipe.add_argument(f"--{name}", type=kind, metavar="X", help=f"{text} (default: the recipe's)")
    recipe.add_argument("--no-augmentation", action="store_true", help="train on the images as they are")


def _add_target(parser: argparse.ArgumentParser) -> None:
    target = parser.add_argument_group("what is answered")
    target.add_argument("--target", choices=("tree", "values", "classes"), default="tree",
                        help="a decision tree (default), numbers, or classes")  # fmt: skip
    target.add_argument("--tree", default="galaxy_zoo_2", metavar="FILE",
                        help="galaxy_zoo_2 (default), galaxy_zoo_decals, or a TOML file of a tree")  # fmt: skip
    target.add_argument("--loss", choices=("mse", "counts"), default="mse",
                        help="of a tree: mean squared error (default), or the likelihood of the votes")  # fmt: skip
    target.add_argument("--columns", nargs="+", metavar="COLUMN", help="columns of the labels to answer (default: all)")
    target.add_argument("--ignore-columns", nargs="+", default=[], metavar="COLUMN", help="columns to leave out")
    target.add_argument("--class-weights", action="store_true", help="let every class count the same")


def _target(parser: argparse.ArgumentParser, args: argparse.Namespace) -> "Choice | None":
    from galaxy_trainer.choices import DEFAULT, Choice

    tree = args.tree if args.tree in SHIPPED else str(Path(args.tree).resolve())
    try:
        choice = Choice(
            kind=args.target, tree=tree, columns=args.columns, ignore_columns=args.ignore_columns,
            balanced=args.class_weights, loss=args.loss,
        )  # fmt: skip
    except TrainerError as error:
        parser.error(str(error))
    return None if choice == DEFAULT else choice


def _changes(parser: argparse.ArgumentParser, args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that replace fields of the recipe, checked with it."""
    from galaxy_trainer.augmentation import NO_AUGMENTATION
    from galaxy_trainer.recipes import recipe_of

    given = {name.replace("-", "_"): getattr(args, name.replace("-", "_")) for name, _, _ in _CHANGES}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if args.no_augmentation:
        changes["augmentation"] = NO_AUGMENTATION
    try:
        recipe_of(args.recipe, changes)
    except TrainerError as error:
        parser.error(str(error))
    return changes


def _recipe(parser: argparse.ArgumentParser, args: argparse.Namespace) -> "Recipe":
    from galaxy_trainer.recipes import recipe_of

    return recipe_of(args.recipe, _changes(parser, args))


def _add_answering(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--orientations", type=_orientations, default=1, metavar="K",
                        help="average over K rotations and flips; 1 (default) or an even number")  # fmt: skip
    _add_weights(parser)
    parser.add_argument("--clip", action="store_true", help="set answers below 0 to 0, and those above 1 to 1")
    parser.add_argument("--any-settings", action="store_true",
                        help="take a cache that was made with other settings than the run's")  # fmt: skip


def _add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", choices=("best", "last"), default="best",
                        help="of the epoch with the lowest validation loss (default), or of the last")  # fmt: skip


def _at_least(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")
        return value

    return parse


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, got {text!r}")
    return value


def _orientations(text: str) -> int:
    if not text.isdecimal() or (int(text) != 1 and (int(text) % 2 or int(text) == 0)):
        raise argparse.ArgumentTypeError(f"expected 1 or an even number (rotations times flip), got {text!r}")
    return int(text)


def _summary(scores: dict[str, Any]) -> list[str]:
    galaxies = "galaxy" if scores["galaxies"] == 1 else "galaxies"
    title = f"{scores['galaxies']} test {galaxies}, weights of epoch {scores['epoch']}"
    rows = {"deterministic": scores["deterministic"]}
    if "non_deterministic" in scores:
        part = scores["non_deterministic"]
        spread = next(value for key, value in part.items() if key.endswith("_std"))
        rows[f"non-deterministic ({part['passes']} passes, +- {spread:.5f})"] = part
    if "orientations" in scores:
        rows[f"mean of {scores['orientations']['count']} orientations"] = scores["orientations"]
    names = {"mean_answer": "mean answer", "zero": "all zero"}
    return _score_lines(title, rows | {names[name]: part for name, part in scores["baselines"].items()})


def _questions(scores: dict[str, Any]) -> list[str]:
    rows = scores["deterministic"]
    if any(len(part) > 2 for part in rows["questions"].values()):
        return ["", *_score_lines("", rows["questions"])]
    more = {name: part for name, part in rows["answers"].items() if len(part) > 2}
    return ["", *_score_lines("", more)] if more else _score_lines("", rows["questions"])[1:]


def _score_lines(title: str, rows: dict[str, Any]) -> list[str]:
    """Return a table of what the first row has single numbers of."""
    first = next(iter(rows.values()))
    columns = [name for name, value in first.items() if isinstance(value, int | float)]
    heads = [name.upper() if name in ("mse", "rmse", "mae", "r2") else name.replace("_", " ") for name in columns]
    widths = [max(9, len(head)) for head in heads]
    lines = [f"{title:<44}" + " ".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True))]
    for name, part in rows.items():
        cells = [
            " " * width if column not in part
            else f"{part[column]:{width}d}" if isinstance(part[column], int) else f"{part[column]:{width}.5f}"
            for column, width in zip(columns, widths, strict=True)
        ]  # fmt: skip
        lines.append((f"{name:<44}" + " ".join(cells)).rstrip())
    return lines
