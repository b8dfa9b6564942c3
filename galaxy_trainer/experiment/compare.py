"""Compare what networks learn from different views of the same galaxies, resumable at any instant.

An experiment folder::

    experiment.json   the arms, all options, digests of what they name     written first
    test-0.txt        ids of the first test set; more where there are several
    runs/             one run folder per arm, seed and test set; see `galaxy_trainer.runs.run`
    answers/          what each finished run answers for its test galaxies
    table.csv, table.json, questions.csv, ratios.csv, index.html, figures/      made from the above, again each time

Nothing else is kept, so the same command after an interruption resumes the training that was interrupted
and ends with the same tables.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galaxy_trainer.answers.choices import DEFAULT
from galaxy_trainer.data.splitting import group_names, seeded_hash, split_galaxies
from galaxy_trainer.experiment.arms import Arm, Settings
from galaxy_trainer.experiment.workers import side_by_side
from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.files.writing import write_json, write_text, write_whole
from galaxy_trainer.labels.questions import first_few
from galaxy_trainer.network.recipes import recipe_from_json

Report = Callable[[str], object]

ORIENTATIONS = 8
"""Rotations and flips that the averaged score is taken over: the whole symmetry group of the square."""


@dataclass(frozen=True)
class Task:
    """One training: an arm with a seed and a test set."""

    arm: Arm
    seed: int
    fold: int

    @property
    def name(self) -> str:
        """Name of its run folder."""
        return f"{self.arm.name}-seed{self.seed}-test{self.fold}"


def test_sets(
    ids: Sequence[str],
    settings: Settings,
    count: int,
    groups: Mapping[str, str] | None = None,  # noqa: PT028
) -> list[list[str]]:
    """Draw disjoint test sets by seeded hash; the first is that of `galaxy_trainer.data.splitting.split`.

    Parameters
    ----------
    ids : sequence of str
        The n candidates.
    settings : Settings
        Fraction and seed.
    count : int
        Number of sets.
    groups : mapping, optional
        From ids to groups that are in one set as a whole. Default: each its own.

    Returns
    -------
    list of lists of str
        `count` sets of about ``test_fraction * n`` ids each, sorted.

    Raises
    ------
    TrainerError
        If there are too few candidates, or the fraction is none.

    Examples
    --------
    >>> [len(ids) for ids in test_sets([str(i) for i in range(10)], Settings(test_fraction=0.2), 5)]
    [2, 2, 2, 2, 2]
    """
    if not 0 < settings.test_fraction < 1:
        raise TrainerError(f"the test fraction must be between 0 and 1, got {settings.test_fraction}")
    names = groups or dict(zip(ids, ids, strict=True))
    ordered = sorted(ids, key=lambda name: seeded_hash(settings.split_seed, names[name]))
    edges = [round(i * settings.test_fraction * len(ids)) for i in range(count + 1)]
    for i, edge in enumerate(edges):
        while 0 < edge < len(ids) and names[ordered[edge - 1]] == names[ordered[edge]]:
            edge += 1
        edges[i] = edge
    if edges[-1] > len(ids) or any(a == b for a, b in itertools.pairwise(edges)):
        raise TrainerError(
            f"{len(ids)} candidates do not give {count} disjoint, non-empty test sets "
            f"of {settings.test_fraction:g} of them each"
        )
    return [sorted(ordered[a:b]) for a, b in itertools.pairwise(edges)]


def compare(
    arms: Sequence[Arm],
    output: str | Path,
    *,
    settings: Settings | None = None,
    seeds: int = 3,
    folds: int = 1,
    jobs: int = 1,
    allow_duplicates: bool = False,
    report: Report | None = None,
) -> dict[str, Any]:
    """Train every arm with every seed on the same galaxies, and write tables, figures and a page.

    Parameters
    ----------
    arms : sequence of Arm
        At least two.
    output : str or Path
        Experiment folder, new or begun with the same settings. It may hold other arms too: tables, figures and
        page are of those named here, and what is trained already is not trained again.
    settings : Settings, optional
        What the runs share.
    seeds : int
        Trainings per arm and test set, with seeds 0, 1, ... It may be raised later.
    folds : int
        Number of disjoint test sets, each with trainings of its own. It may be raised later.
    jobs : int
        Trainings side by side, each in its own process with its share of the cores.
    allow_duplicates : bool
        Do not warn of pictures that are both trained and tested on, under two ids.
    report : callable, optional
        Called with lines of text. With several jobs it must be picklable.

    Returns
    -------
    dict
        What table.json holds; see `galaxy_trainer.experiment.statistics.summary`.

    Raises
    ------
    TrainerError
        If the arms do not fit together or the folder, or a training fails.

    Examples
    --------
    >>> arms = arms_of("galaxies.h5", views=None, recipe=Recipe(width=0.25))  # doctest: +SKIP
    >>> compare(arms, "experiment")["arms"]["normalized"]["deterministic"]["mse"]  # doctest: +SKIP
    """
    folder = Path(output)
    settings = settings or Settings()
    for name, value in (("seeds", seeds), ("folds", folds), ("jobs", jobs), ("passes", settings.passes)):
        if value < 1:
            raise TrainerError(f"{name} must be positive, got {value}")
    if settings.split_column is not None and (folds > 1 or settings.group or settings.test_candidates):
        raise TrainerError("--split-column names the test set: leave out --folds, --group and --test-candidates")
    sets = _prepare(arms, folder, settings, folds, allow_duplicates=allow_duplicates)
    for fold, ids in enumerate(sets):
        write_text(folder / f"test-{fold}.txt", "\n".join(ids) + "\n")
    tasks = [Task(arm, seed, fold) for fold in range(folds) for seed in range(seeds) for arm in arms]
    report = report or _silent
    todo = [task for task in tasks if not _answers_path(folder, task).exists()]
    report(f"{len(tasks)} trainings, {len(tasks) - len(todo)} of them done")
    calls = [functools.partial(run_task, task, folder, settings, report) for task in todo]
    side_by_side(calls, jobs)

    from galaxy_trainer.drawing.safely import try_to_draw
    from galaxy_trainer.experiment import statistics
    from galaxy_trainer.runs.run import load_run

    every = {task: load_run(folder / "runs" / task.name) for task in tasks}
    results = [
        statistics.Result.load(folder, task.arm.name, task.seed, task.fold, task.name, run.config.target)
        for task, run in every.items()
    ]
    table = statistics.summary(results)
    statistics.write_tables(table, folder)
    runs = list(every.values())[: len(arms)]

    def draw() -> None:
        from galaxy_trainer.experiment.page import write_page

        write_page(folder, arms, settings, runs, results, table)
        report(f"{folder / 'index.html'} shows all results")

    try_to_draw(folder / "index.html", draw)
    return table


def _silent(line: str) -> None:
    pass


def _answers_path(folder: Path, task: Task) -> Path:
    return folder / "answers" / f"{task.name}.npz"


def _prepare(
    arms: Sequence[Arm], folder: Path, settings: Settings, folds: int, *, allow_duplicates: bool
) -> list[list[str]]:
    """Check that the arms fit together and the folder; make the folder; return the test sets."""
    from galaxy_trainer.data.galaxies import open_galaxies, read_ids

    names = [arm.name for arm in arms]
    if len(set(names)) < max(2, len(names)):
        raise TrainerError(f"a comparison needs two arms or more with different names, got: {', '.join(names)}")
    for name in names:
        if not name or name.startswith(".") or set(name) & set('/\\:*?"<>|'):
            raise TrainerError(f"arm {name!r}: its name becomes a folder name; use letters, digits, - + _ . and spaces")
    ids: list[str] = []
    named: list[str] = []  # the test set, where a column says it
    digests: dict[str, str] = {}
    pictures: dict[str, dict[str, str]] = {}
    for arm in arms:
        galaxies = open_galaxies(
            arm.cache, arm.views, labels=settings.labels, target=settings.target or DEFAULT, in_memory=False,
            aside=[name for name in (settings.group, settings.split_column) if name is not None],
        )  # fmt: skip
        digests[arm.cache] = galaxies.cache.digest()
        rows, tested = galaxies.labelled, list[str]()
        if settings.split_column is not None:
            rows, test = split_galaxies(
                galaxies, rows, fraction=settings.test_fraction, seed=settings.split_seed, column=settings.split_column
            )
            tested = sorted(galaxies.ids[i] for i in rows[test])
        pictures[arm.cache] = galaxies.pictures(rows)
        labelled = [galaxies.ids[i] for i in rows]
        if settings.test_candidates is not None:
            wanted = set(read_ids(settings.test_candidates, galaxies.ids))
            labelled = [name for name in labelled if name in wanted]
        if arm is not arms[0] and (labelled, tested) != (ids, named):
            what = "labelled galaxies"
            if settings.test_candidates is not None or labelled == ids:
                what += " to test on"
            raise TrainerError(f"{arm.cache} has not the same {what} as {arms[0].cache}: make both alike")
        ids, named = labelled, tested
    groups = None
    if settings.group is not None:
        names = group_names(galaxies, np.arange(len(galaxies.ids)), settings.group)
        groups = dict(zip(galaxies.ids, names, strict=True))
        candidates = set(ids)
        others = {groups[galaxies.ids[i]] for i in galaxies.labelled if galaxies.ids[i] not in candidates}
        torn = sorted(others.intersection(groups[name] for name in ids))
        if torn:
            raise TrainerError(
                f"{settings.test_candidates} lists some galaxies of {settings.group} {first_few(torn)} and leaves "
                "others out: list all galaxies of a group, or none"
            )
    sets = [named] if named else test_sets(ids, settings, folds, groups)
    if not allow_duplicates:
        _warn_of_twins(pictures, sets)
    batch = max(arm.recipe.batch_size for arm in arms)
    # Of the candidates, as the last epochs of a recipe with a finish see only these.
    left = len(ids) - max(map(len, sets))
    if left < batch:
        raise TrainerError(f"{left} of {len(ids)} candidates are left to train on, less than a batch of {batch}")
    record: dict[str, Any] = {
        "arms": {arm.name: {**dataclasses.asdict(arm), "cache_digest": digests[arm.cache]} for arm in arms},
        "settings": dataclasses.asdict(settings),
        "contents": {name: _digest(path) for name, path in _files(settings).items()},
    }
    record = json.loads(json.dumps(record))
    path = folder / "experiment.json"
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        # Arms may join and sit out; what both know must be the same.
        common = {name: _completed(value) for name, value in before["arms"].items() if name in record["arms"]}
        now = {name: record["arms"][name] for name in common}
        differing = _differences(before["settings"], record["settings"], "") + _differences(common, now, "")
        # The same names, but other ids or answers in them. (Not on record where an earlier version began.)
        differing += _differences(before.get("contents", record["contents"]), record["contents"], "contents")
        if differing:
            what = "; ".join(differing)
            raise TrainerError(
                f"{folder} was started with other options: {what}. Use the same options, or another folder"
            )
        record["arms"] = {**before["arms"], **record["arms"]}
    elif folder.exists() and any(folder.iterdir()):
        raise TrainerError(f"{folder} already exists and is not an experiment; choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, record)
    for name in ("runs", "answers", "figures"):
        (folder / name).mkdir(exist_ok=True)
    return sets


def _warn_of_twins(pictures: Mapping[str, dict[str, str]], sets: Sequence[Sequence[str]]) -> None:
    from galaxy_trainer.runs.checks import twins, warn_of_twins

    tested = [set(names) for names in sets]
    for cache, known in pictures.items():
        found = [
            pair
            for names in tested
            for pair in twins(
                {name: known[name] for name in names}, {name: known[name] for name in known if name not in names}
            )
        ]
        warn_of_twins(sorted(found), sum(map(len, sets)), cache)


def _files(settings: Settings) -> dict[str, str]:
    named = {"labels": settings.labels, "test_candidates": settings.test_candidates}
    return {name: path for name, path in named.items() if path is not None}


def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _completed(arm: dict[str, Any]) -> dict[str, Any]:
    """Give an arm on record the recipe fields that were not there when it began."""
    recipe = dataclasses.asdict(recipe_from_json(arm["recipe"]))
    return {**arm, "recipe": json.loads(json.dumps(recipe))}


def _differences(before: Any, now: Any, where: str) -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        # A cache may have moved; its digest tells whether it is the same.
        keys = [key for key in sorted({*before, *now}) if not (key == "cache" and "cache_digest" in before)]
        return [
            line
            for key in keys
            for line in _differences(before.get(key), now.get(key), f"{where}.{key}" if where else key)
        ]
    return [] if before == now else [f"{where} was {before}, now {now}"]


def run_task(task: Task, folder: Path, settings: Settings, report: Report) -> None:
    """Train or resume one run, and write its answers for the test galaxies."""
    import galaxy_trainer

    def named_report(line: str) -> None:
        report(f"{task.name}: {line}")

    path = folder / "runs" / task.name
    if path.exists():
        run = galaxy_trainer.resume(path, task.arm.cache, report=named_report)
    else:
        run = galaxy_trainer.train(
            task.arm.cache, path, view=task.arm.views, recipe=task.arm.recipe, labels=settings.labels,
            target=settings.target, group=settings.group, split_column=settings.split_column,
            test_ids=None if settings.split_column else folder / f"test-{task.fold}.txt",
            finish_ids=settings.test_candidates,
            seed=task.seed, precision=settings.precision, augmented_validation=True,
            allow_duplicates=True, report=named_report,
        )  # fmt: skip
    arrays: dict[str, Any] = answers(run, passes=settings.passes)
    write_whole(_answers_path(folder, task), lambda part: np.savez(part, **arrays))


def answers(run: Any, *, passes: int) -> dict[str, np.ndarray]:
    """Return what a run answers for its test galaxies.

    Parameters
    ----------
    run : galaxy_trainer.Run
        The finished run.
    passes : int
        Passes with dropout and augmentation on.

    Returns
    -------
    dict of ndarray
        ``ids`` (n,), ``truth`` (n, answers), ``mean_answers`` of the training set; answers (n, answers)
        ``deterministic`` and, averaged over `ORIENTATIONS`, ``oriented``, both with the weights after the last
        epoch; ``best``: with the weights of the lowest validation loss; ``non_deterministic`` (n, passes): mean
        error of each galaxy in each pass, weights after the last epoch.
    """
    from galaxy_trainer.asking.evaluation import passes_of
    from galaxy_trainer.asking.predicting import answers_of
    from galaxy_trainer.data.galaxies import open_galaxies

    config = run.config
    galaxies = open_galaxies(config.cache, config.views, labels=config.labels, target=config.target)
    rows = np.array([i for i, name in enumerate(galaxies.ids) if run.parts.get(name) == "test"])
    truth = galaxies.answers(rows)
    network = run.network("last")
    drawn = passes_of(network, galaxies, rows, config.recipe.augmentation, seed=config.seed, count=passes)
    errors = [config.target.errors(given, truth) for given in drawn]
    return {
        "ids": np.array([galaxies.ids[i] for i in rows]),
        "truth": truth,
        "mean_answers": np.array(config.mean_answers),
        "deterministic": answers_of(network, galaxies, rows),
        "oriented": answers_of(network, galaxies, rows, count=ORIENTATIONS),
        "best": answers_of(run.network("best"), galaxies, rows),
        "non_deterministic": np.stack(errors, axis=1) if errors else np.zeros((len(rows), 0)),
    }
