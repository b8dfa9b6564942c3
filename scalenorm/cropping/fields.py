"""Every object of a field: measured and cropped."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..measuring.frame import Frame, as_frame
from ..measuring.measure import Galaxy, Measurement, describe_galaxy, find_sky, has_non_finite
from ..measuring.objects import find_objects
from ..measuring.options import MeasureOptions
from ..measuring.threshold import Sky
from .crop import check_size, with_sky_for_neighbours, with_sky_for_non_finite
from .resampling import resample


def crop_all(
    image: ArrayLike, size: int = 64, *, mask: ArrayLike | None = None, **options: Any
) -> tuple[list[Measurement], NDArray[Any]]:
    """Measure and crop every object of a field.

    Every component of the foreground is an object; with ``deblend=True`` every object that a component is separated
    into. Each window is centred on its object.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
        See `scalenorm.measure`.
    size : int > 0, default 64
        Height and width of each crop, in pixels.
    mask : array_like of bool, shape (H, W), optional
        True = excluded.
    **options
        The measuring options of `scalenorm.measure` but ``center``; give ``min_area``, or noise counts as objects.

    Returns
    -------
    measurements : list of Measurement, length N
        The object with the most pixels first; ties in the order of their first pixels. N is 0 without foreground.
    crops : ndarray, shape (N, size, size[, C])
        Of the input's dtype.

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
    checked = MeasureOptions(**options, center="galaxy")
    frame = as_frame(image, checked, mask)
    galaxies = find_objects(frame, checked)
    crops = np.empty((len(galaxies), *((size, size) if frame.flat else (size, size, frame.bands))), frame.dtype)
    if not galaxies:
        return [], crops
    background = find_background(frame, galaxies[0])
    return [
        crop_object(background, galaxy, size, checked, target) for galaxy, target in zip(galaxies, crops, strict=True)
    ], crops


class Background(NamedTuple):
    """What all objects of one field share."""

    frame: Frame
    finite: Frame  # the same with sky where a value is not finite
    sky: Sky


def find_background(frame: Frame, galaxy: Galaxy) -> Background:
    """Measure what the objects of a field share, of which `galaxy` is one."""
    sky = find_sky(frame, galaxy.grey, galaxy.threshold)
    holes = has_non_finite(frame, galaxy.threshold)
    return Background(frame, with_sky_for_non_finite(frame, sky.values) if holes else frame, sky)


def crop_object(
    background: Background, galaxy: Galaxy, size: int, options: MeasureOptions, out: NDArray[Any]
) -> Measurement:
    """Measure an object that `find_objects` found, and put its crop into `out`."""
    frame, finite, sky = background
    galaxy = _unpacked(galaxy)
    measurement = describe_galaxy(frame, galaxy, sky)
    if options.mask_neighbours:
        finite = with_sky_for_neighbours(finite, galaxy, sky.values)
    resample(finite, galaxy.window, size, sky.values, out)
    return measurement


def _unpacked(galaxy: Galaxy) -> Galaxy:
    component = galaxy.component
    if component is None:
        return galaxy
    top, left, bottom, right = component.bbox
    mask = np.empty((galaxy.grey.height, galaxy.grey.width), np.uint8)
    mask[top:bottom, left:right] = component.mask
    return galaxy._replace(component=component._replace(mask=mask))
