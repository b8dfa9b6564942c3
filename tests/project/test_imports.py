"""What may import what, how light an import is, and that the oldest versions that are tested are those promised."""

from __future__ import annotations

import ast
import configparser
import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import edges
import pytest

ROOT = Path(__file__).parents[2]
FOR_ANNOTATIONS = {"__future__", "collections", "typing"}


def imported(path: Path) -> set[str]:
    """First words of everything that a file imports, at its top or inside functions; relative imports left out."""
    names = set()
    for node in edges.statements(path.read_text()):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif not node.level:
            names.add(node.module.split(".")[0])
    return names


def imported_from_above(path: Path) -> set[str]:
    """Modules that a file imports from the package above its own."""
    nodes = edges.statements(path.read_text())
    return {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and node.level > 1}


def files(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


def test_scalenorm_knows_nothing_of_networks():
    for path in files("scalenorm"):
        assert not imported(path) & {"keras", "tensorflow", "jax", "torch", "galaxy_trainer"}, path


def test_kernels_import_numpy_math_and_numba_only():
    for path in files("scalenorm/kernels"):
        if path.name == "__init__.py":  # imports the others when they are asked for
            continue
        more = (
            {"contextlib", "functools", "logging", "secrets", "threading"} if path.name == "compile.py" else set()
        )  # which says what takes so long
        assert imported(path) - FOR_ANNOTATIONS <= {"numpy", "math", "numba", *more}, path
        assert not imported_from_above(path), path


def test_one_file_of_the_trainer_imports_backends():
    users = {path.name for path in files("galaxy_trainer") if imported(path) & {"tensorflow", "jax", "torch"}}
    assert users == {"backend.py"}


@pytest.mark.parametrize(
    ("package", "heavy"),
    [
        ("scalenorm", "numba scipy skimage matplotlib PIL h5py sklearn keras tensorflow joblib"),
        ("scalenorm.commands.batch", "numba scipy skimage matplotlib PIL h5py sklearn keras tensorflow joblib"),
        ("galaxy_trainer", "keras tensorflow jax torch h5py matplotlib"),
        ("galaxy_trainer.commands.train", "keras tensorflow jax torch h5py matplotlib"),
    ],
)
def test_importing_stays_cheap(package, heavy):
    """A plain import pulls in nothing that is not needed by all who use the package."""
    code = f"import sys, {package}; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(heavy.split()) & set(loaded)


@pytest.mark.parametrize("package", ["scalenorm", "galaxy_trainer"])
def test_every_public_name_is_there(package):
    if package == "galaxy_trainer":
        pytest.importorskip("keras", reason="Keras is not installed")
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(set(module.__all__))
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)


def test_oldest_versions_tested_are_those_promised():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].split("\n")
    for extra in ("fits", "dask", "remote", "parquet"):
        lines += config["options.extras_require"][extra].split("\n")
    promised = dict(line.split(">=") for line in lines if ">=" in line)
    text = (ROOT / "tests" / "requirements-oldest.txt").read_text()
    tested = dict(line.split("==") for line in text.splitlines() if "==" in line)
    assert promised.items() <= tested.items()


@pytest.mark.parametrize("package", ["scalenorm", "galaxy_trainer"])
def test_packages_import_downwards_only(package):
    assert edges.violations(ROOT / package) == []


@pytest.mark.parametrize("package", ["scalenorm", "galaxy_trainer"])
def test_no_module_imports_itself_through_others(package):
    assert edges.circles(ROOT / package) == []


@pytest.mark.slow
def test_wrong_imports_are_found(tmp_path):
    """The two tests above can fail: a late import upwards, and one in a circle, are named."""
    package = tmp_path / "scalenorm"
    shutil.copytree(ROOT / "scalenorm", package, ignore=shutil.ignore_patterns("__pycache__"))
    with (package / "kernels" / "grey.py").open("a") as file:
        file.write("\n\ndef late():\n    from ..measuring import measure\n    return measure\n")
    assert edges.violations(package) == ["scalenorm.kernels.grey imports scalenorm.measuring.measure"]
    with (package / "measuring" / "ellipse.py").open("a") as file:
        file.write("\n\ndef late():\n    from . import galaxy\n    return galaxy\n")
    assert [
        {"scalenorm.measuring.ellipse", "scalenorm.measuring.galaxy"} <= set(group) for group in edges.circles(package)
    ] == [True]
    package = tmp_path / "galaxy_trainer"
    shutil.copytree(ROOT / "galaxy_trainer", package, ignore=shutil.ignore_patterns("__pycache__"))
    with (package / "labels" / "columns.py").open("a") as file:
        file.write("\n\ndef late():\n    from galaxy_trainer.runs import stored\n    return stored\n")
    assert edges.violations(package) == ["galaxy_trainer.labels.columns imports galaxy_trainer.runs.stored"]


@pytest.mark.parametrize("package", ["scalenorm", "galaxy_trainer"])
def test_few_rooms(package):
    """Each is in the order of imports, and says what it is for."""
    entries = [path for path in (ROOT / package).iterdir() if path.is_dir() or path.suffix == ".py"]
    assert len([path for path in entries if path.name != "__pycache__"]) <= 15
    rooms = {path.name for path in entries if path.is_dir() and path.name != "__pycache__"}
    assert rooms == set(edges.ORDER[package])
    for room in rooms:
        assert ast.get_docstring(ast.parse((ROOT / package / room / "__init__.py").read_text())), room
