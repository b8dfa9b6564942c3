"""Which images there are, and their bytes: folders, files, globs, archives, lists, .npy stacks, URLs."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import glob
import os
import posixpath
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..files.errors import ArchiveError, ImageError, InputError, TableError, reason, turned_into
from ..files.names import visible
from ..files.reading import filesystem, is_url, join, open_file
from ..images.fits import FitsImage
from ..images.options import IMAGE_SUFFIXES, DecodeOptions
from .archives import ANSWERS, ARCHIVE_SUFFIXES, open_archive
from .bands import BandFiles
from .listing import Root, Source, Sources, SourcesBuilder
from .parquet import NEEDS_PYARROW, has_pyarrow, holds_images
from .stacks import STACK_SUFFIXES, stack_length
from .tables import Table, is_certainly_table, open_table, to_texts

# In a compressed tar every step back in the file means decompressing from its start again.
_MAX_STEPS_BACK = 8

# Endings of files that are images to whoever names them, whether their labels are asked for, too, or not.
_WITH_ANSWERS = (".npz", ".h5", ".hdf5")


def find(
    inputs: Sequence[str | Path], *, list_file: str | Path | None = None, id_from: str = "stem",
    band_files: BandFiles | None = None, tables: Sequence[str | Path] = (),
) -> Sources:  # fmt: skip
    """List the images of `inputs`.

    Parameters
    ----------
    inputs : sequence of path-like or str
        Folders (searched recursively), files, .zip and .tar archives (read in place), stacks (.npy, .npz, HDF5,
        Parquet), glob patterns and fsspec URLs. Folders and archives contribute files with a known ending that are
        not hidden, folders also Parquet files with a column of images; a file named here is always tried.
    list_file : path-like, optional
        A text file with one path a line, or a .csv file or another table (:doc:`/tables`) with the paths in the column
        ``path``, else in the first, and optionally ids in the column ``id``. The first row of a .csv file is a header
        where a cell is ``path`` or the first cell has no image's ending and is neither a URL nor a file. Paths are
        relative to the list's folder.
    id_from : {"stem", "path"}
        An id is the file's name without ending, or its path without ending inside the folder or archive given here,
        with ``/`` on every system; that of a listed file inside the list's folder.
    band_files : BandFiles, optional
        The names of files that hold one band each; those with other names are skipped. An image is what has one id,
        whether it has all bands or not.
    tables : sequence of path-like
        What is read as labels and the like: such a file is neither an image, unless it holds one, too, nor `skipped`,
        and in such an archive labels are not.

    Returns
    -------
    Sources
        Sorted by id; the attribute ``skipped`` counts the files that are no images by extension.

    Raises
    ------
    InputError
        No such path, nothing found, an unreadable archive or list, or two images with one id.

    Notes
    -----
    A .npy file of 2 axes is one image (H, W), of 3 axes with a last one of at most 4 one image (H, W, C), of
    other 3 axes a stack (N, H, W), of 4 axes a stack (N, H, W, C). The ids in a stack are ``stem/000000``, ...
    Stacks are recognised as files, not inside archives.

    Examples
    --------
    >>> from scalenorm.sources.finding import find
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = [(folder / name).write_bytes(b"") for name in ("b.jpg", "a.png", "notes.txt")]
    >>> sources = find([folder])
    >>> [source.id for source in sources], sources.skipped
    (['a', 'b'], {'.txt': 1})
    """
    if id_from not in ("stem", "path"):
        raise InputError(f"id_from must be 'stem' or 'path', not {id_from!r}")
    finder = _Finder(id_from, band_files, [*tables, *([list_file] if list_file else [])])
    for given in inputs:
        finder.add_input(os.fspath(given))
    if list_file is not None:
        finder.add_list(os.fspath(list_file))
    found = finder.sorted()
    if not len(found):
        given = ", ".join(visible(os.fspath(g)) for g in [*inputs, *([list_file] if list_file else [])])
        others = ", ".join(f"{n} {suffix or '(no extension)'}" for suffix, n in sorted(finder.skipped.items()))
        skipped = f" (skipped files: {others})" if others else ""
        hint = f"; {NEEDS_PYARROW}" if ".parquet" in finder.skipped and not has_pyarrow() else ""
        what = "images" if band_files is None else f"files {band_files.pattern} of {', '.join(band_files.bands)}"
        raise InputError(f"no {what} in {given or 'no input'}{skipped}{hint}")
    found.skipped = dict(sorted(finder.skipped.items()))
    return found


def suffix_of(name: str) -> str:
    """Ending in lower case; of ``a.fits.gz`` and ``a.tar.xz`` both parts."""
    stem, suffix = os.path.splitext(name.lower())
    if suffix in (".gz", ".fz", ".bz2", ".xz"):
        inner = os.path.splitext(stem)[1]
        if inner + suffix in IMAGE_SUFFIXES or inner + suffix in ARCHIVE_SUFFIXES:
            return inner + suffix
    return suffix


class _Finder:
    """Collects sources; `sorted` gives them in order."""

    def __init__(self, id_from: str, band_files: BandFiles | None, tables: Sequence[str | Path]) -> None:
        self.by_path = id_from == "path"
        self.band_files = band_files
        matches = (match for given in tables for match in glob.glob(os.fspath(given), recursive=True))
        paths = [*tables, *(match for match in matches if suffix_of(match) in ARCHIVE_SUFFIXES)]
        self.tables = {os.path.realpath(path) for path in paths}
        self.table_names = {os.path.basename(path) for path in (*paths, *self.tables)}
        self.found = SourcesBuilder()
        self.skipped: Counter[str] = Counter()
        self.streams: set[Root] = set()
        self.protocols: set[str] = set()
        self.listed_ids = False

    # --- one source

    def id_of(self, name: str) -> str:
        return visible(_without_ending(_clean(name) if self.by_path else posixpath.basename(name)))

    def wanted(self, name: str, folder: str | None = None) -> bool:
        """Whether a file of a folder, or of an archive, holds images; counts the others, if they are no tables."""
        if folder is not None and self.is_only_table(join(folder, name)):
            return False
        suffix = suffix_of(posixpath.basename(name))
        wanted = suffix in IMAGE_SUFFIXES or self.band_files is not None
        if suffix == ".parquet" and folder is not None and self.band_files is None:
            path = join(folder, name)
            wanted = True
            if _is_file(path):
                with contextlib.suppress(OSError), turned_into(InputError, visible(path), ImageError):
                    wanted = holds_images(path)
        if not wanted:
            self.skip(name)
        return wanted

    def is_only_table(self, path: str) -> bool:
        """Whether a file is one of the tables, and holds no image as well."""
        if os.path.basename(path) not in self.table_names or os.path.realpath(path) not in self.tables:
            return False
        suffix = suffix_of(path)
        with contextlib.suppress(OSError, ImageError):
            if suffix == ".parquet":
                return not holds_images(path)
            if suffix in IMAGE_SUFFIXES and suffix != ".npy":
                with open_file(path) as file:
                    FitsImage(file.read(), DecodeOptions()).close()
                return False
        return True

    def skip(self, name: str) -> None:
        suffix = suffix_of(posixpath.basename(name))
        self.skipped[visible(suffix) if len(suffix) <= 16 else "(other)"] += 1

    def add_file(self, folder: str, name: str, source_id: str = "") -> None:
        """Add the file `name` in `folder`; a stack adds all its images, the file of a band the image that has it."""
        if self.band_files is not None:
            self.add_band(self.band_files, folder, name)
            return
        source_id = source_id or self.id_of(name)
        path, count = join(folder, name), None
        if name.lower().endswith(STACK_SUFFIXES) and _is_file(path):
            # What the system cannot read is tried later, fails and is recorded like any other file.
            with contextlib.suppress(OSError), turned_into(InputError, visible(path), ImageError):
                count = stack_length(path)
        if count is None:
            self.found.append(Root("folder", folder), name, source_id)
            return
        for i in range(count):
            self.found.append(Root("stack", path), name, f"{source_id}/{i:06d}", i)

    def add_band(self, band_files: BandFiles, folder: str, name: str) -> None:
        found = band_files.match(join(folder, name))
        if found is None:
            self.skip(name)
            return
        folder = folder.replace(os.sep, "/")
        within, inside = found.folder, ""
        if f"{within}/".startswith(f"{folder}/"):
            within, inside = folder, f"{within}/"[len(folder) + 1 :]
        identifier = f"{inside}{found.id}" if self.by_path else found.id
        self.found.append(Root("folder", within), inside + found.name, visible(identifier))

    # --- one input

    def add_input(self, given: str) -> None:
        if is_url(given):
            self.add_url(given)
        elif os.path.isdir(given):
            self.add_folder(given)
        elif os.path.lexists(given):
            self.add_path(given, os.path.abspath(given))
        elif glob.has_magic(given):
            matches = sorted(glob.glob(given, recursive=True))
            if not matches:
                raise InputError(f"no file matches {visible(given)}")
            for match in matches:
                self.add_input(match)
        else:
            raise InputError(f"no such file or folder: {visible(given)}")

    def add_path(self, given: str, path: str) -> None:
        if suffix_of(given) in ARCHIVE_SUFFIXES:
            self.add_archive(given, path)
        elif given.lower().endswith(_WITH_ANSWERS) or not self.is_only_table(path):
            folder, _, name = path.rpartition("/" if is_url(path) else os.sep)
            if folder.endswith(":/"):  # the top of a remote system, such as memory://
                folder += "/"
            self.add_file(folder or os.sep, name)

    def add_folder(self, given: str) -> None:
        top = os.path.abspath(given)
        seen: set[tuple[int, int]] = set()
        # Linked folders last: what is reached in two ways is named by the way without links.
        folders, links = deque([""]), deque[str]()
        while folders or links:
            inside = folders.popleft() if folders else links.popleft()
            here = os.path.join(top, inside)
            with turned_into(InputError, f"cannot list {visible(here)}", OSError):
                info = os.stat(here)
                if (info.st_dev, info.st_ino) in seen:
                    continue  # a symbolic link that leads back, or a second way
                seen.add((info.st_dev, info.st_ino))
                with os.scandir(here) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
            for entry in listed:
                if _hidden(entry.name):
                    continue
                name = f"{inside}{entry.name}"
                if _is_folder(entry):
                    (links if entry.is_symlink() else folders).append(name + "/")
                elif self.wanted(name, top):
                    self.add_file(top, name)

    def add_archive(self, given: str, path: str) -> None:
        if self.band_files is not None:
            raise InputError(f"{visible(given)} is an archive: unpack it, as each band must have a file of its own")
        root = Root("archive", path)
        of_labels = os.path.realpath(path) in self.tables
        if not _is_file(path):
            raise InputError(f"the archive {visible(given)} is not a regular file")
        words = f"cannot read the archive {visible(given)}"
        with turned_into(InputError, words, ArchiveError, OSError), open_file(path) as file:
            archive = open_archive(file)
            if archive.sequential:
                self.streams.add(root)
            for name, place in archive.members():
                if _inside_hidden(name) or (of_labels and ANSWERS.fullmatch(name)):
                    continue
                if self.wanted(name):
                    self.found.append(root, name, self.id_of(name), place)

    def add_url(self, given: str) -> None:
        given = given if given.endswith("://") else given.rstrip("/")
        # Each remote system's package has exceptions of its own.
        with turned_into(InputError, f"cannot read {visible(given)}", Exception):
            system, path = filesystem(given)
            if system.isdir(path):
                for file in sorted(system.find(path)):
                    name = file[len(path) :].lstrip("/")
                    if not _inside_hidden(name) and self.wanted(name, given):
                        self.add_file(given, name)
            elif system.exists(path):
                self.add_path(given, given)
            elif glob.has_magic(path) and (matches := sorted(system.glob(path))):
                for match in matches:
                    if not _hidden(match.rpartition("/")[2]):
                        self.add_url(system.unstrip_protocol(match))
            else:
                raise InputError(f"no such file or folder: {visible(given)}")

    def check_protocol(self, url: str) -> None:
        protocol = url.partition("://")[0]
        if protocol in self.protocols:
            return
        with turned_into(InputError, f"cannot read {visible(url)}", OSError, ImportError, ValueError):
            filesystem(url)
        self.protocols.add(protocol)

    def add_list(self, given: str) -> None:
        folder = os.path.dirname(os.path.abspath(given))
        missing, shown = 0, ""
        try:
            for path, source_id in _list_rows(given, folder):
                if not path.strip():
                    continue
                if "\0" in path:
                    raise InputError(f"the list {visible(given)} is not a text file: it holds NUL bytes")
                root = folder
                if is_url(path):
                    root = ""
                    self.check_protocol(path)
                elif not os.path.isfile(join(folder, path)):
                    missing += 1
                    shown = shown or visible(path)
                source_id = visible(source_id.strip())  # as labels' ids
                self.listed_ids |= bool(source_id)
                if self.listed_ids and self.band_files is not None:
                    raise InputError(f"the list {visible(given)} has ids, but band_files takes them from the names")
                self.add_file(root, path, source_id or self.id_of(path.removeprefix(folder + os.sep)))
        except TableError as error:
            raise InputError(f"cannot read the list {error}") from error
        except (OSError, csv.Error) as error:
            raise InputError(f"cannot read the list {visible(given)}: {reason(error)}") from error
        if missing:
            files = f"{missing} files that do not exist, first" if missing > 1 else "a file that does not exist,"
            raise InputError(
                f"the list {visible(given)} names {files} {shown!r}: "
                "paths are relative to the list's folder, and folders and archives cannot be listed"
            )

    # --- the end

    def sorted(self) -> Sources:
        found = self.found.sorted()
        if self.band_files is not None:  # each image was found once for each of its bands
            found = found.take(np.flatnonzero(np.append(True, found.rows[1:] != found.rows[:-1])[: len(found)]))
        twins = np.flatnonzero(found.raw_ids[1:] == found.raw_ids[:-1])
        if len(twins):
            first, second = found[twins[0]], found[twins[0] + 1]
            more = f" ({len(twins) - 1} more)" if len(twins) > 1 else ""
            if dataclasses.replace(first, id=second.id) == second:
                raise InputError(
                    f"{_where(first)} is given twice{more}: give it once, or list it with two ids (id,path)"
                )
            if first.member is not None and (first.container, first.member) == (second.container, second.member):
                raise InputError(f"two members of the archive have the name {_where(first)}{more}: repack it")
            same_path = _without_ending(first.name) == _without_ending(second.name)
            hint = "use --id path"
            if same_path or self.by_path or self.listed_ids:
                hint = "give each image an id of its own in a list (--list) with columns id,path"
            raise InputError(f"two inputs have the id {first.id!r}: {_where(first)} and {_where(second)}{more}; {hint}")
        for number, root in enumerate(found.roots):
            if root in self.streams:
                _check_order(found, number)
        return found


def _is_file(path: str) -> bool:
    return is_url(path) or os.path.isfile(path)


def _where(source: Source) -> str:
    inside = source.member if source.member is not None else source.index
    return visible(source.container if inside is None else f"{source.container}[{inside}]")


def _check_order(sources: Sources, root: int) -> None:
    """Refuse a compressed tar whose members are not in order of id."""
    places = sources.rows["index"][sources.rows["root"] == root]
    if np.count_nonzero(np.diff(places) < 0) > _MAX_STEPS_BACK:
        raise InputError(
            f"{visible(sources.roots[root].path)} is a compressed tar whose members are not in order of id: it would "
            "be decompressed again and again; decompress it to a .tar, or unpack it"
        )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _clean(given: str) -> str:
    return given.rstrip("/") if is_url(given) else os.path.normpath(given).replace(os.sep, "/")


def _without_ending(name: str) -> str:
    return name[: len(name) - len(suffix_of(name))]


def _hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part not in (".", ".."))


def _inside_hidden(name: str) -> bool:
    return any(_hidden(part) for part in name.split("/"))


def _list_rows(given: str, folder: str) -> Iterator[tuple[str, str]]:
    """Yield the paths in a list, and their ids or ""."""
    if os.path.isfile(given) and (is_certainly_table(given) or _has_path_column(given)):
        yield from _table_rows(open_table(given), folder)
        return
    with open(given, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        is_csv = given.lower().endswith(".csv")
        yield from _csv_rows(file, folder) if is_csv else ((line.rstrip("\r\n"), "") for line in file)


def _has_path_column(given: str) -> bool:
    """Whether the first line of a text has a cell ``path`` between other separators than commas."""
    with open(given, encoding="utf-8-sig", errors="surrogateescape") as file:
        cells = re.split("[;\t|]", file.readline(1 << 16).lower())
    return len(cells) > 1 and "path" in [cell.strip(' "\n') for cell in cells]


def _table_rows(table: Table, folder: str) -> Iterator[tuple[str, str]]:
    names = [name.lower() for name in table.names]
    if "path" not in names and _is_image_path(table.names[0], folder):
        raise TableError(f"{table.path}: its first row is {table.names[0]!r}, not the names of columns, such as path")
    columns = list(dict.fromkeys(["path" if "path" in names else table.names[0], *(["id"] if "id" in names else [])]))
    for block in table.blocks(columns):
        ids = table.ids(block, 1) if len(columns) > 1 else [""] * len(block.rows)
        yield from zip(to_texts(table, block.columns[0]), ids, strict=True)


def _csv_rows(file: Iterable[str], folder: str) -> Iterator[tuple[str, str]]:
    rows = csv.reader(file)
    first = next(rows, [])
    names = [cell.strip().lower() for cell in first]
    path_at, id_at = 0, None
    if "path" in names or (first and not _is_image_path(first[0], folder)):
        path_at = names.index("path") if "path" in names else 0
        id_at = names.index("id") if "id" in names and names.index("id") != path_at else None
    elif first:
        yield first[0], ""
    for row in rows:
        if len(row) > path_at:
            yield row[path_at], row[id_at] if id_at is not None and len(row) > id_at else ""


def _is_image_path(cell: str, folder: str) -> bool:
    return suffix_of(cell) in IMAGE_SUFFIXES or is_url(cell) or os.path.isfile(join(folder, cell))
