"""Steps 5 to 7: the crops of one image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import kernels
from ..measuring.frame import Frame, as_frame
from ..measuring.galaxy import Galaxy, find_galaxy
from ..measuring.measure import Measurement, describe_galaxy
from ..measuring.onecall import Found, crop_in_one_call, find_in_one_call
from ..measuring.options import MeasureOptions, measure_options, takes_measuring_options
from ..measuring.quality import has_non_finite
from ..measuring.window import Window
from .resampling import Crops, box_of, resample
from .stretching import stretched
from .views import center_window, parse_view, view_window

#: Gives the window to crop for the one that was found, and the row and column of the tile at which the image begins.
Adjust = Callable[[Window, int, int], Window]


@takes_measuring_options()
def crop(
    image: ArrayLike, size: int = 64, *, view: str = "normalized", mask: ArrayLike | None = None, **options: Any
) -> NDArray[Any]:
    """Crop an image to its galaxy and resize to ``size`` x ``size``.

    The window is a square of side ``margin`` times the galaxy's major axis. It is resized by one antialiased bilinear
    interpolation, that of Pillow's ``BILINEAR``. Where the window leaves the frame the image continues as sky.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
        See `scalenorm.measure`. All bands are cropped, alpha too.
    size : int > 0, default 64
        Height and width of the crop, in pixels.
    view : str, default "normalized"
        ``"normalized"``, or ``"center-N"``: the N x N pixels in the middle of the image.
    mask : array_like of bool, shape (H, W), optional
        True = excluded: takes no part in any statistic and is never foreground.
    **options

    Returns
    -------
    ndarray, shape (size, size) or (size, size, C)
        Of the input's dtype, in native byte order; integers are rounded. Bands are last. With `stretch` uint8.

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
    check_size(size)
    parse_view(view)
    checked = measure_options(options, "crop")
    return find_and_crop(as_frame(image, checked, mask), (view,), size, checked)[0]


@takes_measuring_options()
def views(
    image: ArrayLike, names: Sequence[str], size: int = 64, *, mask: ArrayLike | None = None, **options: Any
) -> dict[str, NDArray[Any]]:
    """Several views of one galaxy, measured once.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
    names : sequence of str
        ``"normalized"`` and ``"center-N"`` in any number and order.
    size : int > 0, default 64
    mask : array_like of bool, shape (H, W), optional
        True = excluded, see `scalenorm.measure`.
    **options

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
    checked = measure_options(options, "views")
    return dict(zip(names, find_and_crop(as_frame(image, checked, mask), names, size, checked), strict=True))


def measure_and_crop(
    image: ArrayLike,
    view_names: Sequence[str],
    size: int,
    options: MeasureOptions,
    *,
    mask: ArrayLike | None = None,
    out: Sequence[NDArray[Any]] | None = None,
    adjust: Adjust | None = None,
) -> tuple[Measurement, Any]:
    """Measure an image and cut all its views: what the batch command does to each image.

    ``out[i]``, if given, receives view i: C-contiguous, (size, size[, C]), of the crops' dtype.
    """
    frame = as_frame(image, options, mask)
    done = _in_one_call(frame, view_names, size, options, inspect=True) if adjust is None else None
    if done is None:
        galaxy = find_galaxy(frame, options)
        if adjust is not None:
            galaxy = galaxy._replace(window=adjust(galaxy.window, 0, 0))
        crops = crop_views(finite_frame(frame, galaxy), galaxy, view_names, size, options)
        measurement = describe_galaxy(frame, galaxy)
    else:
        found, crops = done
        measurement = describe_galaxy(frame, found.galaxy(frame), found.inspection())
    return measurement, into(crops, out)


def into(crops: Any, out: Sequence[NDArray[Any]] | None) -> Any:
    """Copy crops to where they are to go, if anywhere; return them there."""
    for target, crop in zip(out or (), crops, strict=out is not None):
        target[...] = crop
    return crops if out is None else out


def find_and_crop(frame: Frame, names: Sequence[str], size: int, options: MeasureOptions) -> NDArray[Any]:
    """The views of a frame, shape (N, size, size[, C]), and nothing more."""
    done = _in_one_call(frame, names, size, options, inspect=False)
    if done is not None:
        return done[1]
    galaxy = find_galaxy(frame, options)
    return crop_views(finite_frame(frame, galaxy), galaxy, names, size, options)


def _in_one_call(
    frame: Frame, names: Sequence[str], size: int, options: MeasureOptions, *, inspect: bool
) -> tuple[Found, NDArray[Any]] | None:
    crops = Crops(frame, len(names), size)
    boxes = np.array([_box(frame, name, size) for name in names]).reshape(len(names), 4)
    found = find_in_one_call(frame, options, boxes, crops.rows, inspect=inspect)
    return None if found is None else (found, stretched(crops.finished(), options))


def crop_stack(
    images: NDArray[Any], view: str, size: int, options: MeasureOptions
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The crops of images, shape (N, H, W[, C]), of a layout that `as_frame` takes, and which of them are done.

    One compiled call makes them all. What it could not do is left for `find_and_crop`.
    """
    frame = as_frame(images.reshape(-1, *images.shape[2:]), options)._replace(height=images.shape[1])
    crops = Crops(frame, len(images), size)
    boxes = np.tile(_box(frame, view, size), (len(images), 1))
    done = crop_in_one_call(frame, options, boxes, crops.rows)
    return stretched(crops.finished()[done], options), done


def _box(frame: Frame, name: str, size: int) -> tuple[float, float, float, float]:
    side = parse_view(name)
    if side is None:
        return 0.0, 0.0, 0.0, 0.0  # the galaxy's, as soon as it is found
    return box_of(center_window(frame.height, frame.width, side), frame, size)


def check_size(size: int) -> None:
    """Refuse a crop size that is not a positive integer."""
    if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size < 1:
        raise ValueError(f"size must be a positive number of pixels, got {size!r}")


def crop_views(
    frame: Frame,
    galaxy: Galaxy,
    names: Sequence[str],
    size: int,
    options: MeasureOptions,
) -> NDArray[Any]:
    """Cut the views of a measured galaxy from a frame without holes, see `finite_frame`."""
    sky = galaxy.foreground.sky
    windows = [view_window(name, galaxy.window, frame.height, frame.width) for name in names]
    crops = resample(frame, windows, size, sky)
    if options.mask_neighbours and "normalized" in names and galaxy.component.region is not None:
        number = names.index("normalized")
        crops[number] = resample(_alone(frame, galaxy), [windows[number]], size, sky)[0]
    return stretched(crops, options)


def finite_frame(frame: Frame, galaxy: Galaxy) -> Frame:
    """The frame with the sky of its band in place of each NaN and infinite value."""
    if not has_non_finite(frame, galaxy):
        return frame
    values = frame.rows.reshape(frame.height, frame.width, frame.bands)
    rows = np.where(np.isfinite(values), values, galaxy.foreground.sky.astype(values.dtype))
    return frame._replace(rows=rows.reshape(frame.rows.shape))


def _alone(frame: Frame, galaxy: Galaxy) -> Frame:
    """The frame with sky in place of the foreground that is not the galaxy."""
    others = galaxy.foreground.mask != kernels.BACKGROUND
    if galaxy.component.region is not None:
        others &= ~galaxy.component.region.pixels()
    values = frame.rows.reshape(frame.height, frame.width, frame.bands).copy()
    sky = galaxy.foreground.sky
    values[others] = np.floor(sky + 0.5) if values.dtype.kind != "f" else sky
    return frame._replace(rows=values.reshape(frame.rows.shape))
