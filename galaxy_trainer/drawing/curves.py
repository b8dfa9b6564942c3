"""The curves of one run as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from galaxy_trainer.drawing.safely import default_settings
from galaxy_trainer.files.writing import write_whole

# Wong 2011, Nature Methods 8, 441: told apart by colour-blind people.
_CURVES = (
    ("loss", "training", "#0072B2", "-"),
    ("val_loss", "validation", "#D55E00", "-"),
    ("val_loss_augmented", "validation, augmented, with dropout", "#CC79A7", "--"),
)


def draw_figure(figure: Any, path: Path) -> None:
    """Draw a figure into a PNG file, whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    write_whole(path, lambda part: canvas.print_figure(part, dpi=120))


def draw_calibration(bins: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw bins of `galaxy_trainer.asking.evaluation.calibration` into a PNG file."""
    with default_settings():
        from galaxy_trainer.drawing.target_figures import calibration_figure

        draw_figure(calibration_figure(bins), path)


def draw_curves(history: Sequence[Mapping[str, float]], path: Path, measure: str = "mean squared error") -> None:
    """Draw losses and learning rate by epoch into a PNG file.

    Parameters
    ----------
    history : sequence of mappings
        Rows as in `galaxy_trainer.runs.run.Run.history`.
    path : Path
        The file.
    measure : str
        What the losses are.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 5), layout="constrained")
    losses, rates = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    epochs = [row["epoch"] for row in history]
    marker = "o" if len(epochs) <= 40 else ""
    for key, name, colour, line in _CURVES:
        if key in history[0]:
            values = [row[key] for row in history]
            losses.plot(epochs, values, line, color=colour, label=name, marker=marker, markersize=3)
    best = min(history, key=lambda row: row["val_loss"])
    losses.plot(
        [best["epoch"]], [best["val_loss"]], "o", color="#D55E00", markersize=9, fillstyle="none",
        label=f"best: {best['val_loss']:.5f} in epoch {best['epoch']:.0f}",
    )  # fmt: skip
    losses.set_ylabel(measure)
    losses.legend(frameon=False)
    losses.grid(alpha=0.3)
    rate = [row["learning_rate"] for row in history]
    rates.plot(epochs, rate, color="black", drawstyle="steps-mid", marker=marker, markersize=3)
    if min(rate) > 0:
        rates.set_yscale("log")
    rates.set_ylabel("learning rate")
    rates.set_xlabel("epoch")
    rates.grid(alpha=0.3)
    rates.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    draw_figure(figure, path)
