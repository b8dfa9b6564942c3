"""Options that several commands have, and what they mean."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.labels.questions import SHIPPED

if TYPE_CHECKING:
    from galaxy_trainer.answers.choices import Choice
    from galaxy_trainer.network.recipes import Recipe

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


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add what is answered; see `chosen_target`."""
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


def add_split(parser: Any) -> None:
    """Add the columns of labels that decide about the split."""
    parser.add_argument("--group", metavar="COLUMN",
                        help="galaxies with the same value here are never on both sides of the split")  # fmt: skip
    parser.add_argument("--split-column", metavar="COLUMN", help="column that says train or test")


def add_duplicates(parser: Any) -> None:
    """Add the switch for pictures under two ids."""
    parser.add_argument("--allow-duplicates", action="store_true",
                        help="do not warn of pictures that are both trained and tested on, under two ids")  # fmt: skip


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Add the recipe and its fields; see `chosen_recipe`."""
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument("--recipe", default="paper", metavar="NAME", help="paper (default), long, best or shipped")
    for name, kind, text in _CHANGES:
        recipe.add_argument(f"--{name}", type=kind, metavar="X", help=f"{text} (default: the recipe's)")
    recipe.add_argument("--no-augmentation", action="store_true", help="train on the images as they are")


def add_answering(parser: argparse.ArgumentParser) -> None:
    """Add how a network is asked about a cache."""
    parser.add_argument("--orientations", type=_orientations, default=1, metavar="K",
                        help="average over K rotations and flips; 1 (default) or an even number")  # fmt: skip
    add_weights(parser)
    parser.add_argument("--clip", action="store_true", help="set answers below 0 to 0, and those above 1 to 1")
    parser.add_argument("--any-settings", action="store_true",
                        help="take a cache that was made with other settings than the run's")  # fmt: skip


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Add which weights are used."""
    parser.add_argument("--weights", choices=("best", "last"), default="best",
                        help="of the epoch with the lowest validation loss (default), or of the last")  # fmt: skip


def chosen_target(parser: argparse.ArgumentParser, args: argparse.Namespace) -> "Choice | None":
    """Return the target that was asked for, or None for the default."""
    from galaxy_trainer.answers.choices import DEFAULT, Choice

    tree = args.tree if args.tree in SHIPPED else str(Path(args.tree).resolve())
    try:
        choice = Choice(
            kind=args.target, tree=tree, columns=args.columns, ignore_columns=args.ignore_columns,
            balanced=args.class_weights, loss=args.loss,
        )  # fmt: skip
    except TrainerError as error:
        parser.error(str(error))
    return None if choice == DEFAULT else choice


def chosen_changes(parser: argparse.ArgumentParser, args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that replace fields of the recipe, checked with it."""
    from galaxy_trainer.network.augmentation import NO_AUGMENTATION
    from galaxy_trainer.network.recipes import recipe_of

    given = {name.replace("-", "_"): getattr(args, name.replace("-", "_")) for name, _, _ in _CHANGES}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if args.no_augmentation:
        changes["augmentation"] = NO_AUGMENTATION
    try:
        recipe_of(args.recipe, changes)
    except TrainerError as error:
        parser.error(str(error))
    return changes


def chosen_recipe(parser: argparse.ArgumentParser, args: argparse.Namespace) -> "Recipe":
    """Return the recipe with the options that replace its fields."""
    from galaxy_trainer.network.recipes import recipe_of

    return recipe_of(args.recipe, chosen_changes(parser, args))


def at_least(least: int) -> Callable[[str], int]:
    """Return the type of a whole number of at least this."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")
        return value

    return parse


def share(text: str) -> float:
    """Return a share between 0 and 1."""
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
