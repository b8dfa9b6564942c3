"""Pictures under other programs' settings of matplotlib, and pictures that fail."""

import os
import subprocess
import sys

import matplotlib
import pytest
from conftest import sky_blobs, write_cache

from galaxy_trainer import TrainerError, TrainerWarning, load_run, resume, train
from galaxy_trainer.commands import train as galaxy_train
from galaxy_trainer.drawing.curves import draw_curves
from galaxy_trainer.drawing.safely import default_settings, try_to_draw
from galaxy_trainer.training import epochs

pytestmark = pytest.mark.usefixtures("curves_seen")

HISTORY = [{"epoch": i, "loss": 1 / i, "val_loss": 1 / i, "learning_rate": 0.1} for i in (1, 2, 3)]

DRAW = """
import sys
from pathlib import Path
from galaxy_trainer.drawing.safely import try_to_draw
path = Path(sys.argv[1])
def draw():
    from galaxy_trainer.drawing.curves import draw_curves
    draw_curves(%r, path)
try_to_draw(path, draw)
""" % (HISTORY,)  # noqa: UP031


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "settings"),
    [
        ({}, "text.usetex: True\nfont.family: No Such Font\naxes.grid: True\nfigure.dpi: 7\nsavefig.dpi: 9\n"),
        ({"MPLBACKEND": "module://of_another_program"}, "backend: TkAgg\n"),
        ({"MPLBACKEND": "NoSuchBackend"}, "axes.facecolor: red\nfigure.constrained_layout.use: True\n"),
    ],
)
def test_the_users_settings_change_no_picture(environment, settings, tmp_path):
    (tmp_path / "matplotlibrc").write_text(settings)
    path = tmp_path / "curves.png"
    # No LaTeX is found in an empty folder.
    changed = {**os.environ, "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "PATH": str(tmp_path), **environment}
    result = subprocess.run(
        [sys.executable, "-c", DRAW, str(path)], env=changed, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    try_to_draw(path, lambda: draw_curves(HISTORY, tmp_path / "expected.png"))
    assert path.read_bytes() == (tmp_path / "expected.png").read_bytes()


def test_settings_are_as_before():
    with matplotlib.rc_context({"font.size": 3.0}):
        before = dict(matplotlib.rcParams)
        with default_settings():
            assert matplotlib.rcParams["font.size"] == 10.0
        assert dict(matplotlib.rcParams) == before


def test_a_picture_that_fails_is_a_warning(tmp_path):
    def fail(error):
        raise error

    path = tmp_path / "some.png"
    with pytest.warns(TrainerWarning, match=r"some\.png could not be drawn \(OSError: no\); all else is written"):
        try_to_draw(path, lambda: fail(OSError("no\nand more of it")))
    with pytest.raises(KeyboardInterrupt):
        try_to_draw(path, lambda: fail(KeyboardInterrupt()))


@pytest.mark.slow
def test_a_training_ends_with_its_scores_when_the_curves_fail(tmp_path, capsys, monkeypatch):
    images, labels = sky_blobs(40, size=16)
    path = write_cache(tmp_path / "small.h5", {"normalized": images}, labels=labels)

    def fail(*_):
        raise RuntimeError("latex could not be found")

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(epochs, "draw_curves", fail)
        assert galaxy_train.main([str(path), "-o", str(folder), "--width", "0.05", "--epochs", "1"]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert said == [
        f"galaxy-train: warning: {folder / 'curves.png'} could not be drawn (RuntimeError: latex could not be found); "
        "all else is written"
    ]
    assert load_run(folder).metrics["deterministic"]["mse"] > 0
    resume(folder)
    assert (folder / "curves.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_scores_are_written_before_the_picture(tmp_path, monkeypatch):
    images, labels = sky_blobs(40, size=16)
    path = write_cache(tmp_path / "small.h5", {"normalized": images}, labels=labels)

    def kill(*_):
        assert (tmp_path / "run" / "metrics.json").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(epochs, "draw_curves", kill)
    with pytest.raises(KeyboardInterrupt):
        train(path, tmp_path / "run", width=0.05, epochs=1)
    assert load_run(tmp_path / "run").finished
    with pytest.raises(TrainerError, match="exists"):
        train(path, tmp_path / "run", width=0.05, epochs=1)
