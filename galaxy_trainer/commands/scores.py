"""Scores as the lines of a table."""

from typing import Any


def summary_lines(scores: dict[str, Any]) -> list[str]:
    """Return a table of all scores of a network."""
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


def question_lines(scores: dict[str, Any]) -> list[str]:
    """Return a table by question, or by answer."""
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
