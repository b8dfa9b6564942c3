"""What the repository says to GitHub, Read the Docs, conda, Zenodo and JOSS agrees with setup.cfg and the Makefile."""

from __future__ import annotations

import configparser
import json
import re
from pathlib import Path

import pytest

import scalenorm

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "setup.cfg")


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def targets(text: str) -> set[str]:
    return set(re.findall(r"\bmake (?:-\S+ )*([a-z]+)", text))


def steps(path: Path) -> list[tuple[dict, str]]:
    """Every command of a workflow, with its job."""
    jobs = yaml.safe_load(path.read_text())["jobs"].values()
    return [(job, step["run"]) for job in jobs for step in job["steps"] if "run" in step]


def test_workflows_run_all_that_ci_runs():
    known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = set()
    for path in WORKFLOWS:
        for job, command in steps(path):
            if "make ${{ matrix.target }}" in command:
                called |= set(job["strategy"]["matrix"]["target"])
            else:
                called |= targets(command)
    assert called <= known
    assert targets((ROOT / ".ci" / "run").read_text().partition("set -euo")[2]) - called == set()
    assert "quick" in called


def test_every_version_of_python_is_tried():
    matrices = [job["strategy"]["matrix"] for job, _ in steps(ROOT / ".github" / "workflows" / "tests.yml")]
    tried = {version for matrix in matrices for version in matrix.get("python", [])}
    listed = {text.rpartition(" ")[2] for text in lines(CONFIG["metadata"]["classifiers"]) if "Python :: 3." in text}
    assert listed <= tried
    assert min(listed, key=lambda version: int(version[2:])) == CONFIG["options"]["python_requires"].removeprefix(">=")


def test_extras_that_are_installed_exist():
    extras = set(CONFIG["options.extras_require"])
    named = yaml.safe_load((ROOT / ".readthedocs.yaml").read_text())["python"]["install"][0]["extra_requirements"]
    for path in [*WORKFLOWS, ROOT / "Makefile", ROOT / "README.rst"]:
        named += [extra for group in re.findall(r"\.\[([\w,]+)\]", path.read_text()) for extra in group.split(",")]
    assert set(named) <= extras


def test_the_conda_recipe_has_what_setup_cfg_has():
    recipe = (ROOT / "conda" / "meta.yaml").read_text()
    run = recipe.split("  run:\n")[1].split("\n\n")[0]
    promised = {line.replace(">=", " >=") for line in lines(CONFIG["options"]["install_requires"])}
    python = f"python {CONFIG['options']['python_requires']}"
    advice = "copy what changed in setup.cfg to conda/meta.yaml"
    assert set(re.findall(r"- (.*)", run)) == promised | {python}, advice
    scripts = recipe.split("  entry_points:\n")[1].split("\n\n")[0]
    assert set(re.findall(r"- (.*)", scripts)) == set(lines(CONFIG["options.entry_points"]["console_scripts"])), advice


def test_versions_and_titles_agree():
    version = scalenorm.__version__
    zenodo = json.loads((ROOT / ".zenodo.json").read_text())
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert zenodo["version"] == citation["version"] == version
    assert f'set version = "{version}"' in (ROOT / "conda" / "meta.yaml").read_text()
    for name in ("title", "license", "keywords"):
        assert zenodo[name] == citation[name]
    assert zenodo["description"] == citation["abstract"]
    assert [creator["name"] for creator in zenodo["creators"]] == [author["name"] for author in citation["authors"]]


def test_the_paper_cites_what_its_bibliography_has():
    text = (ROOT / "paper" / "paper.md").read_text()
    entries = re.findall(r"^@\w+\{([\w-]+),", (ROOT / "paper" / "paper.bib").read_text(), re.MULTILINE)
    assert sorted(set(re.findall(r"@([a-z][\w-]+)", text))) == sorted(entries)
    page = (ROOT / "docs" / "experiment.rst").read_text()
    section = text.split("# Does scale matter?")[1].split("# Acknowledgements")[0]
    for number in re.findall(r"\d\.\d{2,}|\d+,\d+", section):
        assert number in page, number


def test_issue_forms_have_an_answer_to_give():
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        if path.name != "config.yml":
            assert any(part["type"] == "textarea" for part in form["body"]), path.name
