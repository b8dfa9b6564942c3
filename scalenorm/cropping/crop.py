"""Steps 5 to 7: crops, from one image or many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..measuring.frame import Frame, as_frame
from ..measuring.measure import (
    Galaxy,
    Measurement,
    describe_galaxy,
    find_galaxy,
    find_galaxy_and_sky,
    find_sky,
    has_non_finite,
)
from ..measuring.options import Center, MeasureOptions
from ..measuring.window import Window
from .resampling import resample, resample_all
from .views import center_window, parse_view


def crop(
    image: ArrayLike,
    size: int = 64,
    *,
    view: str = "normalized",
    sigma: float = 1.0,
    margin: float = 1.0,
    center: Center = "image",
    channel_axis: int | None = None,
    weights: Sequence[float] | None = None,
    sigma_clip: float | None = None,
    smooth: float = 0.0,
    min_area: int = 1,
    fill_holes: bool = False,
    deblend: bool = False,
    deblend_levels: int = 32,
    deblend_contrast: float = 0.005,
    size_from: str = "major_axis",
    side_limits: tuple[float, float] | None = None,
    mask_neighbours: bool = False,
    mask: ArrayLike | None = None,
) -> NDArray[Any]:
    """Crop an image to its galaxy and resize to ``size`` x ``size``.

    The window is a square of side ``margin`` times the galaxy's major axis; see `scalenorm.measure` for the measuring
    options. It is resized by one antialiased bilinear interpolation, that of Pillow's ``BILINEAR``. Where the window
    leaves the frame the image continues as sky.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
        See `scalenorm.measure`. All bands are cropped, alpha too.
    size : int > 0, default 64
        Height and width of the crop, in pixels.
    view : str, default "normalized"
        ``"normalized"``, or ``"center-N"``: the N x N pixels in the middle of the image, nothing measured.
    sigma, margin, center, channel_axis, weights, mask
        See `scalenorm.measure`.
    sigma_clip, smooth, min_area, fill_holes, deblend, deblend_levels, deblend_contrast
        More ways to find the galaxy's region, see `scalenorm.measure`.
    size_from, side_limits
        How the window's side follows from it, see `scalenorm.measure`.
    mask_neighbours : bool, default False
        Paint foreground that is not the galaxy with sky (of the normalised view only).

    Returns
    -------
    ndarray, shape (size, size) or (size, size, C)
        Of the input's dtype, in native byte order; integers are rounded. Bands are last.

    Raises
    ------
    TypeError
        If the image is not of a real dtype.
    ValueError
        If a shape or an option is out of range.

    Examples
    --------
    >>> import scalenorm
    >>> image = scalenorm.make_galaxies(1, seed=1).images[0]
    >>> image.shape, scalenorm.crop(image).shape
    ((424, 424, 3), (64, 64, 3))
    """
    options = MeasureOptions(
        sigma=sigma, margin=margin, center=center, channel_axis=channel_axis,
        weights=weights,  # type: ignore[arg-type]
        sigma_clip=sigma_clip, smooth=smooth, min_area=min_area, fill_holes=fill_holes, deblend=deblend,
        deblend_levels=deblend_levels, deblend_contrast=deblend_contrast, size_from=size_from,
        side_limits=side_limits, mask_neighbours=mask_neighbours,
    )  # fmt: skip
    check_size(size)
    parse_view(view)
    return _crops(as_frame(image, options, mask), (view,), size, options)[0]


def views(image: ArrayLike, names: Sequence[str], size: int = 64, **options: Any) -> dict[str, NDArray[Any]]:
    """Several views of one galaxy, measured once.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
    names : sequence of str
        ``"normalized"`` and ``"center-N"`` in any number and order.
    size : int > 0, default 64
    **options
        The measuring options of `scalenorm.crop`.

    Returns
    -------
    dict of str to ndarray, shape (size, size) or (size, size, C)

    Examples
    --------
    >>> import scalenorm
    >>> image = scalenorm.make_galaxies(1, seed=1).images[0]
    >>> list(scalenorm.views(image, ["normalized", "center-64"]))
    ['normalized', 'center-64']
    """
    if isinstance(names, str):
        raise ValueError(f"names must be a list of views, got the string {names!r}: use [{names!r}]")
    names = list(names)
    for name in names:
        parse_view(name)
    check_size(size)
    mask = options.pop("mask", None)
    checked = MeasureOptions(**options)
    return dict(zip(names, _crops(as_frame(image, checked, mask), names, size, checked), strict=True))


def crop_many(
    images: Iterable[ArrayLike], size: int = 64, *, n_jobs: int | None = None, **options: Any
) -> NDArray[Any]:
    """Crop many images in one pool of threads; the kernels release the GIL and images are not copied.

    Parameters
    ----------
    images : iterable of array_like, or array of shape (N, H, W[, C])
        All of one dtype and number of bands; heights and widths may differ.
    size : int > 0, default 64
    n_jobs : int, optional
        Threads; by default, and for -1, one for each core that this process may use.
    **options
        As for `scalenorm.crop`, ``view`` included; ``mask`` is one mask for each image.

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
    import os
    from concurrent.futures import ThreadPoolExecutor

    check_size(size)
    view = options.pop("view", "normalized")
    parse_view(view)
    masks = options.pop("mask", None)
    checked = MeasureOptions(**options)
    images = images if isinstance(images, np.ndarray) else list(images)
    masks = masks if masks is None or isinstance(masks, np.ndarray) else list(masks)
    count = len(images)
    if count == 0:
        raise ValueError("images is empty: there is nothing to crop")
    if masks is not None and len(masks) != count:
        raise ValueError(f"mask must hold one mask for each of the {count} images, got {len(masks)}")
    if n_jobs is None or n_jobs == -1:
        n_jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if n_jobs < 1:
        raise ValueError(f"n_jobs must be a positive number of threads or -1, got {n_jobs}")

    def crop_one(index: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        try:
            frame = as_frame(images[index], checked, None if masks is None else masks[index])
            if out is not None:
                shape = (size, size) if frame.flat else (size, size, frame.bands)
                if (frame.dtype, shape) != (result.dtype, result.shape[1:]):
                    raise ValueError(
                        f"its crop has dtype {frame.dtype} and shape {shape}, "
                        f"that of image 0 {result.dtype} and {result.shape[1:]}: crop them one by one"
                    )
            return _crops(frame, (view,), size, checked, out=None if out is None else [out])[0]
        except (ValueError, TypeError) as error:
            raise type(error)(f"image {index}: {error}") from error

    first = crop_one(0)
    result = np.empty((count, *first.shape), first.dtype)
    result[0] = first
    block = max(1, min(64, count // (4 * n_jobs)))  # images a task: one a task would spend the time on the queue

    def crop_block(start: int) -> None:
        for index in range(start, min(start + block, count)):
            crop_one(index, result[index])

    starts = range(1, count, block)
    if n_jobs == 1:
        for start in starts:
            crop_block(start)
    else:
        with ThreadPoolExecutor(n_jobs) as pool:
            list(pool.map(crop_block, starts))
    return result


def measure_and_crop(
    image: ArrayLike,
    view_names: Sequence[str],
    size: int,
    options: MeasureOptions,
    *,
    mask: ArrayLike | None = None,
    out: Sequence[NDArray[Any]] | None = None,
) -> tuple[Measurement, list[NDArray[Any]]]:
    """Measure an image and cut all its views: what the batch command does to each image.

    ``out[i]``, if given, receives view i: C-contiguous, (size, size[, C]), of the image's dtype.
    """
    frame = as_frame(image, options, mask)
    galaxy, sky = find_galaxy_and_sky(frame, options)
    measurement = describe_galaxy(frame, galaxy, sky)
    return measurement, _crops(frame, view_names, size, options, galaxy=galaxy, sky=sky.values, out=out)


def check_size(size: int) -> None:
    """Refuse a crop size that is not a positive integer."""
    if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size < 1:
        raise ValueError(f"size must be a positive number of pixels, got {size!r}")


def _crops(
    frame: Frame,
    names: Sequence[str],
    size: int,
    options: MeasureOptions,
    *,
    galaxy: Galaxy | None = None,
    sky: NDArray[np.float64] | None = None,
    out: Sequence[NDArray[Any]] | None = None,
) -> list[NDArray[Any]]:
    """The views of a frame, measured only if a view or the sky needs it."""
    windows: list[Window] = []
    for name in names:
        side = parse_view(name)
        if side is None:
            galaxy = galaxy or find_galaxy(frame, options)
            windows.append(galaxy.window)
        else:
            windows.append(center_window(frame.height, frame.width, side))
    padded = any(window.leaves(frame.height, frame.width) for window in windows)
    if frame.rows.dtype.kind == "f":
        galaxy = galaxy or find_galaxy(frame, options)
    holes = galaxy is not None and has_non_finite(frame, galaxy.threshold)
    paint = options.mask_neighbours and galaxy is not None and galaxy.component is not None
    if sky is None:
        if padded or holes or paint:
            galaxy = galaxy or find_galaxy(frame, options)
            sky = find_sky(frame, galaxy.grey, galaxy.threshold).values
        else:
            sky = np.zeros(frame.bands)  # not looked at: the windows hold nothing but pixels
    if holes:
        frame = with_sky_for_non_finite(frame, sky)
    crops = list(resample_all(frame, windows, size, sky))
    if paint and galaxy is not None:
        alone = with_sky_for_neighbours(frame, galaxy, sky)
        crops = [
            crop if parse_view(name) else resample(alone, window, size, sky)
            for crop, name, window in zip(crops, names, windows, strict=True)
        ]
    if out is None:
        return crops
    for target, crop in zip(out, crops, strict=True):
        target[...] = crop
    return list(out)


def with_sky_for_non_finite(frame: Frame, sky: NDArray[np.float64]) -> Frame:
    """A copy of the frame whose NaN and infinite values are the sky of their band."""
    values = frame.rows.reshape(frame.height, frame.width, frame.bands)
    rows = np.where(np.isfinite(values), values, sky.astype(values.dtype)).reshape(frame.rows.shape)
    return frame._replace(rows=rows)


def with_sky_for_neighbours(frame: Frame, galaxy: Galaxy, sky: NDArray[np.float64]) -> Frame:
    """A copy of the frame whose foreground is sky where it is not the galaxy."""
    from ..measuring.robust import foreground

    others = foreground(galaxy.grey, galaxy.threshold)
    if galaxy.component is not None:
        others &= ~galaxy.component.pixels()
    values = frame.rows.reshape(frame.height, frame.width, frame.bands).copy()
    values[others] = np.floor(sky + 0.5) if values.dtype.kind != "f" else sky
    return frame._replace(rows=values.reshape(frame.rows.shape))
