"""The crops of many images, in threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..measuring.frame import as_frame, working_dtype
from ..measuring.options import measure_options, takes_measuring_options
from .crop import check_size, crop_stack, find_and_crop
from .views import parse_view

_TOGETHER = 1 << 20  # bytes of images that are copied for one compiled call, which fit the processor's caches


@takes_measuring_options()
def crop_many(
    images: Iterable[ArrayLike],
    size: int = 64,
    *,
    view: str = "normalized",
    n_jobs: int | None = None,
    mask: Iterable[ArrayLike] | None = None,
    **options: Any,
) -> NDArray[Any]:
    """Crop many images in one pool of threads; the kernels release the GIL.

    Images of a list are copied some at a time, at most 1 MB for each thread. Those of a contiguous array are not, if
    the kernels read its dtype as it is: 8 and 16 bits, float32 and float64, in native byte order.

    Parameters
    ----------
    images : iterable of array_like, or array of shape (N, H, W[, C])
        All of one dtype and number of bands; heights and widths may differ.
    size : int > 0, default 64
    n_jobs : int, optional
        Threads; by default, and for -1, one for each core that this process may use.
    view : str, default "normalized"
        ``"normalized"`` or ``"center-N"``, see `scalenorm.crop`.
    mask : sequence of array_like of bool, or array of shape (N, H, W), optional
        One mask for each image, True = excluded.
    **options

    Returns
    -------
    ndarray, shape (N, size, size[, C])
        The same whatever the number of threads.

    Raises
    ------
    ValueError
        As for `scalenorm.crop`; the message names the image's index.

    Examples
    --------
    >>> import scalenorm
    >>> images = scalenorm.make_galaxies(3, seed=1).images
    >>> scalenorm.crop_many(images, 32).shape
    (3, 32, 32, 3)
    """
    check_size(size)
    parse_view(view)
    checked = measure_options(options, "crop_many")
    images = images if isinstance(images, np.ndarray) and images.dtype != object else list(images)
    masks = mask if mask is None or isinstance(mask, np.ndarray) else list(mask)
    count = len(images)
    if count == 0:
        raise ValueError("images is empty: there is nothing to crop")
    if masks is not None and len(masks) != count:
        raise ValueError(f"mask must hold one mask for each of the {count} images, got {len(masks)}")
    n_jobs = check_jobs(n_jobs)

    def crop_one(index: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        try:
            frame = as_frame(images[index], checked, None if masks is None else masks[index])
            crop: NDArray[Any] = find_and_crop(frame, (view,), size, checked)[0]
            if out is not None:
                if (crop.dtype, crop.shape) != (out.dtype, out.shape):
                    raise ValueError(
                        f"its crop has dtype {crop.dtype} and shape {crop.shape}, "
                        f"that of image 0 {out.dtype} and {out.shape}: crop them one by one"
                    )
                out[...] = crop
            return crop
        except (ValueError, TypeError) as error:
            raise type(error)(f"image {index}: {error}") from error

    def crop_block(block: range) -> None:
        done = np.zeros(len(block), np.bool_)
        if together and len(block) > 1 and _of_one_layout(images, block):
            crops, done = crop_stack(np.asarray(images[block.start : block.stop]), view, size, checked)
            result[block.start : block.stop][done] = crops
        for index in np.array(block)[~done].tolist():
            crop_one(index, result[index])

    first = crop_one(0)
    result = np.empty((count, *first.shape), first.dtype)
    result[0] = first
    together = checked.plain and masks is None and checked.channel_axis in (None, 2, -1) and _is_plain(images[0])
    most = 64
    if together:
        most = min(64, max(1, _TOGETHER // np.asarray(images[0]).nbytes))
        if isinstance(images, np.ndarray) and images.flags.c_contiguous and images.dtype == working_dtype(images.dtype):
            most = 16  # they are together, and need not be copied; more would keep Ctrl-C waiting
    in_blocks(range(1, count), crop_block, n_jobs, most)
    return result


def _of_one_layout(images: Any, block: range) -> bool:
    """Whether images can be cropped in one call: they are plain arrays like the first of all, which is checked."""
    first = images[0]
    return all(
        _is_plain(image) and (image.shape, image.dtype) == (first.shape, first.dtype)
        for image in (images[index] for index in block)
    )


def _is_plain(image: Any) -> bool:
    return type(image) in (np.ndarray, np.memmap)  # others may have a mask


def check_jobs(n_jobs: int | None) -> int:
    """Return the number of threads that `n_jobs` asks for."""
    if n_jobs is None or n_jobs == -1:
        return usable_cores()
    if n_jobs < 1:
        raise ValueError(f"n_jobs must be a positive number of threads or -1, got {n_jobs}")
    return n_jobs


def in_blocks(numbers: range, work: Callable[[range], object], n_jobs: int, most: int = 64) -> None:
    """Call `work` with blocks of at most `most` numbers, in `n_jobs` threads."""
    size = max(1, min(most, len(numbers) // (4 * n_jobs)))  # a task for each would spend the time on the queue
    blocks = [numbers[start : start + size] for start in range(0, len(numbers), size)]
    if n_jobs == 1:
        for block in blocks:
            work(block)
        return
    with ThreadPoolExecutor(n_jobs) as pool:
        list(pool.map(work, blocks))


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
