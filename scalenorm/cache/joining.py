"""Join finished caches to one: what ``scalenorm-merge`` calls."""

from __future__ import annotations

import glob
import hashlib
import heapq
import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..files.errors import BatchError, CacheError, PartError
from ..files.output import check_output_path, lock_output, resolve_output
from ..files.writing import TEMPORARY
from . import format as fmt
from .merge import Labels, Selection, write_merged
from .part import Head
from .reader import Cache

_ROWS = 4096


def join_caches(
    inputs: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    compress: bool = False,
) -> Cache:
    """Join the rows of caches, in the order of their ids.

    Parameters
    ----------
    inputs : sequence of paths
        Caches made with the same settings, with no id in common.
    output : path
        The cache to write.
    overwrite : bool
        Replace the output if it exists and is a cache.
    compress : bool
        Store each crop compressed.

    Returns
    -------
    Cache
        The output.

    Raises
    ------
    CacheError
        If the caches do not fit together.
    BatchError
        If the output exists or cannot be written, or another run is writing it.
    """
    if not inputs:
        raise CacheError("no caches to join")
    paths = [os.path.realpath(path) for path in inputs]
    for path, name in zip(paths, inputs, strict=True):
        if paths.count(path) > 1:
            raise CacheError(f"{os.fspath(name)} is given more than once")
    caches = [Cache(path) for path in inputs]
    for other in caches[1:]:
        _check_alike(caches[0], other)
    labels = _joined_labels(caches)
    selection = _in_order(caches)
    output = resolve_output(output)
    check_output_path(output)
    with lock_output(output):
        if output.exists():
            _check_replaceable(output, overwrite)
        for litter in output.parent.glob(f"{glob.escape(output.name)}.*{TEMPORARY}"):
            litter.unlink()
        source = ", ".join(cache.path.name for cache in caches[:5]) + (", ..." if len(caches) > 5 else "")
        head = Head(
            caches[0].settings, caches[0].layout, source, compress, [name for cache in caches for name in cache.inputs]
        )
        write_merged(output, output.parent, head, selection, labels=labels)
    return Cache(output)


def _check_alike(first: Cache, other: Cache) -> None:
    if changes := fmt.differences(first.settings, other.settings, word=" and"):
        raise CacheError(
            f"{first.path} and {other.path} were made with different settings ({'; '.join(changes)}): "
            "only caches with the same can be joined"
        )
    if first.layout != other.layout:
        raise CacheError(
            f"{first.path} holds {first.layout}, {other.path} {other.layout}: only caches with the same can be joined"
        )


def _check_replaceable(output: Path, overwrite: bool) -> None:
    try:
        Cache(output)
    except PartError:
        pass  # a cache all the same
    except CacheError as error:
        raise BatchError(f"{error}; it is left alone: remove it or choose another output") from error
    if not overwrite:
        raise BatchError(f"{output} exists: --overwrite replaces it")


def _joined_labels(caches: Sequence[Cache]) -> Labels | None:
    labelled = [cache for cache in caches if cache.label_names]
    if not labelled:
        return None
    for cache in labelled:
        if cache.label_names != labelled[0].label_names:
            raise CacheError(
                f"{labelled[0].path} and {cache.path} have labels of different names: "
                "make them with the same --labels and --label-columns"
            )
    hashes = sorted({cache.labels_sha256 for cache in caches})  # "" where rows were never looked up in the file
    sha256 = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    return Labels(labelled[0].label_names, sha256, (), keep=True)


def _in_order(caches: Sequence[Cache]) -> Selection:
    cache_of, row_of = array("i"), array("q")
    last = (b"", -1, 0)
    for entry in heapq.merge(*(_ids(cache, number) for number, cache in enumerate(caches))):
        if entry[0] == last[0] and last[1] >= 0:
            both = f"{caches[last[1]].path} and {caches[entry[1]].path}"
            raise CacheError(f"{both} both have an image with the id {entry[0].decode()!r}: leave one of them out")
        cache_of.append(entry[1])
        row_of.append(entry[2])
        last = entry
    return Selection(caches, np.array(cache_of), np.array(row_of))


def _ids(cache: Cache, number: int) -> Iterator[tuple[bytes, int, int]]:
    for start in range(0, len(cache), _ROWS):
        for row, identifier in enumerate(cache.read("catalog", start, start + _ROWS)["id"].tolist(), start):
            yield identifier, number, row
