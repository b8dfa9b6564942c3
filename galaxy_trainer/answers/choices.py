"""Which target a user asks for, and which one a run has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galaxy_trainer.answers.classes import ClassesTarget, as_classes
from galaxy_trainer.answers.targets import GALAXY_ZOO_2, Target, TreeTarget, ValuesTarget
from galaxy_trainer.answers.votes import VotesTarget, votes_for
from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.labels.columns import Columns
from galaxy_trainer.labels.questions import first_few, read_tree


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a user says of the target; the labels decide the rest.

    Parameters
    ----------
    kind : {"tree", "values", "classes"}
        What is answered.
    tree : str or Path
        Name in `galaxy_trainer.labels.questions.SHIPPED`, or a TOML file of a tree.
    columns : sequence of str, optional
        Columns of the labels to answer. Default: all, or those of the tree.
    ignore_columns : sequence of str
        Columns to leave out.
    balanced : bool
        Of classes: every class counts the same.
    loss : {"mse", "counts"}
        Of a tree: "counts" for columns that hold numbers of votes, see `galaxy_trainer.answers.votes.VotesTarget`.
    """

    kind: str = "tree"
    tree: str | Path = "galaxy_zoo_2"
    columns: Sequence[str] | None = None
    ignore_columns: Sequence[str] = ()
    balanced: bool = False
    loss: str = "mse"

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if self.kind not in KINDS:
            raise TrainerError(f"unknown target {self.kind!r}; known: {', '.join(KINDS)}")
        if self.kind == "tree" and (self.columns is not None or self.ignore_columns):
            raise TrainerError("the columns of a decision tree are named by its file: leave out --columns")
        if self.kind != "tree" and self.tree != "galaxy_zoo_2":
            raise TrainerError(f"--tree goes with --target tree, not {self.kind}")
        if self.balanced and self.kind != "classes":
            raise TrainerError(f"--class-weights goes with --target classes, not {self.kind}")
        if self.loss not in ("mse", "counts"):
            raise TrainerError(f"unknown loss {self.loss!r}; known: mse, counts")
        if self.loss == "counts" and self.kind != "tree":
            raise TrainerError(f"--loss counts goes with --target tree, not {self.kind}")

    def target(self, labels: "Columns | None", names: Sequence[str], source: str, aside: Sequence[str]) -> Target:
        """Return the target that labels with columns `names` hold; `aside` are columns with another use.

        Called first without `labels`, to know which columns to read, then with them.
        """
        if self.kind == "tree":
            tree = read_tree(self.tree, votes=self.loss == "counts")
            missing = [name for name in tree.names if name not in names]
            if missing:
                raise TrainerError(
                    f"{source}: columns of the decision tree are missing: {first_few(missing)}; for other labels use "
                    "--target values or classes, or --tree FILE"
                )
            return votes_for(tree) if self.loss == "counts" else TreeTarget(tree.names, tree)
        chosen = [name for name in names if name not in aside] if self.columns is None else list(self.columns)
        unknown = [name for name in [*chosen, *self.ignore_columns] if name not in names]
        if unknown:
            raise TrainerError(f"{source}: no column {unknown[0]!r}; it has: {first_few(names, 8)}")
        chosen = [name for name in chosen if name not in self.ignore_columns]
        if not chosen:
            raise TrainerError(f"{source}: no columns are left to answer")
        if self.kind == "values":
            return ValuesTarget(tuple(chosen))
        if len(chosen) > 1:
            raise TrainerError(
                f"{source}: classes are in one column, here are {len(chosen)}: {first_few(chosen)}; use --columns"
            )
        if labels is None:
            return ClassesTarget((chosen[0],), ())
        codes, classes = as_classes(labels, chosen[0])
        there = {int(code) for code in codes[np.isfinite(codes)]}
        found = tuple(name for code, name in enumerate(classes) if code in there)
        if len(found) < 2:
            raise TrainerError(f"{source}: column {chosen[0]!r} needs two classes or more, has: {first_few(found)}")
        return ClassesTarget((chosen[0],), found, balanced=self.balanced)


KINDS: dict[str, type[Target]] = {"tree": TreeTarget, "values": ValuesTarget, "classes": ClassesTarget}
"""Targets by name."""

DEFAULT = Choice()
"""The decision tree of Galaxy Zoo 2."""


def target_from_json(values: Mapping[str, Any] | None) -> Target:
    """Return the target that `Target.described` turned into `values`; None is that of runs of earlier versions."""
    if values is None:
        return GALAXY_ZOO_2
    return (KINDS | {"votes": VotesTarget})[values["kind"]].parse(values)
