"""The story of a run: look at what is there, plan, make what is missing, join it, clean up."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ..cache import format as fmt
from ..cache.contents import count_contents
from ..cache.format import Layout
from ..cache.merge import write_merged
from ..cache.part import Head, Rows
from ..cache.reader import Cache
from ..cache.recipe import Recipe
from ..cropping.many import usable_cores
from ..files.errors import BatchError, CacheError, Interrupted, PartError
from ..files.names import printable
from ..files.output import explain_write_error, lock_output
from ..files.writing import TEMPORARY
from ..sources.labels import FolderClasses, Joined, LabelFile
from ..sources.listing import Sources
from ..sources.reader import Reader
from .engines import choose, is_configured, run, warm_up
from .plan import Plan, agree_on_layout, check_object_ids, make_plan
from .rows import Task, add_images, make_parts
from .summary import Summary

_log = logging.getLogger("scalenorm")

_SHOWN = 3

#: Fewer images are not worth a part of their own, unless a worker would have none.
_FEW = 64


@dataclass(frozen=True)
class Run:
    """What to make, how and where: the checked options of one call of `convert`, which explains them."""

    recipe: Recipe
    given: Sources
    source: str
    inputs: list[str]
    output: Path
    labels: LabelFile | FolderClasses | None
    part: tuple[int, int] | None
    overwrite: bool
    append: bool
    retry_failed: bool
    verify: bool
    keep_parts: bool
    compress: bool
    dry_run: bool
    jobs: int | None
    backend: str
    scheduler: str | None
    part_size: int
    progress: bool

    @property
    def folder(self) -> Path:
        """Where parts and temporary files lie."""
        return self.output.with_name(self.output.name + ".parts")

    @property
    def sources(self) -> Sources:
        """The images, or the slice of them that `part` names."""
        if self.part is None:
            return self.given
        number, of = self.part
        count = len(self.given)
        return self.given[count * (number - 1) // of : count * number // of]

    def make(self) -> Summary:
        """Make the output, or say that it is complete.

        Raises
        ------
        BatchError
            If the run cannot start or continue; the message says why and what to do.
        CacheError, TableError
            If the old file or the labels do not fit.
        Interrupted
            If a signal stopped it.
        """
        if self.dry_run:
            return self._make()
        if os.path.isfile(self.output) and not os.access(self.output.parent, os.W_OK):
            # A complete file needs no lock, and may lie where nobody writes any more.
            found = replace(self, dry_run=True)._make()
            if found.complete:
                return replace(found, **vars(count_contents(Cache(self.output))))
        with lock_output(self.output):
            return self._make()

    def _make(self) -> Summary:
        recipe, sources = self.recipe, self.sources
        if recipe.all_objects:
            check_object_ids(sources)
        with Reader(recipe.decode.max_bytes, recipe.decode) as reader:
            old, parts = self._open_existing()
            layout = agree_on_layout(recipe, self.given, old, reader)
            plan = make_plan(
                recipe, sources, old, [part for part in parts if part.layout == layout], reader,
                append=self.append, retry_failed=self.retry_failed, verify=self.verify,
            )  # fmt: skip
        complete = old is not None and self._is_complete(plan, old)
        self._check_against_old(plan, old, complete)
        reused, missing = plan.count_reused, len(plan.missing)
        summary = Summary(
            self.output, reused + missing, made=missing, reused=reused, changed=plan.changed, complete=complete,
            labels=None if recipe.all_objects else self._compare_labels(plan.ids(sources)),
        )  # fmt: skip
        if self.dry_run:
            return summary
        started = time.perf_counter()
        with self._explain_stop():
            if missing:
                import h5py  # noqa: F401  # while there are handles left for it; workers may use up all there are

                warm_up(recipe, layout)
                self.folder.mkdir(exist_ok=True)
                if self.overwrite:
                    self._discard_old(parts)
                for path in self._make_parts(plan, layout):
                    plan.add(path)
            if not complete or (recipe.all_objects and self.labels is not None):
                selection = plan.selection()
                summary = replace(summary, images=len(selection), made=len(selection) - reused)
                if recipe.all_objects:  # their ids are known only now
                    summary = replace(summary, labels=self._compare_labels(selection.ids))
            if not complete:
                self.folder.mkdir(exist_ok=True)
                head = self._head(layout, old)
                write_merged(
                    self.output, self.folder, head, selection, virtual=self.keep_parts,
                    label_file=self.labels, labelled=self._labelled(old),
                )  # fmt: skip
        seconds = time.perf_counter() - started
        result = Cache(self.output)
        self._clean(keep={path for _, path, _, _ in result.parts})
        return replace(summary, seconds=seconds, **vars(count_contents(result)))

    # --- what is there

    def _open_existing(self) -> tuple[Cache | None, list[Cache]]:
        """Open the old file and the finished parts that may be reused; check that their settings are this run's."""
        old = self._open_old()
        parts = []
        for path in sorted(self.folder.glob("part-*.h5")):
            try:
                parts.append(Cache(path))
            except CacheError:  # damaged: made again
                if not self.dry_run:
                    path.unlink()
        if not self.dry_run:
            for path in self.folder.glob(f"*{TEMPORARY}"):
                path.unlink()
        if self.overwrite:
            finished = set() if old is None else {path for _, path, _, _ in old.parts}
            return None, [
                part for part in parts if part.settings_hash == self.recipe.hash and part.path not in finished
            ]
        for cache in [old, *parts]:
            if cache is not None and cache.settings_hash != self.recipe.hash:
                changes = "; ".join(fmt.differences(cache.settings, self.recipe.settings))
                what = f"{self.output} was" if cache is old else f"the finished parts in {self.folder} were"
                raise BatchError(
                    f"{what} made with other settings ({changes}): use the same settings, or --overwrite to start from "
                    "scratch"
                )
        return old, parts

    def _open_old(self) -> Cache | None:
        if not self.output.exists():
            return None
        try:
            return Cache(self.output)
        except PartError as error:
            if self.overwrite:
                return None
            raise BatchError(f"{error}; --overwrite does, or delete {self.output} to keep its other parts") from error
        except CacheError as error:
            raise BatchError(f"{error}; it is left alone: remove it or choose another output") from error

    def _is_complete(self, plan: Plan, old: Cache) -> bool:
        labelled = self.labels is None or self.labels.sha256 == old.labels_sha256
        unchanged = all(cache is old for cache, _ in plan.reused) and plan.count_reused == len(old)
        return labelled and unchanged and not len(plan.missing)

    def _check_against_old(self, plan: Plan, old: Cache | None, complete: bool) -> None:
        if old is None:
            return
        if len(plan.kept) and not self.append:
            raise BatchError(
                f"{self.output} holds {_some([name.decode() for name in plan.kept.tolist()])} not among the inputs: "
                "--append keeps them, --overwrite starts from scratch"
            )
        if len(plan.new) and not self.append:
            raise BatchError(
                f"{self.output} is complete, but lacks {_some([self.sources[n].id for n in plan.new])} of "
                "the inputs: --append adds them, --overwrite starts from scratch"
            )
        if old.added and not complete:
            added = ", ".join(old.added[:_SHOWN]) + (", ..." if len(old.added) > _SHOWN else "")
            raise BatchError(
                f"{self.output} holds {added}, not of scalenorm, and would lose it as it is written anew: "
                "move it to another file first, or --overwrite to start from scratch without it"
            )
        if not old.has_inputs and plan.changed and not self.verify:
            _log.warning(
                "%s does not say when its images were changed: those given are all made again; --verify compares "
                "their hashes instead", printable(self.output),
            )  # fmt: skip
        if self.keep_parts and not old.is_virtual and not complete:
            raise BatchError(
                f"{self.output} has no parts to keep: omit --keep-parts, or --overwrite to start from scratch"
            )

    def _compare_labels(self, ids: np.ndarray) -> Joined | None:
        """Say how labels and images fit together; a slice is compared as the whole, as its labels may be elsewhere."""
        if self.labels is None:
            return None
        if self.part is not None and not self.recipe.all_objects:  # the objects of other slices are not known
            ids = self.given.raw_ids
        required = self.part is None or not self.recipe.all_objects
        return self.labels.join(ids, required=required).joined

    # --- what is made

    def _discard_old(self, parts: list[Cache]) -> None:
        """Remove what `--overwrite` replaces, but a solid output, which stays until the new one is finished."""
        try:
            replaced = self.output.exists() and Cache(self.output).is_virtual
        except PartError:
            replaced = True
        if replaced:
            self.output.unlink()
        self._clean(keep={part.path for part in parts})
        self.folder.mkdir(exist_ok=True)

    def _head(self, layout: Layout, old: Cache | None = None) -> Head:
        inputs = [*self.inputs, *(old.inputs if old is not None else ())]
        return Head(self.recipe.settings, layout, self.source, self.compress, inputs)

    def _make_parts(self, plan: Plan, layout: Layout) -> Iterator[Cache]:
        from tqdm import tqdm

        count = len(self.sources)
        # None: tqdm shows itself on a terminal only.
        hidden = None if self.progress else True
        bar = tqdm(total=count, initial=count - len(plan.missing), unit=" images", disable=hidden, smoothing=0.1)
        work = partial(make_parts, self.recipe, self._head(layout))
        backend = self.backend
        if backend == "auto" and not is_configured():
            backend = choose(partial(self._try, layout), self.sources.take(plan.missing), self.jobs or usable_cores())
        made = run(
            work, self._tasks(plan.missing), bar.update,
            backend=backend, jobs=self.jobs, scheduler=self.scheduler,
        )  # fmt: skip
        with bar, contextlib.closing(made):
            for path in itertools.chain.from_iterable(made):
                try:
                    yield Cache(path)
                except FileNotFoundError:
                    raise BatchError(
                        f"a worker wrote {path}, but it is not here: all workers must share this folder"
                    ) from None

    def _try(self, layout: Layout, sources: Sources) -> None:
        """Make the rows of some images, and throw them away."""
        with Reader(self.recipe.decode.max_bytes, self.recipe.decode) as reader:
            add_images(Rows(self._head(layout), len(sources)), sources, self.recipe, reader)

    def _tasks(self, missing: np.ndarray) -> Iterator[Task]:
        """Divide the images among all workers, so that they end at about the same time; parts to keep as asked for.

        The stamps of a tile stay together.
        """
        missing = self.sources.by_tile(missing)
        jobs, run_name = self.jobs or usable_cores(), secrets.token_hex(4)
        count = -(-len(missing) // self.part_size)
        if not self.keep_parts:
            count = max(count, min(4 * jobs, len(missing) // _FEW), min(jobs, len(missing)))
        size = -(-len(missing) // count)
        for number, start in enumerate(range(0, len(missing), size)):
            sources = self.sources.take(missing[start : start + size])
            yield Task(str(self.folder / f"part-{run_name}-{number:06d}"), sources, self.part_size)

    def _labelled(self, old: Cache | None) -> list[Cache]:
        """Return the old file if its labels are kept."""
        if old is None or not old.label_names or (self.labels is not None and not self.append):
            return []
        if self.labels is not None and old.label_names != self.labels.names:
            raise BatchError(
                f"the labels of {self.output} are different ({', '.join(old.label_names[:_SHOWN])}, ...) than those "
                f"of {self.labels.path} ({', '.join(self.labels.names[:_SHOWN])}, ...)"
            )
        return [old]

    # --- the end

    def _clean(self, keep: set[Path]) -> None:
        """Remove parts that are not needed any more, and the folder if it is then empty."""
        for path in [*self.folder.glob("part-*.h5"), *self.folder.glob(f"*{TEMPORARY}")]:
            if path not in keep:
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    @contextlib.contextmanager
    def _explain_stop(self) -> Iterator[None]:
        """Add to whatever stops the run how far it got, and how to resume it."""
        try:
            yield
        except KeyboardInterrupt:
            raise Interrupted(f"stopped{self._progress_made()}") from None
        except BatchError as error:
            raise BatchError(f"{error}{self._progress_made()}") from error
        except OSError as error:
            raise BatchError(f"{explain_write_error(error, self.output)}{self._progress_made()}") from error

    def _progress_made(self) -> str:
        rows = 0
        for path in self.folder.glob("part-*.h5"):
            with contextlib.suppress(CacheError, OSError):
                rows += len(Cache(path))
        if not rows:
            return "; nothing was finished"
        return f"; {rows} finished images are kept in {self.folder}: the same command resumes from there"


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in ids[:_SHOWN]) + (", ..." if len(ids) > _SHOWN else "")
    return f"{len(ids)} image{'s' if len(ids) > 1 else ''} ({shown})"
