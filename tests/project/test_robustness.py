"""Every case of docs/robustness.rst names tests that exist."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "robustness.rst").read_text()
#: Sections of the page, and where their tests are unless a row says otherwise.
FOLDERS = {
    "Caches that other programs wrote": "tests/cache/test_foreign.py",
    "Tables": "tests/sources/test_tables.py",
    "Machines": "",
    "The trainer": "tests/trainer",
}


def rows(text: str) -> list[list[str]]:
    """The three cells of every row of a list-table but its first."""
    return [[" ".join(cell.split()) for cell in row.split("\n      - ")] for row in text.split("\n    * - ")[2:]]


@cache
def functions_in(file: Path) -> set[str]:
    return set(re.findall(r"^def (\w+)\(", file.read_text(), re.MULTILINE))


def missing(cell: str, folder: str) -> list[str]:
    """What a cell of tests names that is not there; a name may end in "...", and follow that of its file."""
    known = sorted((ROOT / "tests").rglob("test_*.py"))
    files = [path for path in known if folder and str(path).startswith(str(ROOT / folder))]
    wrong = []
    for name in re.findall(r"``([^`]*test_[^`]*)``", cell):
        if name.endswith(".py"):
            files = [path for path in known if str(path).endswith(f"/{name}")]
            found = len(files) == 1
        else:
            tests = set().union(*map(functions_in, files))
            found = name in tests or (name.endswith("...") and any(test.startswith(name[:-3]) for test in tests))
        wrong += [] if found else [name]
    return wrong


def test_every_case_names_a_test_that_exists():
    parts = re.split(r"\n([^\n]+)\n---+\n", PAGE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert sections.keys() == FOLDERS.keys()
    cases = [(case, cell, FOLDERS[name]) for name, text in sections.items() for case, _, cell in rows(text)]
    assert len(cases) > 50
    assert [case for case, cell, _ in cases if "test_" not in cell and not cell.startswith("the same")] == []
    assert [(case, wrong) for case, cell, folder in cases if (wrong := missing(cell, folder))] == []
