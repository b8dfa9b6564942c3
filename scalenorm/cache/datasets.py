"""Rows of a cache as the data sets that PyTorch and TensorFlow train on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..files.optional import optional_package
from .format import OK


class TorchDataset:
    """Crops and labels of some rows: a map-style data set for PyTorch's ``DataLoader``, in any number of processes.

    Parameters
    ----------
    rows : scalenorm.Rows
        The rows; failed images are left out.
    view : str, optional
        The view; by default the first.
    """

    def __init__(self, rows: Any, view: str | None = None) -> None:
        self.view = rows.cache.view_names[0] if view is None else view
        self.rows, self.crops = readable(rows, self.view)
        self.labels = None if self.rows.labels is None else self.rows.labels.astype(np.float32)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "crops": None}  # a memory map would be sent as all its pixels

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, crops=state["rows"].cache.view(state["view"]))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Any:
        """Return one crop, (C, size, size), or crop and labels, as arrays, which the loader makes into tensors."""
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[int]) -> list[Any]:
        """Return the crops of a batch, read together."""
        crops = np.moveaxis(self.crops[self.rows.numbers[places]], 3, 1)
        crops = np.ascontiguousarray(crops, crops.dtype.newbyteorder("="))
        return list(crops) if self.labels is None else list(zip(crops, self.labels[places], strict=True))


def readable(rows: Any, view: str | None) -> tuple[Any, Any]:
    """Return the rows whose image did not fail, and what their crops are read from.

    Raises
    ------
    KeyError
        If there is no such view.
    """
    name = rows.cache.view_names[0] if view is None else view
    return rows[rows.catalog["status"] == OK.encode()], rows.cache.view(name)


def tf_dataset(rows: Any, view: str | None, batch_size: int, shuffle: int | None) -> Any:
    """Return a ``tf.data.Dataset`` of batches; see `scalenorm.cache.rows.Rows.to_tf`."""
    tensorflow = optional_package("tensorflow", "train", "to_tf()", ImportError)
    chosen, crops = readable(rows, view)
    shape, dtype = crops.shape[1:], tensorflow.as_dtype(crops.dtype)
    labels = None if chosen.labels is None else chosen.labels.astype(np.float32)
    places = tensorflow.data.Dataset.range(len(chosen))
    if shuffle is not None:
        places = places.shuffle(max(len(chosen), 1), seed=shuffle)

    def read(batch: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(crops[chosen.numbers[batch]])

    def load(batch: Any) -> Any:
        images = tensorflow.numpy_function(read, [batch], dtype, stateful=False)
        images.set_shape((None, *shape))
        return images if labels is None else (images, tensorflow.gather(labels, batch))

    loaded = places.batch(batch_size).map(load, num_parallel_calls=tensorflow.data.AUTOTUNE)
    return loaded.prefetch(tensorflow.data.AUTOTUNE)
