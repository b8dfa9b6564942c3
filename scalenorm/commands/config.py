"""Options of a command from a TOML file, and the settings of a cache as one."""

from __future__ import annotations

import argparse
import difflib
import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files.errors import ConfigError, turned_into


def expand_config(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> list[str]:
    """Replace ``--config FILE`` by the options in FILE, put first so that those of the command line win.

    The file may hold the parser's options, by their names or by the names that caches store.
    """
    finder = argparse.ArgumentParser(parser.prog, parser.usage, add_help=False, allow_abbrev=False)
    finder.add_argument("--config", action="append", default=[])
    known, rest = finder.parse_known_args(arguments)
    return [word for path in known.config for word in _words(parser, path)] + rest


def _words(parser: argparse.ArgumentParser, path: str) -> list[str]:
    not_toml = turned_into(ConfigError, f"{path} is not a TOML file", tomllib.TOMLDecodeError, UnicodeDecodeError)
    with turned_into(ConfigError, path, OSError), not_toml:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    names = {}
    for action in parser._actions:
        for name in action.option_strings:
            if name.startswith("--") and name not in ("--help", "--version", "--config"):
                names[action.dest] = names[name.removeprefix("--").replace("-", "_")] = action
    words: list[str] = []
    for key, value in values.items():
        found = names.get(key.replace("-", "_"))
        if isinstance(value, dict):
            raise ConfigError(f"{path}: [{key}] is a table: write options as name = value, without tables")
        if found is None:
            similar = difflib.get_close_matches(key.replace("-", "_"), names, 1)
            advice = f"did you mean {similar[0]}?" if similar else f"options are {', '.join(sorted(names))}"
            raise ConfigError(f"{path}: unknown option {key!r}; {advice}")
        name = found.option_strings[-1]
        if found.nargs == 0:
            if not isinstance(value, bool):
                raise ConfigError(f"{path}: {key} must be true or false, got {value!r}")
            words += [name] if value else []
        else:
            items = value if isinstance(value, list) else [value]
            words.append(f"{name}={','.join(str(item) for item in items)}")
    return words


def to_toml(settings: Mapping[str, Any]) -> str:
    """Settings of a cache as a TOML file that ``--config`` takes; what is at its default of None is left out.

    So is the digest of the cache of the windows, which is an input.

    Examples
    --------
    >>> print(to_toml({"margin": 1.5, "views": ["normalized"], "hdu": None}), end="")
    margin = 1.5
    views = ["normalized"]
    """
    left_out = ("method", "windows_from")
    written = {key: value for key, value in settings.items() if value is not None and key not in left_out}
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in sorted(written.items()))


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else _text(name)


def _value(value: Any) -> str:
    """Return a value as JSON has them, but null, which TOML lacks, is left out of lists and objects."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        pairs = (f"{_key(key)} = {_value(inner)}" for key, inner in value.items() if inner is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(inner) for inner in value if inner is not None) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # nan, inf or -inf, as TOML has them
    return json.dumps(value)


def _text(text: str) -> str:
    """Return text in quotes and ASCII, as JSON; but TOML lacks surrogates, and has DEL as an escape only."""
    text = text.encode("utf-8", "backslashreplace").decode()
    signs = (f"\\U{ord(sign):08x}" if sign == "\x7f" or sign > "\uffff" else json.dumps(sign)[1:-1] for sign in text)
    return f'"{"".join(signs)}"'
