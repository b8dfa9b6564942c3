"""Labels that lie beside the images, in the same files: a table whose ids are those of the images."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..files.errors import ImageError, InputError, TableError, reason
from ..files.names import visible
from ..files.reading import is_url, open_file
from .finding import find
from .listing import Sources
from .stacks import Stack, holds_answers, open_stack
from .tables import Columns, Table


@dataclass(frozen=True)
class BesideTable(Table):
    """A table in files of images."""

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of its content (hexadecimal), as nearly all of the files is images."""
        found = hashlib.sha256()
        for name in self.names:
            found.update(f"\0{name}\0".encode("utf-8", "surrogateescape"))
            for block in self.blocks([name]):
                column = block.column(0)
                found.update(repr(column.tolist()).encode() if column.dtype.kind == "O" else column.tobytes())
        return found.hexdigest()


def open_beside(path: str | os.PathLike[str], id_from: str) -> BesideTable | None:
    """Open the labels in files of images: a stack, a folder that holds some, or a pattern of their names.

    Returns None for another file. `id_from` is as of `find`.

    Raises
    ------
    TableError
        The files or their labels cannot be read, or some have columns that others lack.
    """
    given = os.fspath(path)
    several = os.path.isdir(given) or (glob.has_magic(given) and not os.path.lexists(given))
    if is_url(given) or not (several or (os.path.isfile(given) and holds_answers(given))):
        return None
    try:
        sources = find([given], id_from=id_from)
    except InputError as error:
        raise TableError(str(error)) from error
    stacks = _stacks(sources)
    if not stacks:
        raise TableError(f"{given}: no files in it that hold images and their labels")
    with _opened(stacks[0][0]) as first:
        names = list(first.names)
    ids = "id" if "id" not in names else "id of the image"

    def column(name: str) -> np.ndarray:
        if name == ids:
            return np.concatenate([sources.raw_ids[rows] for _, rows in stacks])
        return np.concatenate([_column(file, name, stacks[0][0]) for file, _ in stacks])

    columns = Columns([*names, ids], sum(len(rows) for _, rows in stacks), column)
    return BesideTable(Path(given), columns.names, columns, id_column=ids)


def _stacks(sources: Sources) -> list[tuple[str, np.ndarray]]:
    """Return the stacks among some sources, and the numbers of the sources of each, in order of the images in it."""
    roots = sources.rows["root"]
    order = np.lexsort((sources.rows["index"], roots))
    ends = np.searchsorted(roots[order], np.arange(1, len(sources.roots)))
    parts = zip(sources.roots, np.split(order, ends), strict=True)
    return [(root.path, rows) for root, rows in parts if root.kind == "stack"]


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Stack]:
    try:
        with open_file(path) as file, contextlib.closing(open_stack(file)) as stack:
            yield stack
    except (ImageError, OSError) as error:
        raise TableError(f"{visible(path)}: {reason(error)}") from error


def _column(path: str, name: str, first: str) -> np.ndarray:
    with _opened(path) as stack:
        if name not in stack.names:
            raise TableError(f"{path}: no column {name!r}, which {first} has")
        try:
            return stack.column(name)
        except ImageError as error:
            raise TableError(f"{path}: column {name!r}: {error}") from error
