"""Figures of what is answered, and what all figures share."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from galaxy_trainer.labels.questions import Question, Tree, shipped
from scalenorm.images.showing import as_picture, limits_of

# Okabe & Ito 2008: told apart by colour-blind people; in order of contrast on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#666666"

WIDTH = 10.0
"""Width of all figures in inches."""


def new_figure(height: float) -> Figure:
    """Return an empty figure of the common width."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def confusion_figure(confusion: np.ndarray, classes: Sequence[str]) -> Figure:
    """Draw how often each class (rows) was taken for each (columns); shades are shares of a row."""
    side = 2.5 + 0.5 * len(classes)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    panel = figure.subplots()
    shares = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(confusion):
        tone = "white" if shares[row, column] > 0.5 else "black"
        panel.text(column, row, f"{count}", ha="center", va="center", color=tone)
    names = [textwrap.shorten(name, 24) for name in classes]
    panel.set_xticks(range(len(names)), names, rotation=45, ha="right")
    panel.set_yticks(range(len(names)), names)
    panel.set_xlabel("answered")
    panel.set_ylabel("true")
    return figure


def calibration_figure(bins: Sequence[Mapping[str, float]]) -> Figure:
    """Draw errors against deviations between orientations, of bins as from `asking.evaluation.calibration`."""
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    panel = figure.subplots()
    deviations, errors = ([row[name] for row in bins] for name in ("deviation", "error"))
    ends = [min(filter(None, (*deviations, *errors)), default=1), max(*deviations, *errors)]
    panel.plot(ends, ends, "--", color=GREY, label="error = deviation")
    panel.plot(deviations, errors, "o-", color=COLOURS[0], label=f"bins of about {bins[0]['answers']:,} answers")
    panel.loglog()
    panel.set_xlabel("deviation between orientations (root mean square)")
    panel.set_ylabel("error of the mean answer (root mean square)")
    panel.legend(frameon=False)
    return figure


def tree_figure(tree: Tree | None = None) -> Figure:
    """Draw a decision tree, by default Galaxy Zoo 2's (the paper's figure 1)."""
    tree = tree or shipped("galaxy_zoo_2")
    figure = new_figure(8.2)
    panel = figure.subplots()
    panel.set_axis_off()
    depth, top = _layout(tree)
    tall = max(place + _lines(q) for q, place in ((q, top[q.number]) for q in tree.questions))
    anchors: dict[int, tuple[float, float]] = {}
    wide = 1.0 / (1 + max(depth.values()))
    for question in tree.from_root():
        left, line = depth[question.number] * wide, top[question.number]
        text = textwrap.wrap(f"{question.number}. {question.text}", 25)
        height = _lines(question)
        panel.add_patch(
            FancyBboxPatch((left, line), 0.82 * wide, height - 0.45, boxstyle="round,pad=0,rounding_size=0.008",
                           facecolor="#EEF4FA", edgecolor=COLOURS[0], mutation_aspect=tall)
        )  # fmt: skip
        for k, part in enumerate(text):
            panel.text(left + 0.012, line + 0.75 + k, part, fontsize=8.5, weight="bold", va="center")
        for k, answer in enumerate(question.answers):
            place = line + 0.75 + len(text) + k
            leads = any(q.parent == question.first + k for q in tree.questions)
            panel.text(left + 0.022, place, f"{question.number}.{k + 1} {answer}", fontsize=8.5, va="center",
                       color=COLOURS[1] if leads else "black")  # fmt: skip
            anchors[question.first + k] = (left + 0.82 * wide, place)
        if question.parent is not None:
            x, y = anchors[question.parent]
            panel.annotate("", (left, line + 0.75), (x, y), arrowprops={
                "arrowstyle": "-|>", "color": COLOURS[1], "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0,
                "connectionstyle": "arc3,rad=0"})  # fmt: skip
    panel.set_xlim(0, 1)
    panel.set_ylim(tall, 0)
    return figure


def _lines(question: Question) -> float:
    return len(textwrap.wrap(f"{question.number}. {question.text}", 25)) + len(question.answers) + 0.9


def _layout(tree: Tree) -> tuple[dict[int, int], dict[int, float]]:
    """Return column and first line of every question: children right of their parent, below one another."""
    depth: dict[int, int] = {}
    for question in tree.from_root():
        parents = [q for q in tree.questions if question.parent in range(q.first, q.first + len(q.answers))]
        depth[question.number] = 1 + depth[parents[0].number] if parents else 0
    top: dict[int, float] = {}
    for column in range(1 + max(depth.values())):
        line = 0.0
        members = [q for q in tree.from_root() if depth[q.number] == column]
        for question in sorted(members, key=lambda q: (-1 if q.parent is None else q.parent, q.number)):
            top[question.number] = line
            line += _lines(question)
    return depth, top


def neighbours_figure(found: Any) -> Figure:
    """Draw a galaxy and those that are like it, as a `galaxy_trainer.asking.features.Neighbours` has them."""
    titles = [found.query, *(f"{name}\n{far:.2f}" for name, far in zip(found.ids, found.distances, strict=True))]
    columns = min(6, len(titles))
    lines = -(-len(titles) // columns)
    figure = new_figure(WIDTH / columns * 1.3 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, title, crop in zip(panels, titles, [found.crop, *found.crops], strict=False):
        panel.imshow(np.asarray(as_picture(crop, limits_of(crop))))
        panel.set_title(title, fontsize=8, parse_math=False)
    return figure
