"""Rows of a cache: chosen, gone through one by one, shown, and as tables of other packages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files.names import as_html
from ..files.optional import optional_package
from ..images.showing import as_jpeg, as_picture, limits_of
from ..measuring.flags import describe
from .datasets import TorchDataset, tf_dataset
from .format import OK, UNITS

_SHOWN = 5  # rows in a notebook


class Rows:
    """Some rows of a cache, in any order: what ``cache[rows]`` gives. A `Cache` is all of its rows.

    With one number, ``rows[number]`` is a dict of all that is known of one galaxy: the columns of the catalogue,
    ``labels`` if there are any, and each view. Iteration gives these, one after the other. With anything else that
    NumPy takes (a slice, numbers, booleans), ``rows[...]`` are rows again. In a notebook, the first five are shown.

    Parameters
    ----------
    cache : Cache
        The cache.
    numbers : ndarray of int, (N,)
        Numbers of rows in the cache.

    Examples
    --------
    >>> import scalenorm
    >>> cache = scalenorm.open_cache("galaxies.h5")                       # doctest: +SKIP
    >>> large = cache[cache.catalog["major_axis"] > 150]                  # doctest: +SKIP
    >>> len(large), large[0]["id"], large[0]["normalized"].shape          # doctest: +SKIP
    (5, 'galaxy-000000', (64, 64, 3))
    """

    def __init__(self, cache: Any, numbers: NDArray[np.intp]) -> None:
        self.cache, self.numbers = cache, numbers

    @cached_property
    def catalog(self) -> np.ndarray:
        """Their rows of the catalogue."""
        return self._read("catalog")

    @cached_property
    def ids(self) -> list[str]:
        """Their ids."""
        return [value.decode() for value in self.catalog["id"].tolist()]

    @cached_property
    def labels(self) -> np.ndarray | None:
        """Their labels; None if the cache has none."""
        return self._read("labels") if self.cache.label_names else None

    def view(self, name: str) -> Any:
        """Return their crops in one view, (N, size, size, C)."""
        return self.cache.view(name)[self.numbers]

    def _read(self, name: str) -> np.ndarray:
        first, stop = (self.numbers.min(), self.numbers.max() + 1) if len(self.numbers) else (0, 0)
        return self.cache.read(name, first, stop)[self.numbers - first]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, key: Any) -> Any:
        numbers = np.asarray(self.numbers[key])
        if numbers.ndim:
            return Rows(self.cache, numbers)
        found = dict(zip(self.catalog.dtype.names or (), self.catalog[key].tolist(), strict=True))
        found = {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}
        if self.labels is not None:
            found["labels"] = self.labels[key]
        return found | {name: self.cache.view(name)[int(numbers)] for name in self.cache.view_names}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[place] for place in range(len(self)))

    def __repr__(self) -> str:
        return f"{len(self)} rows of {self.cache!r}"

    def _table_columns(self) -> dict[str, Any]:
        """Return catalogue and labels by name; text as str, classes by their names, masked where there is no label."""
        columns: dict[str, Any] = {}
        for name in self.catalog.dtype.names or ():
            values = self.catalog[name]
            columns[name] = [value.decode() for value in values.tolist()] if values.dtype.kind == "S" else values
        labels = np.empty((len(self), 0)) if self.labels is None else self.labels
        for name, values in zip(self.cache.label_names, labels.T, strict=True):
            if name in self.cache.classes:
                unknown = np.isnan(values)
                names = np.array(self.cache.classes[name])[np.where(unknown, 0, values).astype(int)]
                values = np.ma.array(names, mask=unknown)
            while name in columns:
                name = f"label_{name}"
            columns[name] = values
        return columns

    def to_pandas(self) -> Any:
        """Return catalogue and labels as a pandas ``DataFrame``, one row per image.

        Classes are given by name, images without a label have NaN. A label whose name the catalogue uses itself gets
        ``label_`` in front.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = optional_package("pandas", "parquet", "to_pandas()", ImportError)
        return pandas.DataFrame(self._table_columns())

    def to_table(self) -> Any:
        """Return catalogue and labels as an astropy ``Table`` with units; otherwise as `to_pandas`.

        Returns
        -------
        astropy.table.Table
            The settings of the cache are in ``meta["scalenorm"]``.

        Raises
        ------
        ImportError
            If astropy is not installed.
        """
        table = optional_package("astropy.table", "fits", "to_table()", ImportError)
        columns = self._table_columns()
        meta = {"settings": json.dumps(self.cache.settings), "settings_hash": self.cache.settings_hash}
        units = {name: unit for name, unit in UNITS.items() if name in columns}
        return table.Table(columns, units=units, meta={"scalenorm": meta})

    def to_torch(self, view: str | None = None) -> TorchDataset:
        """Return crops and labels as a data set for PyTorch's ``DataLoader``. Failed images are left out.

        A sample is the crop, (C, size, size), in the dtype of the cache, with the labels as float32 beside it if there
        are any. It may be used by worker processes, forked or spawned.

        Parameters
        ----------
        view : str, optional
            One of ``cache.view_names``; by default the first.

        Returns
        -------
        scalenorm.cache.datasets.TorchDataset

        Raises
        ------
        KeyError
            If there is no such view.

        Examples
        --------
        >>> from torch.utils.data import DataLoader                                       # doctest: +SKIP
        >>> loader = DataLoader(cache.to_torch(), batch_size=64, shuffle=True, num_workers=2)  # doctest: +SKIP
        """
        return TorchDataset(self, view)

    def to_tf(self, view: str | None = None, *, batch_size: int = 32, shuffle: int | None = None) -> Any:
        """Return crops and labels as a ``tf.data.Dataset`` of batches. Failed images are left out.

        Parameters
        ----------
        view : str, optional
            One of ``cache.view_names``; by default the first.
        batch_size : int > 0
            Crops in a batch; the last one may have fewer.
        shuffle : int, optional
            Seed of the order, which is another one in every epoch. By default that of the rows.

        Returns
        -------
        tf.data.Dataset
            Of crops (n, size, size, C), in the dtype of the cache, or of pairs of these and labels (n, answers),
            float32.

        Raises
        ------
        KeyError
            If there is no such view.
        ImportError
            If TensorFlow is not installed.

        Examples
        --------
        >>> model.fit(cache.to_tf("normalized", batch_size=64, shuffle=1), epochs=5)      # doctest: +SKIP
        """
        return tf_dataset(self, view, batch_size, shuffle)

    def _repr_html_(self) -> str:
        cache, shown = self.cache, self[:_SHOWN]
        number = f"{len(self):,}" if len(self) == len(cache) else f"{len(self):,} of {len(cache):,}"
        title = f"<b>{as_html(cache.path.name)}</b>: {number} images, {cache.size} x {cache.size}, {cache.layout}"
        heads = "".join(f"<th>{as_html(name)}</th>" for name in ("id", *cache.view_names, "axes", "flags"))
        rows = "".join(f"<tr>{_cells(cache, row)}</tr>" for row in shown)
        more = f"<p>and {len(self) - len(shown):,} more</p>" if len(self) > len(shown) else ""
        return f"<p>{title}</p><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _cells(cache: Any, row: dict[str, Any]) -> str:
    """Return the cells of a row: id, pictures, sizes and flags; of a failed image its message."""
    first = f"<td>{as_html(row['id'])}</td>"
    if row["status"] != OK:
        return f'{first}<td colspan="{len(cache.view_names) + 2}">failed: {as_html(row["message"])}</td>'
    limits = limits_of(row[cache.view_names[0]])
    for name in cache.view_names:
        data = as_jpeg(as_picture(row[name], limits))
        first += f'<td><img width="64" height="64" alt="{as_html(name)}" src="data:image/jpeg;base64,{data}"></td>'
    sizes = f"{row['major_axis']:.1f} and {row['minor_axis']:.1f} px"
    return f"{first}<td>{sizes}</td><td>{', '.join(describe(row['flags'])) or 'none'}</td>"
