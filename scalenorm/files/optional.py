"""Packages that only some users need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .errors import OutputError


def optional_package(module: str, extra: str, what: str = "this format", error: type[Exception] = OutputError) -> Any:
    """Import a module; where it is missing, raise an error that says what needs it and what to install."""
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise error(f"{what} needs {package}: pip install 'scalenorm[{extra}]'") from None
