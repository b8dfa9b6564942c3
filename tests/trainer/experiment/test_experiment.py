"""galaxy-compare: test sets, arms, numbers against slow twins, resume after a kill, wrong input."""

import csv
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from conftest import sky_blobs, write_cache

import galaxy_trainer
import scalenorm
from galaxy_trainer import Choice, TrainerError
from galaxy_trainer.commands import compare as galaxy_compare
from galaxy_trainer.experiment import compare as experiment
from galaxy_trainer.experiment import statistics
from galaxy_trainer.experiment.arms import Arm, Settings, arms_of
from galaxy_trainer.experiment.compare import compare
from galaxy_trainer.experiment.workers import side_by_side
from galaxy_trainer.labels.questions import shipped
from galaxy_trainer.network.recipes import Recipe

ANSWER_NAMES = shipped("galaxy_zoo_2").names

TINY = Recipe(width=0.05, epochs=3, batch_size=32, learning_rate=0.05)
RUN = "import sys; from galaxy_trainer.commands import compare; sys.exit(compare.main(sys.argv[1:]))"
TABLES = ("table.json", "table.csv", "ratios.csv", "questions.csv")


@pytest.fixture(scope="module")
def galaxies(tmp_path_factory):
    """A cache of 600 simulated galaxies, with crops of 16 x 16."""
    folder = tmp_path_factory.mktemp("galaxies")
    sample = scalenorm.make_galaxies(600, seed=2, size=64)
    np.save(folder / "stack.npy", sample.images)
    with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["GalaxyID", *sample.answer_names])
        writer.writerows([f"stack/{i:06d}", *map(float, row)] for i, row in enumerate(sample.answers))
    scalenorm.convert(
        [folder / "stack.npy"], folder / "cache.h5", views=("normalized", "center-16"), size=16,
        labels=folder / "labels.csv",
    )  # fmt: skip
    return folder / "cache.h5"


@pytest.fixture(scope="module")
def arguments(galaxies):
    return [str(galaxies), "--seeds", "2", "--width", "0.05", "--epochs", "3", "--batch-size", "32",
            "--learning-rate", "0.05", "--passes", "2", "--test-fraction", "0.2",
            "--jobs", "2"]  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(arguments, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "experiment"
    assert galaxy_compare.main([*arguments, "-o", str(folder), "--quiet"]) == 0
    return folder


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_writes_everything(undisturbed):
    """Tables, figures and a page that needs no other file."""
    for name in (*TABLES, "index.html", "experiment.json", "test-0.txt"):
        assert (undisturbed / name).stat().st_size > 0
    page = (undisturbed / "index.html").read_text(encoding="utf-8")
    assert "src=" in page
    assert (
        page.count("src=")
        == page.count('src="data:image/png;base64,')
        == len(list((undisturbed / "figures").iterdir()))
    )
    assert "$" not in page.split("</style>")[1].split("How it was made")[0]
    table = json.loads((undisturbed / "table.json").read_text(encoding="utf-8"))
    assert (table["galaxies"], table["seeds"], table["folds"]) == (120, 2, 1)
    assert list(table["arms"]) == ["normalized", "center-16"]
    score = table["arms"]["normalized"]["deterministic"]
    assert score["low"] < score["mse"] < score["high"] < table["arms"]["normalized"]["non_deterministic"]["high"]
    assert len(table["arms"]["normalized"]["epochs"]) == 3


@pytest.mark.slow
def test_a_picture_that_fails_is_left_out(undisturbed, arguments, tmp_path, monkeypatch, capsys):
    def fail(_tree):
        raise RuntimeError("latex could not be found")

    folder = shutil.copytree(undisturbed, tmp_path / "experiment")
    monkeypatch.setattr("galaxy_trainer.drawing.target_figures.tree_figure", fail)
    assert galaxy_compare.main([*arguments, "-o", str(folder)]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert said == [
        f"galaxy-compare: warning: {folder / 'figures' / 'tree.png'} could not be drawn "
        "(RuntimeError: latex could not be found); all else is written"
    ]
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert page.count("src=") == (undisturbed / "index.html").read_text(encoding="utf-8").count("src=") - 1
    for name in TABLES:
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes(), name


@pytest.mark.slow
def test_numbers_against_predictions(undisturbed, galaxies):
    """The scores once more, from the saved networks, with nothing of the tables' code."""
    with h5py.File(galaxies) as file:
        truth = dict(zip([row.decode() for row in file["catalog"]["id"]], file["labels"][:], strict=True))
    tested = (undisturbed / "test-0.txt").read_text(encoding="utf-8").split()
    scores = []
    for seed in (0, 1):
        run = galaxy_trainer.load_run(undisturbed / "runs" / f"normalized-seed{seed}-test0")
        assert sorted(name for name, part in run.parts.items() if part == "test") == tested
        found = galaxy_trainer.predict(run, galaxies, weights="last")
        answers = dict(zip(found.ids, found.answers, strict=True))
        scores.append(np.mean([np.mean((answers[name] - truth[name]) ** 2) for name in tested]))
    table = json.loads((undisturbed / "table.json").read_text(encoding="utf-8"))["arms"]["normalized"]["deterministic"]
    np.testing.assert_allclose(table["per_seed"], scores, rtol=1e-5)
    np.testing.assert_allclose(table["mse"], np.mean(scores), rtol=1e-5)
    np.testing.assert_allclose(table["seed_std"], np.std(scores, ddof=1), rtol=1e-3)
    row = next(
        r for r in rows_of(undisturbed / "table.csv") if r["arm"] == "normalized" and r["score"] == "deterministic"
    )
    assert float(row["mse"]) == table["mse"]


@pytest.mark.slow
def test_killed_and_given_again(undisturbed, arguments, tmp_path):
    """Killed in the middle of a training, with another one beside it, and given again: the same tables."""
    folder = tmp_path / "experiment"
    command = [sys.executable, "-c", RUN, *arguments, "-o", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(folder.glob("runs/*/state.npz")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "table.json").exists()
    done = len(list((folder / "answers").iterdir()))
    assert done < 4
    assert galaxy_compare.main([*arguments, "-o", str(folder), "--quiet"]) == 0
    for name in TABLES:
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes(), name
    before = (folder / "runs").stat().st_mtime_ns
    assert galaxy_compare.main([*arguments, "-o", str(folder), "--quiet"]) == 0
    assert (folder / "runs").stat().st_mtime_ns == before


@pytest.mark.slow
def test_other_options_are_refused(undisturbed, arguments, capsys):
    given = [*arguments, "-o", str(undisturbed), "--quiet"]
    assert galaxy_compare.main([*given, "--epochs", "4"]) == 1
    assert "was started with other options: center-16.recipe.epochs was 3, now 4" in capsys.readouterr().err
    assert galaxy_compare.main([*given, "--views", "normalized", "center-17"]) == 1
    assert "has no view 'center-17'" in capsys.readouterr().err


@pytest.mark.slow
def test_arms_and_seeds_may_join(undisturbed, arguments, galaxies, tmp_path):
    """One seed and other arms of the same experiment: nothing trained is trained again, the numbers stay."""
    folder = tmp_path / "experiment"
    shutil.copytree(undisturbed, folder)
    changes = {"width": 0.05, "epochs": 3, "batch_size": 32, "learning_rate": 0.05}
    arms = [
        {"name": "center-16", "cache": str(galaxies), "views": "center-16", "changes": changes},
        {
            "name": "both",
            "cache": str(galaxies),
            "views": ["normalized", "center-16"],
            "changes": {**changes, "epochs": 1},
        },
    ]
    (tmp_path / "arms.json").write_text(json.dumps(arms), encoding="utf-8")
    options = ["--passes", "2", "--test-fraction", "0.2", "--seeds", "1", "-o", str(folder), "--quiet"]
    assert galaxy_compare.main([str(tmp_path / "arms.json"), *options]) == 0
    made = {path.name for path in (folder / "runs").iterdir()} - {
        path.name for path in (undisturbed / "runs").iterdir()
    }
    assert made == {"both-seed0-test0"}
    table = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    assert list(table["arms"]) == ["center-16", "both"]
    before = json.loads((undisturbed / "table.json").read_text(encoding="utf-8"))
    first = before["arms"]["center-16"]["deterministic"]["per_seed"][0]
    assert table["arms"]["center-16"]["deterministic"]["mse"] == pytest.approx(first, rel=1e-12)
    assert set(json.loads((folder / "experiment.json").read_text(encoding="utf-8"))["arms"]) == {
        "normalized", "center-16", "both",
    }  # fmt: skip


def test_test_sets_are_disjoint_and_the_first_is_that_of_training():
    from galaxy_trainer.data.splitting import split

    ids = [f"{i}" for i in range(103)]
    settings = Settings(test_fraction=0.2, split_seed=4)
    sets = experiment.test_sets(ids, settings, 5)
    assert sorted(name for part in sets for name in part) == sorted(ids)
    assert {len(part) for part in sets} <= {20, 21}
    assert sets[0] == sorted(np.array(ids)[split(ids, fraction=0.2, seed=4)].tolist())
    with pytest.raises(TrainerError, match="103 candidates do not give 6 disjoint"):
        experiment.test_sets(ids, settings, 6)


def slow_ratio(upper, lower):
    """The paired bootstrap with a loop and one draw of galaxies for both."""
    rng, n, values = np.random.default_rng(5), len(upper), []
    for _ in range(4000):
        drawn = rng.integers(0, n, n)
        values.append(upper[drawn].mean() / lower[drawn].mean())
    return np.percentile(values, [2.5, 97.5])


def test_ratio_against_a_slow_bootstrap():
    rng = np.random.default_rng(1)
    lower = rng.gamma(2.0, 1.0, (300, 3))
    upper = 0.8 * lower + rng.normal(0, 0.3, lower.shape)
    found = statistics.ratio(upper, lower)
    assert found["ratio"] == pytest.approx(upper.mean() / lower.mean())
    expected = slow_ratio(upper, lower)
    assert [found["low"], found["high"]] == pytest.approx(expected.tolist(), abs=0.1 * (expected[1] - expected[0]))
    assert found["seed_std"] == pytest.approx(
        np.std([upper[:, i].mean() / lower[:, i].mean() for i in range(3)], ddof=1)
    )
    # Unpaired, the interval would be several times as wide.
    alone = statistics.ratio(rng.permutation(upper), lower)
    assert found["high"] - found["low"] < 0.7 * (alone["high"] - alone["low"])


def test_arms_from_a_file(tmp_path):
    path = tmp_path / "arms.json"
    path.write_text(json.dumps([
        {"name": "plain", "cache": "a.h5", "views": "normalized", "changes": {"augmentation": None, "width": 0.5}},
        {"name": "two", "cache": "b.h5", "views": ["normalized", "center-256"], "recipe": "long"},
    ]), encoding="utf-8")  # fmt: skip
    plain, two = arms_of(path, views=None, recipe=TINY)
    assert (plain.cache, plain.views, plain.recipe.epochs) == (str(tmp_path / "a.h5"), ("normalized",), 3)
    assert (plain.recipe.width, plain.recipe.augmentation.rotate) == (0.5, False)
    assert (two.views, two.recipe.epochs) == (("normalized", "center-256"), 200)
    path.write_text('[{"name": "plain", "epochs": 3}]', encoding="utf-8")
    with pytest.raises(TrainerError, match="unknown keys epochs"):
        arms_of(path, views=None, recipe=TINY)
    path.write_text('[{"name": "plain"}]', encoding="utf-8")
    with pytest.raises(TrainerError, match="not a list of arms with name, cache and views"):
        arms_of(path, views=None, recipe=TINY)
    with pytest.raises(TrainerError, match="leave out --views"):
        arms_of(path, views=["normalized"], recipe=TINY)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b'{"name": "plain"}', "expected a list of objects"),
        (b'["plain"]', "expected a list of objects"),
        (b"\xff\xfe", "not a list of arms"),
        (b'[{"name": 1, "cache": "a.h5", "views": "normalized"}]', "arm 1: needs a text as name"),
        (b'[{"name": "a", "cache": "a.h5", "views": []}]', "arm 'a': needs .* at least one view"),
        (b'[{"name": "a", "cache": "a.h5", "views": "b", "changes": {"epochs": 2.5}}]', "epochs must be a whole"),
        (b'[{"name": "a", "cache": "a.h5", "views": "b", "changes": {"augmentation": {"zoom": 0.5}}}]', "zoom >= 1"),
    ],
)
def test_files_of_arms_that_do_not_fit(content, error, tmp_path):
    path = tmp_path / "arms.json"
    path.write_bytes(content)
    with pytest.raises(TrainerError, match=rf"arms\.json: .*{error}"):
        arms_of(path, views=None, recipe=TINY)


def test_what_does_not_fit_is_refused_before_anything_is_made(cache, tmp_path):
    def arm(name, path):
        return Arm(name=name, cache=str(path), views=("normalized",), recipe=TINY)

    images, labels = sky_blobs(60, size=16)
    other = write_cache(tmp_path / "other.h5", {"normalized": images}, labels=labels)
    output = tmp_path / "experiment"
    with pytest.raises(TrainerError, match="two arms or more with different names, got: a, a"):
        compare([arm("a", cache), arm("a", cache)], output)
    with pytest.raises(TrainerError, match="two arms or more"):
        compare([arm("a", cache)], output)
    with pytest.raises(TrainerError, match=r"not the same labelled galaxies as .*small\.h5"):
        compare([arm("a", cache), arm("b", other)], output)
    with pytest.raises(TrainerError, match=r"arm 'a/b': its name becomes a folder name"):
        compare([arm("a/b", cache), arm("b", cache)], output)
    with pytest.raises(TrainerError, match="seeds must be positive, got 0"):
        compare([arm("a", cache), arm("b", cache)], output, seeds=0)
    for settings, error in (
        (Settings(passes=0), "passes must be positive, got 0"),
        (Settings(test_fraction=-0.5), "test fraction must be between 0 and 1, got -0.5"),
        (Settings(test_fraction=float("nan")), "test fraction must be between 0 and 1, got nan"),
        (Settings(test_fraction=0.9), "9 of 94 candidates are left to train on, less than a batch of 32"),
    ):
        with pytest.raises(TrainerError, match=error):
            compare([arm("a", cache), arm("b", cache)], output, settings=settings)
    assert not output.exists()
    output.mkdir()
    (output / "mine.txt").touch()
    with pytest.raises(TrainerError, match="exists and is not an experiment"):
        compare([arm("a", cache), arm("b", cache)], output)


def test_an_arm_may_have_more_galaxies_to_train_on(cache, tmp_path):
    """But those to test on must be the same."""
    images, labels = sky_blobs(60, size=16)
    fewer = write_cache(tmp_path / "fewer.h5", {"normalized": images}, labels=labels)
    arms = [Arm(name=path.stem, cache=str(path), views=("normalized",), recipe=TINY) for path in (cache, fewer)]
    candidates = tmp_path / "candidates.txt"
    candidates.write_text("\n".join(f"{i:06d}" for i in range(10, 60)))
    settings = Settings(test_candidates=str(candidates))
    sets = experiment._prepare(arms, tmp_path / "experiment", settings, 2, allow_duplicates=True)
    assert [len(names) for names in sets] == [5, 5]
    candidates.write_text("\n".join(f"{i:06d}" for i in range(60)))  # without an answer in `cache`: 5 and 7
    with pytest.raises(TrainerError, match=r"fewer\.h5 has not the same labelled galaxies to test on as .*small\.h5"):
        compare(arms, tmp_path / "other", settings=settings)


@pytest.mark.parametrize("named", ["labels", "test_candidates"])
def test_files_that_changed_since_an_experiment_began_are_refused(named, cache, tmp_path, monkeypatch):
    """Runs with other test galaxies or answers would stand in one table."""
    with h5py.File(cache) as file:
        ids, labels = [row.decode() for row in file["catalog"]["id"]], file["labels"][:]
    path, output = tmp_path / "named.txt", tmp_path / "experiment"

    def write(count):
        rows = [(name, *map(float, row)) for name, row in zip(ids, labels, strict=True) if row[0] == row[0]][:count]
        head = [("GalaxyID", *ANSWER_NAMES)] if named == "labels" else []
        lines = [",".join(map(str, row)) if named == "labels" else row[0] for row in [*head, *rows]]
        path.write_text("\n".join(lines), encoding="utf-8")

    def stop(calls, jobs):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "side_by_side", stop)
    arms = [Arm(name=name, cache=str(cache), views=(name,), recipe=TINY) for name in ("normalized", "center-64")]
    write(80)
    for _ in "begun", "given again":
        with pytest.raises(KeyboardInterrupt):
            compare(arms, output, settings=Settings(**{named: str(path)}))
    tested = (output / "test-0.txt").read_bytes()
    write(90)
    with pytest.raises(
        TrainerError, match=rf"experiment was started with other options: contents\.{named} was \w+, now \w+\. "
    ):
        compare(arms, output, settings=Settings(**{named: str(path)}))
    assert (output / "test-0.txt").read_bytes() == tested
    # Begun by a version that did not record what the files hold.
    record = json.loads((output / "experiment.json").read_text(encoding="utf-8"))
    del record["contents"]
    (output / "experiment.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        compare(arms, output, settings=Settings(**{named: str(path)}))


SIDES = ("test", "train", "unsure")
CLASSES = Choice(kind="classes", columns=("kind",))


def cache_with_sides(path, sides):
    """Two views of galaxies with a class, a night, and a side, which are numbers of `SIDES`."""
    images, answers = sky_blobs(len(sides), size=16)
    labels = np.stack([answers[:, 0] > 0.5, np.arange(len(sides)) // 10, sides], axis=1).astype(float)
    return write_cache(path, {"normalized": images, "center-64": images[:, ::-1].copy()}, labels=labels,
                       names=["kind", "night", "side"], classes={"kind": ["long", "round"], "side": SIDES})  # fmt: skip


@pytest.mark.slow
def test_a_column_says_the_test_set(tmp_path, capsys):
    sides = np.arange(90) % 5 % 3
    cache, folder = cache_with_sides(tmp_path / "cache.h5", sides), tmp_path / "experiment"
    words = [str(cache), "-o", str(folder), "--target", "classes", "--columns", "kind", "--split-column", "side",
             "--seeds", "1", "--passes", "1", "--width", "0.05", "--epochs", "1"]  # fmt: skip
    assert galaxy_compare.main(words) == 0
    said = [{f"{i:06d}" for i in np.flatnonzero(sides == number)} for number in range(3)]
    assert set((folder / "test-0.txt").read_text().split()) == said[0]
    for view in ("normalized", "center-64"):
        parts = galaxy_trainer.load_run(folder / "runs" / f"{view}-seed0-test0").parts
        assert {name for name, part in parts.items() if part == "test"} == said[0]
        assert {name for name, part in parts.items() if part == "train"} == said[1]
    assert json.loads((folder / "table.json").read_text())["galaxies"] == len(said[0]) == 36
    assert "36 in 1 set(s), as the column side says" in (folder / "index.html").read_text()
    capsys.readouterr()
    assert galaxy_compare.main(words) == 0
    assert "2 trainings, 2 of them done" in capsys.readouterr().err


def test_a_column_that_says_the_test_set_leaves_no_choice(tmp_path):
    cache = cache_with_sides(tmp_path / "cache.h5", np.arange(90) % 3)
    arms = [Arm(name=view, cache=str(cache), views=(view,), recipe=TINY) for view in ("normalized", "center-64")]
    refused = "--split-column names the test set: leave out --folds, --group and --test-candidates"
    for column, options, folds, error in (
        ("side", {}, 2, refused),
        ("side", {"group": "night"}, 1, refused),
        ("side", {"test_candidates": "ids.txt"}, 1, refused),
        ("night", {}, 1, "column 'night' must say both train and test, it says: 0, 1"),
        ("era", {}, 1, "columns are missing: era"),
    ):
        with pytest.raises(TrainerError, match=error):
            compare(arms, tmp_path / "no", settings=Settings(split_column=column, target=CLASSES, **options),
                    folds=folds)  # fmt: skip
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("first", "second", "error"),
    [
        ((0, 1), (1, 0), "not the same labelled galaxies to test on as"),
        ((0, 1), (2, 1), "not the same labelled galaxies as"),
        ((1, 1), (1, 2), "not the same labelled galaxies as"),
    ],
)
def test_arms_whose_columns_differ_are_refused(first, second, error, tmp_path):
    arms = []
    for name, begin in (("a", first), ("b", second)):
        sides = np.concatenate([begin, np.arange(90) % 2])
        cache = cache_with_sides(tmp_path / f"{name}.h5", sides)
        arms.append(Arm(name=name, cache=str(cache), views=("normalized",), recipe=TINY))
    with pytest.raises(TrainerError, match=rf"b\.h5 has {error} .*a\.h5"):
        compare(arms, tmp_path / "no", settings=Settings(split_column="side", target=CLASSES))


@pytest.mark.slow
def test_a_process_that_the_system_ends_is_one_line(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "numpy")  # starts sooner
    with pytest.raises(TrainerError, match="a process was ended from outside"):
        side_by_side([functools.partial(os._exit, 1)] * 2, 2)
