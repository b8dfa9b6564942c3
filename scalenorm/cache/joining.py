"""Join finished caches to one: what ``scalenorm-merge`` calls."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..files.errors import BatchError, CacheError, PartError
from ..files.names import printable
from ..files.output import check_output_path, lock_output, resolve_output
from ..files.writing import TEMPORARY
from . import format as fmt
from .merge import Selection, write_merged
from .part import Head
from .reader import Cache

_log = logging.getLogger("scalenorm")


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
    for cache in caches:
        if cache.added:
            added = ", ".join(cache.added)
            _log.warning("%s", printable(f"{cache.path}: {added}, not of scalenorm, will not be in {output}"))
    labelled = _with_labels(caches)
    selection = Selection.by_id([(cache, np.arange(len(cache))) for cache in caches])
    _check_distinct(selection)
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
        write_merged(output, output.parent, head, selection, labelled=labelled)
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


def _with_labels(caches: Sequence[Cache]) -> list[Cache]:
    labelled = [cache for cache in caches if cache.label_names]
    for cache in labelled:
        if cache.label_names != labelled[0].label_names:
            raise CacheError(
                f"{labelled[0].path} and {cache.path} have labels of different names: "
                "make them with the same --labels and --label-columns"
            )
    return labelled


def _check_distinct(selection: Selection) -> None:
    twice = np.flatnonzero(selection.ids[1:] == selection.ids[:-1])
    if len(twice):
        row = twice[0]
        one, other = (selection.caches[number].path for number in selection.cache_of[row : row + 2])
        raise CacheError(
            f"{one} and {other} both have an image with the id {selection.ids[row].decode()!r}: leave one of them out"
        )
