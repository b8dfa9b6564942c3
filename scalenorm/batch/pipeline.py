"""From checked options to a finished file: look at what is there, make what is missing, join it, clean up."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..cache import format as fmt
from ..cache.contents import count_contents
from ..cache.format import Layout
from ..cache.merge import Labels, write_merged
from ..cache.part import Head, Store, create
from ..cache.reader import Cache
from ..cropping.crop import measure_and_crop
from ..cropping.fields import crop_all
from ..files.errors import BatchError, CacheError, Interrupted, PartError
from ..files.output import explain_write_error, lock_output
from ..files.writing import TEMPORARY, new_file
from ..sources.listing import Sources
from ..sources.reader import Reader, open_reader
from .counting import list_objects
from .engines import cores, is_local, run
from .job import Job
from .layouts import check_layout, first_layout, images_in_order, rows_in_order
from .plan import Plan, make_plan
from .summary import Summary
from .work import Recipe, Task

if TYPE_CHECKING:
    pass

#: Lies among the parts while `--overwrite` is under way; holds the hash of its settings.
_ANEW = "anew"

_SHOWN = 3


def make(job: Job) -> Summary:
    """Make the output, or say that it is complete.

    Raises
    ------
    BatchError
        If the run cannot start or go on; the message says why and what to do.
    CacheError, LabelsError
        If the old file or the labels do not fit.
    Interrupted
        If a signal stopped it.
    """
    if job.dry_run:
        return _make(job)
    if os.path.isfile(job.output) and not os.access(job.output.parent, os.W_OK):
        # What is complete needs no lock, and may lie where nobody writes any more.
        found = _make(dataclasses.replace(job, dry_run=True))
        if found.complete:
            return dataclasses.replace(found, **vars(count_contents(Cache(job.output))))
    with lock_output(job.output):
        return _make(job)


def _make(job: Job) -> Summary:
    with open_reader(max_bytes=job.decode.max_bytes) as reader:
        old, parts = _at_hand(job)
        plan, layout = _fitting_plan(job, old, parts, reader)
    _check_against_old(job, plan, old)
    joined = None
    if job.labels is not None:
        # A slice is compared as the whole, because all its labels may well be those of other slices; but the objects
        # of other slices are not known.
        ids = (len(plan), plan.id_of) if job.part is None or job.all_objects else (len(job.given), job.given.id)
        joined = job.labels.compare(*ids, required=job.part is None or not job.all_objects)
    missing = plan.missing
    complete = old is not None and _is_complete(job, plan, old)
    summary = Summary(
        job.output, len(plan), made=len(missing), reused=len(plan) - len(missing), changed=plan.changed,
        complete=complete, skipped=job.skipped, labels=joined,
    )  # fmt: skip
    if job.dry_run:
        return summary
    started = time.perf_counter()
    if not complete:
        with _telling_how_far(job):
            if job.overwrite and not _goes_on_anew(job):
                _start_anew(job)
            job.folder.mkdir(exist_ok=True)
            inputs = [*job.inputs, *(old.inputs if old is not None else ())]
            head = Head(job.settings, layout, job.source, job.compress, inputs)
            store = _store(job, plan, head) if is_local(job.backend) and len(missing) else None
            if len(missing):
                _make_parts(job, plan, head, store)
            write_merged(
                job.output, job.folder, head, plan.selection(),
                labels=_labels(job, plan, old), virtual=job.keep_parts, store=store,
            )  # fmt: skip
    seconds = time.perf_counter() - started
    result = Cache(job.output)
    _clean(job.folder, keep={path for _, path, _, _ in result.parts})
    return dataclasses.replace(summary, seconds=seconds, **vars(count_contents(result)))


def _at_hand(job: Job) -> tuple[Cache | None, list[Cache]]:
    """Open the old file and the finished parts, and check that their settings are this run's."""
    old = None
    if job.output.exists():
        try:
            old = Cache(job.output)
        except PartError as error:
            if not job.overwrite:
                raise BatchError(
                    f"{error}; --overwrite does, or delete {job.output} to keep its other parts"
                ) from error
        except CacheError as error:
            raise BatchError(f"{error}; it is left alone: remove it or choose another output") from error
    if not job.dry_run:
        for path in job.folder.glob(f"*{TEMPORARY}"):
            path.unlink()
    if job.overwrite:
        old = None
        if not _goes_on_anew(job):
            return None, []
    parts = []
    for path in sorted(job.folder.glob("part-*.h5")):
        try:
            parts.append(Cache(path))
        except CacheError:  # damaged: made again
            if not job.dry_run:
                path.unlink()
    for cache in [old, *parts]:
        if cache is not None and cache.settings_hash != fmt.settings_hash(job.settings):
            changes = "; ".join(fmt.differences(cache.settings, job.settings))
            what = f"{job.output} was" if cache is old else f"the finished parts in {job.folder} were"
            raise BatchError(f"{what} made with other settings ({changes}): give those, or --overwrite to start anew")
    return old, parts


def _goes_on_anew(job: Job) -> bool:
    """Whether this run was interrupted after `_start_anew`."""
    marker = job.folder / _ANEW
    return marker.is_file() and marker.read_text() == fmt.settings_hash(job.settings)


def _start_anew(job: Job) -> None:
    """Remove what earlier runs left. A solid output stays until the new one is finished."""
    if job.output.exists() and _needs_parts(job.output):
        job.output.unlink()
    if job.folder.is_dir():
        _clean(job.folder, keep=set(job.folder.glob("objects-*.counts")))
    job.folder.mkdir(exist_ok=True)
    (job.folder / _ANEW).write_text(fmt.settings_hash(job.settings))


def _needs_parts(path: Path) -> bool:
    try:
        return Cache(path).is_virtual
    except PartError:
        return True


def _fitting_plan(job: Job, old: Cache | None, parts: list[Cache], reader: Reader) -> tuple[Plan, Layout]:
    """Plan with the parts that have the layout of the first readable image, as one undisturbed run would."""
    sources, fixed = job.sources, None
    if job.all_objects:
        fixed = first_layout(job, images_in_order(job, old), len(sources), reader)
        check_layout(job, old, fixed)
        sources = _objects(job, old, fixed, reader)
    while True:
        plan = make_plan(
            sources, old, parts, keep=job.append, verify=job.verify, reader=reader, all_objects=job.all_objects
        )
        if job.retry_failed:
            plan.forget_failed()
        layout = fixed or first_layout(job, rows_in_order(job, plan), len(plan), reader)
        fitting = [part for part in parts if part.layout == layout]
        if len(fitting) == len(parts):
            break
        parts = fitting
    check_layout(job, old, layout)
    return plan, layout


def _objects(job: Job, old: Cache | None, layout: Layout, reader: Reader) -> Sources:
    head = Head(job.settings, layout)
    _warm_up(job, head)
    path = None
    if not job.dry_run:
        ids = hashlib.sha256(repr([fmt.settings_hash(job.settings), layout]).encode())
        for identifier in job.sources.ids():
            ids.update(identifier.encode() + b"\0")
        path = job.folder / f"objects-{ids.hexdigest()[:16]}.counts"
        if job.verify or (job.overwrite and not _goes_on_anew(job)):
            path.unlink(missing_ok=True)
    try:
        return list_objects(
            job.sources, Recipe(head, job.measure, job.decode), old=None if job.verify else old, path=path,
            recount_empty=job.retry_failed, jobs=job.jobs or cores(), reader=reader, progress=job.progress,
        )  # fmt: skip
    except KeyboardInterrupt:
        raise Interrupted("stopped while counting objects: the same command goes on from there") from None


def _check_against_old(job: Job, plan: Plan, old: Cache | None) -> None:
    if old is None:
        return
    if plan.kept and not job.append:
        raise BatchError(
            f"{job.output} holds {_some(plan.kept)} not among the inputs: "
            "--append keeps them, --overwrite makes the file anew"
        )
    new = np.flatnonzero(~plan.known)
    if len(new) and not job.append:
        ids = [plan.id_of(row) for row in new[:_SHOWN].tolist()]
        raise BatchError(
            f"{job.output} is complete, but lacks {_some(ids, len(new))} of the inputs: "
            "--append adds them, --overwrite makes the file anew"
        )
    if job.keep_parts and not old.is_virtual and not _is_complete(job, plan, old):
        raise BatchError(f"{job.output} has no parts to keep: leave --keep-parts out, or --overwrite to start anew")


def _some(ids: Sequence[str], count: int | None = None) -> str:
    count = len(ids) if count is None else count
    shown = ", ".join(repr(name) for name in ids[:_SHOWN]) + (", ..." if count > _SHOWN else "")
    return f"{count} image{'s' if count > 1 else ''} ({shown})"


def _is_complete(job: Job, plan: Plan, old: Cache) -> bool:
    labelled = job.labels is None or job.labels.sha256 == old.labels_sha256
    return labelled and len(plan) == len(old) and not plan.cache_of.any()


def _make_parts(job: Job, plan: Plan, head: Head, store: Store | None) -> None:
    from tqdm import tqdm

    _warm_up(job, head)
    missing = plan.missing
    recipe = Recipe(head, job.measure, job.decode, job.all_objects)
    # None: tqdm shows itself on a terminal only.
    hidden = None if job.progress else True
    with tqdm(total=len(plan), initial=len(plan) - len(missing), unit=" images", disable=hidden, smoothing=0.1) as bar:
        made = run(
            _tasks(job, plan, missing, store), recipe, bar.update,
            backend=job.backend, jobs=job.jobs, scheduler=job.scheduler,
        )  # fmt: skip
        with contextlib.closing(made):
            for task in made:
                try:
                    plan.add_part(task.rows, Cache(task.path))
                except FileNotFoundError:
                    raise BatchError(
                        f"a worker wrote {task.path}, but it is not here: all workers must share this folder"
                    ) from None


def _store(job: Job, plan: Plan, head: Head) -> Store | None:
    """Return a file in which rows have their final places, if that of an earlier run can be used, else a new one.

    It can if it was made for the same rows and if no part refers to pixels there that are out of date: those
    would be overwritten under that part.
    """
    if job.keep_parts or job.compress:
        return None
    ids = hashlib.sha256(repr([fmt.settings_hash(job.settings), head.layout]).encode())
    for row in range(len(plan)):
        ids.update(plan.id_of(row).encode() + b"\0")
    used = np.bincount(plan.cache_of[plan.cache_of >= 0], minlength=len(plan.caches))
    stale = {cache.pixels_path for cache, rows in zip(plan.caches, used, strict=True) if rows != len(cache)}
    for attempt in itertools.count(1):
        path = job.folder / f"pixels-{ids.hexdigest()[:16]}-{attempt}.h5"
        if path in stale:
            continue
        with new_file(path, job.folder, publish_it=not path.exists()) as temporary:
            return Store(path, create(temporary, head, len(plan)))
    return None


def _tasks(job: Job, plan: Plan, missing: np.ndarray, store: Store | None) -> Iterator[Task]:
    settings = fmt.settings_hash(job.settings)
    for start in range(0, len(missing), job.part_size):
        rows = missing[start : start + job.part_size]
        sources = plan.sources.take(plan.source_of[rows].tolist())
        name = hashlib.sha256("\0".join([settings, *sources.ids()]).encode()).hexdigest()[:16]
        path, attempt = job.folder / f"part-{name}.h5", 1
        while path.exists():  # out of date, but maybe still in use by a virtual output
            attempt += 1
            path = job.folder / f"part-{name}-{attempt}.h5"
        together = rows[-1] - rows[0] == len(rows) - 1
        yield Task(str(path), rows, sources, store if together else None)


def _warm_up(job: Job, head: Head) -> None:
    """Compile the kernels once, before workers start that would all do so; refuse weights for other bands."""
    size, _, bands = head.crop_shape
    rows, cols = np.ogrid[:48, :48]
    # Two galaxies that touch, so that deblending does all that it can.
    light = sum(height * np.exp(-((rows - 24) ** 2 + (cols - col) ** 2) / 18) for height, col in ((100, 20), (80, 31)))
    image = light.astype(head.layout.dtype)
    if bands > 1:
        image = np.repeat(image[:, :, None], bands, axis=2)
    masked = job.decode.mask_hdu is not None or job.decode.weight_hdu is not None
    mask = np.zeros(image.shape[:2], bool) if masked else None
    try:
        if job.all_objects:
            options = {k: v for k, v in vars(job.measure).items() if k not in ("center", "min_area")}
            crop_all(image, size, mask=mask, **options)
        else:
            centre = job.measure.center if isinstance(job.measure.center, str) else "image"
            measure = dataclasses.replace(job.measure, center=centre)
            measure_and_crop(image, head.view_names, size, measure, mask=mask)
    except ValueError as error:
        raise BatchError(str(error)) from error


def _labels(job: Job, plan: Plan, old: Cache | None) -> Labels | None:
    kept = [] if old is None else _labels_of_remade(plan, old)
    if job.labels is None:
        if old is None or not old.label_names:
            return None
        # Without the hash, because rows that are new have yet to be looked up in the file that the others' are from.
        new = np.count_nonzero(plan.cache_of) > len(kept)
        return Labels(old.label_names, "" if new else old.labels_sha256, kept, keep=True)
    if job.append and old is not None and old.label_names not in ((), job.labels.names):
        raise BatchError(
            f"the labels of {job.output} are other ones ({', '.join(old.label_names[:_SHOWN])}, ...) than those of "
            f"{job.labels.path} ({', '.join(job.labels.names[:_SHOWN])}, ...)"
        )
    rows = itertools.chain(kept if job.append else (), job.labels.joined(len(plan), plan.id_of))
    return Labels(job.labels.names, job.labels.sha256, rows, keep=job.append)


def _labels_of_remade(plan: Plan, old: Cache) -> list[tuple[int, np.ndarray]]:
    """Return labels that the old file, the plan's first cache, has of rows that come from parts, which have none."""
    remade = np.flatnonzero(plan.cache_of)
    if old.labels is None or not len(remade):
        return []
    row_of = {identifier: row for row, identifier in enumerate(old.ids)}
    pairs = ((row, row_of.get(plan.id_of(row))) for row in remade.tolist())
    return [(row, old.labels[at]) for row, at in pairs if at is not None]


def _clean(folder: Path, keep: set[Path]) -> None:
    """Remove parts that are not needed any more, and the folder if it is then empty."""
    for pattern in ("part-*.h5", "pixels-*.h5", "objects-*.counts", f"*{TEMPORARY}", _ANEW):
        for path in folder.glob(pattern):
            if path not in keep:
                path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


@contextlib.contextmanager
def _telling_how_far(job: Job) -> Iterator[None]:
    """Add to whatever stops the run how far it got, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"stopped{_how_far(job)}") from None
    except BatchError as error:
        raise BatchError(f"{error}{_how_far(job)}") from error
    except OSError as error:
        raise BatchError(f"{explain_write_error(error, job.output)}{_how_far(job)}") from error


def _how_far(job: Job) -> str:
    parts = job.folder.glob("part-*.h5") if job.folder.is_dir() else ()
    rows = 0
    for path in parts:
        with contextlib.suppress(CacheError, OSError):
            rows += len(Cache(path))
    if not rows:
        return "; nothing was finished"
    return f"; {rows} finished images are kept in {job.folder}: the same command goes on from there"
