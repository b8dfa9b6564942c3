"""All results of an experiment as pictures and as one self-contained HTML page."""

import base64
import functools
import io
import math
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import scalenorm
from galaxy_trainer.drawing.safely import try_to_draw
from galaxy_trainer.experiment import figures
from galaxy_trainer.experiment.arms import Arm, Settings
from galaxy_trainer.experiment.statistics import SCORES, Result
from galaxy_trainer.files.writing import write_bytes, write_text
from galaxy_trainer.runs.run import Run
from scalenorm.files.names import as_html

GALAXIES, SHEET = 5, 36
"""Galaxies in the picture of views, and in the sample sheet."""

MOST_COLUMNS = 6


def write_page(
    folder: Path,
    arms: Sequence[Arm],
    settings: Settings,
    runs: Sequence[Run],
    results: Sequence[Result],
    table: dict[str, Any],
) -> None:
    """Write ``figures/*.png`` and ``index.html`` of an experiment.

    Parameters
    ----------
    folder : Path
        The experiment folder.
    arms : sequence of Arm
        What was compared.
    settings : Settings
        What the runs share.
    runs : sequence of Run
        One run of each arm.
    results : sequence of Result
        The results of all runs.
    table : dict
        As from `galaxy_trainer.experiment.statistics.summary`.
    """
    names = [arm.name for arm in arms]
    of_scores = _score_figures(names, results)
    drawn: dict[str, tuple[Callable[[], Figure], str]] = {
        "deterministic": (
            lambda: figures.score_figure(table, "deterministic"),
            "Deterministic score (the paper's figure 9): dropout and augmentation off, weights after the last epoch.",
        ),
        "non-deterministic": (
            lambda: figures.score_figure(table, "non_deterministic"),
            f"Non-deterministic score (the paper's figure 8): dropout and augmentation on, mean of "
            f"{settings.passes} pass{'es' if settings.passes > 1 else ''}.",
        ),
        "ratios": (
            lambda: figures.ratio_figure(table),
            "Ratios between arms. The interval comes from resampling the test galaxies, the same for both arms; it "
            "does not hold what another seed would change, which the table gives beside it.",
        ),
        "losses": (
            lambda: figures.loss_curves(results, names),
            "Training and validation loss by epoch (the paper's figures 5 to 7). Thin lines: one per seed and test "
            "set; thick: their mean. Validation is on the test galaxies.",
        ),
        "validation": (
            lambda: figures.validation_curves(results, names),
            "The validation losses of all arms together.",
        ),
        "questions": (
            lambda: figures.question_figure(table),
            "Deterministic score by question, column or class.",
        ),
        **of_scores,
        **results[0].target.figures(),
        "network": (
            lambda: figures.network_figure(runs[0].config.network()),
            f"The network (the paper's figure 4) as trained for {names[0]}: "
            f"{runs[0].config.network().count_params():,} parameters.",
        ),
    }
    try_to_draw(folder / "figures" / "views.png", lambda: drawn.update(_galaxies(arms, results)))
    pictures = dict.fromkeys(drawn, "")  # one that fails is left out

    def draw(name: str, path: Path) -> None:
        figure, caption = drawn[name]
        stream = io.BytesIO()
        FigureCanvasAgg(figure()).print_png(stream, metadata={"Software": "galaxy-compare"})
        write_bytes(path, stream.getvalue())
        pictures[name] = _picture(name, stream.getvalue(), caption)

    for name in drawn:
        path = folder / "figures" / f"{name}.png"
        try_to_draw(path, functools.partial(draw, name, path))
    sections = {
        "Scores": _score_table(table) + pictures["deterministic"] + pictures["non-deterministic"],
        "Ratios": _ratio_table(table) + pictures["ratios"],
        "Learning": pictures["losses"] + pictures["validation"],
        "Questions": _question_table(table) + pictures["questions"] + "".join(pictures[name] for name in of_scores),
        "Galaxies": "".join(pictures[name] for name in ("views", "sheet") if name in pictures),
        "Tree and network": pictures.get("tree", "") + pictures["network"],
        "How it was made": _settings(folder, arms, settings, runs, table),
    }
    template = Template(resources.files(__package__).joinpath("templates/experiment.html").read_text("utf-8"))
    page = template.substitute(
        title=as_html(f"Comparison of {', '.join(names[:-1])} and {names[-1]}"),
        made=f"galaxy-compare, scalenorm {scalenorm.__version__}",
        links="".join(f'<li><a href="#{_anchor(name)}">{name}</a></li>' for name in sections),
        sections="\n".join(
            f'<section id="{_anchor(name)}"><h2>{name}</h2>\n{content}</section>' for name, content in sections.items()
        ),
    )
    write_text(folder / "index.html", page)


def _score_figures(names: Sequence[str], results: Sequence[Result]) -> dict[str, tuple[Callable[[], Figure], str]]:
    """Return the target's figures of each arm's deterministic answers, all seeds and test sets together."""
    found = {}
    target = results[0].target
    for i, arm in enumerate(names):
        answers, truth = (
            np.concatenate([result.answers[key] for result in results if result.arm == arm])
            for key in ("deterministic", "truth")
        )
        for name, (figure, caption) in target.score_figures(target.score(answers, truth)).items():
            found[f"{name}-{i}"] = figure, f"{arm}: {caption[0].lower()}{caption[1:]} All seeds and test sets together."
    return found


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


def _picture(name: str, data: bytes, caption: str) -> str:
    text = as_html(caption)
    encoded = base64.b64encode(data).decode()
    return (
        f'<figure id="figure-{name}"><img alt="{text}" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{text}</figcaption></figure>\n"
    )


def _galaxies(arms: Sequence[Arm], results: Sequence[Result]) -> dict[str, tuple[Callable[[], Figure], str]]:
    """Draw a few test galaxies with their views, and more of them in the first view."""
    from scalenorm.cache.originals import read_originals
    from scalenorm.images.showing import as_picture, limits_of
    from scalenorm.reporting.drawing import can_be_drawn, ellipse_points

    caches = {arm.cache: scalenorm.open_cache(arm.cache) for arm in arms}
    shown: dict[str, tuple[str, str]] = {}
    for arm in arms:
        for view in arm.views:
            if (arm.cache, view) not in shown.values():
                shown[view if view not in shown else arm.name] = (arm.cache, view)
    shown = dict(list(shown.items())[: MOST_COLUMNS - 1])
    first = caches[arms[0].cache]
    row_of = {name: i for i, name in enumerate(first.ids)}
    tested = np.array([row_of[str(name)] for name in results[0].answers["ids"]])
    by_size = tested[np.argsort(first.catalog["major_axis"][tested], kind="stable")]
    rows = by_size[np.linspace(0, len(by_size) - 1, min(GALAXIES, len(by_size)) + 2).round().astype(int)[1:-1]]
    ids = [first.ids[row] for row in rows]
    crops, originals, outlines = [], [], []
    for row, name, original in zip(rows.tolist(), ids, read_originals(first, rows.tolist()), strict=True):
        views = {}
        for title, (cache, view) in shown.items():
            here = caches[cache]
            views[title] = np.asarray(here.view(view)[row if here is first else list(here.ids).index(name)])
        limits = limits_of(next(iter(views.values())))
        originals.append(None if original is None else np.asarray(as_picture(original, limits)))
        crops.append({title: np.asarray(as_picture(crop, limits)) for title, crop in views.items()})
        found = first.catalog[row]
        window = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1), (-1, -1)]) * found["side"] / 2
        window += (found["window_row"], found["window_col"])
        # matplotlib puts pixel centres, not edges, at integers.
        ellipse = ellipse_points(found)[:, ::-1] - 0.5
        outlines.append((ellipse, window) if can_be_drawn(found) else (ellipse[:0], window[:0]))
    view = arms[0].views[0]
    sheet = by_size[np.linspace(0, len(by_size) - 1, min(SHEET, len(by_size))).round().astype(int)]
    pixels = [np.asarray(first.view(view)[row]) for row in sheet.tolist()]
    return {
        "views": (
            lambda: figures.galaxy_figure(list(shown), ids, crops, originals, outlines),
            "Test galaxies of all sizes, the smallest first (the paper's figure 3): the original with the measured "
            "ellipse and the window, and what the networks see.",
        ),
        "sheet": (
            lambda: figures.sample_sheet(np.stack([np.asarray(as_picture(crop, limits_of(crop))) for crop in pixels])),
            f"A sample of the test galaxies in the view {view} (the paper's figure 2), by size from small to large.",
        ),
    }


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return an HTML table; the first column names the rows, the others are numbers. Cells are HTML."""
    top = "".join(f'<th scope="col"{" class=number" if i else ""}>{cell}</th>' for i, cell in enumerate(head))
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(f'<td class="number">{cell}</td>' for cell in row[1:])
        + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><caption>{caption}</caption><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>\n"
    )


def _score_table(table: dict[str, Any]) -> str:
    arms = table["arms"]
    lowest = {score: min(arm[score][table["main"]] for arm in arms.values()) for score in SCORES}

    def cell(arm: dict[str, Any], score: str) -> str:
        value = arm[score]
        mark = ' class="low"' if value[table["main"]] == lowest[score] else ""
        std = value.get("seed_std", math.nan)  # neither an ensemble nor one seed has any
        spread = "" if math.isnan(std) else f"<br><small>seeds {_spread(std, 5)}</small>"
        interval = f"[{value['low']:.5f}, {value['high']:.5f}]"
        return f"<span{mark}>{value[table['main']]:.5f}</span><br><small>{interval}</small>{spread}"

    head = ["", *(score.replace("_", " ") for score in SCORES)]
    rows = [[as_html(name), *(cell(arm, score) for score in SCORES)] for name, arm in arms.items()]
    meaning = "; ".join(f"{score.replace('_', ' ')}: {text}" for score, text in SCORES.items())
    caption = (
        f"{table['measure'].capitalize()} over all answers of {table['galaxies']:,} galaxies never trained on "
        f"(test sets: {table['folds']}, seeds: {table['seeds']}), its 95% interval "
        "over galaxies, and the standard deviation from seed to seed. The lowest of each column is bold. The training "
        f"set's mean answers give {table['mean_answer']:.5f}."
    )
    return _table(caption, head, rows) + f'<p class="faint">{as_html(meaning)}.</p>\n'


def _spread(std: float, digits: int) -> str:
    return "-" if math.isnan(std) else f"&plusmn; {std:.{digits}f}"


def _ratio_table(table: dict[str, Any]) -> str:
    head = ["", "score", "ratio", "95% interval", "seed to seed"]
    rows = [
        [
            as_html(f"{r['arm']} / {r['to']}"), r["score"].replace("_", "-"), f"{r['ratio']:.3f}",
            f"[{r['low']:.3f}, {r['high']:.3f}]", _spread(r["seed_std"], 3),
        ]
        for r in table["ratios"]
    ]  # fmt: skip
    return _table(f"Ratios of the {table['measure']} on the same galaxies.", head, rows)


def _question_table(table: dict[str, Any]) -> str:
    arms = table["arms"]
    head = ["question", *(as_html(name) for name in arms)]
    rows = []
    for i, (name, text) in enumerate(table["questions"].items()):
        values = [arm["questions"][name] for arm in arms.values()]
        marks = [f'<span class="low">{v:.5f}</span>' if v == min(values) else f"{v:.5f}" for v in values]
        rows.append([f"{i + 1} {as_html(text)}", *marks])
    return _table(f"Deterministic score of each question, column or class: {table['measure']}.", head, rows)


def _settings(folder: Path, arms: Sequence[Arm], settings: Settings, runs: Sequence[Run], table: dict[str, Any]) -> str:
    trained = sum(part != "test" for part in runs[0].parts.values())
    if settings.split_column is not None:
        tested = f"as the column {settings.split_column} says"
    else:
        candidates = settings.test_candidates or "all labelled galaxies"
        tested = f"{settings.test_fraction:g} of {candidates} each, by hash (split seed {settings.split_seed})"
    lines = {
        "folder": str(folder),
        "training galaxies": f"{trained:,}",
        "test galaxies": f"{table['galaxies']:,} in {table['folds']} set(s), {tested}",
        "seeds": f"0 to {table['seeds'] - 1}",
        "precision": settings.precision,
        "versions": ", ".join(f"{name} {version}" for name, version in runs[0].config.versions.items()),
        **{
            f"arm {arm.name}": f"{' + '.join(arm.views)} of {arm.cache} (digest {run.config.cache_digest[:12]}); "
            + ", ".join(f"{key}={value}" for key, value in vars(arm.recipe).items())
            for arm, run in zip(arms, runs, strict=True)
        },
    }
    items = "".join(f"<dt>{as_html(key)}</dt><dd><code>{as_html(value)}</code></dd>" for key, value in lines.items())
    return f"<dl>{items}</dl>\n"
