"""Labels: a table with an id and its answers in each row, joined with the ids of images."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..files.errors import TableError
from ..images.options import image_suffix
from .answers import Answers
from .beside import open_beside
from .listing import Sources, image_id
from .tables import Table, is_certainly_table, open_table

#: Names that the column of ids is looked for under, in this order; upper and lower case alike.
ID_COLUMNS = (
    "GalaxyID", "id", "dr7objid", "objid", "SourceID", "source_id", "object_id", "objectid", "id_str", "iauname",
    "asset_id", "NUMBER", "label",
)  # fmt: skip

#: A column that has no name, or the one that pandas gives it.
_UNNAMED = re.compile(r"(Unnamed: \d+)?")

_SHOWN = 5


@dataclass(frozen=True)
class Joined:
    """How labels and images fit together."""

    matched: int  # images with a label
    missing: int  # images without one
    surplus: int  # labels without an image
    missing_ids: list[str]  # the first few
    surplus_ids: list[str]  # the first few


@dataclass(frozen=True)
class Labels:
    """The labels of images."""

    rows: np.ndarray  # numbers of the images that have labels, in order
    values: np.ndarray  # float64, (rows, answers); of a class its number
    classes: dict[str, tuple[str, ...]]  # the names of classes, by answer
    joined: Joined


@dataclass(frozen=True)
class LabelFile:
    """A table of labels whose columns are known."""

    table: Table
    id_column: str
    names: tuple[str, ...]  # of the answers
    sha256: str  # of the file and of the choice of columns
    id_map: IdMap | None = None
    _last: list[tuple[np.ndarray, Labels]] = field(default_factory=list, repr=False, compare=False)

    @property
    def path(self) -> Path:
        """The file."""
        return self.table.path

    def only(self, names: Sequence[str]) -> LabelFile:
        """Return this file with the answers of some columns only, in the order given."""
        return replace(self, names=tuple(names), _last=[])

    def ids(self) -> list[str]:
        """Return all ids, as they are."""
        return [name for block in self.table.blocks([self.id_column]) for name in self.table.ids(block)]

    def join(self, ids: np.ndarray, *, required: bool = True) -> Labels:
        """Find the labels of images, whose `ids` are in order, UTF-8; if `required`, some must have one.

        Answers of other ids are not looked at. Ids are compared as text; one that ends as images do is also looked for
        without its ending. The last result is kept, as a run joins at its start and at its end.

        Raises
        ------
        TableError
            If none has a label, ids have lost digits, an id has two different labels, or an answer cannot be used.
        """
        if not (self._last and np.array_equal(self._last[0][0], ids)):
            self._last[:] = [(ids, self._join(ids))]
        labels = self._last[0][1]
        if required and not labels.joined.matched:
            theirs = f"ids like {labels.joined.surplus_ids[0]!r}" if labels.joined.surplus_ids else "no ids"
            through = "" if self.id_map is None else f", nor by way of {self.id_map.path}"
            raise TableError(
                f"{self.path}: no id in common with the images{through}: the file has {theirs}, "
                f"the images have ids like {ids[0].decode()!r}"
            )
        return labels

    def _join(self, ids: np.ndarray) -> Labels:
        keys, key_of = ids, np.arange(len(ids))
        if self.id_map is not None:  # images may share a label
            keys, key_of = np.unique(self.id_map.keys(ids), return_inverse=True)
        values = np.full((len(keys), len(self.names)), np.nan)
        answers = [Answers(self.table, name) for name in self.names]
        zeros = _without_zeros(keys)
        seen = np.zeros(len(keys), bool)
        surplus, surplus_ids = 0, list[str]()
        block = None
        for block in self.table.blocks([self.id_column, *self.names]):
            names = self.table.ids(block)
            rows = _find(keys, names)
            others = [name for name, row in zip(names, rows.tolist(), strict=True) if row < 0]
            surplus += len(others)
            surplus_ids += others[: _SHOWN - len(surplus_ids)]
            if zeros and (short := next((name for name in others if name in zeros), None)):
                raise _zeros_lost(self.path, short, zeros[short])
            where = np.flatnonzero(rows >= 0)
            rows, wanted = rows[where], block.take(where)
            new = ~seen[rows]
            for number, answer in enumerate(answers):
                column, found = values[:, number], answer.read(block, wanted, number + 1)
                column[rows[new][::-1]] = found[new][::-1]  # of twins the first
                differs = ~((column[rows] == found) | (np.isnan(column[rows]) & np.isnan(found)))
                if differs.any():
                    at = int(np.argmax(differs))
                    raise TableError(
                        f"{self.path}, {self.table.row} {wanted.rows[at]}: the id {keys[rows[at]].decode()!r} is "
                        f"there twice, with different answers in {answer.name!r}"
                    )
            seen[rows] = True
        if block is None:
            raise TableError(f"{self.path}: a table without rows")
        for number, answer in enumerate(answers):
            answer.sort_classes(values[:, number])
        seen = seen[key_of]
        matched = np.flatnonzero(seen)
        if self.id_map is not None or len(matched) < len(ids):
            values = values[key_of[matched]]
        missing_ids = _texts(ids[~seen][:_SHOWN])
        joined = Joined(len(matched), len(ids) - len(matched), surplus, missing_ids, surplus_ids)
        return Labels(matched, values, {answer.name: answer.classes for answer in answers if answer.is_class}, joined)


@dataclass(frozen=True)
class FolderClasses:
    """Labels that are the names of the images' folders, which their ids have: paths inside the folder given."""

    all_objects: bool = False  # ids are those of objects, ``<id of the image>/000000``
    names: tuple[str, ...] = ("class",)
    path: str = "the images' folders"  # where labels come from, for messages
    sha256: str = hashlib.sha256(b"class from folder").hexdigest()

    def join(self, ids: np.ndarray, *, required: bool = True) -> Labels:
        """Find the classes of images, whose `ids` are UTF-8; if `required`, some must have one."""
        paths = [image_id(name) or name if self.all_objects else name for name in _texts(ids)]
        found = np.array([os.path.basename(os.path.dirname(path)) for path in paths], object)
        rows = np.flatnonzero(found != "")
        classes, codes = np.unique(found[rows], return_inverse=True)
        if required and not len(rows):
            raise TableError(
                "no image lies in a folder inside those given, so there are no classes: give the folder that holds the "
                "folders of the classes"
            )
        joined = Joined(len(rows), len(ids) - len(rows), 0, _texts(ids[found == ""][:_SHOWN]), [])
        return Labels(rows, codes[:, None].astype(float), {"class": tuple(classes.tolist())}, joined)


def _texts(ids: np.ndarray) -> list[str]:
    return [name.decode() for name in ids.tolist()]


def _without_zeros(ids: np.ndarray) -> dict[str, str]:
    """Return the ids that begin with zeros, by what is left of them in a program that takes them for numbers."""
    texts = (name.decode() for name in ids.tolist() if name[:1] == b"0")
    return {text.lstrip("0"): text for text in texts if text.isdecimal()}


def _zeros_lost(path: Path, short: str, name: str) -> TableError:
    return TableError(
        f"{path}: ids have lost zeros in front: it has {short!r}, the images {name!r}; read and write the column of "
        "ids as text"
    )


def _find(ids: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return for each name the number of its id, or -1."""
    if not len(ids):
        return np.full(len(names), -1)
    rows = _places(ids, names)
    others = [number for number in np.flatnonzero(rows < 0).tolist() if image_suffix(names[number])]
    if others:
        rows[others] = _places(ids, [names[number][: -len(image_suffix(names[number]))] for number in others])
    return rows


def _places(ids: np.ndarray, names: Sequence[str]) -> np.ndarray:
    wanted = np.array([name.encode("utf-8", "surrogateescape") for name in names])
    at = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return np.where((ids[at] == wanted) & (wanted != b""), at, -1)


@dataclass(frozen=True)
class IdMap:
    """Which ids of labels belong to which ids of images."""

    path: Path
    label_ids: dict[str, str]  # by the id of the image
    sha256: str  # of the table and of the choice of columns

    @classmethod
    def read(cls, path: str | os.PathLike[str], columns: Sequence[str]) -> IdMap:
        """Read a table with a column of the labels' ids and one of the images'."""
        if len(columns) != 2:
            raise TableError(f"{path}: id_map_columns must name two columns, the labels' ids first, got {columns!r}")
        table = open_table(path)
        ids: dict[str, str] = {}
        for block in table.blocks(columns):
            ours, theirs = (table.ids(block, number) for number in (0, 1))
            for number, (label, image) in enumerate(zip(ours, theirs, strict=True)):
                image = image[: len(image) - len(image_suffix(image))]
                if image and ids.setdefault(image, label) != label:
                    raise TableError(
                        f"{path}, {table.row} {block.rows[number]}: {image!r} in {columns[1]!r} has two ids in "
                        f"{columns[0]!r}: {ids[image]!r} and {label!r}"
                    )
        return cls(Path(path), ids, hashlib.sha256("\0".join([table.sha256, *columns]).encode()).hexdigest())

    def keys(self, ids: np.ndarray) -> np.ndarray:
        """Return the ids that images have among the labels, "" for none."""
        for short, name in _without_zeros(ids).items():
            if name not in self.label_ids and short in self.label_ids:
                raise _zeros_lost(self.path, short, name)
        return np.array(
            [self.label_ids.get(name.decode(), "").encode("utf-8", "surrogateescape") for name in ids.tolist()]
        )


def read_labels(
    path: str | os.PathLike[str],
    *,
    id_column: str | None = None,
    columns: Sequence[str] | None = None,
    id_map: IdMap | None = None,
    id_from: str = "stem",
    images: Sources | None = None,
) -> LabelFile:
    """Find the columns of a table of labels, or of what `open_beside` takes for one.

    Without `id_column` the ids are in the first of `ID_COLUMNS` that there is; without `columns`, names or patterns
    such as ``t01_*_debiased``, the answers are in all other columns that have a name. So the index that
    ``DataFrame.to_csv()`` writes is neither.
    """
    table = open_beside(path, id_from, images) or open_table(path)
    ids = find_id_column(table, id_column)
    others = [name for name in table.names if name != ids and not _UNNAMED.fullmatch(name)]
    names = tuple(others if columns is None else _chosen(table, others, columns))
    if len(set(names)) < len(names) and columns is not None:
        twice = next(name for name in names if names.count(name) > 1)
        raise TableError(f"{path}: column {twice!r} is named twice in --label-columns (label_columns=)")
    for name in names:
        table.number(name)
    if not names:
        raise TableError(f"{path}: no columns besides the ids")
    about = [table.hash_of([ids, *names]), ids, *names, *([id_map.sha256] if id_map else [])]
    return LabelFile(table, ids, names, hashlib.sha256("\0".join(about).encode()).hexdigest(), id_map)


def _chosen(table: Table, others: Sequence[str], columns: Sequence[str]) -> list[str]:
    names: list[str] = []
    for name in columns:
        if any(sign in name for sign in "*?[") and name not in table.names:
            found = [other for other in others if fnmatch.fnmatch(other.lower(), name.lower())]
            if not found:
                raise TableError(f"{table.path}: no column matches {name!r}; its columns are {table.some_names()}")
            known = set(names)
            names += [other for other in found if other not in known]
        else:
            names.append(table.names[table.number(name)])
    return names


def find_id_column(table: Table, given: str | None = None) -> str:
    """Return the name of the column of ids: the one `given`, or the first of the usual ones that there is."""
    if given is not None:
        return table.names[table.number(given)]
    if table.id_column is not None:
        return table.id_column
    if (usual := _usual_id_column(table.names)) is not None:
        found = [name for name in table.names if name.lower() == usual.lower()]
        if len(found) > 1:
            raise TableError(
                f"{table.path}: ids may be in {found[0]!r} or {found[1]!r}: name the column with scalenorm-batch "
                "--id-column (id_column=)"
            )
        return found[0]
    raise TableError(
        f"{table.path}: no id column ({', '.join(ID_COLUMNS[:4])}, ...) among {table.some_names()}: say which "
        f"one it is, as with scalenorm-batch --id-column {table.names[0]} (id_column=)"
    )


def _usual_id_column(names: Sequence[str]) -> str | None:
    lower = {name.lower() for name in names}
    return next((name for name in ID_COLUMNS if name.lower() in lower), None)


def read_ids(path: str | os.PathLike[str]) -> list[str]:
    """Read a list of ids: one per line, empty lines and ``#`` comments aside, or the ids of a table as of labels."""
    try:
        if not is_certainly_table(path):
            text = Path(path).read_text(encoding="utf-8-sig")
            lines = [line.strip() for line in text.splitlines()]
            first = next((line for line in lines if line), "")
            if _usual_id_column([cell.strip('" ') for cell in re.split(r"[,;\t|]", first.lstrip("# "))]) is None:
                return [line for line in lines if line and not line.startswith("#")]
    except UnicodeDecodeError:
        raise TableError(f"{path}: not a text in UTF-8; expected one id per line") from None
    table = open_table(path)
    return [name for block in table.blocks([find_id_column(table)]) for name in table.ids(block) if name]
