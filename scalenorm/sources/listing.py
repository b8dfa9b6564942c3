"""The listing of all images: one small record each, made into a `Source` when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np

from ..files.names import visible
from ..files.reading import join
from ..images.options import DecodeOptions

#: Objects of one image: their numbers have six digits.
MOST_OBJECTS = 1_000_000

_BLOCK, _ITERATED = 4096, 64


class Stamp(NamedTuple):
    """Where in a tile an image is cut out."""

    row: float
    col: float
    least: int  # side, pixels
    most: int  # the same, or the largest side that is tried
    size: float  # of the galaxy, pixels, in place of the measured one; NaN where that is to be used


class GivenWindow(NamedTuple):
    """The window that an image is to have, in the pixels of another image of the same object."""

    row: float
    col: float
    side: float
    height: int  # of that image; 0 where it is a tile
    width: int
    path: str  # of that image, whose WCS says where the window is on the sky; "" where it is not to be found
    options: DecodeOptions  # of that image


@dataclass(frozen=True, slots=True)
class Source:
    """Where one image is."""

    id: str  # in the cache; valid UTF-8
    container: str  # path or URL of the file, or of the archive or stack that holds it; {band} is any band's name
    member: str | None  # its name in the archive
    index: int | None  # its number in the stack, or the place of its directory entry in the archive
    name: str  # what people see: its name inside its folder or archive; valid UTF-8
    stamp: Stamp | None = None  # of a tile
    window: GivenWindow | None = None  # in place of the one that is found
    missing: str = ""  # why there is no image


class Root(NamedTuple):
    """What a group of sources has in common."""

    kind: str  # "folder", "archive", "stack", "tile", or "missing"
    path: str  # or why the images are missing


class Sources(Sequence[Source]):
    """Sources that are made on access: a listing of 10^6 files must not cost 10^6 Python objects.

    A slice is again a `Sources`, and pickles to little more than its names and ids.
    """

    def __init__(self, roots: list[Root], rows: np.ndarray, origin: DecodeOptions | None = None) -> None:
        self.roots = roots  # what the sources lie in
        self.rows = rows  # one row a source, with the fields of `row_dtype`, and perhaps a window
        self.origin = origin  # how the images that the windows come from were decoded
        #: How many files of folders and archives `find` skipped, by extension; archives inside are among them.
        self.skipped: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, key: int) -> Source: ...
    @overload
    def __getitem__(self, key: slice) -> Sources: ...
    def __getitem__(self, key: int | slice) -> Source | Sources:
        return self.take(key) if isinstance(key, slice) else self._source(*self.rows[key].tolist())

    def __iter__(self) -> Iterator[Source]:
        for start in range(0, len(self), _ITERATED):  # many rows at once are made into Python's objects in less time
            for row in self.rows[start : start + _ITERATED].tolist():
                yield self._source(*row)

    def _source(self, raw_id: bytes, raw_name: bytes, root: int, index: int, *stamp: Any) -> Source:
        (kind, path), identifier, name = self.roots[root], _text(raw_id), _text(raw_name)
        window = None
        if self.origin is not None:
            row, col, side, height, width, raw_path = stamp[-1]
            window = GivenWindow(row, col, side, height, width, _text(raw_path), self.origin)
        if kind == "tile":
            return Source(identifier, path, None, None, visible(name), Stamp(*stamp[:5]), window)
        if kind == "missing":
            return Source(identifier, "", None, None, visible(name), missing=path)
        if kind == "folder":
            return Source(identifier, join(path, name), None, None, visible(name), window=window)
        if kind == "archive":
            return Source(identifier, path, name, index, visible(name), window=window)
        return Source(identifier, path, None, index, f"{visible(name)}[{index}]", window=window)

    @property
    def raw_ids(self) -> np.ndarray:
        """All ids in UTF-8, which sort as the ids do."""
        return self.rows["id"]

    @property
    def has_stamps(self) -> bool:
        """Whether the images are cut from tiles."""
        return "least" in (self.rows.dtype.names or ())

    def by_tile(self, numbers: np.ndarray) -> np.ndarray:
        """Return numbers of sources so that those of one tile follow each other; else as they are."""
        return numbers[np.argsort(self.rows["root"][numbers], kind="stable")] if self.has_stamps else numbers

    def take(self, order: Sequence[int] | np.ndarray | slice) -> Sources:
        """The sources of these numbers, in this order."""
        rows = self.rows[order].copy()
        used, rows["root"] = np.unique(rows["root"], return_inverse=True)
        return Sources([self.roots[old] for old in used], rows, self.origin)

    def with_windows(self, windows: np.ndarray, reasons: np.ndarray, origin: DecodeOptions) -> Sources:
        """Return sources with windows, of `window_dtype`, or the reasons why there are none ("" where there is one)."""
        old = self.rows
        names = old.dtype.names or ()
        rows = np.zeros(len(self), [*((name, old.dtype[name]) for name in names), ("window", windows.dtype)])
        for name in names:
            rows[name] = old[name]
        rows["window"] = windows
        known = np.array([root.kind != "missing" for root in self.roots])[rows["root"]]
        roots = [*self.roots, *lose(rows, np.where(known, reasons, ""), len(self.roots))]
        found = Sources(roots, rows, origin)
        found.skipped = self.skipped
        return found


def lose(rows: np.ndarray, reasons: np.ndarray, first: int) -> list[Root]:
    """Let rows be missing images for which there is a reason; return their roots, numbered from `first` on."""
    lost = np.flatnonzero(reasons != "")
    why, rows["root"][lost] = np.unique(reasons[lost], return_inverse=True)
    rows["root"][lost] += first
    return [Root("missing", str(text)) for text in why]


class SourcesBuilder:
    """Collects sources one by one, in blocks of rows."""

    def __init__(self) -> None:
        self._roots: dict[Root, int] = {}
        self._blocks: list[np.ndarray] = []
        self._new: list[tuple[bytes, bytes, int, int]] = []

    def append(self, root: Root, name: str, source_id: str, index: int = -1) -> None:
        """Add a source."""
        self._new.append((_bytes(source_id), _bytes(name), self._roots.setdefault(root, len(self._roots)), index))
        if len(self._new) == _BLOCK:
            self._pack()

    def _pack(self) -> None:
        id_width = max((len(row[0]) for row in self._new), default=1)
        name_width = max((len(row[1]) for row in self._new), default=1)
        self._blocks.append(np.array(self._new, row_dtype(id_width, name_width)))
        self._new = []

    def sorted(self) -> Sources:
        """All sources in order of id; nothing can be added afterwards."""
        self._pack()
        rows = np.concatenate(self._blocks)
        self._blocks = []
        # The byte order of UTF-8 is the order of Python's strings; there is no NUL in it, which NumPy would cut off.
        return Sources(list(self._roots), rows[np.argsort(rows["id"], kind="stable")])


def row_dtype(id_width: int, name_width: int, *, stamps: bool = False) -> np.dtype:
    """Return the type of a row of `Sources`."""
    stamp = [("row", "f8"), ("col", "f8"), ("least", "i4"), ("most", "i4"), ("size", "f8")] if stamps else []
    return np.dtype([("id", f"S{id_width}"), ("name", f"S{name_width}"), ("root", "u4"), ("index", "i8"), *stamp])


def window_dtype(path_width: int) -> np.dtype:
    """Return the type of a window of `Sources`: the fields of `GivenWindow`, in order."""
    numbers = [(name, "f8") for name in ("row", "col", "side")] + [(name, "i4") for name in ("height", "width")]
    return np.dtype([*numbers, ("path", f"S{path_width}")])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def object_id(source_id: str, number: int) -> str:
    """The id of an object of an image: in order of id, up to `MOST_OBJECTS` of them are in order of number."""
    return f"{source_id}/{number:06d}"


def image_id(identifier: str) -> str | None:
    """The id of the image of which this is the id of an object; None if it cannot be one."""
    start, slash, number = identifier.rpartition("/")
    return start if slash and len(number) == 6 and number.isascii() and number.isdigit() else None
