"""What it is worth to start from a trained network: few labels for a question that it was never asked.

    python benchmarks/bench_finetuning.py CACHE OUTPUT --unselected FILE...

CACHE has the answers of Galaxy Zoo 2 (that of train_gz2.sh: its gz2.h5, and its test.txt and unselected.txt as the
FILEs). A network learns the questions of `KNOWN`, on all galaxies but those that follow. The others are the unselected
galaxies for which more than `ASKED` of the volunteers came to the question that is held out; the answer of most is the
class. Of them `TESTED` are the test set, always the same, and the labelled ones are drawn from the rest: the first n in
the order of a seed, so that more labels are the same ones and others. Every arm sees as many images.

Interrupted, the same command goes on. An hour on two cores with AMX; ``--redraw`` only draws the figure again.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np

QUESTION = "Class4"
KNOWN = ("Class1", "Class2", "Class6", "Class7", "Class8")
ASKED, TESTED, WATCHED = 0.4, 700, 50
SEEDS = (1, 2, 3)
EPOCHS = {100: 40, 300: 20, 1000: 12}
# Learning rates: the best of two to four, of 300 labels with another seed, tested on galaxies of neither set.
ARMS: Mapping[str, Mapping[str, Any]] = {
    "from scratch": {"width": 0.25, "learning_rate": 1e-3},
    "fine-tuned": {"freeze": "none", "learning_rate": 3e-4},
    "last layer only": {"freeze": "trunk", "learning_rate": 1e-2},
}
FIGURE = Path(__file__).resolve().parent.parent / "docs" / "figures" / "finetuning.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cache", type=Path, nargs="?", help="with the answers of Galaxy Zoo 2")
    parser.add_argument("folder", type=Path, nargs="?", help="what is trained goes here")
    parser.add_argument("--unselected", nargs="+", default=[], metavar="FILE", help="ids of galaxies drawn at random")
    parser.add_argument("--output", help="result file (default: benchmarks/results/finetuning.json)")
    parser.add_argument("--redraw", action="store_true", help="only draw the figure of the results there are")
    options = parser.parse_args()
    if not options.redraw:
        if options.folder is None or not options.unselected:
            parser.error("CACHE, OUTPUT and --unselected are needed")
        common.print_environment()
        unselected = {name for file in options.unselected for name in Path(file).read_text().split()}
        common.save("finetuning", compare(options.cache, options.folder, unselected), options.output)
    draw(json.loads(Path(options.output or common.RESULTS / "finetuning.json").read_text()), FIGURE)


def compare(cache: Path, folder: Path, unselected: Iterable[str]) -> dict[str, Any]:
    """Train all there is to train, and score it on the test set."""
    import keras

    import galaxy_trainer

    folder.mkdir(parents=True, exist_ok=True)
    ids, classes = rule(cache, unselected)
    order = np.random.default_rng(0).permutation(len(ids))
    test, pool = order[:TESTED], order[TESTED:]
    watched = folder / "watched.txt"
    watched.write_text("\n".join(ids[i] for i in test[:WATCHED]) + "\n")
    source = pretrained(cache, folder, ids, test)
    test_labels = write_labels(folder / "test.csv", ids, classes, test)
    scores: dict[str, Any] = {}
    for seed in SEEDS:
        for count, epochs in EPOCHS.items():
            drawn = np.random.default_rng(seed).permutation(pool)[:count]
            labels = write_labels(folder / f"{count}-{seed}.csv", ids, classes, [*drawn, *test[:WATCHED]])
            for arm, changes in ARMS.items():
                start = {"start": source} if "freeze" in changes else {}
                run = trained(
                    folder / f"{arm.replace(' ', '-')}-{count}-{seed}", cache, labels=labels, test_ids=watched,
                    recipe="best", target=galaxy_trainer.Choice(kind="classes"), epochs=epochs, batch_size=16,
                    seed=seed, **start, **changes,
                )  # fmt: skip
                # The weights of the last epoch: which of them are best is asked of nobody.
                score = galaxy_trainer.evaluate(run, cache, labels=test_labels, passes=0, weights="last")
                found = {name: score["deterministic"][name] for name in ("accuracy", "cross_entropy")}
                print(f"{arm}, {count} labels, seed {seed}: {found}", flush=True)
                scores.setdefault(arm, {}).setdefault(str(count), []).append(found)
                keras.utils.clear_session()  # else memory grows with every training
    share = np.bincount(np.unique(classes[pool], return_inverse=True)[1]) / len(pool)
    tested = np.bincount(np.unique(classes[test], return_inverse=True)[1]) / len(test)
    return {
        "question": QUESTION,
        "pre-trained on": len(galaxy_trainer.load_run(source).parts) - TESTED,
        "tested on": TESTED,
        "most frequent class": {
            "accuracy": float(tested[np.argmax(share)]), "cross_entropy": float(-(tested * np.log(share)).sum())
        },
        "arms": scores,
    }  # fmt: skip


def rule(cache: Path, unselected: Iterable[str]) -> tuple[list[str], np.ndarray]:
    """Return the unselected galaxies that enough volunteers were asked the question of, and their classes."""
    import scalenorm
    from galaxy_trainer.labels.questions import shipped

    opened, tree = scalenorm.open_cache(cache), shipped("galaxy_zoo_2")
    question = next(q for q in tree.questions if q.name == QUESTION)
    assert question.parent is not None
    values = dict(zip(opened.label_names, np.asarray(opened.labels).T, strict=True))
    votes = np.stack([values[name] for name in question.names], axis=1)
    wanted = set(unselected)
    asked = (values[tree.names[question.parent]] > ASKED) & np.isfinite(votes).all(axis=1)
    asked &= [name in wanted for name in opened.ids]
    rows = np.flatnonzero(asked)
    return [opened.ids[i] for i in rows], np.array(question.answers)[np.argmax(votes[rows], axis=1)]


def write_labels(path: Path, ids: Sequence[str], classes: np.ndarray, rows: Iterable[int]) -> Path:
    """Write the classes of some galaxies."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", QUESTION))
        writer.writerows((ids[i], classes[i]) for i in rows)
    return path


def pretrained(cache: Path, folder: Path, asked: Sequence[str], test: np.ndarray) -> Path:
    """Train the network to start from, on the known questions of all galaxies but the `asked`."""
    import galaxy_trainer
    import scalenorm
    from galaxy_trainer.labels.questions import shipped

    lines = ['title = "some questions of Galaxy Zoo 2"', 'sums = "parent"']
    columns: list[str] = []
    for question in shipped("galaxy_zoo_2").described()["questions"]:
        if question["name"] in KNOWN:
            lines.append("[[questions]]")
            lines += [f"{key} = {json.dumps(question[key])}" for key in ("name", "text", "parent") if key in question]
            lines.append("[questions.answers]")
            lines += [f"{json.dumps(name)} = {json.dumps(text)}" for name, text in question["answers"].items()]
            columns += question["answers"]
    (folder / "tree.toml").write_text("\n".join(lines) + "\n")
    left_out = set(asked).difference(asked[i] for i in test)
    opened = scalenorm.open_cache(cache)
    at = [opened.label_names.index(name) for name in columns]
    with (folder / "known.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", *columns))
        for name, values in zip(opened.ids, np.asarray(opened.labels)[:, at].tolist(), strict=True):
            if name not in left_out:
                writer.writerow((name, *values))
    (folder / "test.txt").write_text("\n".join(asked[i] for i in test) + "\n")
    run = trained(
        folder / "known", cache, labels=folder / "known.csv", test_ids=folder / "test.txt", recipe="shipped",
        target=galaxy_trainer.Choice(tree=folder / "tree.toml"), width=0.25, dropout=0.2, epochs=20, seed=0,
    )  # fmt: skip
    return run.folder


def trained(run: Path, cache: Path, **options: Any) -> Any:
    """Train, or go on."""
    import galaxy_trainer

    if run.exists():
        return galaxy_trainer.resume(run, cache)
    return galaxy_trainer.train(cache, run, precision="bfloat16", allow_duplicates=True, report=print, **options)


def draw(result: Mapping[str, Any], target: Path) -> None:
    """Draw the scores of each arm over the number of labels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    for panel, name in zip(figure.subplots(1, 2), ("accuracy", "cross_entropy"), strict=True):
        for tone, (arm, found) in zip(("#666666", "#0072B2", "#D55E00"), result["arms"].items(), strict=True):
            counts = [int(count) for count in found]
            scores = [[score[name] for score in seeds] for seeds in found.values()]
            panel.plot(counts, np.mean(scores, axis=1), "o-", color=tone, label=arm)
            for count, seeds in zip(counts, scores, strict=True):
                panel.plot([count] * len(seeds), seeds, "_", color=tone)
        panel.axhline(result["most frequent class"][name], color="#666666", linewidth=0.8, linestyle=":")
        panel.set_xscale("log")
        panel.set_xticks(counts, [f"{count:,}" for count in counts], minor=False)
        panel.minorticks_off()
        panel.set_xlabel("labelled galaxies")
        panel.set_ylabel(name.replace("_", "-"))
        panel.grid(alpha=0.3)
    panel.legend(frameon=False)
    FigureCanvasAgg(figure).print_png(str(target))


if __name__ == "__main__":
    main()
