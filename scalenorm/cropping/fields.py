"""Every object of a field: measured and cropped."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..measuring.frame import as_frame
from ..measuring.measure import Measurement, describe_galaxy
from ..measuring.objects import find_objects
from ..measuring.options import MeasureOptions, measure_options, takes_measuring_options
from .crop import check_size, crop_views, finite_frame
from .stretching import crop_dtype


@takes_measuring_options(without=("center",))
def crop_all(
    image: ArrayLike, size: int = 64, *, mask: ArrayLike | None = None, **options: Any
) -> tuple[list[Measurement], NDArray[Any]]:
    """Measure and crop every object of a field.

    Every component of the foreground is an object; with ``deblend=True`` every object that a component is separated
    into. Each window is centred on its object. Give ``min_area``, or noise counts as objects.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
        See `scalenorm.measure`.
    size : int > 0, default 64
        Height and width of each crop, in pixels.
    mask : array_like of bool, shape (H, W), optional
        True = excluded.
    **options

    Returns
    -------
    measurements : list of Measurement, length N
        The object with the most pixels first; ties in the order of their first pixels. N is 0 without foreground.
    crops : ndarray, shape (N, size, size[, C])
        Of the input's dtype; with `stretch` uint8.

    Raises
    ------
    ValueError
        As for `scalenorm.crop`, and if ``center`` is given.

    Examples
    --------
    >>> import numpy as np, scalenorm
    >>> field = np.zeros((100, 100))
    >>> field[10:20, 10:30] = 1.0
    >>> field[60:70, 40:50] = 1.0
    >>> measurements, crops = scalenorm.crop_all(field, 32)
    >>> [m.area for m in measurements], crops.shape
    ([200, 100], (2, 32, 32))
    """
    check_size(size)
    if "center" in options:
        raise ValueError("crop_all centres each window on its object: leave center out")
    return measure_and_crop_all(image, size, measure_options({**options, "center": "galaxy"}, "crop_all"), mask=mask)


def measure_and_crop_all(
    image: ArrayLike, size: int, options: MeasureOptions, *, mask: ArrayLike | None = None
) -> tuple[list[Measurement], NDArray[Any]]:
    """`crop_all` with options that are checked: what the batch command does to each image with ``--all-objects``."""
    frame = as_frame(image, options, mask)
    found, pixels = [], None
    for galaxy in find_objects(frame, options):
        pixels = pixels or finite_frame(frame, galaxy)  # the same for all objects
        crop = crop_views(pixels, galaxy, ("normalized",), size, options)[0]
        found.append((describe_galaxy(frame, galaxy), crop))
    found.sort(key=lambda pair: -pair[0].area)
    shape = (size, size) if frame.flat else (size, size, frame.bands)
    crops = np.empty((len(found), *shape), crop_dtype(frame.dtype, options))
    for target, (_, crop) in zip(crops, found, strict=True):
        target[...] = crop
    return [measurement for measurement, _ in found], crops
