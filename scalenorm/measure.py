"""Steps 1 to 5 in order: from an image to a `Measurement`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .component import Component, find_component
from .ellipse import Ellipse, fit_ellipse
from .flags import Flag
from .frame import Frame, as_frame, image_center, nearest_pixel
from .options import Center, MeasureOptions
from .threshold import Threshold, find_threshold, measure_sky
from .views import Window


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured of one galaxy. Lengths and positions are in pixels of the input image.

    Positions are array-index coordinates: (row, col), pixel centres at integers. Crop pixel (i, j) of the normalised
    view lies at row ``window_row - side / 2 + (i + 0.5) * side / size``, and columns likewise.
    """

    threshold: float
    """Grey level at and above which a pixel is foreground, in input units."""
    sky: tuple[float, ...]
    """Mean of the pixels below the threshold, one for each band, in input units."""
    row: float
    """Centroid of the region."""
    col: float
    """Centroid of the region."""
    major_axis: float
    """Full length of the major axis of the ellipse with the region's second moments."""
    minor_axis: float
    """Full length of the minor axis."""
    orientation: float
    """Angle between the row axis and the major axis, radians, -pi/2 to pi/2 counter-clockwise (as scikit-image)."""
    area: int
    """Pixels in the region."""
    bbox: tuple[int, int, int, int]
    """First row, first column, last row + 1, last column + 1 of the region."""
    window_row: float
    """Centre of the normalised view's window."""
    window_col: float
    """Centre of the normalised view's window."""
    side: float
    """Side of the normalised view's window."""
    height: int
    """Rows of the input image."""
    width: int
    """Columns of the input image."""
    flags: Flag
    """What may be wrong, see `Flag`."""


class Galaxy(NamedTuple):
    """The steps' results, from which both crops and a `Measurement` follow."""

    threshold: Threshold
    component: Component | None
    ellipse: Ellipse
    expected: tuple[float, float]  # where the galaxy was looked for
    window: Window


def find_galaxy(frame: Frame, options: MeasureOptions) -> Galaxy:
    """Steps 2 to 5: threshold, component, ellipse, window."""
    threshold = find_threshold(frame, options.sigma)
    expected = image_center(frame.height, frame.width)
    if isinstance(options.center, str):
        row, col = frame.height // 2, frame.width // 2
    else:
        expected = options.center
        row, col = nearest_pixel(expected[0]), nearest_pixel(expected[1])
        if not (0 <= row < frame.height and 0 <= col < frame.width):
            raise ValueError(f"center {expected} lies outside the image of {frame.height} x {frame.width} pixels")
    component = find_component(frame, threshold, row, col)
    if component is None:
        ellipse = Ellipse(*image_center(frame.height, frame.width), 0.0, 0.0, 0.0)
        side = float(min(frame.height, frame.width))
    else:
        ellipse = fit_ellipse(component)
        side = max(options.margin * ellipse.major_axis, 1.0)
    middle = (ellipse.row, ellipse.col) if options.center == "galaxy" else expected
    return Galaxy(threshold, component, ellipse, expected, Window(*middle, side))


def describe_galaxy(frame: Frame, galaxy: Galaxy, sky: NDArray[np.float64], below: int) -> Measurement:
    """All that is known of a galaxy, flags included. ``sky`` and ``below`` are those of `measure_sky`."""
    threshold, component, ellipse, expected, window = galaxy
    flags = Flag(0)
    if component is None:
        flags |= Flag.NO_FOREGROUND
        area, bbox = 0, (0, 0, 0, 0)
    else:
        area, bbox = component.moments[0], component.bbox
        if bbox[0] == 0 or bbox[1] == 0 or bbox[2] == frame.height or bbox[3] == frame.width:
            flags |= Flag.TOUCHES_EDGE
        if math.dist(expected, ellipse[:2]) > ellipse.major_axis / 8:
            flags |= Flag.OFF_CENTER
        if ellipse.minor_axis < 1:
            flags |= Flag.DEGENERATE_ELLIPSE
        if below < threshold.valid - below:
            flags |= Flag.MOST_OF_IMAGE
    if window.leaves(frame.height, frame.width):
        flags |= Flag.PADDED
    if has_non_finite(frame, threshold):
        flags |= Flag.NON_FINITE
    return Measurement(
        threshold=threshold.value,
        sky=tuple(sky.tolist()),
        row=ellipse.row,
        col=ellipse.col,
        major_axis=ellipse.major_axis,
        minor_axis=ellipse.minor_axis,
        orientation=ellipse.orientation,
        area=area,
        bbox=bbox,
        window_row=window.row,
        window_col=window.col,
        side=window.side,
        height=frame.height,
        width=frame.width,
        flags=flags,
    )


def has_non_finite(frame: Frame, threshold: Threshold) -> bool:
    """Whether any pixel is NaN or infinite, masked ones included."""
    if frame.rows.dtype.kind != "f":
        return False
    if frame.valid is None:
        return threshold.valid < frame.height * frame.width
    return not np.isfinite(frame.rows).all()


def measure(
    image: ArrayLike,
    *,
    sigma: float = 1.0,
    margin: float = 1.0,
    center: Center = "image",
    channel_axis: int | None = None,
    weights: Sequence[float] | None = None,
    mask: ArrayLike | None = None,
) -> Measurement:
    """Measure the galaxy in the middle of an image.

    The grey image is thresholded at mean + ``sigma`` standard deviations; the galaxy is the 8-connected component of
    the foreground that holds the centre pixel, or is nearest to it; its ellipse has the same second central moments
    (axis lengths 4 * sqrt(eigenvalue), as scikit-image's ``regionprops``).

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
        Any real dtype, byte order and strides; never modified. Three bands, and the first three of 8-bit RGBA,
        become grey as 0.2125 R + 0.7154 G + 0.0721 B, any other number as their mean. Non-finite pixels take no part.
    sigma : float, default 1.0
        Standard deviations above the mean at which the foreground starts.
    margin : float > 0, default 1.0
        Side of the window over the major axis.
    center : {"image", "galaxy"} or (row, col), default "image"
        Centre of the window: the image's (the paper), the galaxy's centroid, or a position; the galaxy is looked for
        at a given position, else at the image's centre.
    channel_axis : int, optional
        Axis of the bands; by default the last of three.
    weights : sequence of float, optional
        Weights of the bands in the grey level, in place of the ones above.
    mask : array_like of bool, shape (H, W), optional
        True = excluded: takes no part in any statistic and is never foreground.

    Returns
    -------
    Measurement

    Raises
    ------
    TypeError
        If the image is not of a real dtype.
    ValueError
        If a shape or an option is out of range.

    See Also
    --------
    scalenorm.crop : the crop that follows from the measurement.

    References
    ----------
    Kabani & El-Sakka, "How important is scale in galaxy image classification?", 2016.

    Examples
    --------
    >>> import numpy as np, scalenorm
    >>> image = np.zeros((100, 100))
    >>> image[40:60, 45:55] = 1.0
    >>> galaxy = scalenorm.measure(image)
    >>> galaxy.area, galaxy.row, round(galaxy.major_axis, 2), galaxy.flags
    (200, 49.5, 23.07, <Flag: 0>)
    """
    options = MeasureOptions(sigma, margin, center, channel_axis, weights)  # type: ignore[arg-type]
    frame = as_frame(image, options, mask)
    galaxy = find_galaxy(frame, options)
    return describe_galaxy(frame, galaxy, *measure_sky(frame, galaxy.threshold))
