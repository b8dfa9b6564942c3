"""Tables in text: a header, and a row to a line; comma, tab, semicolon or bar; UTF-8 or UTF-16; compressed or not."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..files.errors import TableError
from ..files.reading import COMPRESSED

#: Whole numbers below it are exact as floats.
MOST_EXACT = 2.0**53

#: Rows that are read at a time: their cells should fit into the cache of the processor.
BLOCK = 1_000

_DELIMITERS = ",\t;|"
_LONGEST = 1 << 22  # characters of a header
_WIDEST = 10_000  # columns of a text file: more are something else
_ZIP = b"PK\3\4"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")

#: How text begins that is compressed, or says that it is in UTF-16.
MARKED = (*COMPRESSED, _ZIP, *_UTF16)


@dataclass(frozen=True)
class Block:
    """Some rows of some columns."""

    rows: np.ndarray  # the line of each row in a text file; its number, from 1, in another one
    columns: list[np.ndarray]  # str objects, "" where text is missing; or numbers, with NaN

    def take(self, where: np.ndarray) -> Block:
        """Return some of the rows."""
        return Block(self.rows[where], [column[where] for column in self.columns])


@contextlib.contextmanager
def decompressed(path: Path) -> Iterator[Any]:
    """Open a file, or the one file that is compressed in it."""
    with contextlib.ExitStack() as stack:
        file: Any = stack.enter_context(path.open("rb"))
        begin = file.read(8)
        file.seek(0)
        if begin.startswith(_ZIP):
            archive = stack.enter_context(zipfile.ZipFile(file))
            members = [info for info in archive.infolist() if not info.is_dir() and "__MACOSX" not in info.filename]
            if len(members) != 1:
                raise TableError(f"{path}: {len(members)} files in the archive: unpack the one that is meant")
            file = stack.enter_context(archive.open(members[0]))
        for start, (_, opener) in COMPRESSED.items():
            if begin.startswith(start):
                file = stack.enter_context(opener(file))
        yield file


class TextTable:
    """A text file with a header and a row to a line."""

    def __init__(self, path: Path, begin: bytes) -> None:
        self.path = path
        with self._opened() as file:
            head = file.readline(_LONGEST)
            while head and not head.strip():
                head = file.readline(_LONGEST)
            self.delimiter = _delimiter(path, head)
            names = [name.strip() for name in next(csv.reader([head], delimiter=self.delimiter), [])]
        if head.startswith("#"):  # as numpy.savetxt writes it
            names[0] = names[0].lstrip("# ")
        first = "".join(names)
        if any(sign < " " for sign in first) or "\udc80" <= first[:1] <= "\udcff":
            raise TableError(f"{path}: not a table: it begins with {begin[:20]!r}")
        if not names:
            raise TableError(f"{path}: the file is empty; expected a header line")
        if any("\ud800" <= sign <= "\udfff" for sign in first):
            raise TableError(f"{path}: the names of its columns are not in UTF-8: save it as UTF-8")
        self.names = tuple(names)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[IO[str]]:
        with decompressed(self.path) as file:
            buffered: Any = io.BufferedReader(file)
            utf16 = buffered.peek(2).startswith(_UTF16)
            code, errors = ("utf-16", "strict") if utf16 else ("utf-8-sig", "surrogateescape")
            with io.TextIOWrapper(buffered, code, errors, newline="") as text:
                yield text

    def blocks(self, numbers: Sequence[int]) -> Iterator[Block]:
        """Yield some columns as text."""
        rows = self._rows(numbers)
        while some := list(itertools.islice(rows, BLOCK)):
            lines, cells = zip(*some, strict=True)
            texts = (list(map(str.strip, column)) for column in zip(*cells, strict=True))
            yield Block(np.array(lines), [np.array(column, object) for column in texts])

    def _rows(self, numbers: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
        """Yield the line of each row below the header, and its cells in some columns."""
        least, width = max(numbers, default=-1) + 1, len(self.names)
        with self._opened() as file:
            reader = csv.reader(file, delimiter=self.delimiter)
            rows = ((reader.line_num, cells) for cells in reader if any(map(str.strip, cells)))
            try:
                next(rows, None)
                for line, cells in rows:
                    if len(cells) < least or (len(cells) > width and any(map(str.strip, cells[width:]))):
                        raise TableError(f"{self.path}, line {line}: {len(cells)} columns, the header has {width}")
                    yield line, [cells[number] for number in numbers]
            except csv.Error as error:
                raise TableError(f"{self.path}, line {reader.line_num}: not CSV: {error}") from None


def _delimiter(path: Path, head: str) -> str:
    """Return what separates the columns of a header line."""
    bare = re.sub(r'"[^"]*"', "", head)
    found = [sign for sign in _DELIMITERS if sign in bare]
    if len(found) > 1:
        raise TableError(f"{path}: its columns may be separated by {found[0]!r} or {found[1]!r}: quote the names")
    if not found:
        return ","
    if (count := bare.count(found[0]) + 1) > _WIDEST:
        raise TableError(f"{path}: {count} columns; a table of labels has at most {_WIDEST}")
    return found[0]
