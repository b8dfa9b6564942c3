"""Read a cache: views as memory maps where the layout allows it, catalogue, labels and settings."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files.errors import CacheError, PartError, naming, one_line
from ..files.names import printable
from . import format as fmt
from .checking import Stored, as_column, as_ours, attributes_of, check_codes, check_file, dataset, plain
from .format import Layout
from .hdf5 import open_hdf5, reading
from .rows import Rows

if TYPE_CHECKING:
    import h5py

BLOCK_ROWS = 256
#: Rows of the catalogue that are read at once.
CATALOG_ROWS = 4096
#: So many parts of a virtual cache are kept open at once.
MOST_OPEN = 64

#: How systems say that they do not map a file; ENOMEM: that there is no room for it in the address space.
_NO_MAPS = {errno.ENODEV, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOMEM}


def open_cache(path: str | os.PathLike[str]) -> Cache:
    """Open a cache that ``scalenorm-batch`` or `scalenorm.convert` wrote.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    Cache
        Nothing but names and settings is read until it is asked for.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CacheError
        If it is not a cache, is damaged, was written by a newer version, or is virtual and one of its
        parts is missing or was replaced.

    Examples
    --------
    >>> import scalenorm
    >>> cache = scalenorm.open_cache("galaxies.h5")  # doctest: +SKIP
    >>> cache.view("normalized")[:16].shape          # doctest: +SKIP
    (16, 64, 64, 3)
    """
    return Cache(path)


class Cache(Rows):
    """A cache file, open for reading.

    It holds no open HDF5 handle, so it may be pickled and used on both sides of a fork. ``cache[5]`` is a dict of all
    that is known of one galaxy, ``cache[rows]`` are some rows of it: see `Rows`.

    Parameters
    ----------
    path : str or path
        The file; see `open_cache` for the errors.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    view_names : tuple of str
        Names of the views, in the order in which they were asked for.
    size : int > 0
        Height and width of every crop, pixels.
    layout : Layout
        Pixel type and number of bands.
    settings : dict
        The options that the values depend on.
    settings_hash : str
        Their SHA-256.
    inputs : list of str
        Folders, archives and stacks that held the images, as given.
    label_names : tuple of str
        Names of the answers, in the order of the labels' columns; empty without labels.
    classes : dict of str to tuple of str
        Of answers that are classes the names: ``classes["shape"][0]`` is the class that ``labels`` has as 0.
    attributes : dict
        The file's other attributes: scalenorm_version, created, source ("unknown" where a file lacks them).
    has_inputs : bool
        Whether the file has the sizes and times of its inputs, by which a run sees what has changed.
    added : tuple of str
        What others have added to the file: datasets, columns and attributes that are not of a cache.
    parts : list of (start, path, first, count)
        Where the pixels of a virtual cache lie: rows start:start + count are rows first:first + count of
        the cache at path. Empty for a solid file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._views: dict[str, Any] = {}
        self._stamp = _stamp(self.path)
        with _opened(self.path) as file:
            attributes = attributes_of(file)
            self._check_format(attributes)
            found = check_file(file, attributes)
        self.settings = found.settings
        self.settings_hash = found.settings_hash
        self.inputs = found.inputs
        self.attributes = found.attributes
        self.view_names = tuple(found.views)
        self.label_names, self.labels_sha256 = found.label_names, found.labels_sha256
        self.classes = found.classes
        self.has_inputs, self.added = found.has_inputs, found.added
        self._stored: dict[str, Stored] = found.views
        self._columns = found.columns
        first = found.views[self.view_names[0]]
        self._length, self.size, _, bands = first.shape
        self.layout = Layout(first.dtype.name, bands)
        self.parts = [] if found.parts is None else self._checked_parts(found.parts)

    def _check_format(self, attributes: dict[str, Any]) -> None:
        if attributes.get("format") != fmt.FORMAT:
            raise CacheError(f"{self.path}: an HDF5 file, but not one that scalenorm-batch wrote")
        version = attributes.get("format_version")
        if not isinstance(version, (int, np.integer)):
            raise ValueError(f"its format_version is no number: {version!r}")
        if version > fmt.FORMAT_VERSION:
            raise CacheError(
                f"{self.path}: format version {version}; this scalenorm reads up to {fmt.FORMAT_VERSION}: update it"
            )

    def _checked_parts(self, rows: np.ndarray) -> list[tuple[int, Path, int, int]]:
        seen: dict[Path, str] = {}
        parts = []
        folder = Path(os.path.realpath(self.path)).parent  # the parts lie beside the file, not beside a link to it
        for row in rows:
            part = folder / row["path"].decode()
            if part not in seen:
                try:
                    with _opened(part) as file:
                        seen[part] = str(plain(file.attrs.get("stamp", "")))
                except FileNotFoundError:
                    raise PartError(f"{self.path}: its part {part} is missing: make the cache again") from None
            if seen[part] != row["stamp"].decode():
                raise PartError(f"{self.path}: its part {part} was replaced: make the cache again")
            parts.append((int(row["start"]), part, int(row["first"]), int(row["count"])))
        return parts

    @cached_property
    def numbers(self) -> np.ndarray:  # type: ignore[override]
        """Numbers of the rows: all of them."""
        return np.arange(self._length)

    @property
    def cache(self) -> Cache:
        """The cache itself."""
        return self

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        views = printable(", ".join(self.view_names))
        return f"Cache({str(self.path)!r}: {len(self)} images; {views}; {self.size} x {self.size} {self.layout})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Cache, (self.path.absolute(),)

    @property
    def is_virtual(self) -> bool:
        """Whether the pixels lie in the parts beside this file."""
        return bool(self.parts)

    @property
    def is_compressed(self) -> bool:
        """Whether every crop is a gzip chunk of its own."""
        return all(stored.gzip for stored in self._stored.values())

    def view(self, name: str) -> np.ndarray | StoredView:
        """Return the crops of one view.

        Parameters
        ----------
        name : str
            One of `view_names`.

        Returns
        -------
        array-like, (N, size, size, C)
            A read-only memory-mapped ndarray where the file is solid and not compressed, and its file system has
            memory maps; else a `StoredView`. ``[:]`` of either gives everything. Rows of failed images are zero.

        Raises
        ------
        KeyError
            If the cache has no such view.
        """
        if name not in self._stored:
            raise KeyError(f"no view {name!r} in {self.path}: it has {', '.join(self.view_names)}")
        if name not in self._views:
            contiguous = self.offset(name) is not None
            self._views[name] = self._mapped(name) if contiguous else StoredView(self, name)
        return self._views[name]

    def _mapped(self, name: str) -> np.ndarray | StoredView:
        self._check_unchanged()
        stored = self._stored[name]
        for mode in ("r", "c"):  # some file systems have private maps only, some none
            try:
                with naming(self.path):
                    pixels = np.memmap(self.path, stored.dtype, mode, stored.offset or 0, stored.shape)
            except OSError as error:
                if error.errno not in _NO_MAPS:
                    raise
            else:
                pixels.flags.writeable = False
                return np.asarray(pixels)  # a plain array is quicker to index
        return StoredView(self, name)

    def _check_unchanged(self) -> None:
        """Refuse a file that took this one's place: what is known of its layout would be wrong."""
        if _stamp(self.path) != self._stamp:
            raise CacheError(f"{self.path}: the file was changed since it was opened: open it again")

    def shape(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Return shape and type of a view; its type in the machine's byte order, as all values that are read."""
        return self._stored[name].shape, self._stored[name].dtype

    def offset(self, name: str) -> int | None:
        """Return where a contiguous view starts in the file, in bytes; None if its bytes are not as we write them."""
        return self._stored[name].offset

    def chunks(self, name: str, start: int, stop: int) -> Iterator[bytes | None]:
        """Yield the crops start:stop of a compressed cache as they are stored; None for one without gzip."""
        from h5py._objects import phil  # the lock of h5py, which this one call of it does not take

        self._check_unchanged()
        with _opened(self.path) as file:
            view = dataset(file, f"views/{name}").id
            for row in range(start, stop):
                skipped, chunk = 1, None
                with phil, contextlib.suppress(OSError, RuntimeError):  # a chunk that was never written
                    skipped, chunk = view.read_direct_chunk((row, 0, 0, 0))
                yield None if skipped else chunk

    def blocks(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Yield the crops start:stop of a view in blocks of at most `BLOCK_ROWS` rows."""
        view, stop = self.view(name), len(self) if stop is None else stop
        for first in range(start, stop, BLOCK_ROWS):
            yield view[first : min(first + BLOCK_ROWS, stop)]

    def view_statistics(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Compute mean and standard deviation (population) per band over the crops of all good images.

        Returns
        -------
        mean, std : ndarray of float64, (C,)
        """
        bands = self.layout.bands
        total, squares = np.zeros(bands), np.zeros(bands)
        good = int(np.count_nonzero(self.column("status") == fmt.OK.encode()))
        count = max(1, good * self.size**2)
        with np.errstate(all="ignore"):  # others may have written numbers that have no square
            for block in self.blocks(name):  # crops of failed images are zero
                pixels = block.reshape(-1, bands).astype(np.float64)
                total += pixels.sum(axis=0)
                squares += np.einsum("ij,ij->j", pixels, pixels)
            mean = total / count
            return mean, np.sqrt(np.maximum(squares / count - mean**2, 0.0))

    @cached_property
    def catalog(self) -> np.ndarray:
        """One row per image: what was measured, flags, and what went wrong (structured array, (N,))."""
        return self.read("catalog")

    @cached_property
    def ids(self) -> list[str]:
        """The images' ids, in Python string order."""
        return [value.decode() for value in self.column("id").tolist()]

    @cached_property
    def labels(self) -> np.ndarray | None:
        """Answers per image, float64 (N, A), NaN where an id has no label; None without labels."""
        return self.read("labels") if self.label_names else None

    def read(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return rows start:stop of the dataset ``catalog``, ``labels`` or ``inputs`` (zeros, if there are none)."""
        self._check_unchanged()
        if name == "inputs" and not self.has_inputs:
            return np.zeros(len(range(len(self))[start:stop]), fmt.INPUTS_DTYPE)
        with _opened(self.path) as file:
            rows = file[name][start:stop]
        if name == "labels":
            labels = rows.astype(np.float64, copy=False)
            check_codes(self.path, labels, self.label_names, self.classes)
            return labels
        kinds = {column: fmt.INPUTS_DTYPE[column] for column in fmt.INPUTS_DTYPE.names or ()}
        return as_ours(rows, kinds if name == "inputs" else self._columns)

    def column(self, name: str) -> np.ndarray:
        """Return one column of the catalogue; text as bytes."""
        self._check_unchanged()
        with _opened(self.path) as file:
            return as_column(file["catalog"].fields(name)[:], self._columns.get(name))

    def row_blocks(self, name: str) -> Iterator[np.ndarray]:
        """Yield the rows of ``catalog``, ``labels`` or ``inputs`` in blocks of `CATALOG_ROWS`."""
        for start in range(0, len(self), CATALOG_ROWS):
            yield self.read(name, start, start + CATALOG_ROWS)

    def digest(self) -> str:
        """Return the SHA-256 over the values of views, catalogue and labels (64 hexadecimal digits).

        The same images and settings give the same digest, whatever the workers, engine or interruptions.
        """
        return fmt.digest(
            ((name, self.blocks(name)) for name in sorted(self.view_names)),
            self.row_blocks("catalog"),
            self.row_blocks("labels") if self.label_names else None,
            self.classes,
        )


class StoredView:
    """The crops of a view that is not mapped: an array-like that reads only the rows one asks for.

    Indexing takes what NumPy takes on the first axis (int, slice, array of int or bool, ``...``); further axes are
    applied to what was read. It may be pickled and used on both sides of a fork.

    Parameters
    ----------
    cache : Cache
        The cache.
    name : str
        The view.

    Attributes
    ----------
    shape : tuple of int
        (N, size, size, C).
    dtype : numpy.dtype
        Pixel type.
    """

    def __init__(self, cache: Cache, name: str) -> None:
        self._cache, self._name = cache, name
        self.shape, self.dtype = cache.shape(name)
        self._numbers = np.arange(len(self))
        self._parts = cache.parts or [(0, cache.path, 0, len(self))]
        self._starts = np.array([part[0] for part in self._parts])
        self._opened = lru_cache(maxsize=MOST_OPEN)(self._rows_of)

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredView, (self._cache, self._name)

    def _rows_of(self, path: Path, _process: int) -> Any:
        # The process is a part of the key, because a handle made before a fork belongs to the parent.
        if path == self._cache.path:
            self._cache._check_unchanged()
            with _explained(path):
                return dataset(open_hdf5(path), f"views/{self._name}")
        part = Cache(path)
        if (part.layout, part.size) != (self._cache.layout, self._cache.size) or self._name not in part.view_names:
            raise PartError(f"{self._cache.path}: its part {path} was replaced: make the cache again")
        return part.view(self._name)

    ndim = 4

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        rows, rest = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        if rows is Ellipsis:
            rows, rest = slice(None), (Ellipsis, *rest)
        numbers = np.asarray(self._numbers[rows])  # by NumPy's own rules, and with its errors
        if numbers.ndim == 1 and len(numbers) and (np.diff(numbers) == 1).all():
            result = self._range(int(numbers[0]), int(numbers[-1]) + 1)
        else:
            result = np.empty((*numbers.shape, *self.shape[1:]), self.dtype)
            for place, row in np.ndenumerate(numbers):
                result[place] = self._range(int(row), int(row) + 1)[0]
        return result[(slice(None),) * numbers.ndim + rest]

    def _range(self, start: int, stop: int) -> np.ndarray:
        result = np.empty((stop - start, *self.shape[1:]), self.dtype)
        first_part = np.searchsorted(self._starts, start, side="right") - 1
        after_last = np.searchsorted(self._starts, stop)
        for part_start, path, first, count in self._parts[first_part:after_last]:
            low, high = max(start, part_start), min(stop, part_start + count)
            rows = self._opened(path, os.getpid())
            with _explained(path):
                result[low - start : high - start] = rows[low - part_start + first : high - part_start + first]
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("the crops are not in memory: np.asarray without copy=False reads them")
        return np.asarray(self[:], dtype)


def _stamp(path: Path) -> tuple[int, int, int]:
    """What tells a file from one that takes its place."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{printable(path)}: no such file") from None
    return found.st_ino, found.st_size, found.st_mtime_ns


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    with _explained(path), reading(path) as file:
        yield file


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say what a file is that h5py cannot read as a cache."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{printable(path)}: no such file") from None
    except CacheError:
        raise
    except (OSError, LookupError, RuntimeError, ValueError, TypeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number in (errno.EMFILE, errno.ENFILE):
            raise
        raise CacheError(f"{path}: {_what_it_is(path, error)}") from None


def _what_it_is(path: Path, error: Exception) -> str:
    if path.is_dir():
        return "a folder, not a cache"
    if not path.is_file():
        return "not a file"
    if not os.access(path, os.R_OK):
        return "no permission to read it"
    import h5py

    with path.open("rb") as file:
        start = file.read(8)
    if not start:
        return "the file is empty"
    if not h5py.is_hdf5(path):
        return f"not a scalenorm cache: no HDF5 file at all (it begins with {start!r})"
    if length := re.search(r"truncated file: eof = (\d+), .*stored_eof = (\d+)", str(error)):
        return f"damaged: it ends after {length[1]} of {length[2]} bytes; copy it again, or make it anew"
    return f"not a scalenorm cache, or damaged ({one_line(error)})"
