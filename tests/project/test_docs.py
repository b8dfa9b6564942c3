"""The pages do what they say: first steps run as printed, and every command in them exists, with its options."""

from __future__ import annotations

import configparser
import doctest
import io
import os
import pkgutil
import re
import shlex
import subprocess
import sys
import textwrap
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

import pytest

import scalenorm

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.rst", ROOT / "CONTRIBUTING.rst", *sorted((ROOT / "docs").glob("*.rst"))]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def environment() -> dict[str, str]:
    """Where the commands of this interpreter come first, and terminals and colours play no part."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}


def commands_of(text: str) -> list[tuple[str, str]]:
    """Commands behind a "$ ", each with the output that is printed below it."""
    found = []
    for match in re.finditer(r"^( +)\$ (.*)\n((?:\1(?!\$ ).*\n)*)", text, re.MULTILINE):
        indent, command, output = match.groups()
        found.append((command, "".join(line[len(indent) :] for line in output.splitlines(keepends=True))))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "galaxies"), [("first_steps", 12), ("positions", 40)])
def test_pages_run_as_printed(name, galaxies, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / f"{name}.rst"
    names: dict[str, object] = {}
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    checker = doctest.OutputChecker()
    examples = run = 0
    for piece in doctest.DocTestParser().parse(page.read_text()):
        if isinstance(piece, doctest.Example):
            examples += 1
            test = doctest.DocTest([piece], names, page.name, str(page), piece.lineno, None)
            assert not runner.run(test, clear_globs=False).failed
            names = test.globs
            continue
        for command, expected in commands_of(piece):
            run += 1
            done = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment())
            assert done.returncode == 0, done.stderr
            assert not re.search("Traceback|Warning|error", done.stderr), done.stderr
            assert checker.check_output(expected, done.stdout, OPTIONS), f"{command}\n{done.stdout}"
    assert examples > 10
    assert run > 5
    assert len(scalenorm.open_cache("galaxies.h5")) == galaxies


@cache
def scripts() -> dict[str, str]:
    """The function behind each command, by its name."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options.entry_points"]["console_scripts"].split("\n")
    return dict(re.split(r"\s*=\s*", line) for line in lines if line)


@cache
def options_of(name: str) -> set[str]:
    """The options that a command explains."""
    shown = io.StringIO()
    with pytest.raises(SystemExit, match="0"), redirect_stdout(shown):
        pkgutil.resolve_name(scripts()[name])(["--help"])
    return set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", shown.getvalue()))


def mentioned(text: str) -> list[list[str]]:
    """Every call of one of our commands, in words: behind a "$ ", in a literal block, or within double backticks."""
    lines = [command for command, _ in commands_of(text)]
    lines += re.findall(rf"^ +((?:{'|'.join(sorted(scripts()))}) .*)$", text, re.MULTILINE)
    lines += [" ".join(call.split()) for call in re.findall(r"``([^`]+)``", text)]
    calls = []
    for line in lines:
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # part of a sentence
            continue
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words = words[1:]
        if words and words[0] in {*scripts(), "make"}:
            calls.append(words)
    return calls


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_in_pages_exist(page):
    text = page.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in mentioned(text):
        if words[0] == "make":
            assert set(words[1:2]) <= targets, words
            continue
        used = {word.split("=")[0] for word in words[1:] if re.match(r"--?[a-zA-Z]", word)}
        assert used <= options_of(words[0]), (page.name, words, used - options_of(words[0]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_options_in_pages_exist(page):
    """An option named without its command belongs to one of them (or is shown in a call of another program)."""
    known = set().union(*(options_of(name) for name in scripts()))
    for option in re.findall(r"``(--[a-z][\w-]*)", page.read_text()):
        assert option in known, (page.name, option)


def test_files_named_in_pages_exist():
    folders = "docs|examples|tests|benchmarks|scalenorm|galaxy_trainer"
    for page in PAGES:
        for name in re.findall(rf"``((?:{folders})/[\w./-]+)``", page.read_text()):
            assert (ROOT / name).exists(), (page.name, name)
    for name in re.findall(r"<([\w/]+\.\w+)>`__", (ROOT / "README.rst").read_text()):
        assert (ROOT / name).exists(), name


def test_every_example_is_listed():
    text = (ROOT / "docs" / "examples.rst").read_text()
    for path in (ROOT / "examples").glob("*.py"):
        assert f"``examples/{path.name}``" in text, path.name


def test_python_in_readme_runs():
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    matplotlib.use("agg")
    text = (ROOT / "README.rst").read_text()
    (block,) = re.findall(r"\.\. code-block:: python\n\n((?: {4}.*\n|\n)+)", text)
    names: dict[str, object] = {}
    exec(textwrap.dedent(block), names)
    assert names["crop"].shape == (64, 64, 3)


def test_experiment_in_readme_is_that_of_its_page():
    text = (ROOT / "README.rst").read_text()
    block = text.split(".. experiment: begin")[1].split(".. experiment: end")[0]
    page = (ROOT / "docs" / "experiment.rst").read_text()
    numbers = re.findall(r"\d\.\d+|\d+,\d+", block)
    assert numbers
    for number in numbers:
        assert number in page, number


def test_version_is_the_same_everywhere():
    assert f"version: {scalenorm.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert re.search(rf"^{re.escape(scalenorm.__version__)} \(", (ROOT / "CHANGELOG.rst").read_text(), re.MULTILINE)
