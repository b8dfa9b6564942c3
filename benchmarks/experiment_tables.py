"""Make the tables and figures of docs/experiment.rst from what benchmarks/experiment.sh made.

python benchmarks/experiment_tables.py OUTPUT

OUTPUT is that of experiment.sh; those of its parts that are there are used, and the tables of the others are left as
they are. A part is refused if a run has fewer than 20 epochs, or there are fewer than 3 seeds or 6,000 images (8 epochs
and 5,000 images of the digits).
"""

import argparse
import csv
import json
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

DOCS = Path(__file__).resolve().parent.parent / "docs"
PARTS = ("views", "margins", "ablations", "parts", "best", "folds", "gaps", "digits")
LEAST = {"digits": (8, 5000)}
"""Fewest epochs and images, where they are not 20 and 6,000."""

SCORES = ("deterministic", "oriented", "ensemble", "oriented_ensemble", "non_deterministic")
FIGURES = {
    "views": {
        "losses": "Training and validation loss by epoch (the paper's figures 5 to 7); thin lines: seeds, thick: mean.",
        "non-deterministic": "Non-deterministic score (figure 8): dropout and augmentation on, mean of 10 passes.",
        "deterministic": "Deterministic score (figure 9): dropout and augmentation off, weights after the last epoch.",
        "ratios": "Ratios with 95% intervals by paired bootstrap over galaxies.",
        "validation": "Validation losses of the three views.",
        "questions": "Deterministic error by question.",
        "views": "Test galaxies by size (figure 3): original with ellipse and window, and the three views. "
        "Images: SDSS, from Galaxy Zoo 2.",
    },
    "margins": {"margins": "Error over the margin; bars: 95% interval over galaxies, ticks: seeds."},
    "ablations": {"losses": "Training and validation loss by epoch of the ablations."},
    "parts": {"worth": "Error of each arm over that of the last one; bars: 95% interval over galaxies, ticks: seeds."},
    "best": {"losses": "Training and validation loss by epoch of recipe best, at both widths."},
    "digits": {
        "views": "Test digits by size: the canvas with ellipse and window, and the three views.",
        "losses": "Training and validation loss by epoch.",
    },
}
EPOCHS = (1, 3, 5, 10, 20, 40)
MARGINS = {"normalized": 1.0, "margin 1.25": 1.25, "margin 1.5": 1.5, "margin 2": 2.0}


def list_table(head, rows):
    """Return an RST list-table."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (head, *rows):
        lines += [f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def scores_of(part):
    """Return the scores that are shown: a turned 6 is a 9, so digits have no orientations."""
    return [score for score in SCORES if part != "digits" or "oriented" not in score]


def score_rows(table, part):
    for name, arm in table["arms"].items():
        scores = (arm[score] for score in scores_of(part))
        yield [
            name, *(f"{score[table['main']]:.5f} [{score['low']:.5f}, {score['high']:.5f}]" for score in scores)
        ]  # fmt: skip


def ratios_of(table):
    """Return the ratios that are shown: all of few arms, those to the last one of many."""
    last = list(table["arms"])[-1]
    few = len(table["arms"]) <= 4
    return [row for row in table["ratios"] if few or (row["to"] == last and row["score"] == "deterministic")]


def ratio_rows(table, part):
    for row in ratios_of(table):
        if row["score"] not in scores_of(part):
            continue
        yield [
            f"{row['arm']} / {row['to']}", row["score"].replace("_", "-"), f"{row['ratio']:.3f}",
            f"[{row['low']:.3f}, {row['high']:.3f}]", f"{row['seed_std']:.3f}",
        ]  # fmt: skip


def epoch_rows(table):
    """Losses after some epochs, validation with augmentation and dropout off and on."""
    for name, arm in table["arms"].items():
        for row in arm["epochs"]:
            if row["epoch"] in EPOCHS:
                cells = (row[key] for key in ("loss", "val_loss", "val_loss_augmented"))
                yield [name, f"{row['epoch']:.0f}", *(f"{value:.5f}" for value in cells)]


def check(part, folder):
    """Refuse what the rule of the project keeps out of the docs."""
    table = json.loads((folder / part / "table.json").read_text(encoding="utf-8"))
    own = folder / part / "runs"  # the other parts share folders
    every = own.iterdir() if own.exists() else folder.glob("*/runs/*")
    runs = [path for path in every if path.name.split("-seed")[0] in table["arms"]]
    with open(runs[0] / "split.csv", newline="", encoding="utf-8") as file:
        images = len(list(csv.DictReader(file)))
    epochs = min(len(arm["epochs"]) for arm in table["arms"].values())
    least_epochs, least_images = LEAST.get(part, (20, 6000))
    if epochs < least_epochs or table["seeds"] < 3 or images < least_images:
        raise SystemExit(f"{part}: {epochs} epochs, {table['seeds']} seeds, {images} images are too few to record")
    return table


def small(source, target, width=1000):
    """Save a picture as an optimised PNG of so many pixels across, with few colours where it is a chart."""
    picture = Image.open(source).convert("RGB")
    picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    if target.suffix == ".jpg":
        picture.save(target, quality=80)
    else:
        picture.quantize(64).save(target, optimize=True)


def margin_curve(table, target):
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    panel = figure.subplots()
    for score, tone, shift in (("deterministic", "#0072B2", -0.006), ("non_deterministic", "#D55E00", 0.006)):
        arms = [(MARGINS[name] + shift, arm[score]) for name, arm in table["arms"].items()]
        panel.plot([m for m, _ in arms], [a["mse"] for _, a in arms], "o-", color=tone, label=score.replace("_", "-"))
        for margin, arm in arms:
            panel.plot([margin] * 2, [arm["low"], arm["high"]], color=tone, alpha=0.5)
            panel.plot([margin] * len(arm["per_seed"]), arm["per_seed"], "_", color=tone)
    panel.set_xlabel("margin (side of the window / major axis)")
    panel.set_ylabel("mean squared error")
    panel.set_xticks(sorted(MARGINS.values()))
    panel.grid(alpha=0.3)
    panel.legend(frameon=False)
    FigureCanvasAgg(figure).print_png(str(target))


def worth(table, target):
    """Draw what each arm's error is over that of the last one."""
    rows = ratios_of(table)
    base = table["arms"][rows[0]["to"]]["deterministic"]["per_seed"]
    figure = Figure(figsize=(8, 0.7 + 0.32 * len(rows)), layout="constrained")
    panel = figure.subplots()
    panel.axvline(1, color="#666666", linewidth=0.8)
    for i, row in enumerate(rows):
        seeds = [a / b for a, b in zip(table["arms"][row["arm"]]["deterministic"]["per_seed"], base, strict=True)]
        panel.plot([row["low"], row["high"]], [i, i], color="#0072B2", linewidth=2, alpha=0.5)
        panel.plot(row["ratio"], i, "o", color="#0072B2")
        panel.plot(seeds, [i] * len(seeds), "|", color="#D55E00", markersize=9)
    panel.set_yticks(range(len(rows)), [row["arm"] for row in rows])
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.set_xlabel(f'deterministic error / that of "{rows[0]["to"]}"')
    panel.grid(axis="x", alpha=0.3)
    FigureCanvasAgg(figure).print_png(str(target))


DRAWN = {"margins": margin_curve, "worth": worth}
"""Figures that are made here; the others are those of galaxy-compare."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="what benchmarks/experiment.sh made")
    folder = parser.parse_args().output
    for part in PARTS:
        target = DOCS / "tables" / f"experiment_{part}.rst"
        if not (folder / part / "table.json").exists():
            if not target.exists():
                command = f"benchmarks/experiment.sh GALAXYZOO OUTPUT {part}"
                target.write_text(f"**Not run**: ``{command}``.\n", encoding="utf-8")
            print(f"{part}: not there")
            continue
        table = check(part, folder)
        about = (
            f"Made by ``benchmarks/experiment.sh GALAXYZOO OUTPUT {part}``. {table['galaxies']} test "
            f"{'digits' if part == 'digits' else 'galaxies'}, {table['folds']} test set(s), {table['seeds']} seeds; "
            f"{table.get('measure', 'mean squared error')} [95% interval]. "
            f"The training set's mean answers give {table['mean_answer']:.5f}."
        )
        text = [
            ".. Made by benchmarks/experiment_tables.py", about,
            list_table(["", *(score.replace("_", " ") for score in scores_of(part))], score_rows(table, part)),
            list_table(["ratio", "score", "value", "95% interval", "std over seeds"], ratio_rows(table, part)),
            list_table(["", "epoch", "training", "validation", "validation, augmented"], epoch_rows(table)),
        ]  # fmt: skip
        for name, caption in FIGURES.get(part, {}).items():
            ending = ".jpg" if name == "views" else ".png"
            picture = DOCS / "figures" / f"experiment_{part}_{name.replace('-', '_')}{ending}"
            if name in DRAWN:
                DRAWN[name](table, picture)
            else:
                small(folder / part / "figures" / f"{name}.png", picture, 800 if name == "views" else 1000)
            text.append(f".. figure:: figures/{picture.name}\n   :alt: {caption}\n\n   {caption}\n")
        target.write_text("\n\n".join(text), encoding="utf-8")
        print(f"{part}: written")


if __name__ == "__main__":
    main()
