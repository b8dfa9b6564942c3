"""Labels that lie beside the images, in the same files: a table whose ids are those of the images."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files.errors import ArchiveError, ImageError, InputError, TableError, damage, turned_into
from ..files.names import visible
from ..files.reading import is_url, open_file
from .archives import ANSWERS, ARCHIVE_SUFFIXES, open_archive
from .finding import find
from .listing import Sources
from .stacks import Stack, holds_answers, open_stack
from .tables import Columns, Table

#: A member of an archive, and the key of the sample that it belongs to.
_SAMPLE = re.compile(r"((?:.*/)?[^/.]+)\.[^/]*", re.DOTALL)
_LARGEST = 1 << 24  # bytes of the answers of one sample


@dataclass(frozen=True)
class BesideTable(Table):
    """A table in files of images."""

    def hash_of(self, names: Sequence[str]) -> str:
        """Return the SHA-256 of some columns (hexadecimal): nearly all of the files is images."""
        found = hashlib.sha256()
        for name in names:
            found.update(f"\0{name}\0".encode("utf-8", "surrogateescape"))
            for block in self.blocks([name]):
                column = block.columns[0]
                found.update(repr(column.tolist()).encode() if column.dtype.kind == "O" else column.tobytes())
        return found.hexdigest()


def open_beside(path: str | os.PathLike[str], id_from: str, images: Sources | None) -> BesideTable | None:
    """Open the labels in files of images: a stack, a folder that holds some, a tar archive, or a pattern of names.

    Or those in a .npy file of one value for each of the `images`, which must be a stack. Returns None for another file.
    `id_from` is as of `find`.
    """
    given = os.fspath(path)
    several = os.path.isdir(given) or (glob.has_magic(given) and not os.path.lexists(given))
    is_tar = given.lower().endswith(tuple(ARCHIVE_SUFFIXES - {".zip"}))
    if is_url(given) or not (several or (os.path.isfile(given) and (is_tar or holds_answers(given)))):
        return None
    if given.lower().endswith(".npy"):
        return _of_values(given, images)
    try:
        sources = find([given], id_from=id_from)
    except InputError as error:
        raise TableError(str(error)) from error
    stacks = _stacks(sources)
    if not stacks and any(root.kind == "archive" for root in sources.roots):
        return _of_archives(given, sources)
    if not stacks:
        raise TableError(f"{given}: no files in it that hold images and their labels")
    with _opened(stacks[0][0]) as first:
        names = first.names

    def column(name: str) -> np.ndarray:
        return np.concatenate([_column(file, name, stacks[0][0]) for file, _ in stacks])

    return _table(given, names, sources.raw_ids[np.concatenate([rows for _, rows in stacks])], column)


def _of_archives(path: str, sources: Sources) -> BesideTable:
    """Return what archives have beside their images, laid out as webdataset does: ``key.json``, ``key.cls``."""
    images: dict[tuple[str, str], list[bytes]] = {}
    for source in sources:
        if source.member is not None and (found := _SAMPLE.fullmatch(source.member)):
            images.setdefault((source.container, found[1]), []).append(source.id.encode())
    ids: list[bytes] = []
    rows: list[dict[str, Any]] = []
    for root in sources.roots:
        for key, answers in _read_answers(root.path).items() if root.kind == "archive" else ():
            new = images.get((root.path, key), [key.encode("utf-8", "surrogateescape")])
            ids += new
            rows += [answers] * len(new)
    names = dict.fromkeys(name for row in rows for name in row)
    return _table(path, list(names), np.array(ids), lambda name: np.array([row.get(name) for row in rows], object))


def _read_answers(path: str) -> dict[str, dict[str, Any]]:
    """Return the answers of each sample in an archive; lists and the like, which are no answers, are left out."""
    samples: dict[str, dict[str, Any]] = {}
    with _table_errors(path), open_file(path) as file:
        archive = open_archive(file)
        members = [(name, at, found) for name, at in archive.members() if (found := ANSWERS.fullmatch(name))]
        for name, at, found in members:
            with _table_errors(f"{path}[{name}]"):
                data = archive.read(name, at, _LARGEST)
                with turned_into(ImageError, "no answers by name", ValueError, AttributeError, RecursionError):
                    answers = json.loads(data) if found[2] == "json" else {"cls": data.decode().strip()}
                    plain = {visible(name): value for name, value in answers.items() if _is_plain(value)}
            samples.setdefault(found[1], {}).update(plain)
    return samples


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _of_values(path: str, images: Sources | None) -> BesideTable:
    """Return a .npy file of one value for each image of a stack."""
    with _table_errors(path), damage(".npy file"):
        values = np.load(path, allow_pickle=False)
    stacks = [] if images is None else _stacks(images)
    if images is None or len(stacks) != 1 or len(stacks[0][1]) != len(images):
        raise TableError(f"{path}: values without ids: they can only be those of one stack of images, given with them")
    stack, rows = stacks[0]
    if values.size != len(rows) or values.shape[:1] != (len(rows),):
        raise TableError(f"{path}: values of shape {values.shape} for the {len(rows)} images in {visible(stack)}")
    return _table(path, [Path(path).stem], images.raw_ids[rows], lambda name: values.reshape(-1))


def _table(path: str, names: Sequence[str], ids: np.ndarray, column: Callable[[str], np.ndarray]) -> BesideTable:
    """Return columns, and the ids of their rows in one of another name.

    A column of texts that is called ``id`` is no answer: exports, ours too, repeat the id there.
    """
    names = [name for name in names if name != "id" or column(name).dtype.kind not in "OSU"]
    id_column = "id" if "id" not in names else "id of the image"
    columns = Columns([*names, id_column], len(ids), lambda name: ids if name == id_column else column(name))
    return BesideTable(Path(path), columns.names, columns, id_column=id_column)


def _stacks(sources: Sources) -> list[tuple[str, np.ndarray]]:
    """Return the stacks among some sources, and the numbers of the sources of each, in order of the images in it."""
    roots = sources.rows["root"]
    order = np.lexsort((sources.rows["index"], roots))
    ends = np.searchsorted(roots[order], np.arange(1, len(sources.roots)))
    parts = zip(sources.roots, np.split(order, ends), strict=True)
    return [(root.path, rows) for root, rows in parts if root.kind == "stack"]


def _column(path: str, name: str, first: str) -> np.ndarray:
    with _opened(path) as stack:
        if name not in stack.names:
            raise TableError(f"{path}: no column {name!r}, which {first} has")
        with _table_errors(f"{path}: column {name!r}"):
            return stack.column(name)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Stack]:
    with _table_errors(path), open_file(path) as file, contextlib.closing(open_stack(file)) as stack:
        yield stack


def _table_errors(place: str) -> contextlib.AbstractContextManager[None]:
    return turned_into(TableError, visible(place), ArchiveError, ImageError, OSError)
