"""Make docs/tables/*.rst, and the sentence on speed in README.rst, from benchmarks/results/*.json.

No number is typed by hand: what has no result file is "not run". ``make bench`` ends with this script.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TABLES = HERE.parent / "docs" / "tables"
README = HERE.parent / "README.rst"
BEGIN, END = ".. speed: begin (benchmarks/tables.py writes this)", ".. speed: end"

Result = Mapping[str, Any]
Rows = Sequence[Sequence[str]]


def number(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def seconds(value: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)):
        if value * scale >= 1:
            return f"{number(value * scale)} {unit}"
    return f"{number(value * 1e9)} ns"


def table(header: Sequence[str], rows: Rows) -> list[str]:
    """A table in reST."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    head = "  ".join(cell.ljust(width) for cell, width in zip(header, widths, strict=True)).rstrip()
    return [rule, head, rule, *lines, rule, ""]


def times(title: str, found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Medians with their spread."""
    rows = [(name, seconds(t["median"]), f"{seconds(t['low'])} to {seconds(t['high'])}") for name, t in found.items()]
    return table((title, "median", "10% to 90%"), rows)


def ratios(result: Result) -> list[str]:
    """Ratios, beside what was asked of them."""
    goals = result.get("goals", {})
    rows = [(name, number(value), goals.get(name, "")) for name, value in result["ratios"].items()]
    return table(("ratio of medians", "measured", "goal"), rows)


def beside(name: str, result: Result) -> tuple[list[Result], list[str]]:
    """A result and what ``results/NAME-*.json`` say of other machines, and the names of the processors."""
    machines = [result, *(json.loads(path.read_text()) for path in sorted((HERE / "results").glob(f"{name}-*.json")))]
    return machines, [machine["environment"]["machine"].split(", ")[1].replace("(R)", "") for machine in machines]


def ratios_of_machines(machines: Sequence[Result], named: Sequence[str]) -> list[str]:
    """Ratios on each machine, beside what was asked of them."""
    rows = [
        (name, *(number(machine["ratios"][name]) for machine in machines), machines[0]["goals"].get(name, ""))
        for name in machines[0]["ratios"]
    ]
    return table(("ratio of medians", *named, "goal"), rows)


def crop(result: Result) -> list[str]:
    """One image in memory: one machine in full, and beside it what ``results/crop-*.json`` say of others."""
    machines, named = beside("crop", result)
    sizes = [
        (f"{size} x {size}", *(number(machine["ns_per_pixel"][size]) for machine in machines))
        for size in result["ns_per_pixel"]
    ]
    first = [(name, *(seconds(machine["first calls"][name]) for machine in machines)) for name in result["first calls"]]
    steps = [where_time_goes(machine["steps"]) for machine in machines]
    adding = [(name, *(seconds(found[name]) for found in steps)) for name in steps[0]]
    return [
        *map(where, machines[1:]),
        "",
        *ratios_of_machines(machines, named),
        *times(f"{named[0]}: one image of 424 x 424 x 3 uint8, one thread", result["times"]),
        *times("the slower ones, beside ``crop`` again", result["slow"]),
        *times("other kinds of image", result["kinds"]),
        *table(("where the time goes, 8 of the images", *named), adding),
        *table(("first call with an empty cache of Numba", *named), first),
        *table(("ns per pixel, size of the image", *named), sizes),
    ]


def where_time_goes(steps: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The steps of ``crop``, what is left for Python, and the whole."""
    found = {name: t["median"] for name, t in steps.items()}
    whole = {name: found.pop(name) for name in ("crop", "flags", "measure")}
    return {**found, "Python, and the rest": whole["crop"] - sum(found.values()), **whole}


def batch(result: Result) -> list[str]:
    """Folder to cache."""
    starts, image = result["startup_s"], {name: 1 / rate for name, rate in result["rates"].items()}
    stages = []
    for view in ("one view", "three views"):
        decoding, loop, whole = (image[f"{name}, 1 worker"] for name in (
            "decode only", f"bare loop, {view}", f"command, {view}"
        ))  # fmt: skip
        stages.append([view, *(seconds(value) for value in (decoding, loop - decoding, whole - loop, whole))])
    rates = [
        (name, number(value), seconds(starts[name]) if name in starts else "")
        for name, value in result["rates"].items()
    ]
    machines, named = beside("batch", result)
    return [
        *map(where, machines[1:]),
        "",
        *ratios_of_machines(machines, named),
        *table((f"{named[0]}: {result['count']} files, start-up subtracted", "images/s", "start-up"), rates),
        *table(
            ("an image, 1 worker", "read, decode", "measure, crop", "look at file, hash, catalogue, write", "whole"),
            stages,
        ),
    ]


def containers(result: Result) -> list[str]:
    """The same images in a folder, archives, stacks, shards."""
    folder = result["times"]["folder of JPEG"]["median"]
    rows = [
        (kind, number(1 / t["median"]), number(t["median"] / folder), f"{result['bytes'][kind] / 1e6:,.0f} MB")
        for kind, t in result["times"].items()
    ]
    header = (f"{result['count']} images", "images per second and core", "time / folder's", "size")
    return table(header, rows)


def loading(result: Result) -> list[str]:
    """Cache to network."""
    lines = ratios(result)
    for size, found in result["times"].items():
        lines += times(f"random batches of {size}, per image", found)
    return lines


def growth(result: Result) -> list[str]:
    """Time and memory over the size of the image."""
    names = ("ns per pixel", "peak bytes per pixel")
    rows = [
        (f"{size} x {size}", *(number(found[kind][name]) for kind in ("plain", "noise") for name in names))
        for size, found in result["rows"].items()
    ]
    return [*ratios(result), *table(("image", "ns per pixel", "bytes per pixel", "noise: ns", "noise: bytes"), rows)]


def memory_growth(result: Result) -> list[str]:
    """Time and memory over the number of images."""
    steps = ("made", "resumed", "joined")
    rows = [
        (
            f"{int(count):,}",
            *(f"{seconds(found[step])}, {found[f'{step}, peak'] / 1e6:,.0f} MB" for step in steps),
            seconds(found["catalogue read"]),
        )
        for count, found in result["rows"].items()
    ]
    header = ("images", "made", "until a resumed run starts", "joined", "catalogue read")
    return [*ratios(result), *table(header, rows)]


def positions(result: Result) -> list[str]:
    """Stamps at positions, and how they grow with the number of tiles."""
    few_and_all = {name.removeprefix("all "): found for name, found in result["times"].items() if name[:4] == "all "}
    grown = load("positions_growth")
    header = ("tiles", "rows", "rows a second", "peak memory, main process")
    rows = [
        (name, f"{found['rows']:,}", number(found["rows per second"]),
         f"{found['peak memory of the main process'] / 1e6:,.0f} MB")
        for name, found in (grown or {"growth": {}})["growth"].items()
    ]  # fmt: skip
    lines = [*times("whole runs", few_and_all), *ratios(result)]
    return [*lines, where(grown), "", *table(header, rows)] if grown else lines


def training(result: Result) -> list[str]:
    """Input, augmentation and training step."""
    what = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in result["settings"].items())
    return [*ratios(result), *times(what, result["seconds"])]


def recipes(result: Result) -> list[str]:
    """Training on a processor, by backend, precision, width and batch."""
    rows = [
        (name, number(row["images/s"]), f"{row['share of the matmul rate']:.1%}", number(row["matmul, TFLOP/s"]))
        for name, row in result["rows"].items()
    ]
    return table(("recipe best", "images/s", "share of the matrix rate", "matrix rate, TFLOP/s"), rows)


def network(result: Result) -> list[str]:
    """Errors of the network that comes with the package, by question."""
    scores = [result["deterministic"], result["baselines"]["mean_answer"]]
    rows = [("all", *(f"{score['mse']:.4f}" for score in scores))]
    rows += [
        (question, *(f"{score['questions'][question]['mse']:.4f}" for score in scores))
        for question in result["deterministic"]["questions"]
    ]
    return table(("mean squared error", "network", "mean answer"), rows)


def finetuning(result: Result) -> list[str]:
    """What it is worth to start from a trained network, with few labels."""
    counts = list(next(iter(result["arms"].values())))
    seeds = {len(scores) for found in result["arms"].values() for scores in found.values()}
    lines = [f"{result['tested on']} galaxies tested on; seeds: {min(seeds)}; means, with the least and the most.", ""]
    for name in ("accuracy", "cross_entropy"):
        rows = []
        for arm, found in result["arms"].items():
            scores = [[score[name] for score in found[count]] for count in counts]
            spread = [f" ({min(s):.3f} to {max(s):.3f})" if len(s) > 1 else "" for s in scores]
            rows.append((arm, *(f"{sum(s) / len(s):.3f}{wide}" for s, wide in zip(scores, spread, strict=True))))
        always = result["most frequent class"]
        rows.append(("shares of the classes", *[f"{always[name]:.3f}"] * len(counts)))
        lines += table((name.replace("_", "-"), *(f"{int(count):,} labels" for count in counts)), rows)
    return lines


def exports(result: Result) -> list[str]:
    """A cache against what is exported from it."""
    rows = [
        (name, number(1 / t["median"]), f"{number(1 / t['high'])} to {number(1 / t['low'])}", size)
        for name, t in result["times"].items()
        for size in [f"{result['bytes'][re.split('[., ]', name)[0]] / result['count'] / 1e3:.1f} kB"]
    ]
    return table((f"{result['count']:,} crops", "crops/s and core", "10% to 90%", "size of a crop"), rows)


def gpu(result: Result) -> list[str]:
    """One GPU."""
    rows = [
        (name, number(found["images_per_second"]), *(seconds(t["median"]) for t in found["seconds"].values()))
        for name, found in result["steps"].items()
    ]
    parts = next(iter(result["steps"].values()))["seconds"]
    lines = [f"On {', '.join(result['devices'])}.", "", *table(("one step", "images/s", *parts), rows)]
    if "trainings" in result:
        done = result["trainings"]
        views = [(view, seconds(part["seconds"])) for view, part in done["views"].items()]
        views.append(("together", seconds(done["total_seconds"])))
        lines += table((f"{done['epochs']} epochs, {done['precision']}, batch {done['batch']}", "time"), views)
    return lines


def survey(result: Result) -> list[str]:
    """What follows from the rate for larger numbers: computed, and said so on the page."""
    rates = result["rates"]
    rate = next(rates[name] for name in rates if name.startswith("command, three views") and "workers" in name)
    rows = [
        (f"{count:,}", duration(count / rate), duration(count / rate / 100), f"{count * 3 * 64 * 64 * 3 / 1e9:,.1f} GB")
        for count in (10_000, 61_578, 1_000_000, 100_000_000)
    ]
    return table(("images", "that machine", "100 of them", "three views of 64 x 64 x 3"), rows)


def duration(value: float) -> str:
    """Seconds for people."""
    for unit, scale in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if value >= 2 * scale:
            return f"{number(value / scale)} {unit}"
    return f"{number(value)} s"


WRITERS: dict[str, Callable[[Result], list[str]]] = {
    "crop": crop,
    "batch": batch,
    "containers": containers,
    "loading": loading,
    "growth": growth,
    "memory_growth": memory_growth,
    "positions": positions,
    "training": training,
    "recipes": recipes,
    "network": network,
    "finetuning": finetuning,
    "exports": exports,
    "gpu": gpu,
}


def load(name: str) -> Result | None:
    """A result file, or None where there is none."""
    path = HERE / "results" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def where(result: Result) -> str:
    """Date and machine of a result."""
    made = result["environment"]
    on = f" on {result['source']}" if "source" in result else ""
    return f"Measured {made['date']}{on}; {made['machine']}; Python {made['python']}."


def page(name: str, result: Result | None, script: str = "") -> str:
    """The tables of one result file."""
    script = "benchmarks/train_gz2.sh" if name == "network" else f"benchmarks/bench_{script or name}.py"
    if result is None:
        return f"**Not run** (``{script}``).\n"
    versions = ", ".join(f"{package} {version}" for package, version in result["environment"]["versions"].items())
    writer = survey if name == "survey" else WRITERS[name]
    return "\n".join([f"{where(result)} ``{script}``.", "", *writer(result), versions + ".", ""])


def short(crop: Result | None) -> str:
    """README's sentence on speed."""
    if crop is None:
        return "**Not run** (``benchmarks/bench_crop.py``)."
    made = crop["environment"]
    milliseconds, ratio = 1e3 * crop["times"]["crop"]["median"], crop["ratios"]["scikit-image / crop"]
    return textwrap.fill(
        f"Measuring and cropping a colour image of 424 x 424 pixels takes {milliseconds:.2f} ms on one core, "
        f"{number(ratio)} times as fast as the same steps in scikit-image (measured "
        f"{made['date']}; {made['machine']}; Python {made['python']}).",
        127,
    )


def main() -> None:
    TABLES.mkdir(parents=True, exist_ok=True)
    results = {name: load(name) for name in WRITERS}
    for name, result in results.items():
        (TABLES / f"{name}.rst").write_text(page(name, result, "batch" if name == "containers" else ""))
    (TABLES / "survey.rst").write_text(page("survey", results["batch"], "batch"))
    text = README.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    README.write_text("\n".join([f"{before}{BEGIN}", "", short(results["crop"]), "", f"{END}{after}"]))
    missing = [name for name, result in results.items() if result is None]
    print(f"{len(results) - len(missing)} tables in {TABLES}" + (f"; not run: {', '.join(missing)}" if missing else ""))


if __name__ == "__main__":
    main()
