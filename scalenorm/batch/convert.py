"""From images to a cache file: `convert`, which ``scalenorm-batch`` calls."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cache.reader import Cache
from ..cache.recipe import Recipe
from ..files.errors import BatchError, OptionError
from ..files.names import visible
from ..files.output import check_output_path, resolve_output
from ..files.reading import filesystem, is_url, remote_errors
from ..measuring.options import OPTIONS
from ..sources.finding import find
from ..sources.labels import FolderClasses, IdMap, LabelFile, read_labels
from ..sources.listing import Root, Sources
from ..sources.positions import UNITS, StampSide, find_stamps, read_positions
from .engines import BACKENDS
from .run import Run
from .summary import Summary
from .windows import windows_digest, with_windows

PART_SIZE = 512

PathLike = str | os.PathLike[str]

#: Measuring options that say how large a window is.
_OF_WINDOWS = ("margin", "size_from", "side_limits")


def convert(
    inputs: PathLike | Sequence[PathLike],
    output: PathLike,
    *,
    views: Sequence[str] | None = None,
    size: int = 64,
    all_objects: bool = False,
    labels: PathLike | None = None,
    id_column: str | None = None,
    label_columns: Sequence[str] | None = None,
    id_map: PathLike | None = None,
    id_map_columns: Sequence[str] | None = None,
    class_from_folder: bool = False,
    list_file: PathLike | None = None,
    id_from: str = "stem",
    band_files: str | None = None,
    measure_band: str | None = None,
    positions: PathLike | None = None,
    stamp: str | int | tuple[int, int] | None = None,
    position_columns: str | None = None,
    tile_column: str | None = None,
    stamp_from: str | None = None,
    side_from: str | None = None,
    side_unit: str = "pixel",
    windows_from: PathLike | None = None,
    part: tuple[int, int] | None = None,
    overwrite: bool = False,
    append: bool = False,
    retry_failed: bool = False,
    verify: bool = False,
    keep_parts: bool = False,
    compress: bool = False,
    dry_run: bool = False,
    jobs: int | None = None,
    backend: str = "auto",
    scheduler: str | None = None,
    part_size: int = PART_SIZE,
    progress: bool = False,
    **options: Any,
) -> Summary:
    """Measure images, crop them and write crops and catalogue to a cache file.

    Called again after an interruption, it resumes from the parts that were finished; called again after
    success, it does nothing. The values in the file depend on the images and on the options that its
    ``settings`` record only, never on workers, engine or interruptions.

    Parameters
    ----------
    inputs : path or sequence of paths
        Folders, files, archives, globs, stacks (.npy, .npz, HDF5, Parquet), URLs: see `scalenorm.sources.find`.
    output : path
        The cache to write, usually ``.h5``; or an fsspec URL, made in a local temporary folder first.
    views : sequence of str, optional
        ``"normalized"`` and ``"center-N"``; by default normalized, center-64 and center-256; with `all_objects`
        ``"normalized"``, which is then the only one there is.
    size : int > 0
        Height and width of all crops, pixels.
    all_objects : bool
        A row for each object of an image, as `scalenorm.crop_all` gives them, with the ids ``<id>/000000``, ...;
        an image without any is a failed row. Excludes ``center``; give ``min_area``, or noise counts as objects.
    labels : path, optional
        A table of answers: CSV, FITS, Parquet, ..., see :doc:`/tables`. Columns of text are classes. Or the file
        or folder of images that has the answers beside them.
    id_column : str, optional
        The column of ids in it, or in `positions`; without it the first of GalaxyID, id, dr7objid, objid, ... that
        there is.
    label_columns : sequence of str, optional
        Its columns of answers, names or patterns such as ``"t01_*_debiased"``; without it all others that have a name.
    id_map : path, optional
        A table that says which image has which id in `labels`.
    id_map_columns : (str, str), optional
        Its columns: the labels' ids, the images' ids.
    class_from_folder : bool
        Take the name of each image's folder as its label ``class``; ids are then paths. Excludes `labels`.
    list_file : path, optional
        A text file or table that lists further inputs.
    id_from : {"stem", "path"}
        What an image's id is.
    band_files : str, optional
        How files are named that hold one band each, such as ``"{id}_{band}.fits"`` or ``"{band}/{id}.fits"``. The files
        of one id are joined to one image, in the order of the option ``bands``, such as ``["g", "r", "z"]``. An image
        of which one is missing, or of another size, or elsewhere on the sky by more than half a pixel, is a failed row.
    measure_band : str, optional
        The one of these bands that is measured: short for `weights` of 1 and 0.
    positions : path, optional
        A table with a row for each galaxy; the inputs are then tiles, large images that hold them. A galaxy is cut from
        the tile in which it lies furthest from the edge. Columns of positions are found by their names: ``ra`` and
        ``dec`` in degrees, or ``row`` and ``col``, or ``x`` and ``y``, pixels from 0.
    stamp : int, str or (int, int)
        Side of the square around each position that is measured as an image of its own: pixels, or a text such as
        ``"20arcsec"``. Of ``"64..512"`` each galaxy gets the smallest of 64, 128, 256, 512 in which it does not touch
        the edge.
    position_columns : str, optional
        Other columns of positions: ``"ra=A,dec=B"``, ``"row=A,col=B"``, ``"x=A,y=B"``.
    tile_column : str, optional
        The column that names each position's tile.
    stamp_from : str, optional
        The column that holds the side of each stamp in pixels, in place of `stamp`.
    side_from : str, optional
        The column that holds each galaxy's size, such as a Petrosian diameter: the window's side is ``margin`` times
        that in place of the measured major axis, which stays in the catalogue beside it.
    side_unit : {"pixel", "arcsec", "arcmin", "deg"}
        The unit of that column.
    windows_from : path, optional
        Another cache: the window of each image is that of the row of the same id there, the same on the sky by the WCS
        of both images, or the same pixels where neither has one and both are of one size. What is measured stays in
        the catalogue beside it. An image whose window is not known is a failed row.
    part : (int, int), optional
        (k, n): make only the k-th of n slices, k from 1; `scalenorm-merge` joins them.
    overwrite : bool
        Replace the output if there is one.
    append : bool
        Add images to the output; its other rows stay.
    retry_failed : bool
        Make the rows of failed images again.
    verify : bool
        Notice changed images by their hash, not by size and time of change.
    keep_parts : bool
        Leave the pixels in the parts; the output refers to them.
    compress : bool
        Store each crop compressed (gzip); smaller, but slower to write and to read.
    dry_run : bool
        Only say what would be made.
    jobs : int > 0, optional
        Number of threads or processes; by default one for each core that this process may use.
    backend : {"auto", "threads", "loky", "dask"}
        auto: that of an active ``joblib.parallel_config``; else threads, or processes (loky) for a run so long that
        they would save more time than they take to start. The log of ``scalenorm``, at level INFO, says which and why.
    scheduler : str, optional
        Address of a Dask scheduler, with ``backend="dask"``; else a cluster is started on this machine.
    part_size : int > 0
        Most images per part, fewer where that keeps all workers busy: what an interruption can lose per worker.
    progress : bool
        Show a progress bar if stderr is a terminal.
    **options
        The measuring options of `scalenorm.measure`, and the options of `scalenorm.images.DecodeOptions`
        (``dtype``, ``bands``, ``max_pixels``, ...).

    Returns
    -------
    Summary
        Counts of images, failures by reason, flags.

    Raises
    ------
    TypeError
        If there is no such option.
    OptionError
        If an option is out of its range.
    InputError, TableError, CacheError
        If inputs, labels or the old output do not fit; these and `OptionError` are kinds of ValueError.
    BatchError
        If the run cannot start or continue.

    Examples
    --------
    >>> import scalenorm
    >>> summary = scalenorm.convert("images", "galaxies.h5", margin=1.5)  # doctest: +SKIP
    >>> summary.images, summary.failed                                    # doctest: +SKIP
    (7952, 0)
    """
    given = [os.fspath(name) for name in ([inputs] if isinstance(inputs, (str, os.PathLike)) else inputs)]
    list_path = None if list_file is None else os.fspath(list_file)
    windows = None if windows_from is None else Cache(windows_from)
    try:
        if class_from_folder:
            if labels is not None or positions is not None:
                raise ValueError(f"class_from_folder excludes {'positions' if labels is None else 'labels'}")
            id_from = "path"
        if windows is not None and os.path.realpath(windows.path) == os.path.realpath(output):
            raise ValueError("windows_from must be another cache than the output")
        recipe = checked_recipe(
            views, size, id_from, all_objects, options, band_files=band_files, measure_band=measure_band,
            positions=positions, stamp=stamp, stamp_from=stamp_from, side_from=side_from, side_unit=side_unit,
            windows=windows,
        )  # fmt: skip
        _check_choices(part, overwrite, append, retry_failed, jobs, backend, scheduler, part_size)
        if labels is None and label_columns is not None:
            raise ValueError("label_columns needs labels")
        if labels is None and positions is None and id_column is not None:
            raise ValueError("id_column needs labels")
        if (id_map is None) != (id_map_columns is None) or (id_map is not None and labels is None):
            raise ValueError("id_map needs labels, and the names of its two columns, the labels' ids first")
        if is_url(os.fspath(output)) and keep_parts:
            raise ValueError("keep_parts needs a local output: a URL gets one whole file")
    except ValueError as error:
        raise OptionError(str(error)) from None
    label_file: LabelFile | FolderClasses | None = FolderClasses(all_objects) if class_from_folder else None
    given, sources = find_images(
        given, recipe, list_file=list_path, positions=positions, id_column=id_column,
        position_columns=position_columns, tile_column=tile_column, stamp_from=stamp_from, side_from=side_from,
        tables=[os.fspath(table) for table in (labels, id_map) if table is not None],
    )  # fmt: skip
    if labels is not None:
        ids = None if id_map is None else IdMap.read(id_map, id_map_columns or ())
        label_file = read_labels(
            labels, id_column=id_column, columns=label_columns, id_map=ids, id_from=id_from, images=sources
        )
    if windows is not None:
        sources = with_windows(sources, windows)
    inputs_given = [*given, *([] if list_path is None else [list_path])]
    names = [visible(name) for name in inputs_given]
    places = _places(sources.roots, inputs_given)
    source = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")

    def make(path: Path) -> Summary:
        check_output_path(path)
        run = Run(
            recipe, sources, source, places, path, label_file, part=part, overwrite=overwrite, append=append,
            retry_failed=retry_failed, verify=verify, keep_parts=keep_parts, compress=compress, dry_run=dry_run,
            jobs=jobs, backend=backend, scheduler=scheduler, part_size=part_size, progress=progress,
        )  # fmt: skip
        if part is not None and not len(run.sources):
            raise OptionError(f"part {part[0]} of {part[1]} has no images: there are only {len(run.given)}")
        return dataclasses.replace(run.make(), skipped=sources.skipped)

    if is_url(os.fspath(output)):
        return _make_remote(make, os.fspath(output), dry_run)
    return make(resolve_output(output))


def checked_recipe(
    views: Sequence[str] | None, size: int, id_from: str, all_objects: bool, options: Mapping[str, Any], *,
    band_files: str | None, measure_band: str | None, positions: PathLike | None,
    stamp: str | int | tuple[int, int] | None, stamp_from: str | None, side_from: str | None, side_unit: str,
    windows: Cache | None,
) -> Recipe:  # fmt: skip
    """Check what was said about rows; `convert` explains the options."""
    special = _stamp_settings(positions, stamp, stamp_from, side_from, side_unit, all_objects)
    if windows is not None:
        others = {"all_objects": all_objects, "side_from": side_from is not None}
        others |= {name: options.get(name, OPTIONS[name].default) != OPTIONS[name].default for name in _OF_WINDOWS}
        for name, given in others.items():
            if given:
                raise ValueError(f"windows_from takes windows as they are, so it excludes {name}")
        special["windows_from"] = windows_digest(windows)
    if band_files is not None:
        special["band_files"] = band_files
    if measure_band is not None:
        options = {**options, "weights": _weights_of(measure_band, band_files, options)}
    return Recipe.checked(views, size, id_from, all_objects, options, special)


def find_images(
    given: list[str], recipe: Recipe, *, list_file: str | None, positions: PathLike | None, id_column: str | None,
    position_columns: str | None, tile_column: str | None, stamp_from: str | None, side_from: str | None,
    tables: Sequence[str] = (),
) -> tuple[list[str], Sources]:  # fmt: skip
    """List images, or, with positions, the stamps of tiles; `convert` explains the options. Also what is listed."""
    if positions is None:
        return given, find(
            given, list_file=list_file, id_from=recipe.id_from, band_files=recipe.band_files, tables=tables
        )
    table = read_positions(
        positions, id_column=id_column, position_columns=position_columns, tile_column=tile_column,
        stamp_from=stamp_from, side_from=side_from,
    )  # fmt: skip
    if not given and list_file is None and table.tiles is not None:
        given = sorted(set(table.tiles))
    tables = [*tables, os.fspath(positions)]
    tiles = find(given, list_file=list_file, id_from=recipe.id_from, band_files=recipe.band_files, tables=tables)
    return given, find_stamps(tiles, table, recipe.special, recipe.decode)


def _check_choices(
    part: tuple[int, int] | None, overwrite: bool, append: bool, retry_failed: bool,
    jobs: int | None, backend: str, scheduler: str | None, part_size: int,
) -> None:  # fmt: skip
    if part is not None and not 1 <= part[0] <= part[1]:
        raise ValueError(f"part must be K/N with 1 <= K <= N, got {part[0]}/{part[1]}")
    if overwrite and (append or retry_failed):
        raise ValueError(f"overwrite starts from scratch, so it excludes {'append' if append else 'retry_failed'}")
    if append and part is not None:
        raise ValueError("append adds to a whole file, so it excludes part")
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    if part_size < 1:
        raise ValueError(f"part_size must be at least 1, got {part_size}")
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if scheduler is not None and backend != "dask":
        raise ValueError("scheduler needs backend 'dask'")


def _stamp_settings(
    positions: PathLike | None, stamp: str | int | tuple[int, int] | None, stamp_from: str | None,
    side_from: str | None, side_unit: str, all_objects: bool,
) -> dict[str, str]:  # fmt: skip
    """Check what was said about stamps; return what the settings say of it."""
    if positions is None:
        for name, value in (("stamp", stamp), ("stamp_from", stamp_from), ("side_from", side_from)):
            if value is not None:
                raise ValueError(f"{name} needs positions")
        return {}
    if (stamp is None) == (stamp_from is None):
        raise ValueError("positions need the side of the stamps: give a stamp, such as 128 or 20arcsec, or stamp_from")
    if all_objects:
        raise ValueError("all_objects finds the objects itself, so it excludes positions")
    if side_unit not in UNITS:
        raise ValueError(f"side_unit must be one of {', '.join(UNITS)}, got {side_unit!r}")
    settings = {"stamp_from": stamp_from} if stamp_from is not None else {}
    if stamp is not None:
        settings["stamp"] = "..".join(map(str, stamp)) if isinstance(stamp, tuple) else str(stamp)
        StampSide.parse(settings["stamp"])
    return settings | ({"side_from": side_from, "side_unit": side_unit} if side_from is not None else {})


def _weights_of(measure_band: str, band_files: str | None, options: Mapping[str, Any]) -> list[float]:
    """Return the weights by which one band is measured."""
    bands = options.get("bands", ())
    if band_files is None:
        raise ValueError("measure_band needs band_files; for bands without names give weights")
    if options.get("weights") is not None:
        raise ValueError("measure_band stands for weights: give one of them")
    if measure_band not in bands:
        raise ValueError(f"measure_band must be one of the bands ({', '.join(bands)}), got {measure_band!r}")
    return [float(band == measure_band) for band in bands]


def _places(roots: Sequence[Root], given: Sequence[str]) -> list[str]:
    """Return the folders, archives and stacks that hold the images: relative paths where all given ones are."""
    paths = [visible(root.path) for root in roots if root.kind != "missing"]
    if any(is_url(name) or os.path.isabs(name) for name in given):
        return paths
    return [os.path.relpath(path) for path in paths if path]


def _make_remote(make: Callable[[Path], Summary], url: str, dry_run: bool) -> Summary:
    """Make the file in a local folder that the same URL finds again, then send it whole."""
    try:
        system, path = filesystem(url)
    except (ImportError, ValueError) as error:
        raise BatchError(f"{visible(url)}: {error}") from error
    folder = Path(tempfile.gettempdir()) / f"scalenorm-{hashlib.sha256(url.encode()).hexdigest()[:16]}"
    folder.mkdir(exist_ok=True)
    local = folder / (path.rstrip("/").rpartition("/")[2] or "cache.h5")
    try:
        unsent = local.exists()
        with remote_errors("cannot be read"):
            if not unsent and system.exists(path):
                system.get_file(path, str(local))
        summary = make(local)
        if dry_run:
            return dataclasses.replace(summary, output=visible(url))
        if unsent or not summary.complete:
            with remote_errors("cannot be written"):
                system.put_file(str(local), f"{path}.tmp")
                system.mv(f"{path}.tmp", path)
    except OSError as error:
        raise BatchError(f"{visible(url)}: {error}; what is finished is kept in {folder}") from error
    shutil.rmtree(folder)
    return dataclasses.replace(summary, output=visible(url))
