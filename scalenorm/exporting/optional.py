"""Packages that only some formats need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..files.errors import OutputError


def optional_package(module: str, extra: str) -> Any:
    """Import a module; raise `OutputError` with what to install where it is missing."""
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise OutputError(f"this format needs {package}: pip install 'scalenorm[{extra}]'") from None
