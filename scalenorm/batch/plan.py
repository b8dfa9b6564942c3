"""Which rows are reused, and of which images rows are to be made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..cache.format import FAILED, INPUTS_DTYPE, OK, Layout
from ..cache.merge import Selection, find_ids
from ..cache.reader import Cache
from ..cache.recipe import Recipe
from ..files.errors import BatchError, ImageError, InputError, reason
from ..measuring.options import MeasureOptions
from ..measuring.window import window_of_size
from ..sources.listing import Source, Sources, image_id
from ..sources.reader import Reader, sha256_of


@dataclass
class Plan:
    """Where the rows of the result come from.

    Parameters
    ----------
    reused : list of (Cache, ndarray of int)
        Rows that are up to date; of images that have other rows, too, those that are not failed.
    missing : ndarray of int
        Numbers of the images that have none.
    kept : ndarray of bytes
        Ids of the old file whose images are not among those given; reused if they are to be kept.
    new : ndarray of int
        Numbers of the images that the old file does not know.
    changed : int
        Number of rows that are not reused because their image has changed.
    """

    reused: list[tuple[Cache, np.ndarray]]
    missing: np.ndarray
    kept: np.ndarray
    new: np.ndarray
    changed: int

    @property
    def count_reused(self) -> int:
        """Number of rows that are reused."""
        return sum(len(rows) for _, rows in self.reused)

    def ids(self, sources: Sources) -> np.ndarray:
        """Return the ids of all images, kept ones among them, in order."""
        return np.sort(np.concatenate([sources.raw_ids, self.kept]))

    def add(self, part: Cache) -> None:
        """Take all rows of a part that was made."""
        self.reused.append((part, np.arange(len(part))))

    def selection(self) -> Selection:
        """Return all rows in the order of their ids."""
        return Selection.by_id(self.reused)


def make_plan(
    recipe: Recipe, sources: Sources, old: Cache | None, parts: Sequence[Cache], reader: Reader, *,
    append: bool, retry_failed: bool, verify: bool,
) -> Plan:  # fmt: skip
    """Find the rows that are up to date. The image is the unit: its rows come from one cache, or are all made.

    Parameters
    ----------
    recipe : Recipe
        How rows are made.
    sources : Sources
        The images.
    old : Cache, optional
        The finished file.
    parts : sequence of Cache
        Finished parts.
    reader : Reader
        To look at the images.
    append : bool
        Keep rows of the old file whose images are not among `sources`.
    retry_failed : bool
        Make images again of which a row is failed.
    verify : bool
        Compare the images' hashes, instead of their size and time of change.
    """
    caches = [*([] if old is None else [old]), *parts]
    names = [cache.column("id") for cache in caches]
    images = [_image_of(sources, column, recipe.all_objects) for column in names]
    now = np.zeros(len(sources), "S64" if verify else INPUTS_DTYPE)  # what caches have of each image that they know
    known = np.unique(np.concatenate([np.array([-1]), *images]))[1:]
    sides = np.zeros(len(sources), int)  # of stamps, as they are
    for cache, image in zip(caches, images, strict=True) if sources.has_stamps else ():
        sides[image[image >= 0]] = cache.column("height")[image >= 0]
    for image in sources.by_tile(known).tolist():
        source = sources[image]
        now[image] = _hash_of(reader, source, sides[image]) if verify else reader.stat(source)

    best = np.zeros(len(sources), np.int8)  # 0: nothing, 1: rows of which some are failed, 2: good rows
    chosen = np.full(len(sources), -1)
    stale = [np.array([], "S1")]
    for number, (cache, ids, image) in enumerate(zip(caches, names, images, strict=True)):
        given = image >= 0
        changed = given & (now[image] != (cache.column("sha256") if verify else cache.read("inputs")))
        if sources.has_stamps:
            changed |= given & _moved(cache, sources.rows[image], recipe.measure)
        value = np.zeros(len(sources), np.int8)
        value[image[given]] = 2
        value[image[given & (cache.column("status") == FAILED.encode())]] = 0 if retry_failed else 1
        value[image[changed]] = 0
        chosen[value > best] = number
        best = np.maximum(best, value)
        stale.append(ids[changed])

    reused = []
    for number, (cache, image) in enumerate(zip(caches, images, strict=True)):
        use = (image >= 0) & (chosen[image] == number)
        if cache is old and append:
            use |= image < 0
        if use.any():
            reused.append((cache, np.flatnonzero(use)))
    in_old = np.zeros(len(sources), bool)
    if old is not None:
        in_old[images[0][images[0] >= 0]] = True
    return Plan(
        reused,
        missing=np.flatnonzero(chosen < 0),
        kept=names[0][images[0] < 0] if old is not None else np.array([], "S1"),
        new=np.flatnonzero(~in_old),
        changed=len(np.unique(np.concatenate(stale))),
    )


def _moved(cache: Cache, wanted: np.ndarray, options: MeasureOptions) -> np.ndarray:
    """Return which good rows of a cache are stamps of other places than wanted."""
    good = cache.column("status") == OK.encode()
    side = cache.column("height")
    moved = (side < wanted["least"]) | (side > wanted["most"])
    for axis in ("row", "col"):
        moved |= cache.column(f"stamp_{axis}") != np.ceil(wanted[axis] - side / 2)
    given = ~np.isnan(wanted["size"])
    if given.any():
        windows = [window_of_size(0, 0, size, options).side for size in wanted["size"].tolist()]
        moved |= given & (cache.column("side") != windows)
    return good & moved


def _image_of(sources: Sources, ids: np.ndarray, all_objects: bool) -> np.ndarray:
    """Return for rows of a cache the number of their image, or -1 if it is not among the sources."""
    given = sources.raw_ids
    image = find_ids(given, ids)
    if all_objects:
        image = np.where(image < 0, find_ids(given, _image_ids(ids)), image)
    return image


def _image_ids(ids: np.ndarray) -> np.ndarray:
    """Return the ids of the images of which these are, or may be, the ids of objects."""
    return np.array([(image_id(raw.decode()) or raw.decode()).encode() for raw in ids.tolist()], "S")


def check_object_ids(sources: Sources) -> None:
    """Refuse images of which the id of one could be that of an object of another.

    Raises
    ------
    InputError
        If there are such.
    """
    ids = sources.raw_ids
    images = find_ids(ids, _image_ids(ids))
    clashes = np.flatnonzero((images >= 0) & (images != np.arange(len(ids))))
    if len(clashes):
        one, other = sources[clashes[0]].id, sources[images[clashes[0]]].id
        raise InputError(f"the id {one!r} could be that of an object of {other!r}: try --id path")


def _hash_of(reader: Reader, source: Source, side: int) -> str:
    if source.stamp is not None and side:
        source = replace(source, stamp=source.stamp._replace(most=side))
    try:
        return sha256_of(reader.read(source))
    except (ImageError, OSError):
        return ""


def agree_on_layout(recipe: Recipe, given: Sources, old: Cache | None, reader: Reader) -> Layout:
    """Return pixel type and bands of the first readable image, in the order of the ids of all.

    All slices and all runs agree on it; rows of the old file count as readable where they are good.

    Raises
    ------
    BatchError
        If no image can be read, or the old file has another layout.
    """
    good = np.array([], "S1") if old is None else old.column("id")[old.column("status") == OK.encode()]
    first_good = min((_image_ids(good) if recipe.all_objects else good).tolist(), default=None)
    layout = old.layout if old is not None and first_good is not None else None
    first_error = ""
    for source in given:
        if first_good is not None and first_good < source.id.encode():
            break
        try:
            image, _ = reader.decode(reader.read(source))
        except (ImageError, OSError, MemoryError) as error:
            first_error = first_error or f"{source.name}: {reason(error)}"
        else:
            layout = recipe.layout_of(image)
            break
    if layout is None:
        if len(given) == 1:
            raise BatchError(f"the only image cannot be read: {first_error}")
        raise BatchError(f"none of the {len(given)} images can be read; the first is {first_error}")
    if old is not None and old.layout != layout:
        raise BatchError(
            f"{old.path} holds {old.layout}, but the first readable image of all is now {layout}: "
            "leave that image out, or --overwrite to remake all crops"
        )
    return layout
