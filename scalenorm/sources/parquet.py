"""Parquet files through pyarrow (extra ``parquet``): columns as arrays, and images as Hugging Face keeps them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import IO, Any

import numpy as np

from ..files.errors import ImageError, damage
from ..files.optional import optional_package
from ..files.reading import check_bytes, open_file

BEGIN = b"PAR1"
NEEDS_PYARROW = "reading Parquet needs pyarrow: pip install 'scalenorm[parquet]'"

_BATCH_BYTES = 1 << 24


class Shard:
    """An open Parquet file with one column of images: structs that hold the file of an image as ``bytes``.

    Rows are read in batches of some megabytes, so images are best asked for in order. There are `count` of them;
    `names` are the columns of answers, those of numbers and text.
    """

    def __init__(self, file: IO[bytes]):
        self._file = _opened(file)
        with damage("Parquet file"):
            self._schema, metadata = self._file.schema_arrow, self._file.metadata
            groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        self._images = _image_column(self._schema)
        self.names = [field.name for field in self._schema if _is_plain(field.type)]
        self._starts = np.cumsum([0, *(group.num_rows for group in groups)])
        self.count = int(self._starts[-1])
        row_bytes = sum(group.total_byte_size for group in groups) // max(self.count, 1)
        self._batch_rows = max(1, min(_BATCH_BYTES // max(row_bytes, 1), 1024))
        self._group, self._start = -1, 0  # the row group being read, and the first row of its present batch
        self._batch: Any = None
        self._rest: Iterator[Any] = iter(())

    def read(self, index: int, limit: int) -> bytes:
        """Give the file of image `index`, of at most `limit` bytes."""
        if index >= self.count:
            raise ImageError("the Parquet file has changed since it was listed")
        group = int(np.searchsorted(self._starts, index, side="right")) - 1
        last, self._group = self._group, -1  # stays so if the reading fails
        with damage("Parquet file"):
            if group != last or index < self._start:
                self._start, self._rest = int(self._starts[group]), self._batches(group)
                self._batch = next(self._rest)
            while index >= self._start + len(self._batch):
                self._start += len(self._batch)
                self._batch = next(self._rest)
            image = (self._batch.column(0)[index - self._start].as_py() or {}).get("bytes")
        if index + 1 < self._starts[group + 1]:
            self._group = group
        else:  # this group is not needed again soon, and a reader keeps several files open
            self._batch, self._rest = None, iter(())
        if image is None:
            raise ImageError(f"no image: its bytes in column {self._images!r} are null")
        check_bytes(len(image), limit)
        return bytes(image)

    def _batches(self, group: int) -> Iterator[Any]:
        columns = [f"{self._images}.bytes"]
        return iter(self._file.iter_batches(self._batch_rows, [group], columns, use_threads=False))

    def column(self, name: str) -> np.ndarray:
        """Return a column of answers."""
        with damage("Parquet file"):
            column = self._file.read([name], use_threads=False).column(0)
        return to_array(column, class_names(self._schema).get(name))

    def close(self) -> None:
        """Close the file."""
        self._batch, self._rest = None, iter(())
        self._file.close()


def holds_images(path: str) -> bool:
    """Whether a Parquet file has a column of images; False, too, where pyarrow is missing."""
    if not has_pyarrow():
        return False
    with open_file(path) as file, contextlib.closing(_opened(file)) as parquet:
        return bool(_image_columns(parquet.schema_arrow))


def has_pyarrow() -> bool:
    """Whether Parquet can be read."""
    return find_spec("pyarrow") is not None


def _opened(file: IO[bytes]) -> Any:
    parquet = optional_package("pyarrow.parquet", "parquet", "reading Parquet", ImageError)
    with damage("Parquet file"):  # without pre_buffer, as whole row groups may be as large as the file
        return parquet.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)


def _image_columns(schema: Any) -> list[str]:
    types = import_module("pyarrow.types")
    structs = (field for field in schema if types.is_struct(field.type))
    inside = ((field.name, {part.name: part.type for part in field.type}) for field in structs)
    return [
        name for name, parts in inside
        if "bytes" in parts and (types.is_binary(parts["bytes"]) or types.is_large_binary(parts["bytes"]))
    ]  # fmt: skip


def _image_column(schema: Any) -> str:
    found = _image_columns(schema)
    if len(found) == 1:
        return found[0]
    raise ImageError(
        f"a Parquet file with several columns of images ({', '.join(found)}): write the one that is meant to a file of "
        "its own"
        if found
        else f"a Parquet file without a column of images, a struct with their files as 'bytes'; its columns are "
        f"{', '.join(schema.names[:8])}"
    )


def _is_plain(kind: Any) -> bool:
    types = import_module("pyarrow.types")
    tests = (types.is_nested, types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    return not any(test(kind) for test in tests)


def class_names(schema: Any) -> dict[str, list[str]]:
    """Return the names of classes of the columns that hold their numbers, as Hugging Face's ``ClassLabel`` stores them.

    Names that cannot be read are none: other programs may have written them.
    """
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            column: list(map(str, feature["names"]))
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def to_array(column: Any, classes: list[str] | None = None) -> np.ndarray:
    """Return an Arrow column as an array; the numbers of `classes` as their names, "" for -1, which stands for none."""
    if classes is not None:
        numbers = np.array([-1 if number is None else number for number in column.to_pylist()], int)
        wrong = numbers[(numbers < -1) | (numbers >= len(classes))]
        if len(wrong):
            raise ImageError(f"it holds the class {wrong[0]}, but names for {len(classes)} classes only")
        return np.array([*classes, ""], object)[numbers]
    if column.null_count and str(column.type).startswith(("int", "uint", "dictionary")):
        # NumPy has no missing integers, and those of categories are lost.
        return np.array(column.to_pylist(), object)
    values: np.ndarray = column.to_numpy()
    return values
