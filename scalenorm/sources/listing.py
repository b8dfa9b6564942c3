"""The listing of all images: one small record each, made into a `Source` when asked for."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, overload

from ..files.names import visible
from ..files.reading import join

#: Objects of one image: their numbers have six digits.
MOST_OBJECTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Source:
    """Where one image is.

    Attributes
    ----------
    id : str
        Its id in the cache; valid UTF-8.
    container : str
        Path or URL of the file, or of the archive or .npy stack that holds it.
    member : str or None
        Its name in the archive.
    index : int or None
        Its number in the .npy stack, or the place of its directory entry in the archive.
    name : str
        What people see: its name inside its folder or archive; valid UTF-8.
    object : int or None
        The number of an object, if the row is of one object of the image.
    """

    id: str
    container: str
    member: str | None
    index: int | None
    name: str
    object: int | None = None

    @property
    def place(self) -> tuple[str, str | None, int | None]:
        """What all objects of one image have in common."""
        return self.container, self.member, self.index


class Root(NamedTuple):
    """What a group of sources has in common. kind: "folder", "archive" or "stack"."""

    kind: str
    path: str
    shown: str


class _Texts:
    """A sequence of str in one buffer: a listing of 10^6 files must not cost 10^6 Python objects."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.ends = array("Q")

    def append(self, text: str) -> None:
        self.buffer += text.encode("utf-8", "surrogatepass")
        self.ends.append(len(self.buffer))

    def raw(self, i: int) -> bytes:
        return bytes(self.buffer[self.ends[i - 1] if i else 0 : self.ends[i]])

    def __getitem__(self, i: int) -> str:
        return self.raw(i).decode("utf-8", "surrogatepass")

    def take(self, order: Sequence[int]) -> _Texts:
        out = _Texts()
        if _straight(order):
            start, stop = order[0], order[-1] + 1
            before = self.ends[start - 1] if start else 0
            out.buffer = self.buffer[before : self.ends[stop - 1]]
            out.ends = array("Q", (end - before for end in self.ends[start:stop]))
            return out
        for i in order:
            out.buffer += self.raw(i)
            out.ends.append(len(out.buffer))
        return out


def _straight(order: Sequence[int]) -> bool:
    """Whether numbers follow each other: what is next to each other can be copied together, which is far quicker."""
    return len(order) > 0 and list(order) == list(range(order[0], order[0] + len(order)))


class Sources(Sequence[Source]):
    """All sources, in order of id; they are made on access and stored compactly.

    A slice is again a `Sources`, and pickles to little more than its names and ids.
    """

    def __init__(self, roots: list[Root] | None = None) -> None:
        self.roots = roots or []
        self._ids = _Texts()
        self._names = _Texts()
        self._root = array("I")
        self._index = array("q")
        self._object = array("i")

    def __len__(self) -> int:
        return len(self._root)

    @overload
    def __getitem__(self, key: int) -> Source: ...
    @overload
    def __getitem__(self, key: slice) -> Sources: ...
    def __getitem__(self, key: int | slice) -> Source | Sources:
        if isinstance(key, slice):
            return self.take(range(*key.indices(len(self))))
        i = range(len(self))[key]
        root, name, index = self.roots[self._root[i]], self._names[i], self._index[i]
        number = self._object[i] if self._object[i] >= 0 else None
        if root.kind == "folder":
            return Source(self._ids[i], join(root.path, name), None, None, visible(name), number)
        if root.kind == "archive":
            return Source(self._ids[i], root.path, name, index, visible(name), number)
        return Source(self._ids[i], root.path, None, index, f"{root.shown}[{index}]", number)

    def __iter__(self) -> Iterator[Source]:
        return (self[i] for i in range(len(self)))

    def ids(self) -> Iterator[str]:
        """The ids alone, without the cost of whole sources."""
        return (self._ids[i] for i in range(len(self)))

    def id(self, i: int) -> str:
        """One id, without the cost of a whole source."""
        return self._ids[i]

    def raw_id(self, i: int) -> bytes:
        """One id in UTF-8, which sorts like the id itself."""
        return self._ids.raw(i)

    def places(self, root: int) -> Iterator[int]:
        """Of the sources in one archive or stack their places in it."""
        return (place for number, place in zip(self._root, self._index, strict=True) if number == root)

    def find(self, source_id: str) -> int | None:
        """The number of the source with this id; the ids must be in order."""
        i = bisect_left(range(len(self)), source_id, key=self.id)
        return i if i < len(self) and self.id(i) == source_id else None

    def same_image(self, i: int, j: int) -> bool:
        """Whether two sources are objects of one image."""
        columns = self._root, self._index
        return all(c[i] == c[j] for c in columns) and self._names.raw(i) == self._names.raw(j)

    def append(self, root: int, name: str, source_id: str, index: int = -1, number: int = -1) -> None:
        """Add a source of ``roots[root]``."""
        self._ids.append(source_id)
        self._names.append(name)
        self._root.append(root)
        self._index.append(index)
        self._object.append(number)

    def expanded(self, counts: Iterable[int]) -> Sources:
        """One source for each object of these, in order of id; where there are none, the image itself."""
        out = Sources(self.roots)
        for i, count in enumerate(counts):
            name, source_id = self._names[i], self._ids[i]
            for number in range(count):
                out.append(self._root[i], name, object_id(source_id, number), self._index[i], number)
            if not count:
                out.append(self._root[i], name, source_id, self._index[i])
        out.reorder(array("Q", sorted(range(len(out)), key=out.raw_id)))
        return out

    def reorder(self, order: Sequence[int]) -> None:
        """Put all sources in this order, one column after the other to hold little twice."""
        self._ids = self._ids.take(order)
        self._names = self._names.take(order)
        self._root = array("I", (self._root[i] for i in order))
        self._index = array("q", (self._index[i] for i in order))
        self._object = array("i", (self._object[i] for i in order))

    def take(self, order: Sequence[int]) -> Sources:
        """The sources of these numbers, in this order."""
        root, index, number = self._root, self._index, self._object
        if _straight(order):
            root, index, number = (column[order[0] : order[-1] + 1] for column in (root, index, number))
        else:
            root, index, number = (
                array(column.typecode, (column[i] for i in order)) for column in (root, index, number)
            )
        used = {old: new for new, old in enumerate(sorted(set(root)))}
        out = Sources([self.roots[old] for old in used])
        out._ids, out._names = self._ids.take(order), self._names.take(order)
        out._root = array("I", map(used.__getitem__, root))
        out._index, out._object = index, number
        return out


@dataclass(frozen=True)
class Listing:
    """What `find` found.

    Attributes
    ----------
    sources : Sources
        In Python string order of ids.
    skipped : dict of str to int
        How many files of folders and archives have no known ending, by ending (archives inside included).
    """

    sources: Sources
    skipped: dict[str, int] = field(default_factory=dict)


def object_id(source_id: str, number: int) -> str:
    """The id of an object of an image: in order of id, up to `MOST_OBJECTS` of them are in order of number."""
    return f"{source_id}/{number:06d}"


def image_id(identifier: str) -> str | None:
    """The id of the image of which this is the id of an object; None if it cannot be one."""
    start, slash, number = identifier.rpartition("/")
    return start if slash and len(number) == 6 and number.isascii() and number.isdigit() else None
