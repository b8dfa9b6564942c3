"""Scores and predictions against NumPy; the three commands."""

import csv
import json
import os
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from conftest import sky_blobs, write_cache

import galaxy_trainer
from galaxy_trainer import Recipe, TrainerError, TrainerWarning, evaluate, predict, train
from galaxy_trainer.answers.targets import GALAXY_ZOO_2
from galaxy_trainer.asking.predicting import check_orientations
from galaxy_trainer.commands import evaluate as galaxy_evaluate
from galaxy_trainer.commands import predict as galaxy_predict
from galaxy_trainer.commands import train as galaxy_train
from galaxy_trainer.labels.questions import shipped

ANSWER_NAMES = shipped("galaxy_zoo_2").names


@pytest.fixture(scope="module")
def run(cache, tmp_path_factory):
    return train(cache, tmp_path_factory.mktemp("run") / "run", width=0.05, epochs=1)


def pixels_and_truth(cache, run, part):
    """The images and answers of one part, read with h5py."""
    import h5py

    with h5py.File(cache) as file:
        ids = [name.decode() for name in file["catalog"]["id"]]
        rows = [i for i, name in enumerate(ids) if run.parts.get(name) == part]
        return file["views/normalized"][:][rows], file["labels"][:][rows]


def test_score_is_mean_squared_error():
    rng = np.random.default_rng(0)
    answers, truth = rng.random((5, 37)), rng.random((5, 37))
    found = GALAXY_ZOO_2.score(answers, truth)
    assert found["mse"] == pytest.approx(sum((a - t) ** 2 for a, t in zip(answers.flat, truth.flat, strict=True)) / 185)
    assert found["rmse"] == pytest.approx(found["mse"] ** 0.5)
    assert found["questions"]["Class2"]["mse"] == pytest.approx(((answers - truth)[:, 3:5] ** 2).mean())
    assert found["answers"]["Class11.6"]["mse"] == pytest.approx(((answers - truth)[:, 36] ** 2).mean())
    assert list(found["answers"]) == list(ANSWER_NAMES)


def test_deterministic_score_and_baselines(cache, run):
    images, truth = pixels_and_truth(cache, run, "test")
    _, trained = pixels_and_truth(cache, run, "train")
    found = evaluate(run, passes=0)
    answers = run.network().predict(images, verbose=0)
    assert found["galaxies"] == 9
    assert found["deterministic"]["mse"] == pytest.approx(((answers - truth) ** 2).mean(), rel=1e-6)
    assert found["baselines"]["zero"]["mse"] == pytest.approx((truth**2).mean())
    assert found["baselines"]["mean_answer"]["mse"] == pytest.approx(((trained.mean(axis=0) - truth) ** 2).mean())
    assert "non_deterministic" not in found


@pytest.mark.slow
def test_clipped_answers(cache, run, tmp_path):
    images, truth = pixels_and_truth(cache, run, "test")
    answers = run.network().predict(images, verbose=0)
    assert answers.min() < 0
    cut = np.where(answers < 0, 0, np.where(answers > 1, 1, answers))
    assert evaluate(run, passes=0, clip=True)["deterministic"]["mse"] == pytest.approx(((cut - truth) ** 2).mean())
    assert predict(run, cache).answers.min() < 0
    assert galaxy_predict.main([str(run.folder), str(cache), "-o", str(tmp_path / "a.csv"), "--clip", "--quiet"]) == 3
    assert np.loadtxt(tmp_path / "a.csv", delimiter=",", skiprows=1)[:, 1:].min() == 0


@pytest.mark.slow
def test_non_deterministic_score(run):
    found = evaluate(run, passes=6)["non_deterministic"]
    again, longer = evaluate(run, passes=6)["non_deterministic"], evaluate(run, passes=7)["non_deterministic"]
    assert found == again
    assert found["mse_std"] > 0
    assert longer["mse"] != found["mse"]
    # Jensen: the mean answer is no worse than the mean of the answers' errors.
    assert found["mse_of_mean"] < found["mse"]
    assert found["mse"] > evaluate(run, passes=0)["deterministic"]["mse"]


@pytest.mark.slow
def test_orientations_are_an_average(cache, run):
    images, truth = pixels_and_truth(cache, run, "test")
    network = run.network()
    turned = [np.rot90(side, k, axes=(1, 2)) for k in range(4) for side in (images, images[:, ::-1])]
    answers = np.mean([network.predict(np.ascontiguousarray(t), verbose=0) for t in turned], axis=0)
    found = evaluate(run, passes=0, orientations=8)["orientations"]
    assert found["count"] == 8
    assert found["mse"] == pytest.approx(((answers - truth) ** 2).mean(), rel=1e-4)
    with pytest.raises(TrainerError, match="even number"):
        evaluate(run, orientations=3)


@pytest.mark.parametrize(
    ("rotations", "count", "told"),
    [(1, 2, False), (4, 8, False), (8, 8, True), (8, 16, False), (16, 8, True), (16, 16, False), (16, 1, False)],
)
def test_orientations_that_a_network_sees_anyway_are_warned_of(rotations, count, told):
    with pytest.warns(TrainerWarning, match=f"{count} of which") if told else warnings.catch_warnings(action="error"):
        check_orientations(count, Recipe(rotations=rotations))


@pytest.mark.slow
def test_another_cache_is_scored_on_what_was_not_trained_on(cache, run, tmp_path):
    images, labels = sky_blobs(30, size=16, seed=9)
    ids = sorted(name for name, part in run.parts.items() if part == "train")[:20] + [f"x{i}" for i in range(10)]
    path = write_cache(tmp_path / "other.h5", {"normalized": images}, labels=labels, ids=ids)
    found = evaluate(run, path, passes=0)
    assert found["galaxies"] == 10
    answers = run.network().predict(images[20:], verbose=0)
    assert found["deterministic"]["mse"] == pytest.approx(((answers - labels[20:]) ** 2).mean(), rel=1e-6)


def test_caches_that_do_not_fit_the_run(run, tmp_path):
    for size, channels, dtype, error in (
        (24, 3, "uint8", "24 x 24 with 3 bands of uint8; .* 16 x 16 with 3"), (16, 1, "uint8", "with 1 bands"),
        (16, 3, "uint16", "16 x 16 with 3 bands of uint16; .* of uint8"),
    ):  # fmt: skip
        images, labels = sky_blobs(20, size=size, channels=channels)
        path = write_cache(tmp_path / f"{size}{dtype}.h5", {"normalized": images.astype(dtype)}, labels=labels)
        with pytest.raises(TrainerError, match=error):
            evaluate(run, path)
    images, labels = sky_blobs(20, size=16)
    ids = sorted(name for name, part in run.parts.items() if part == "train")[:20]
    path = write_cache(tmp_path / "seen.h5", {"normalized": images}, labels=labels, ids=ids)
    with pytest.raises(TrainerError, match="no labelled galaxy"):
        evaluate(run, path)


@pytest.mark.slow
def test_submission(cache, run, tmp_path, capsys):
    path = tmp_path / "predictions.csv"
    assert galaxy_predict.main([str(run.folder), str(cache), "-o", str(path)]) == 3
    captured = capsys.readouterr()
    assert captured.out == f"95 galaxies written to {path}\n"
    assert captured.err == f"1 failed images of {cache} are left out: 000007\n"
    with open(path) as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["GalaxyID", *ANSWER_NAMES]
    assert [row[0] for row in rows[1:]] == [f"{i:06d}" for i in range(96) if i != 7]
    predictions = predict(run, cache)
    written = np.array([row[1:] for row in rows[1:]], np.float32)
    np.testing.assert_array_equal(written, predictions.answers)
    # With deviations it is no submission, but says more.
    more = tmp_path / "more.csv"
    predict(run, cache, more, orientations=2)
    with open(more) as file:
        first = next(csv.DictReader(file))
    assert list(first) == ["GalaxyID", "leading", *ANSWER_NAMES, *(f"{name}_std" for name in ANSWER_NAMES)]
    assert (
        galaxy_predict.main(
            [str(run.folder), str(cache), "-o", str(tmp_path / "b.csv"), "--orientations", "2", "--no-deviation"]
        )
        == 3
    )
    with open(tmp_path / "b.csv") as file:
        plain = next(csv.DictReader(file))
    assert plain == {name: first[name] for name in rows[0]}
    assert re.match(r"Class1: (smooth|features or disk|star or artifact)(; |$)", first["leading"])


@pytest.mark.slow
def test_files_are_replaced_on_request_only(cache, run, tmp_path, capsys):
    mine = tmp_path / "mine.csv"
    evaluating = (galaxy_evaluate.main, [str(run.folder), "--passes", "0", "--json", str(mine)], 0)
    predicting = (galaxy_predict.main, [str(run.folder), str(cache), "-o", str(mine)], 3)
    for command, arguments, code in (predicting, evaluating):
        mine.write_text("mine")
        assert command(arguments) == 1
        assert (
            f"{mine} already exists: choose another name, or use --overwrite to replace it\n" in capsys.readouterr().err
        )
        with pytest.raises(TrainerError, match="already exists: choose another name"):
            predict(run, cache, mine)
        assert mine.read_text() == "mine"
        assert command([*arguments, "--overwrite"]) == code
        assert "Class11.6" in mine.read_text()
        capsys.readouterr()


def test_a_cache_of_failed_images_has_no_answers(run, tmp_path):
    path = write_cache(tmp_path / "failed.h5", {"normalized": sky_blobs(2, size=16)[0]}, failed=[0, 1])
    with pytest.raises(TrainerError, match=r"failed\.h5: no good image to answer for"):
        predict(run, path)


@pytest.mark.slow
def test_commands(cache, tmp_path, capsys):
    folder = tmp_path / "run"
    arguments = [str(cache), "-o", str(folder), "--width", "0.05", "--epochs", "1", "--no-augmentation"]
    assert galaxy_train.main(arguments) == 0
    captured = capsys.readouterr()
    assert "epoch 1/1: loss" in captured.err
    assert "deterministic" in captured.out
    assert galaxy_trainer.load_run(folder).config.recipe.augmentation.rotate is False
    assert galaxy_train.main(["--quiet", "--resume", str(folder)]) == 0
    assert capsys.readouterr() == ("", "")
    assert galaxy_evaluate.main([str(folder), "--passes", "2", "--json", str(tmp_path / "scores.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert f"{scores['deterministic']['mse']:.5f}" in lines[1]
    assert lines[-1].startswith("Class11 ")
    assert galaxy_train.main(arguments) == 1
    assert capsys.readouterr().err == (
        f"galaxy-train: error: {folder} already exists; resume it with --resume {folder}, or choose another name\n"
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "give a CACHE"),
        (["c.h5"], "give a CACHE"),
        (["c.h5", "-o", "x", "--resume", "y"], "leave out --output"),
        (["--resume", "y", "--epochs", "50", "--no-augmentation"], "leave out --epochs, --no-augmentation"),
        (["c.h5", "-o", "x", "--test-fraction", "nan"], "expected a number between 0 and 1, got 'nan'"),
        (["c.h5", "-o", "x", "--seed", "-1"], "--seed: expected a whole number of at least 0, got '-1'"),
        (["c.h5", "-o", "x", "--devices", "two"], "--devices: expected a whole number of at least 1, got 'two'"),
        (["c.h5", "-o", "x", "--recipe", "fast"], "unknown recipe 'fast'"),
        (["c.h5", "-o", "x", "--head", "none"], "unknown head 'none'"),
        (["c.h5", "-o", "x", "--epochs", "many"], "invalid int value"),
    ],
)
def test_wrong_command_lines(arguments, error, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        galaxy_train.main(arguments)
    assert caught.value.code == 2
    assert error in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_missing_files_are_one_line(tmp_path, capsys):
    assert galaxy_train.main([str(tmp_path / "no.h5"), "-o", str(tmp_path / "run")]) == 1
    assert galaxy_evaluate.main([str(tmp_path / "run")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    nowhere, here = str(tmp_path / "nowhere" / "file"), str(tmp_path)
    for command, arguments, error in (
        (galaxy_evaluate.main, ["run", "--json", nowhere], "nowhere: no such folder; create it first"),
        (galaxy_evaluate.main, ["run", "--json", here], "is a folder: give the name of a file in it"),
        (galaxy_predict.main, ["run", "c.h5", "-o", nowhere], "nowhere: no such folder; create it first"),
        (galaxy_predict.main, ["run", "c.h5", "-o", "a.txt"], "must be one of .csv, .ecsv, .fits, .parquet"),
    ):
        assert command(arguments) == 1
        assert capsys.readouterr().err.endswith(f"{error}\n")
    for count in ("3", "0", "-2", "many"):
        with pytest.raises(SystemExit) as caught:
            galaxy_evaluate.main(["run", "--orientations", count])
        assert caught.value.code == 2
        assert "1 or an even number" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        galaxy_evaluate.main(["run", "--calibration", "c.png"])
    assert capsys.readouterr().err.endswith("--calibration needs --orientations K\n")
    assert lines[0].startswith("galaxy-train: error: ")
    assert "no.h5" in lines[0]
    assert lines[1].startswith("galaxy-evaluate: error: ")
    assert "neither a run folder" in lines[1]


def test_interrupted_training_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(galaxy_trainer, "resume", stop)
    folder = tmp_path / "my run"
    assert galaxy_train.main(["--resume", str(folder)]) == 1
    assert capsys.readouterr().err == "galaxy-train: interrupted\n"
    folder.mkdir()
    (folder / "split.csv").touch()
    assert galaxy_train.main(["--resume", str(folder)]) == 1
    assert capsys.readouterr().err == f"galaxy-train: interrupted; resume with galaxy-train --resume '{folder}'\n"


@pytest.mark.slow
def test_labels_from_a_file(cache, tmp_path):
    _, labels = sky_blobs(96, size=16, seed=4)
    names = [f"{i:06d}" for i in range(40)] + ["elsewhere"]
    lines = [",".join(["GalaxyID", *ANSWER_NAMES])]
    lines += [",".join([name, *map(repr, row.tolist())]) for name, row in zip(names, labels, strict=False)]
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(lines) + "\n")
    run = train(cache, tmp_path / "run", labels=path, width=0.05, epochs=1)
    assert len(run.parts) == 39
    assert run.config.mean_answers[0] == pytest.approx(
        np.mean([labels[int(name), 0] for name, part in run.parts.items() if part == "train"])
    )
    path.write_text("\n".join([lines[0], lines[-1]]) + "\n")
    with pytest.raises(TrainerError, match=r"the file has ids like 'elsewhere', the images have ids like '000000'"):
        train(cache, tmp_path / "other", labels=path)


@pytest.mark.parametrize(
    ("before", "error"),
    [
        (
            "import sys; sys.modules['keras'] = sys.modules['tensorflow'] = None",
            r"import of keras halted; None in sys\.modules \(pip install .*\)",
        ),
        (
            "import os; os.environ['KERAS_BACKEND'] = 'none'",
            r"Unable to import backend : none \(KERAS_BACKEND is none\)",
        ),
    ],
)
def test_without_keras_is_one_line(before, error, tmp_path):
    code = f"{before}; import sys; from galaxy_trainer.commands import evaluate; sys.exit(evaluate.main(sys.argv[1:]))"
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    options = {"capture_output": True, "text": True, "check": False, "env": environment}
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path)], **options)
    assert result.returncode == 1
    assert re.fullmatch(rf"galaxy-evaluate: error: Keras does not start: {error}\n", result.stderr)


@pytest.mark.slow
def test_quiet_commands_print_nothing(cache, tmp_path):
    """In a process of its own, as TensorFlow's C++ parts write to the file descriptor."""
    code = "import sys; from galaxy_trainer.commands import train; sys.exit(train.main(sys.argv[1:]))"
    options = [str(cache), "-o", str(tmp_path / "run"), "--width", "0.05", "--epochs", "1", "--quiet"]
    result = subprocess.run([sys.executable, "-c", code, *options], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
