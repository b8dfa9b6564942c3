"""What imports what."""

import ast
import subprocess
import sys
from pathlib import Path

import galaxy_trainer

FOLDER = Path(galaxy_trainer.__file__).parent
BACKENDS = {"tensorflow", "jax", "torch"}


def imported(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_one_file_imports_backends():
    users = {path.name for path in FOLDER.rglob("*.py") if imported(path) & BACKENDS}
    assert users == {"backend.py"}


def test_keras_is_imported_late():
    code = (
        "import sys, galaxy_trainer, galaxy_trainer.cli; "
        "sys.exit(bool({'keras', 'tensorflow', 'h5py', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names():
    for name in galaxy_trainer.__all__:
        assert getattr(galaxy_trainer, name) is not None
