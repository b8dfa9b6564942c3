"""The crops of a cache as other programs read them in training: webdataset, TFRecord, Zarr, Hugging Face."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..cache import Cache
from ..cache.format import OK
from ..files.errors import OutputError, turned_into
from ..files.names import file_names
from ..files.optional import optional_package
from ..files.writing import make_folder, whole_file
from .images import as_png, fits_png

#: The file in an export that says what it is made from.
ABOUT = "scalenorm-export.json"

_CHUNK = 256  # rows, of Zarr
_ARRAYS = ("crops", "id", "labels")
_SHARD = re.compile(r".+-\d{5,}-of-\d{5,}\.(tar|tfrecord|parquet)")


@dataclass(frozen=True)
class Samples:
    """The crops of one shard, with their ids and labels."""

    cache: Cache
    ids: list[str]
    crops: np.ndarray  # (n, size, size, C)
    labels: np.ndarray  # (n, answers), NaN where there is none

    def answers(self, row: int) -> dict[str, Any]:
        """Return the labels of a crop by name: numbers, classes as their numbers, None where there is none."""
        values = zip(self.cache.label_names, self.labels[row].tolist(), strict=True)
        return {
            name: None if value != value else int(value) if name in self.cache.classes else value
            for name, value in values
        }


def write_shards(
    cache: Cache,
    folder: str | os.PathLike[str],
    *,
    to: str,
    view: str | None = None,
    shard_size: int = 10_000,
    overwrite: bool = False,
) -> int:
    """Write the crops of one view, with ids and labels, in the format of another program.

    An export that was interrupted goes on where it stopped when it is asked for again.

    Parameters
    ----------
    cache : Cache
        The cache.
    folder : path
        Where to; made if it does not exist.
    to : {"webdataset", "tfrecord", "huggingface", "zarr"}
        webdataset: tar files with ``KEY.png`` (``KEY.npy`` where PNG cannot hold the crop), ``KEY.json`` with the id
        and the labels, and ``KEY.cls`` where the label is one class. tfrecord: ``tf.train.Example`` with ``id``,
        ``crop`` (for ``tf.io.parse_tensor``) and the labels. huggingface: Parquet files with ``id``, ``image`` (an
        array where PNG cannot hold the crop) and the labels, classes as ``ClassLabel``. zarr: one group of the arrays
        ``crops``, ``id`` and ``labels``, in the format's version 2.
    view : str, optional
        One of ``cache.view_names``; by default the first.
    shard_size : int > 0
        Crops in a file; of Zarr: rows in a chunk, at most 256.
    overwrite : bool
        Replace another export in the folder, and write into one that holds other files.

    Returns
    -------
    int
        The number of crops; failed images have none.

    Raises
    ------
    OutputError
        If there is no such view or format, the folder holds something else, a package is missing, or a file cannot be
        written.

    Examples
    --------
    >>> import scalenorm
    >>> from scalenorm.exporting.shards import write_shards
    >>> write_shards(scalenorm.open_cache("galaxies.h5"), "shards", to="webdataset")  # doctest: +SKIP
    7952
    """
    if to not in FORMATS:
        raise OutputError(f"no format {to!r}; there are {', '.join(FORMATS)}")
    view = cache.view_names[0] if view is None else view
    if view not in cache.view_names:
        raise OutputError(f"{cache.path} has no view {view!r}; it has {', '.join(cache.view_names)}")
    if shard_size < 1:
        raise OutputError(f"shard_size must be positive, got {shard_size}")
    module, extra, write = FORMATS[to]
    package = optional_package(module, extra, f"the format {to}")
    rows = np.flatnonzero(cache.read("catalog", 0, len(cache))["status"] == OK.encode())
    top = Path(folder)
    _begin(top, {
        "format": to, "view": view, "shard_size": shard_size, "crops": len(rows), "size": cache.size,
        "dtype": cache.layout.dtype, "bands": cache.layout.bands, "labels": list(cache.label_names),
        "classes": {name: list(classes) for name, classes in cache.classes.items()},
        "settings": dict(cache.settings), "cache_digest": cache.digest(),
    }, overwrite=overwrite)  # fmt: skip
    with turned_into(OutputError, str(top), OSError):
        write(package, top, cache, rows, view, shard_size)
    return len(rows)


def _begin(top: Path, about: dict[str, Any], *, overwrite: bool) -> None:
    """Make the folder, or see that it holds the beginning of the same export; remove another one if `overwrite`."""
    path, text = top / ABOUT, json.dumps(about, indent=2) + "\n"
    if path.is_file():
        if path.read_text(encoding="utf-8") == text:
            return
        if not overwrite:
            raise OutputError(
                f"{top} holds an export of another cache, view or format: choose a new folder, or use --overwrite"
            )
        for old in top.glob("*-of-*"):
            if _SHARD.fullmatch(old.name):
                old.unlink()
        for name in (*_ARRAYS, ".zgroup", ".zattrs"):
            if (top / name).is_dir():
                shutil.rmtree(top / name)
            else:
                (top / name).unlink(missing_ok=True)
    make_folder(top, overwrite=overwrite or path.is_file())
    with whole_file(path) as file:
        file.write(text.encode())


def _samples(cache: Cache, view: str, rows: np.ndarray) -> Samples:
    chosen = cache[rows]
    labels = chosen.labels if chosen.labels is not None else np.empty((len(rows), 0))
    return Samples(cache, chosen.ids, chosen.view(view), labels)


def _write_files(
    ending: str, write: Callable[[IO[bytes], Any, Samples], None],
    package: Any, top: Path, cache: Cache, rows: np.ndarray, view: str, shard_size: int,
) -> None:  # fmt: skip
    """Write a file for each shard that has none yet."""
    count = -(-len(rows) // shard_size)
    for number in range(count):
        path = top / f"{view}-{number:05d}-of-{count:05d}{ending}"
        if not path.exists():
            with whole_file(path) as file:
                write(file, package, _samples(cache, view, rows[number * shard_size : (number + 1) * shard_size]))


def _write_tar(file: IO[bytes], webdataset: Any, samples: Samples) -> None:
    # Keys end at their first dot.
    keys = [name.replace(".", "%2E") for name in file_names(samples.ids)]
    classes = samples.cache.classes
    with webdataset.TarWriter(file, mtime=0) as writer:
        for row, (key, crop) in enumerate(zip(keys, samples.crops, strict=True)):
            answers = samples.answers(row)
            named: dict[str, Any] = {"id": samples.ids[row]}
            for name, value in answers.items():
                is_class = name in classes and value is not None
                named[_free(name, named)] = classes[name][value] if is_class else value
            sample: dict[str, Any] = {"__key__": key, "json": json.dumps(named).encode()}
            if len(answers) == len(classes) == 1 and (code := next(iter(answers.values()))) is not None:
                sample["cls"] = str(code).encode()
            if fits_png(samples.cache):
                sample["png"] = as_png(crop)
            else:
                array = io.BytesIO()
                np.save(array, crop)
                sample["npy"] = array.getvalue()
            writer.write(sample)


def _write_records(file: IO[bytes], tensorflow: Any, samples: Samples) -> None:
    train = tensorflow.train

    def of_bytes(value: bytes) -> Any:
        return train.Feature(bytes_list=train.BytesList(value=[value]))

    with tensorflow.io.TFRecordWriter(file.name) as writer:
        for row, crop in enumerate(samples.crops):
            features = {"id": of_bytes(samples.ids[row].encode())}
            features["crop"] = of_bytes(tensorflow.io.serialize_tensor(np.ascontiguousarray(crop)).numpy())
            for name, value in samples.answers(row).items():
                if name in samples.cache.classes:  # -1: not known, as Keras and Hugging Face have it
                    number = train.Int64List(value=[-1 if value is None else value])
                    features[_free(name, features)] = train.Feature(int64_list=number)
                else:
                    number = train.FloatList(value=[np.nan if value is None else value])
                    features[_free(name, features)] = train.Feature(float_list=number)
            writer.write(train.Example(features=train.Features(feature=features)).SerializeToString())


def _write_parquet(file: IO[bytes], datasets: Any, samples: Samples) -> None:
    cache = samples.cache
    shape, dtype = samples.crops.shape[1:], samples.crops.dtype.name
    png = fits_png(cache)
    features = {
        "id": datasets.Value("string"),
        "image": datasets.Image() if png else datasets.Array3D(shape, dtype),
    }
    columns: dict[str, Any] = {
        "id": samples.ids,
        "image": [{"bytes": as_png(crop), "path": None} for crop in samples.crops] if png else list(samples.crops),
    }
    answers = [samples.answers(row) for row in range(len(samples.ids))]
    for name in cache.label_names:
        column = _free(name, columns)
        classes = cache.classes.get(name)
        features[column] = datasets.Value("float64") if classes is None else datasets.ClassLabel(names=list(classes))
        columns[column] = [answer[name] for answer in answers]
    dataset = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    with _silent(datasets):
        dataset.to_parquet(file)


@contextlib.contextmanager
def _silent(datasets: Any) -> Iterator[None]:
    """Let `datasets` draw no progress bar, which it does for each file; then it does as it did before."""
    enabled = datasets.utils.is_progress_bar_enabled()
    if enabled:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # if the environment asks for bars
            datasets.utils.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            datasets.utils.enable_progress_bar()


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """Return a label's name, or one that nothing else has."""
    while name in taken:
        name = f"label_{name}"
    return name


def _write_zarr(zarr: Any, top: Path, cache: Cache, rows: np.ndarray, view: str, shard_size: int) -> None:
    """Write block after block, and note after each how far one got."""
    step = min(shard_size, _CHUNK)
    size, bands, dtype = cache.size, cache.layout.bands, cache.layout.dtype
    width = max((len(name) for name in cache.ids), default=1)
    group = zarr.open_group(str(top), mode="a", zarr_format=2)
    arrays: dict[str, tuple[tuple[int, ...], Any, list[str]]] = {
        "crops": ((size, size, bands), dtype, ["galaxy", "row", "column", "band"]),
        "id": ((), f"<U{width}", ["galaxy"]),
    }
    if cache.label_names:
        arrays["labels"] = ((len(cache.label_names),), "<f8", ["galaxy", "answer"])
    for name, (shape, kind, dimensions) in arrays.items():
        if name not in group:
            array = group.create_array(name, shape=(len(rows), *shape), chunks=(step, *shape), dtype=kind)
            array.attrs["_ARRAY_DIMENSIONS"] = dimensions  # for xarray
    if cache.label_names:
        group["labels"].attrs["names"] = list(cache.label_names)
        group["labels"].attrs["classes"] = {name: list(classes) for name, classes in cache.classes.items()}
    for start in range(int(group.attrs.get("rows_written", 0)), len(rows), step):
        samples = _samples(cache, view, rows[start : start + step])
        stop = start + len(samples.ids)
        group["crops"][start:stop] = samples.crops
        group["id"][start:stop] = np.array(samples.ids, f"<U{width}")
        if cache.label_names:
            group["labels"][start:stop] = samples.labels
        group.attrs["rows_written"] = stop


#: By name: the package that writes it, the extra that installs that, and how it is written.
FORMATS: Mapping[str, tuple[str, str, Callable[..., None]]] = {
    "webdataset": ("webdataset", "export", functools.partial(_write_files, ".tar", _write_tar)),
    "tfrecord": ("tensorflow", "train", functools.partial(_write_files, ".tfrecord", _write_records)),
    "huggingface": ("datasets", "export", functools.partial(_write_files, ".parquet", _write_parquet)),
    "zarr": ("zarr", "export", _write_zarr),
}
