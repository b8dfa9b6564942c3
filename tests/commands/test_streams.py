"""Standard streams that are closed, full, or whose reader has gone: said where it matters, and never a traceback."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest
from pictures import write_pictures
from typed import run

from scalenorm import convert, open_cache

COMMANDS = ("batch", "merge", "inspect", "report", "export")


@contextlib.contextmanager
def stream(kind):
    """A standard stream that cannot be written to."""
    if kind == "closed":
        yield None
        return
    reader, writer = os.pipe() if kind == "without a reader" else (None, os.open("/dev/full", os.O_WRONLY))
    if reader is not None:
        os.close(reader)
    with os.fdopen(writer, "w") as file:
        yield file


#: What stdout is, and what is said of it.
STDOUTS = [
    ("closed", "standard output: it is closed"),
    ("full", "standard output: No space left on device"),
    ("without a reader", None),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    convert(write_pictures(folder / "images", range(3)), folder / "a.h5", size=8)
    return folder / "a.h5"


@pytest.mark.parametrize(("stdout", "said"), STDOUTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_results_that_cannot_be_printed(cache, tmp_path, capsys, monkeypatch, command, stdout, said):
    arguments = {
        "batch": [cache.parent / "images", tmp_path / "b.h5", "--size", "8"],
        "merge": [cache, tmp_path / "b.h5"],
        "inspect": [cache],
        "report": [cache, "--html", tmp_path / "b.html"],
        "export": [cache, "--catalog", tmp_path / "b.csv"],
    }[command]
    with stream(stdout) as broken, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", broken)
        code, _, err = run(capsys, command, *arguments)
    assert (code, err) == (1, [f"scalenorm-{command}: error: {said}"] if said else [])
    assert len(list(tmp_path.iterdir())) == (command != "inspect")  # the work is done


@pytest.mark.parametrize(("stdout", "said"), STDOUTS)
@pytest.mark.parametrize("command", [*COMMANDS, "train", "evaluate", "predict", "compare"])
def test_help_that_cannot_be_printed(capsys, monkeypatch, command, stdout, said):
    name = f"scalenorm-{command}" if command in COMMANDS else f"galaxy-{command}"
    with stream(stdout) as broken, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", broken)
        code, _, err = run(capsys, command, "--help")
    assert (code, err) == (1, [f"{name}: error: {said}"] if said else [])


@pytest.mark.parametrize("stderr", ["full", "without a reader"])
def test_errors_that_cannot_be_printed(cache, tmp_path, capsys, monkeypatch, stderr):
    (tmp_path / "broken.h5").write_bytes(b"no cache")
    with stream(stderr) as broken, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", broken)
        assert run(capsys, "inspect", cache)[0] == 0
        assert run(capsys, "inspect", tmp_path / "broken.h5") == (1, [], [])


@pytest.mark.slow
@pytest.mark.parametrize(("closed", "code"), [("2>&-", 0), ("<&- >&- 2>&-", 1)])
def test_no_file_takes_the_place_of_a_closed_stream(cache, tmp_path, closed, code):
    """What libraries written in C say would go into it."""
    words = "import sys; from scalenorm.commands.batch import main; sys.exit(main(sys.argv[1:]))"
    images, output = cache.parent / "images", tmp_path / "b.h5"
    script = f'"$0" -c "$1" "$2" "$3" --size 8 {closed}'
    assert subprocess.run(["bash", "-c", script, sys.executable, words, images, output]).returncode == code
    assert open_cache(output).digest() == open_cache(cache).digest()
