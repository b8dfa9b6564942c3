"""Which images there are, and their bytes: folders, files, globs, archives, lists, .npy stacks, URLs."""

from __future__ import annotations

import csv
import glob
import io
import os
import stat
from array import array
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple, overload

import numpy as np

from .archives import ARCHIVE_SUFFIXES, COMPRESSED_TAR_SUFFIXES, ArchiveError, open_archive
from .images import IMAGE_SUFFIXES, ImageError, npy_header

__all__ = ["InputError", "Listing", "Reader", "Source", "Sources", "find", "open_reader"]

_MAX_HANDLES = 8
# In a compressed tar every step back in the file means decompressing from its start again.
_MAX_STEPS_BACK = 8


class InputError(ValueError):
    """The inputs cannot be used; found before any image is read."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where one image is.

    Attributes
    ----------
    id : str
        Its id in the cache; valid UTF-8.
    container : str
        Path or URL of the file, or of the archive or .npy stack that holds it.
    member : str or None
        Its name in the archive.
    index : int or None
        Its number in the .npy stack, or the place of its directory entry in the archive.
    name : str
        What people see: its name inside its folder or archive; valid UTF-8.
    """

    id: str
    container: str
    member: str | None
    index: int | None
    name: str


class _Root(NamedTuple):
    """What a group of sources has in common. kind: "folder", "archive" or "stack"."""

    kind: str
    path: str
    shown: str


class _Texts:
    """A sequence of str in one buffer: a listing of 10^6 files must not cost 10^6 Python objects."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.ends = array("Q")

    def append(self, text: str) -> None:
        self.buffer += text.encode("utf-8", "surrogatepass")
        self.ends.append(len(self.buffer))

    def raw(self, i: int) -> bytes:
        return bytes(self.buffer[self.ends[i - 1] if i else 0 : self.ends[i]])

    def __getitem__(self, i: int) -> str:
        return self.raw(i).decode("utf-8", "surrogatepass")

    def take(self, order: Iterable[int]) -> _Texts:
        out = _Texts()
        for i in order:
            out.buffer += self.raw(i)
            out.ends.append(len(out.buffer))
        return out


class Sources(Sequence[Source]):
    """All sources, in order of id; they are made on access and stored compactly.

    A slice is again a `Sources`, and pickles to little more than its names and ids.
    """

    def __init__(self, roots: list[_Root] | None = None) -> None:
        self._roots = roots or []
        self._ids = _Texts()
        self._names = _Texts()
        self._root = array("I")
        self._index = array("q")

    def __len__(self) -> int:
        return len(self._root)

    @overload
    def __getitem__(self, key: int) -> Source: ...
    @overload
    def __getitem__(self, key: slice) -> Sources: ...
    def __getitem__(self, key: int | slice) -> Source | Sources:
        if isinstance(key, slice):
            return self._take(range(*key.indices(len(self))))
        i = range(len(self))[key]
        root, name, index = self._roots[self._root[i]], self._names[i], self._index[i]
        if root.kind == "folder":
            return Source(self._ids[i], _join(root.path, name), None, None, visible(name))
        if root.kind == "archive":
            return Source(self._ids[i], root.path, name, index, visible(name))
        return Source(self._ids[i], root.path, None, index, f"{root.shown}[{index}]")

    def __iter__(self) -> Iterator[Source]:
        return (self[i] for i in range(len(self)))

    def ids(self) -> Iterator[str]:
        """The ids alone, without the cost of whole sources."""
        return (self._ids[i] for i in range(len(self)))

    def _take(self, order: Sequence[int]) -> Sources:
        used = {root: number for number, root in enumerate(sorted({self._root[i] for i in order}))}
        out = Sources([self._roots[root] for root in used])
        out._ids = self._ids.take(order)
        out._names = self._names.take(order)
        out._root = array("I", (used[self._root[i]] for i in order))
        out._index = array("q", (self._index[i] for i in order))
        return out


@dataclass(frozen=True)
class Listing:
    """What `find` found.

    Attributes
    ----------
    sources : Sources
        In Python string order of ids.
    skipped : dict of str to int
        How many files of folders and archives have no known ending, by ending (archives inside included).
    """

    sources: Sources
    skipped: dict[str, int] = field(default_factory=dict)


def find(inputs: Sequence[str | Path], *, list_file: str | Path | None = None, id_from: str = "stem") -> Listing:
    """List the images of `inputs`.

    Parameters
    ----------
    inputs : sequence of path-like or str
        Folders (searched recursively), files, .zip and .tar archives (read in place), .npy stacks, glob patterns
        and fsspec URLs. Folders and archives contribute files with a known ending that are not hidden; a file
        named here is always tried.
    list_file : path-like, optional
        A text file with one path a line, or a .csv file with the paths in the column ``path``, else in the
        first, and optionally ids in the column ``id``. Its first row is a header where a cell is ``path`` or
        the first cell has no image's ending. Paths are relative to the list's folder.
    id_from : {"stem", "path"}
        An id is the file's name without ending, or its path as given here.

    Returns
    -------
    Listing
        Sorted by id.

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
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = [(folder / name).write_bytes(b"") for name in ("b.jpg", "a.png", "notes.txt")]
    >>> listing = find([folder])
    >>> [source.id for source in listing.sources], listing.skipped
    (['a', 'b'], {'.txt': 1})
    """
    if id_from not in ("stem", "path"):
        raise InputError(f"id_from must be 'stem' or 'path', not {id_from!r}")
    finder = _Finder(id_from)
    for given in inputs:
        finder.add_input(os.fspath(given))
    if list_file is not None:
        finder.add_list(os.fspath(list_file))
    if not len(finder.found):
        given = ", ".join(visible(os.fspath(g)) for g in [*inputs, *([list_file] if list_file else [])])
        others = ", ".join(f"{n} {suffix or 'without ending'}" for suffix, n in sorted(finder.skipped.items()))
        raise InputError(f"no images in {given or 'no input'}" + (f" (other files: {others})" if others else ""))
    return Listing(finder.sorted(), dict(sorted(finder.skipped.items())))


def visible(text: str) -> str:
    """`text` as valid UTF-8 without NUL: bytes of a file name that are not UTF-8 are written as \\xNN."""
    if not text.isascii():
        try:
            text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        except UnicodeEncodeError:
            text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text.replace("\0", "\\x00")


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

    def __init__(self, id_from: str) -> None:
        self.by_path = id_from == "path"
        self.found = Sources()
        self.skipped: Counter[str] = Counter()
        self.root_number: dict[_Root, int] = {}

    # --- one source

    def root(self, kind: str, path: str, shown: str = "") -> int:
        root = _Root(kind, path, shown)
        if root not in self.root_number:
            self.root_number[root] = len(self.found._roots)
            self.found._roots.append(root)
        return self.root_number[root]

    def append(self, root: int, name: str, source_id: str, index: int = -1) -> None:
        found = self.found
        found._ids.append(source_id)
        found._names.append(name)
        found._root.append(root)
        found._index.append(index)

    def id_of(self, name: str, given: str) -> str:
        if self.by_path:
            return visible(given)
        last = name[name.rfind("/") + 1 :]
        suffix = suffix_of(last)
        return visible(last[: len(last) - len(suffix)] if suffix else last)

    def wanted(self, name: str) -> bool:
        """Whether a file of a folder or archive is an image; counts the others."""
        suffix = suffix_of(name[name.rfind("/") + 1 :])
        if suffix in IMAGE_SUFFIXES:
            return True
        self.skipped[visible(suffix) if len(suffix) <= 16 else "(other)"] += 1
        return False

    def add_file(self, folder: str, name: str, given: str, source_id: str | None = None) -> None:
        """Add the file `name` in `folder`; a .npy stack adds all its images."""
        source_id = self.id_of(name, given) if source_id is None else source_id
        count = None
        if name[-4:].lower() == ".npy":
            path = _join(folder, name)
            try:
                count = _stack_length(path)
            except OSError:
                pass  # a file that cannot be read is tried, fails and is recorded like any other
        if count is None:
            self.append(self.root("folder", folder), name, source_id)
            return
        root = self.root("stack", path, visible(name))
        for i in range(count):
            self.append(root, "", f"{source_id}/{i:06d}", i)

    # --- one input

    def add_input(self, given: str) -> None:
        if "://" in given:
            self.add_url(given)
        elif os.path.isdir(given):
            self.add_folder(given)
        elif os.path.lexists(given):
            self.add_path(given, os.path.abspath(given))
        elif glob.has_magic(given):
            matches = sorted(glob.glob(given, recursive=True))
            if not matches:
                raise InputError(f"nothing matches {visible(given)}")
            for match in matches:
                self.add_input(match)
        else:
            raise InputError(f"no such file or folder: {visible(given)}")

    def add_path(self, given: str, path: str) -> None:
        if suffix_of(given) in ARCHIVE_SUFFIXES:
            self.add_archive(given, path)
        else:
            folder, _, name = path.rpartition("/" if "://" in path else os.sep)
            self.add_file(folder or os.sep, name, _clean(given))

    def add_folder(self, given: str) -> None:
        top, shown = os.path.abspath(given), _clean(given)
        seen: set[tuple[int, int]] = set()
        pending = [""]
        while pending:
            inside = pending.pop()
            here = os.path.join(top, inside)
            try:
                info = os.stat(here)
                if (info.st_dev, info.st_ino) in seen:
                    continue  # a symbolic link that leads back
                seen.add((info.st_dev, info.st_ino))
                with os.scandir(here) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                raise InputError(f"cannot list {visible(here)}: {error.strerror}") from error
            for entry in listed:
                if _hidden(entry.name):
                    continue
                name = f"{inside}{entry.name}"
                if entry.is_dir():
                    pending.append(name + "/")
                elif (entry.is_file() or entry.is_symlink()) and self.wanted(name):
                    self.add_file(top, name, f"{shown}/{name}")

    def add_archive(self, given: str, path: str) -> None:
        root, shown = self.root("archive", path), _clean(given)
        try:
            with _open(path) as file:
                for name, place in open_archive(file).members():
                    if not any(_hidden(part) for part in name.split("/")) and self.wanted(name):
                        self.append(root, name, self.id_of(name, f"{shown}/{name}"), place)
        except (ArchiveError, OSError) as error:
            raise InputError(f"cannot read the archive {visible(given)}: {error}") from error

    def add_url(self, given: str) -> None:
        fsspec = _fsspec(given)
        try:
            system, path = fsspec.core.url_to_fs(given)
            if system.isdir(path):
                for file in sorted(system.find(path)):
                    name = file[len(path) :].lstrip("/")
                    if not any(_hidden(part) for part in name.split("/")) and self.wanted(name):
                        self.add_file(given.rstrip("/"), name, f"{given.rstrip('/')}/{name}")
            elif system.exists(path):
                self.add_path(given, given)
            elif glob.has_magic(path) and (matches := sorted(system.glob(path))):
                for match in matches:
                    self.add_url(system.unstrip_protocol(match))
            else:
                raise InputError(f"no such file or folder: {given}")
        except (OSError, ImportError) as error:
            raise InputError(f"cannot read {given}: {error}") from error

    def add_list(self, given: str) -> None:
        folder = os.path.dirname(os.path.abspath(given))
        try:
            with open(given, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
                rows = _csv_rows(file) if given.lower().endswith(".csv") else _text_rows(file)
                for path, source_id in rows:
                    if not path:
                        continue
                    root = "" if "://" in path else folder
                    self.add_file(root, path, _clean(path), visible(source_id) if source_id else None)
        except (OSError, csv.Error) as error:
            raise InputError(f"cannot read the list {visible(given)}: {error}") from error

    # --- the end

    def sorted(self) -> Sources:
        # The byte order of UTF-8 is the order of Python's strings.
        keys = [self.found._ids.raw(i) for i in range(len(self.found))]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        twins = [(i, j) for i, j in zip(order, order[1:], strict=False) if keys[i] == keys[j]]
        if twins:
            first, second = (self.found[i] for i in twins[0])
            more = f" ({len(twins) - 1} more like this)" if len(twins) > 1 else ""
            hint = "give each its own id in a list with columns id,path" if self.by_path else "try --id path"
            raise InputError(f"two inputs have the id {first.id!r}: {_where(first)} and {_where(second)}{more}; {hint}")
        del keys
        result = self.found._take(order)
        _check_streams(result)
        return result


def _where(source: Source) -> str:
    inside = source.member if source.member is not None else source.index
    return visible(source.container if inside is None else f"{source.container}[{inside}]")


def _check_streams(sources: Sources) -> None:
    """Refuse compressed tars whose members are not in order of id."""
    streams = {number for number, root in enumerate(sources._roots) if suffix_of(root.path) in COMPRESSED_TAR_SUFFIXES}
    if not streams:
        return
    last: dict[int, int] = {}
    back: Counter[int] = Counter()
    for number, place in zip(sources._root, sources._index, strict=True):
        if number in streams:
            back[number] += place < last.get(number, 0)
            last[number] = place
    for number, steps in back.items():
        if steps > _MAX_STEPS_BACK:
            raise InputError(
                f"{visible(sources._roots[number].path)} is a compressed tar whose members are not in order of "
                "id: it would be decompressed again and again; decompress it to a .tar, or unpack it"
            )


def _join(folder: str, name: str) -> str:
    if not folder:
        return name
    return f"{folder}/{name}" if "://" in folder else os.path.join(folder, name)


def _clean(given: str) -> str:
    return given.rstrip("/") if "://" in given else os.path.normpath(given).replace(os.sep, "/")


def _hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part not in (".", ".."))


def _text_rows(file: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in file:
        yield line.rstrip("\r\n"), ""


def _csv_rows(file: Iterable[str]) -> Iterator[tuple[str, str]]:
    rows = csv.reader(file)
    first = next(rows, [])
    names = [cell.strip().lower() for cell in first]
    path_at, id_at = 0, None
    if "path" in names or (first and suffix_of(first[0]) not in IMAGE_SUFFIXES):
        path_at = names.index("path") if "path" in names else 0
        id_at = names.index("id") if "id" in names and names.index("id") != path_at else None
    elif first:
        yield first[0], ""
    for row in rows:
        if len(row) > path_at:
            yield row[path_at], row[id_at] if id_at is not None and len(row) > id_at else ""


def _fsspec(url: str) -> Any:
    try:
        import fsspec
    except ImportError:
        raise InputError(f"reading {url} needs fsspec: pip install 'scalenorm[remote]'") from None
    return fsspec


def _open(container: str) -> IO[bytes]:
    if "://" in container:
        return _fsspec(container).open(container, "rb").open()  # type: ignore[no-any-return]
    return open(container, "rb")


# --- .npy stacks


class _Stack:
    """An open .npy stack: `read` gives one image of it as a .npy file."""

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.shape, fortran, self.dtype, self.start = npy_header(file.read(1 << 16))
        if fortran:
            raise ImageError("a .npy stack in Fortran order; save it in C order (numpy.ascontiguousarray)")
        header = io.BytesIO()
        descr = np.lib.format.dtype_to_descr(self.dtype)
        np.lib.format.write_array_header_1_0(header, {"shape": self.shape[1:], "fortran_order": False, "descr": descr})
        self.header = header.getvalue()
        self.size = int(np.prod(self.shape[1:], dtype=object)) * self.dtype.itemsize

    def read(self, index: int, limit: int) -> bytes:
        if self.size > limit:
            raise ImageError(f"an image of {self.size} bytes is above the limit of {limit} (raise max_pixels)")
        if index >= self.shape[0]:
            raise ImageError("the .npy stack has changed since it was listed")
        self.file.seek(self.start + index * self.size)
        data = self.file.read(self.size)
        if len(data) != self.size:
            raise ImageError("damaged .npy stack: it ends before this image")
        return self.header + data


def _is_stack(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 or (len(shape) == 3 and shape[2] > 4)


def _stack_length(path: str) -> int | None:
    """Number of images in a .npy stack; None where the file is no stack."""
    with _open(path) as file:
        try:
            shape = npy_header(file.read(1 << 16))[0]
        except ImageError:
            return None
    return shape[0] if _is_stack(shape) and shape[0] > 0 else None


# --- bytes


def open_reader(*, max_bytes: int = 2_000_000_000) -> Reader:
    """Open a reader; each thread needs its own.

    Parameters
    ----------
    max_bytes : int > 0
        Largest file or archive member to read, checked before it is read.
    """
    return Reader(max_bytes)


class Reader:
    """Reads the bytes of sources; keeps up to 8 archives and stacks open. Not for sharing between threads."""

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self._handles: OrderedDict[str, tuple[IO[bytes], Any]] = OrderedDict()

    def read(self, source: Source) -> bytes:
        """Read one image's file.

        Returns
        -------
        bytes
            The file, the archive's member, or a .npy file of the one image of a stack.

        Raises
        ------
        ImageError
            The image is damaged, encrypted, too large or not a regular file: a failure of this image.
        OSError
            The system could not read the file: gone, not permitted, too many open files, ...
        """
        if source.member is not None:
            archive = self._handle(source.container, open_archive)
            data: bytes = archive.read(source.member, source.index, self.max_bytes)
            if data[:6] == b"\x93NUMPY" and _is_stack(npy_header(data)[0]):
                raise ImageError("a .npy stack inside an archive; unpack it")
            return data
        if source.index is not None:
            stack: _Stack = self._handle(source.container, _Stack)
            return stack.read(source.index, self.max_bytes)
        if "://" in source.container:
            return self._read_url(source.container)
        return _read_file(source.container, self.max_bytes)

    def stat(self, source: Source) -> tuple[int, int]:
        """Size in bytes and time of last change in ns (0 where unknown) of the source's container.

        Raises
        ------
        OSError
            It is gone or cannot be looked at.
        """
        if "://" not in source.container:
            info = os.stat(source.container)
            return info.st_size, info.st_mtime_ns
        system, path = _fsspec(source.container).core.url_to_fs(source.container)
        details = system.info(path)
        changed = details.get("mtime") or details.get("LastModified") or details.get("created") or 0
        if hasattr(changed, "timestamp"):
            changed = changed.timestamp()
        return int(details.get("size") or 0), int(float(changed) * 1e9)

    def close(self) -> None:
        """Close all open files."""
        while self._handles:
            self._handles.popitem()[1][0].close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _handle(self, container: str, opener: Callable[[IO[bytes]], Any]) -> Any:
        if container in self._handles:
            self._handles.move_to_end(container)
            return self._handles[container][1]
        while len(self._handles) >= _MAX_HANDLES:
            self._handles.popitem(last=False)[1][0].close()
        file = _open(container)
        try:
            opened = opener(file)
        except ArchiveError as error:
            file.close()
            raise ImageError(f"cannot read the archive: {error}") from error
        except BaseException:
            file.close()
            raise
        self._handles[container] = (file, opened)
        return opened

    def _read_url(self, url: str) -> bytes:
        with _open(url) as file:
            data = file.read(self.max_bytes + 1)
        _check_bytes(len(data), self.max_bytes)
        return data


def _check_bytes(size: int, limit: int) -> None:
    if size > limit:
        raise ImageError(f"a file of {size} bytes is above the limit of {limit} (raise max_pixels)")


def _read_file(path: str, limit: int) -> bytes:
    # Without O_NONBLOCK, opening a named pipe waits for a writer that never comes.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            raise ImageError("not a regular file")
        _check_bytes(info.st_size, limit)
        data = os.read(handle, info.st_size + 1)
        if len(data) == info.st_size:
            return data
        with os.fdopen(os.dup(handle), "rb") as file:  # a short read, or the file is being written
            data += file.read(limit + 1 - len(data))
        _check_bytes(len(data), limit)
        return data
    finally:
        os.close(handle)
