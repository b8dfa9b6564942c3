"""Which room of a package may import which: read from the source, late and type-checking imports included."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

#: Rooms in their order: each imports those before it only. ``reporting`` and ``exporting`` stand side by side.
ORDER = {
    "scalenorm": (
        "files", "kernels", "measuring", "cropping", "images", "sources", "cache", "batch", "reporting", "exporting",
        "commands", "simulation",
    ),
    "galaxy_trainer": (
        "files", "labels", "drawing", "network", "answers", "data", "runs", "asking", "training", "experiment",
        "commands",
    ),
}  # fmt: skip
APART = {("exporting", "reporting")}


def modules(package: Path) -> dict[str, Path]:
    """Every module below a package by its dotted name."""
    return {_name(path, package): path for path in sorted(package.rglob("*.py"))}


def _name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def statements(source: str) -> list[ast.Import | ast.ImportFrom]:
    """Every import of a module, late ones too."""
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.Import, ast.ImportFrom))]


def imports(package: Path) -> Iterator[tuple[str, str]]:
    """Yield (module, module that it imports) for every import inside a package, wherever it stands."""
    known = modules(package)
    for name, path in known.items():
        home = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        for node in statements(path.read_text()):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            else:
                base = home[: len(home) - node.level + 1] if node.level else []
                module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
                # ``from .a import b``: b may be a module or a name in a.
                targets = [f"{module}.{alias.name}" for alias in node.names]
                targets = [target if target in known else module for target in targets]
            yield from ((name, target) for target in targets if target in known and target != name)


def violations(package: Path) -> list[str]:
    """Imports against `ORDER`, one line each."""
    found = []
    order = ORDER[package.name]
    for name, target in imports(package):
        ours, theirs = (module.split(".")[1] if "." in module else "" for module in (name, target))
        if ours not in order or theirs not in order or ours == theirs:
            continue
        if order.index(theirs) > order.index(ours) or (ours, theirs) in APART:
            found.append(f"{name} imports {target}")
    return found


def circles(package: Path) -> list[list[str]]:
    """Groups of modules that import each other, directly or through others."""
    graph: dict[str, set[str]] = {name: set() for name in modules(package)}
    for name, target in imports(package):
        # A package's own __init__ is a door to its modules, and they may go through it to each other's names.
        graph[name].add(target)
    reach = {name: _reachable(graph, name) for name in graph}
    groups = {tuple(sorted(other for other in reach[name] if name in reach[other])) for name in graph}
    return sorted(list(group) for group in groups if group)


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += graph[name]
    return seen
