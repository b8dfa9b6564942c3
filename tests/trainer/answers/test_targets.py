"""Values, classes, other trees and answers with gaps: each trained, resumed, scored against NumPy, and misused."""

import csv
import json

import h5py
import keras
import numpy as np
import pytest
from conftest import sky_blobs, write_cache
from PIL import Image
from typed import run as typed

from galaxy_trainer import Choice, TrainerError, evaluate, load_run, predict, resume, train
from galaxy_trainer.answers.choices import target_from_json
from galaxy_trainer.answers.classes import ClassesTarget
from galaxy_trainer.answers.targets import GALAXY_ZOO_2, TreeTarget, ValuesTarget
from galaxy_trainer.asking.evaluation import calibration
from galaxy_trainer.asking.predicting import Predictions, write_answers
from galaxy_trainer.data.galaxies import open_galaxies
from galaxy_trainer.data.splitting import split_galaxies
from galaxy_trainer.labels.columns import Columns
from galaxy_trainer.labels.questions import shipped
from galaxy_trainer.runs.run import State
from galaxy_trainer.training import train as training

TINY = {"width": 0.05, "epochs": 2, "learning_rate": 0.01, "seed": 4}
COUNT = 90


@pytest.fixture(scope="module")
def shapes():
    """Images, and numbers that follow from the shapes."""
    images, answers = sky_blobs(COUNT, size=16)
    return images, answers


@pytest.fixture(scope="module")
def table(shapes, tmp_path_factory):
    """A cache without labels, and a table: a magnitude, a count of photons, a class, a night and a side."""
    images, answers = shapes
    folder = tmp_path_factory.mktemp("targets")
    cache = write_cache(folder / "plain.h5", {"normalized": images})
    rng = np.random.default_rng(3)
    with open(folder / "labels.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "mag", "photons", "kind", "night", "side"])
        for i in range(COUNT):
            kind = "round" if answers[i, 0] > 0.5 else "Long"
            mag = "" if i % 7 == 0 else f"{17 + answers[i, 0]:.4f}"
            photons = f"{1e20 * (1 + answers[i, 3]):.6g}"
            side = "test" if i % 5 == 0 else "train"
            writer.writerow([f"{i:06d}", mag, photons, "" if i == 8 else kind, f"n{rng.integers(12)}", side])
    return cache, folder / "labels.csv"


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


CHOICES = {
    "values": Choice(kind="values", columns=("mag", "photons")),
    "classes": Choice(kind="classes", columns=("kind",), balanced=True),
}


@pytest.fixture(scope="module", params=CHOICES)
def trained(request, table, tmp_path_factory):
    cache, labels = table
    folder = tmp_path_factory.mktemp(request.param) / "run"
    return request.param, train(cache, folder, target=CHOICES[request.param], labels=labels, **TINY)


def check_resuming(run, folder, choice, **options):
    """Train as `run` was trained, but interrupted after an epoch and resumed: the same bits."""

    def stop(line):
        if line.startswith("epoch 1"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(run.config.cache, folder, target=choice, labels=run.config.labels, **TINY | options, report=stop)
    again = resume(folder)
    for found, expected in zip(State.load(again.state_path).weights, State.load(run.state_path).weights, strict=True):
        assert found.tobytes() == expected.tobytes()
    assert (again.history, again.metrics) == (run.history, run.metrics)


@pytest.mark.slow
def test_resuming_ends_with_the_same_bits(trained, tmp_path):
    kind, run = trained
    assert run.config.target.kind == kind
    check_resuming(run, tmp_path / "again", CHOICES[kind])


@pytest.mark.slow
def test_scores_against_numpy(trained, table):
    kind, run = trained
    answers = predict(run, run.config.cache).answers.astype(float)
    rows = rows_of(table[1])
    test = [i for i in range(COUNT) if run.parts.get(f"{i:06d}") == "test"]
    found = evaluate(run, passes=0)["deterministic"]
    if kind == "values":
        truth = np.array([[float(row["mag"] or "nan"), float(row["photons"])] for row in rows])
        fit = [i for i in range(COUNT) if run.parts.get(f"{i:06d}") == "train"]
        std = np.nanstd(truth[fit], axis=0)
        errors = ((answers - truth) / std)[test] ** 2
        known = ~np.isnan(errors)
        assert not known.all()
        assert found["mse"] == pytest.approx(errors[known].sum() / known.sum(), rel=1e-4)
        photons = answers[test, 1] - truth[test, 1]
        assert found["answers"]["photons"]["mae"] == pytest.approx(np.abs(photons).mean(), rel=1e-4)
        variance = truth[test, 1].var()
        assert found["answers"]["photons"]["r2"] == pytest.approx(1 - (photons**2).mean() / variance, rel=1e-3)
        assert run.metrics["baselines"]["mean_answer"]["answers"]["photons"]["r2"] <= 0
    else:
        assert answers.sum(axis=1) == pytest.approx(1, abs=1e-5)
        assert "000008" not in run.parts
        true = np.array([["Long", "round"].index(rows[i]["kind"]) for i in test])
        said = answers[test].argmax(axis=1)
        assert found["accuracy"] == pytest.approx((true == said).mean())
        recall = [(said[true == c] == c).mean() for c in (0, 1)]
        assert found["balanced_accuracy"] == pytest.approx(np.mean(recall))
        assert found["cross_entropy"] == pytest.approx(-np.log(answers[test, true]).mean(), rel=1e-5)
        assert found["confusion"] == [[int(((true == a) & (said == b)).sum()) for b in (0, 1)] for a in (0, 1)]
        assert (run.folder / "confusion.png").stat().st_size > 1000
    main = run.config.target.main
    assert run.history[run.metrics["epoch"] - 1]["val_loss"] == pytest.approx(found[main], rel=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("curves_seen")
def test_tables_of_answers(trained, tmp_path, capsys):
    kind, run = trained
    answers = predict(run, run.config.cache).answers
    code, out, _ = typed(capsys, "predict", run.folder, run.config.cache, "-o", tmp_path / "a.csv")
    assert (code, out) == (0, [f"{COUNT} galaxies written to {tmp_path / 'a.csv'}"])
    rows = rows_of(tmp_path / "a.csv")
    if kind == "values":
        assert list(rows[0]) == ["id", "mag", "photons"]
        assert [float(row["mag"]) for row in rows] == pytest.approx(answers[:, 0].tolist())
    else:
        assert list(rows[0]) == ["id", "kind", "p_Long", "p_round"]
        assert [row["kind"] for row in rows] == [("Long", "round")[i] for i in answers.argmax(axis=1)]
        assert [float(row["p_Long"]) for row in rows] == pytest.approx(answers[:, 0].tolist())
    options = ("--passes", "2", "--orientations", "2", "--calibration", tmp_path / "c.png")
    code, out, err = typed(capsys, "evaluate", run.folder, *options)
    assert (code, err) == (0, [])
    with Image.open(tmp_path / "c.png") as picture:
        assert min(picture.size) > 300
    text = "\n".join(out)
    for word in {"values": ("MSE", "RMSE", "MAE", "R2", "photons"), "classes": ("cross entropy", "F1", "round")}[kind]:
        assert word.lower() in text.lower()


def read_table(path):
    """A table as the libraries of its format read it, text as str."""
    if path.suffix == ".parquet":
        return pytest.importorskip("pandas", reason="pandas is not installed").read_parquet(path)
    table = pytest.importorskip("astropy.table", reason="astropy is not installed").Table.read(path)
    table.convert_bytestring_to_unicode()
    return table


@pytest.mark.slow
def test_tables_in_every_format(trained, tmp_path):
    """With the deviation between orientations, against the network's answers to images that NumPy turned."""
    kind, run = trained
    found = predict(run, run.config.cache, orientations=4)
    with h5py.File(run.config.cache) as file:
        images = file["views/normalized"][:]
    turned = [np.rot90(side, k, axes=(1, 2)) for k in (0, 2) for side in (images, images[:, ::-1])]
    answers = np.stack([run.network().predict(np.ascontiguousarray(view), verbose=0) for view in turned])
    within = 1e-5 * run.config.target.units  # of float32
    assert (np.abs(found.answers - answers.mean(axis=0, dtype=float)) < within).all()
    assert (np.abs(found.deviation - answers.std(axis=0, dtype=float)) < within).all()
    assert (found.deviation.mean(axis=0) > 10 * within).all()
    names = {"values": ["mag", "photons"], "classes": ["p_Long", "p_round"]}[kind]
    words = {"values": [], "classes": ["kind"]}[kind]
    for ending in ("csv", "ecsv", "fits", "parquet"):
        write_answers(tmp_path / f"a.{ending}", found)
        table = read_table(tmp_path / f"a.{ending}")
        assert list(table.columns) == ["id", *words, *names, *(f"{name}_std" for name in names)]
        assert [f"{int(name):06d}" for name in table["id"]] == list(found.ids)
        for i, name in enumerate(names):
            np.testing.assert_array_equal(np.array(table[name], "f4"), found.answers[:, i])
            np.testing.assert_array_equal(np.array(table[f"{name}_std"], "f4"), found.deviation[:, i])
        for name in words:
            assert list(table[name]) == [("Long", "round")[i] for i in found.answers.argmax(axis=1)]


def test_tables_with_names_that_meet(tmp_path):
    """Columns of labels that are called like what is added, and classes that FITS has no letters for."""
    target = ValuesTarget(("a", "a_std", "id"), (0.0,) * 3, (1.0,) * 3)
    values = np.arange(6, dtype="f4").reshape(2, 3)
    write_answers(tmp_path / "a.csv", Predictions(("x", "y"), values, (), target, values + 0.5))
    assert (tmp_path / "a.csv").read_text().splitlines()[:2] == [
        "id,a,a_std,id_,a_std_,a_std_std,id_std", "x,0,1,2,0.5,1.5,2.5"
    ]  # fmt: skip
    target = ClassesTarget(("kind",), ("\u0441\u043f\u0438\u0440\u0430\u043b\u044c", "b\n"))
    write_answers(tmp_path / "a.fits", Predictions(("x", "y"), values[:, :2], (), target))
    table = read_table(tmp_path / "a.fits")
    assert [name.encode().decode("unicode_escape") for name in table.columns] == [
        "id",
        "kind",
        "p_" + target.names[0],
        "p_b\n",
    ]
    with pytest.raises(TrainerError, match=r"a\.fits already exists"):
        write_answers(tmp_path / "a.fits", Predictions(("x", "y"), values[:, :2], (), target))
    with pytest.raises(
        TrainerError, match=r"a\.txt: the file extension must be one of \.csv, \.ecsv, \.fits, \.parquet"
    ):
        write_answers(tmp_path / "a.txt", Predictions(("x", "y"), values[:, :2], (), target))


def test_calibration():
    """Errors drawn with the deviation times 3 lie on a line of slope 3, whatever takes no part."""
    rng = np.random.default_rng(0)
    deviation = rng.uniform(0.1, 1, (5000, 4))
    errors = rng.normal(0, 3 * deviation)
    errors[::7, 1] = np.nan
    bins = calibration(deviation, errors)
    assert sum(row["answers"] for row in bins) == np.isfinite(errors).sum()
    assert [row["error"] / row["deviation"] for row in bins] == pytest.approx([3] * 10, rel=0.05)
    lowest = deviation[np.isfinite(errors)] <= np.quantile(deviation[np.isfinite(errors)], 0.1)
    assert bins[0]["deviation"] == pytest.approx((deviation[np.isfinite(errors)][lowest] ** 2).mean() ** 0.5, rel=1e-4)
    assert len(calibration(np.ones((1, 2)), np.array([[1.0, np.nan]]))) == 1


@pytest.mark.slow
def test_units_of_values_do_not_matter(table, tmp_path):
    cache, labels = table
    rows = rows_of(labels)
    runs = []
    for unit in (1.0, 2.0**-90):
        path = tmp_path / f"{unit}.csv"
        lines = ["id,photons", *(f"{row['id']},{float(row['photons']) * unit!r}" for row in rows)]
        path.write_text("\n".join(lines))
        runs.append(train(cache, tmp_path / f"{unit}", target=Choice(kind="values"), labels=path, **TINY))
    losses = [[row["loss"] for row in run.history] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
def test_another_tree_with_gaps(shapes, tmp_path):
    """Galaxy Zoo DECaLS: answers to questions nobody was asked are missing."""
    tree = shipped("galaxy_zoo_decals")
    rng = np.random.default_rng(0)
    answers = np.empty((COUNT, len(tree.names)))
    for question in tree.questions:
        answers[:, question.columns] = rng.dirichlet(np.ones(len(question.answers)), COUNT)
    answers[::3, 5:] = np.nan
    answers[4] = np.nan
    cache = write_cache(tmp_path / "c.h5", {"normalized": shapes[0]}, labels=answers, names=tree.names)
    choice = Choice(tree="galaxy_zoo_decals")
    run = train(cache, tmp_path / "run", target=choice, head="tree", **TINY)
    assert "000004" not in run.parts
    assert len(run.parts) == COUNT - 1
    predictions = predict(run, cache, tmp_path / "answers.csv")
    for question in tree.questions:
        np.testing.assert_allclose(predictions.answers[:, question.columns].sum(axis=1), 1, rtol=1e-5)
    first = rows_of(tmp_path / "answers.csv")[0]
    assert first["leading"].startswith("smooth-or-featured: ")
    assert load_run(run.folder).config.target == TreeTarget(tree.names, tree)
    check_resuming(run, tmp_path / "again", choice, head="tree")
    with pytest.raises(TrainerError, match=r"columns of the decision tree are missing: Class1\.1"):
        train(cache, tmp_path / "other", **TINY)


@pytest.mark.slow
def test_votes(shapes, tmp_path):
    """From numbers of votes to shares; galaxies that nobody looked at are left out, those with few votes are not."""
    tree = shipped("galaxy_zoo_decals", votes=True)
    rng = np.random.default_rng(0)
    votes = np.concatenate([
        rng.multinomial(rng.integers(0, 40, COUNT), rng.dirichlet([8.0, *[1.0] * (len(q.answers) - 1)]))
        for q in tree.questions
    ], axis=1).astype(float)  # fmt: skip
    votes[::3, 5:] = 0
    votes[4] = 0
    cache = write_cache(tmp_path / "c.h5", {"normalized": shapes[0]}, labels=votes, names=tree.names)
    choice = Choice(tree="galaxy_zoo_decals", loss="counts")
    options = {"epochs": 6, "learning_rate": 0.1}
    run = train(cache, tmp_path / "run", target=choice, **TINY | options)
    check_resuming(run, tmp_path / "again", choice, **options)
    assert "000004" not in run.parts
    assert run.history[-1]["val_loss"] < run.history[0]["val_loss"]
    assert run.metrics["deterministic"]["nll"] == pytest.approx(min(row["val_loss"] for row in run.history), rel=1e-5)
    predictions = predict(run, cache, tmp_path / "answers.csv", orientations=2)
    first = rows_of(tmp_path / "answers.csv")[0]
    assert first["leading"].startswith("smooth-or-featured: ")
    for question in tree.questions:
        assert sum(float(first[f"{name}_fraction"]) for name in question.names) == pytest.approx(1)
    assert predictions.answers[:, 34:].min() > 1
    # The same shares are behind the votes of all galaxies; the network is nearer to them than one that knows nothing.
    shares = votes.sum(axis=0)
    for question in tree.questions[:3]:
        true = shares[question.columns] / shares[question.columns].sum()
        found = predictions.answers[:, question.columns].mean(axis=0)
        assert np.abs(found - true).max() < np.abs(1 / len(true) - true).max()
    scores = evaluate(run, passes=1, orientations=2)
    assert 0 < scores["orientations"]["calibration"][-1]["error"] < 1
    assert scores["deterministic"]["nll"] < scores["baselines"]["mean_answer"]["nll"] * 1.5


def hand_loss(given, answers):
    """The mean squared error over what has weight 1 by hand; values and weights stand side by side."""
    truth, weights = given[:, :37], given[:, 37:]
    squares = keras.ops.square(truth - answers) * weights
    return keras.ops.mean(squares, axis=-1) * (16.0 * 37.0 / keras.ops.sum(weights))


def gradient_step(network, loss, images, truth):
    network.compile(optimizer=keras.optimizers.SGD(0.1), loss=loss, jit_compile=False)
    network.fit(images, truth, batch_size=len(images), shuffle=False, verbose=0)
    return [value.tobytes() for value in network.get_weights()]


@pytest.mark.slow
@pytest.mark.parametrize("gaps", [0, 1, 40])
def test_a_missing_answer_changes_no_weight(shapes, gaps):
    """By no single bit, beside a run in which it is left out by hand; and with no gaps, beside Keras' own error."""
    from galaxy_trainer import paper_network

    images, answers = shapes[0][:16], shapes[1][:16].astype("f4")
    weights = np.ones(answers.shape, "f4")
    weights.flat[np.random.default_rng(1).permutation(weights.size)[:gaps]] = 0
    truth = np.where(weights > 0, answers, np.nan)
    found = gradient_step(paper_network(16, width=0.05, dropout=0.0), GALAXY_ZOO_2.loss, images, truth)
    beside = paper_network(16, width=0.05, dropout=0.0)
    if gaps:
        by_hand = np.concatenate([np.where(weights > 0, answers, 5.0), weights], axis=1)
        assert found == gradient_step(beside, hand_loss, images, by_hand)
    else:
        assert found == gradient_step(beside, "mse", images, answers)


@pytest.mark.slow
def test_gaps_in_galaxy_zoo_2(shapes, tmp_path):
    """Galaxies with 17 of 37 answers are trained and tested on."""
    images, answers = shapes
    answers = answers.copy()
    answers[1::2, 20:] = np.nan
    cache = write_cache(tmp_path / "c.h5", {"normalized": images}, labels=answers)
    run = train(cache, tmp_path / "run", **TINY)
    assert len(run.parts) == COUNT
    test = [i for i in range(COUNT) if run.parts[f"{i:06d}"] == "test"]
    squares = (predict(run, cache).answers[test] - answers[test]) ** 2
    assert np.isnan(squares).any()
    assert run.metrics["deterministic"]["mse"] == pytest.approx(np.nanmean(squares), rel=1e-5)
    trained_on = [i for i in range(COUNT) if i not in test]
    assert run.config.mean_answers == pytest.approx(np.nanmean(answers[trained_on], axis=0).tolist())


def parts_of(table, monkeypatch, tmp_path, **options):
    """The split that a training would begin with."""
    cache, labels = table

    def stop(run, *_):
        raise StopIteration(run.parts)

    monkeypatch.setattr(training, "create", stop)
    with pytest.raises(StopIteration) as caught:
        train(cache, tmp_path / "run", labels=labels, width=0.05, **options)
    return caught.value.value


def test_splits_that_fit(table, tmp_path, monkeypatch):
    rows = {row["id"]: row for row in rows_of(table[1])}
    classes = CHOICES["classes"]
    parts = parts_of(table, monkeypatch, tmp_path, target=classes)
    for kind in ("round", "Long"):
        members = [name for name, row in rows.items() if row["kind"] == kind]
        assert sum(parts[name] == "test" for name in members) == round(0.1 * len(members))
    grouped = parts_of(table, monkeypatch, tmp_path, target=classes, group="night", test_fraction=0.3)
    sides = [{rows[name]["night"] for name, part in grouped.items() if part == side} for side in ("train", "test")]
    assert not sides[0] & sides[1]
    assert 0.2 < sum(part == "test" for part in grouped.values()) / len(grouped) < 0.5
    listed = tmp_path / "test.txt"
    listed.write_text("\n".join(name for name, part in grouped.items() if part == "test"))
    assert parts_of(table, monkeypatch, tmp_path, target=classes, group="night", test_ids=listed) == grouped
    listed.write_text("000000")
    with pytest.raises(
        TrainerError, match=r"^--test-ids lists some galaxies of night n\d+ and leaves others to train on"
    ):
        train(*table[:1], tmp_path / "run", labels=table[1], target=classes, group="night", test_ids=listed)
    with pytest.raises(TrainerError, match="--split-column names the test set: leave out --test-ids and --group"):
        train(*table[:1], tmp_path / "run", labels=table[1], target=classes, group="night", split_column="side")
    named = parts_of(table, monkeypatch, tmp_path, target=classes, split_column="side")
    assert all(rows[name]["side"] == part for name, part in named.items())


def columns(values, names=("a",), **classes):
    values = np.asarray(values, float).reshape(-1, len(names))
    return Columns("labels.csv", tuple(map(str, range(len(values)))), names, values, classes)


def begun(choice, labels):
    """What happens to a target before a training."""
    target = choice.target(labels, labels.names, labels.source, ())
    truth = target.truth(labels)
    target.strata(truth)
    return target.fitted(truth)


@pytest.mark.parametrize(
    ("choice", "labels", "error"),
    [
        ({"kind": "classes"}, columns([0, 1, 1, 1], a=("x", "y")), "class 'x' has 1 member with a good image; 2 are"),
        ({"kind": "classes"}, columns([0, 1, 0, 1], a=("Spiral", "spiral")), "'Spiral' and 'spiral' of 'a' differ"),
        ({"kind": "classes"}, columns([0.5, 1, 0, 1]), "column 'a' holds numbers like 1, not classes: use "),
        ({"kind": "classes"}, columns([1, 1, 1]), "column 'a' needs two classes or more, has: 1"),
        ({"kind": "classes"}, columns(np.ones((2, 2)), ("a", "b")), "classes are in one column, here are 2: a, b; use"),
        ({"kind": "values"}, columns([0, 1, 0], a=("x", "y")), "the answers a are text, not numbers: leave them out"),
        ({"kind": "values"}, columns([2, 2, 2]), "column 'a' is always 2 among the galaxies to train on: leave it out"),
        ({"kind": "values"}, columns([1e39, 2e39]), "column 'a' has a mean of 1.5e.39 and a dev.*another unit"),
        ({"kind": "values", "columns": ["c"]}, columns([2, 1]), "labels.csv: no column 'c'; it has: a"),
        ({"kind": "values", "ignore_columns": ["a"]}, columns([2, 1]), "no columns are left to answer"),
        ({}, columns([2, 1]), "columns of the decision tree are missing: Class1.1.*use --target values or classes, or"),
    ],
)  # fmt: skip
def test_labels_that_do_not_fit_the_target(choice, labels, error):
    with pytest.raises(TrainerError, match=error) as caught:
        begun(Choice(**choice), labels)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"kind": "flux"}, "unknown target 'flux'; known: tree, values, classes"),
        ({"columns": ["a"]}, "the columns of a decision tree are named by its file"),
        ({"kind": "values", "tree": "galaxy_zoo_decals"}, "--tree goes with --target tree, not values"),
        ({"kind": "values", "balanced": True}, "--class-weights goes with --target classes, not values"),
    ],
)
def test_choices_that_do_not_go_together(options, error):
    with pytest.raises(TrainerError, match=error):
        Choice(**options)


@pytest.mark.parametrize("target", [
    GALAXY_ZOO_2,
    ValuesTarget(("a", "b"), (1.0, 2.0), (3.0, 4.0)),
    Choice(kind="classes").target(columns([0, 1, 1], a=("x", "y")), ["a"], "", ()),
])  # fmt: skip
def test_targets_are_stored(target):
    assert target_from_json(json.loads(json.dumps(target.described()))) == target


@pytest.mark.slow
def test_a_comparison_of_classes(table, shapes, tmp_path, capsys):
    images = shapes[0]
    cache = write_cache(tmp_path / "two.h5", {"normalized": images, "center-64": images[:, ::-1].copy()})
    folder = tmp_path / "experiment"
    code, out, err = typed(
        capsys, "compare", cache, "-o", folder, "--labels", table[1], "--target", "classes", "--columns", "kind",
        "--group", "night", "--seeds", "1", "--passes", "1", "--width", "0.05", "--epochs", "1",
        "--test-fraction", "0.3",
    )  # fmt: skip
    assert code == 0, err
    assert "cross-entropy [95% interval]" in out[0]
    assert "left out: 1 of 90 galaxies, as they have no answer" in "\n".join(err)
    page = (folder / "index.html").read_text()
    assert "Cross-entropy over all answers" in page
    assert "Ratios of the cross-entropy on the same galaxies." in page
    assert "figure-tree" not in page
    assert page.count("how often each class (rows) was taken for each") == 4  # two arms, text and alternative text
    for i in (0, 1):
        with Image.open(folder / "figures" / f"confusion-{i}.png") as picture:
            assert min(picture.size) > 200
    tested = (folder / "test-0.txt").read_text().split()
    sides = [
        {row["night"] for row in rows_of(table[1]) if row["kind"] and (row["id"] in tested) == side} for side in (0, 1)
    ]
    assert sides[1]
    assert not sides[0] & sides[1]
    run = load_run(folder / "runs" / "normalized-seed0-test0")
    assert run.config.unanswered == 1
    # The same test set as a training with --group has.
    alone = split_galaxies(
        open_galaxies(cache, ["normalized"], labels=table[1], target=CHOICES["classes"], aside=["night"]),
        np.flatnonzero([row["kind"] != "" for row in rows_of(table[1])]), fraction=0.3, seed=0, group="night",
    )  # fmt: skip
    assert [f"{i:06d}" for i in alone[0][alone[1]]] == tested


def test_a_class_cache(shapes, tmp_path):
    """Classes that scalenorm-batch stored in the cache."""
    codes = np.arange(COUNT) % 3.0
    codes[2] = np.nan
    cache = write_cache(tmp_path / "c.h5", {"normalized": shapes[0]}, labels=codes[:, None], names=["kind"],
                        classes={"kind": ["a", "b", "c"]})  # fmt: skip
    galaxies = open_galaxies(cache, ["normalized"], target=Choice(kind="classes"))
    assert galaxies.target.names == ("a", "b", "c")
    np.testing.assert_array_equal(galaxies.answers(np.arange(2)), np.eye(3)[:2])
    assert 2 not in galaxies.labelled


def test_a_network_that_answers_nan_is_not_scored_on_the_rest():
    truth = np.full((3, 37), 0.5)
    truth[0, 1] = np.nan
    answers = truth.copy()
    answers[1, 2] = np.nan
    assert np.isnan(GALAXY_ZOO_2.error(answers, truth))
    assert np.isnan(GALAXY_ZOO_2.score(answers, truth)["mse"])
    np.testing.assert_array_equal(GALAXY_ZOO_2.errors(answers, truth), [0, np.nan, 0])
