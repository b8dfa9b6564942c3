"""Write ``scalenorm/__init__.pyi``, the public names as type checkers and editors see them.

The measuring options are declared once, in ``scalenorm/measuring/options.py``, and put into the signatures when the
package is imported; what reads source only, such as mypy or an editor, finds them here. Run
``python tests/helpers/stub.py`` to write the file; `test_stub` says when it is out of date.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import scalenorm

FUNCTIONS = ("crop", "crop_all", "crop_at", "crop_many", "measure", "plot", "views")
PATH = Path(scalenorm.__file__).with_suffix(".pyi")

HEAD = '''\
"""Public names with their options written out. Made by tests/helpers/stub.py from scalenorm/measuring/options.py."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Self

from numpy.typing import ArrayLike, NDArray

from ._version import __version__ as __version__
from .batch.convert import convert as convert
from .batch.stream import stream as stream
from .cache import open_cache as open_cache
from .cropping.transformer import ScaleNormalizer as _ScaleNormalizer
from .measuring.flags import Flag as Flag
from .measuring.measure import Measurement as Measurement
from .measuring.options import Center
from .simulation.galaxies import make_galaxies as make_galaxies
'''


def stub() -> str:
    """The text of the file."""
    parts = [HEAD]
    parts += [_function(getattr(scalenorm, name), name) for name in FUNCTIONS]
    init = _function(vars(scalenorm.ScaleNormalizer)["__init__"], "__init__", indent="    ")
    parts.append(f"class ScaleNormalizer(_ScaleNormalizer):\n{init}")
    parts.append("__all__: list[str]\n")
    return "\n".join(parts)


def _function(function: object, name: str, indent: str = "") -> str:
    signature = inspect.signature(function)
    lines, starred = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not starred:
            lines.append("*")
            starred = True
        text = parameter.name
        if parameter.annotation is not inspect.Parameter.empty:
            text += f": {parameter.annotation}"
        if parameter.default is not inspect.Parameter.empty:
            text += f" = {_literal(parameter.default)}"
        lines.append(text)
    body = "".join(f"{indent}    {line},\n" for line in lines)
    return f"{indent}def {name}(\n{body}{indent}) -> {signature.return_annotation}: ...\n"


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


if __name__ == "__main__":
    PATH.write_text(stub())
    sys.stdout.write(f"{PATH}\n")
