"""The figures of an experiment, numbered as in Kabani & El-Sakka (2016) where the paper has them.

Every function draws one matplotlib figure from data that this package holds anyway: the decision tree and the
network are drawn from the tree and the model in use, so they cannot differ from what is trained.
"""

import itertools
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MaxNLocator

from galaxy_trainer.drawing.target_figures import COLOURS, GREY, WIDTH, new_figure
from galaxy_trainer.experiment.statistics import Result

_ON_WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 1}


def colour(index: int) -> str:
    """Return the colour of the arm number `index`."""
    return COLOURS[index % len(COLOURS)]


def loss_curves(results: Sequence[Result], names: Sequence[str]) -> Figure:
    """Draw training and validation loss by epoch, one panel per arm (the paper's figures 5 to 7).

    Parameters
    ----------
    results : sequence of Result
        All runs; each is a thin line, their mean a thick one.
    names : sequence of str
        The arms.

    Returns
    -------
    matplotlib.figure.Figure
    """
    columns = min(3, len(names))
    lines = math.ceil(len(names) / columns)
    figure = new_figure(0.7 + 3.1 * lines)
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    curves = (
        ("loss", "training (augmented, with dropout)", COLOURS[0], "-"),
        ("val_loss", "validation", COLOURS[1], "-"),
        ("val_loss_augmented", "validation, augmented, with dropout", COLOURS[3], "--"),
    )
    for panel, name in itertools.zip_longest(panels, names):
        if name is None:
            panel.set_axis_off()
            continue
        for key, label, tone, line in curves:
            _seed_curves(panel, _of(results, name), key, tone, line, label)
        panel.set_title(name, fontsize=11)
        _epoch_axis(panel)
    for panel in panels[::columns]:
        panel.set_ylabel(results[0].target.measure)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    _robust_limit(panels[0], [row[key] for r in results for row in r.history for key, *_ in curves if key in row])
    return figure


def validation_curves(results: Sequence[Result], names: Sequence[str]) -> Figure:
    """Draw the validation loss of all arms in one panel, without and with augmentation and dropout."""
    figure = new_figure(4.2)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for panel, key, title in zip(
        panels,
        ("val_loss", "val_loss_augmented"),
        ("augmentation and dropout off", "augmentation and dropout on"),
        strict=True,
    ):
        for i, name in enumerate(names):
            _seed_curves(panel, _of(results, name), key, colour(i), "-", name)
        panel.set_title(title, fontsize=11)
        _epoch_axis(panel)
    panels[0].set_ylabel(f"validation loss ({results[0].target.measure})")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(names)), frameon=False)
    keys = ("val_loss", "val_loss_augmented")
    _robust_limit(panels[0], [row[key] for r in results for row in r.history for key in keys if key in row])
    return figure


def _of(results: Sequence[Result], name: str) -> list[Result]:
    return [result for result in results if result.arm == name]


def _seed_curves(panel: Axes, results: Sequence[Result], key: str, tone: str, line: str, label: str) -> None:
    rows = [[(row["epoch"], row[key]) for row in r.history if key in row] for r in results]
    if not rows[0]:
        return
    epochs = [epoch for epoch, _ in rows[0]]
    values = np.array([[value for _, value in row] for row in rows])
    if len(values) > 1:
        for one in values:
            panel.plot(epochs, one, line, color=tone, linewidth=0.7, alpha=0.4)
    panel.plot(
        epochs, values.mean(axis=0), line, color=tone, linewidth=2, label=label,
        marker="o" if len(epochs) <= 30 else "", markersize=3.5,
    )  # fmt: skip


def _epoch_axis(panel: Axes) -> None:
    panel.set_xlabel("epoch")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panel.grid(alpha=0.3)


def _robust_limit(panel: Axes, values: Sequence[float]) -> None:
    """Let a first epoch far above the rest not flatten all curves."""
    low, high = min(values), max(values)
    usual = float(np.percentile(values, 97))
    if high - low > 2 * (usual - low) > 0:
        panel.set_ylim(low - 0.05 * (usual - low), low + 1.15 * (usual - low))


def score_figure(table: dict[str, Any], score: str) -> Figure:
    """Draw one score of every arm with its interval (the paper's figures 8 and 9).

    Parameters
    ----------
    table : dict
        As from `galaxy_trainer.experiment.statistics.summary`.
    score : str
        Name in `galaxy_trainer.experiment.statistics.SCORES`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    arms = table["arms"]
    figure = new_figure(1.4 + 0.5 * len(arms))
    panel = figure.subplots()
    for i, arm in enumerate(arms.values()):
        value = arm[score]
        main = value[table["main"]]
        panel.plot([value["low"], value["high"]], [i, i], color=colour(i), linewidth=3, solid_capstyle="round")
        panel.plot(value["per_seed"], [i + 0.2] * len(value["per_seed"]), "o", color=colour(i), markersize=4, alpha=0.6)
        panel.plot(main, i, "o", color=colour(i), markersize=11, markeredgecolor="white")
        panel.annotate(
            f"{main:.5f}",
            (main, i),
            (0, 9),
            textcoords="offset points",
            ha="center",
            fontsize=10,
        )
    panel.set_yticks(range(len(arms)), list(arms))
    panel.set_ylim(len(arms) - 0.5, -0.7)
    panel.set_xlabel(
        f"{table['measure']} on the test galaxies (bar: 95% interval over galaxies; small dots below: one per seed)"
    )
    panel.grid(axis="x", alpha=0.3)
    return figure


def ratio_figure(table: dict[str, Any]) -> Figure:
    """Draw the ratios between the arms with their intervals."""
    names = list(table["arms"])
    pairs = [r for r in table["ratios"] if r["arm"] == names[0] or len(names) <= 3]
    pairs = [r for r in pairs if r["score"] == "deterministic"]
    others = {(r["arm"], r["to"]): r for r in table["ratios"] if r["score"] == "non_deterministic"}
    figure = new_figure(1.5 + 0.55 * len(pairs))
    panel = figure.subplots()
    panel.axvline(1, color="black", linewidth=1)
    for i, pair in enumerate(pairs):
        for row, offset, tone, label in (
            (pair, -0.13, COLOURS[0], "deterministic"),
            (others[pair["arm"], pair["to"]], 0.13, COLOURS[1], "non-deterministic"),
        ):
            panel.plot([row["low"], row["high"]], [i + offset] * 2, color=tone, linewidth=3, solid_capstyle="round")
            panel.plot(row["ratio"], i + offset, "o", color=tone, markersize=9, markeredgecolor="white",
                       label=label if i == 0 else None)  # fmt: skip
            panel.annotate(f"{row['ratio']:.3f}", (row["high"], i + offset), (7, 0), textcoords="offset points",
                           va="center", fontsize=9, bbox=_ON_WHITE)  # fmt: skip
    panel.set_yticks(range(len(pairs)), [f"{pair['arm']} / {pair['to']}" for pair in pairs])
    panel.set_ylim(len(pairs) - 0.5, -0.5)
    panel.margins(x=0.12)
    panel.set_xlabel("ratio of mean squared errors, 95% interval by paired bootstrap (below 1: the first is better)")
    panel.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper right", ncols=2, frameon=False)
    return figure


def question_figure(table: dict[str, Any]) -> Figure:
    """Draw the deterministic score of every arm question by question."""
    arms = table["arms"]
    questions = table["questions"]
    figure = new_figure(1.2 + 0.4 * len(questions))
    panel = figure.subplots()
    step = 0.5 / max(1, len(arms) - 1)
    for i, (name, arm) in enumerate(arms.items()):
        values = [arm["questions"][name] for name in questions]
        places = [k + i * step - 0.25 for k in range(len(questions))]
        panel.hlines(places, 0, values, color=colour(i), linewidth=1, alpha=0.5)
        panel.plot(values, places, "o", color=colour(i), markersize=5, label=name)
    texts = [f"{k + 1}  {textwrap.shorten(text, 52)}" for k, text in enumerate(questions.values())]
    panel.set_yticks(range(len(questions)), texts)
    panel.set_ylim(len(questions) - 0.4, -0.6)
    panel.set_xlim(left=0)
    panel.set_xlabel(f"{table['measure']}, each line by itself")
    panel.grid(axis="x", alpha=0.3)
    panel.legend(frameon=False, loc="lower right")
    return figure


def galaxy_figure(
    names: Sequence[str],
    ids: Sequence[str],
    crops: Sequence[Mapping[str, np.ndarray]],
    originals: Sequence[np.ndarray | None],
    outlines: Sequence[tuple[np.ndarray, np.ndarray]],
) -> Figure:
    """Draw galaxies: the original with ellipse and window, and its views (the paper's figure 3).

    Parameters
    ----------
    names : sequence of str
        The views.
    ids : sequence of str
        The galaxies.
    crops : sequence of mappings
        For each galaxy its crop by view, uint8 (size, size, 1 or 3).
    originals : sequence of ndarray or None
        Pictures that can be shown, or None where there is none.
    outlines : sequence of pairs of ndarray, shape (k, 2)
        Ellipse and window of each galaxy as (row, column) points.

    Returns
    -------
    matplotlib.figure.Figure
    """
    columns = 1 + len(names)
    figure = new_figure(0.3 + (WIDTH / columns + 0.1) * len(ids))
    panels = figure.subplots(len(ids), columns, squeeze=False)
    for line, name, views, original, (ellipse, window) in zip(panels, ids, crops, originals, outlines, strict=True):
        line[0].set_ylabel(name, fontsize=10)
        if original is None:
            line[0].text(0.5, 0.5, "original\nnot found", ha="center", va="center", transform=line[0].transAxes)
        else:
            line[0].imshow(_shown(original), cmap="gray")
            line[0].plot(ellipse[:, 1], ellipse[:, 0], color=COLOURS[4], linewidth=1.6, label="ellipse")
            line[0].plot(window[:, 1], window[:, 0], color=COLOURS[5], linewidth=1.6, label="window")
            line[0].set_xlim(-0.5, original.shape[1] - 0.5)
            line[0].set_ylim(original.shape[0] - 0.5, -0.5)
        for panel, view in zip(line[1:], names, strict=True):
            panel.imshow(_shown(views[view]), cmap="gray", interpolation="nearest")
        for panel in line:
            panel.set_xticks([])
            panel.set_yticks([])
    for panel, title in zip(panels[0], ("original: ellipse (orange), window (blue)", *names), strict=True):
        panel.set_title(textwrap.fill(title, 26), fontsize=10)
    return figure


def _shown(pixels: np.ndarray) -> np.ndarray:
    """Return pixels as matplotlib shows them: grey (rows, columns) or RGB, 0 to 1 if not uint8."""
    pixels = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] not in (3, 4) else pixels
    if pixels.dtype == np.uint8:
        return pixels
    low, high = np.nanpercentile(pixels, [1, 99.5])
    return np.clip((pixels - low) / ((high - low) or 1.0), 0, 1)


def sample_sheet(crops: np.ndarray, *, columns: int = 12) -> Figure:
    """Draw many crops of one view side by side (the paper's figure 2).

    Parameters
    ----------
    crops : ndarray, shape (n, size, size, channels)
        The crops.
    columns : int
        Crops per line.

    Returns
    -------
    matplotlib.figure.Figure
    """
    lines = math.ceil(len(crops) / columns)
    size, gap = crops.shape[1], 2
    step = size + gap
    sheet = np.ones((lines * step - gap, columns * step - gap, 3))
    for i, crop in enumerate(crops):
        shown = _shown(crop) / (255 if crop.dtype == np.uint8 else 1)
        row, column = divmod(i, columns)
        sheet[row * step : row * step + size, column * step : column * step + size] = (
            shown[..., :3] if shown.ndim == 3 else shown[..., None]
        )
    figure = new_figure(WIDTH * sheet.shape[0] / sheet.shape[1])
    panel = figure.subplots()
    panel.imshow(sheet, interpolation="nearest")
    panel.set_axis_off()
    return figure


def network_figure(model: Any) -> Figure:
    """Draw the layers of a network with their output shapes and parameters (the paper's figure 4).

    Parameters
    ----------
    model : keras.Model
        The network.

    Returns
    -------
    matplotlib.figure.Figure
    """
    blocks = _blocks(model)
    columns = 8
    lines = math.ceil(len(blocks) / columns)
    figure = new_figure(0.6 + 1.75 * lines)
    panel = figure.subplots()
    panel.set_axis_off()
    for i, (title, detail, tone) in enumerate(blocks):
        row, column = divmod(i, columns)
        panel.add_patch(
            FancyBboxPatch((column, row), 0.84, 0.74, boxstyle="round,pad=0,rounding_size=0.04", facecolor=tone,
                           edgecolor=GREY)
        )  # fmt: skip
        panel.text(column + 0.42, row + 0.2, title, fontsize=9, weight="bold", ha="center", va="center")
        panel.text(column + 0.42, row + 0.48, detail, fontsize=8, ha="center", va="center")
        if i + 1 < len(blocks):
            ends: tuple[tuple[float, float], tuple[float, float]]
            if column + 1 < columns:
                ends = ((column + 1, row + 0.37), (column + 0.84, row + 0.37))
            else:
                ends = ((0.42, row + 1), (column + 0.42, row + 0.74))
            panel.annotate(
                "", ends[0], ends[1], arrowprops={"arrowstyle": "-|>", "color": GREY, "shrinkA": 0, "shrinkB": 0}
            )
    panel.set_xlim(-0.02, columns)
    panel.set_ylim(lines, -0.05)
    return figure


def _blocks(model: Any) -> list[tuple[str, str, str]]:
    """Return title, detail and colour per drawn block; bias and ReLU go with their convolution."""
    blocks: list[tuple[str, str, str]] = []
    pending = 0
    for layer in model.layers:
        kind = type(layer).__name__
        shape = (
            tuple(getattr(layer, "output", np.empty(0)).shape)[1:] if kind != "InputLayer" else layer.batch_shape[1:]
        )
        size = " x ".join(str(n) for n in shape)
        weights = layer.count_params()
        if kind == "Conv2D" and not layer.use_bias:
            pending = weights
        elif kind == "UntiedBias":
            blocks.append(("conv 3 x 3", f"untied bias, ReLU\n{size}\n{pending + weights:,} weights", "#DCEBF7"))
        elif kind in _SHOWN:
            title, tone = _SHOWN[kind](layer)
            blocks.append((title, size + (f"\n{weights:,} weights" if weights else ""), tone))
    return blocks


_SHOWN: Mapping[str, Callable[[Any], tuple[str, str]]] = {
    "InputLayer": lambda layer: ("input", "#F2F2F2"),
    "Standardise": lambda layer: ("standardise", "#F2F2F2"),
    "Turns": lambda layer: (f"{layer.count} turns", "#F2F2F2"),
    "MeanOfTurns": lambda layer: (f"mean of {layer.count}", "#F2F2F2"),
    "Conv2D": lambda layer: (f"conv {layer.kernel_size[0]} x {layer.kernel_size[1]}", "#DCEBF7"),
    "MaxPooling2D": lambda layer: ("max 2 x 2", "#FBE7D3"),
    "Concatenate": lambda layer: ("joined", "#F2F2F2"),
    "Maxout": lambda layer: (f"maxout {layer.pieces}", "#D9F0E7"),
    "Dropout": lambda layer: (f"dropout {layer.rate:g}", "#F7E1EE"),
    "Dense": lambda layer: ("linear", "#D9F0E7"),
    "Softmax": lambda layer: ("softmax", "#F7E1EE"),
    "Unstandardise": lambda layer: ("units", "#F2F2F2"),
    "TreeHead": lambda layer: ("tree", "#F7E1EE"),
}
"""Layers that are drawn as blocks of their own: from a layer to title and colour."""
