"""Steps 1 to 5 in order: from an image to a `Measurement`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import kernels
from .component import Component, find_component
from .ellipse import Ellipse, fit_ellipse
from .flags import Flag
from .frame import Frame, as_frame, image_center, nearest_pixel
from .options import Center, MeasureOptions
from .threshold import TINY, Sky, Threshold, find_threshold, measure_sky
from .window import Window


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
    grey: Frame  # that was measured, see `find_foreground`
    objects: int  # in the component that the galaxy is from; 1 without deblending
    limited: bool  # the side is not that of the size asked for


def find_galaxy(frame: Frame, options: MeasureOptions) -> Galaxy:
    """Steps 2 to 5: threshold, component, ellipse, window."""
    return _find_in_foreground(*find_foreground(frame, options), options, None)


def find_galaxy_and_sky(frame: Frame, options: MeasureOptions) -> tuple[Galaxy, Sky]:
    """`find_galaxy` and `find_sky`, with one look at each pixel where possible."""
    grey, threshold = find_foreground(frame, options)
    sky = find_sky(frame, grey, threshold)
    return _find_in_foreground(grey, threshold, options, sky.foreground), sky


def _find_in_foreground(
    frame: Frame, threshold: Threshold, options: MeasureOptions, foreground: NDArray[np.uint8] | None
) -> Galaxy:
    """Steps 3 to 5."""
    expected = image_center(frame.height, frame.width)
    row, col = frame.height // 2, frame.width // 2
    if not isinstance(options.center, str):
        expected = options.center
        row, col = nearest_pixel(expected[0]), nearest_pixel(expected[1])
        if not (0 <= row < frame.height and 0 <= col < frame.width):
            raise ValueError(f"center {expected} lies outside the image of {frame.height} x {frame.width} pixels")
    elif options.center in ("log", "dog"):
        from .finders import find_blob

        expected = find_blob(frame, threshold, options.center) or expected
        row, col = nearest_pixel(expected[0]), nearest_pixel(expected[1])
    component = find_component(frame, threshold, row, col, foreground)
    if component is not None and component.moments[0] < options.min_area:
        from .robust import large_component

        component = large_component(frame, threshold, int(options.min_area), row, col)
    objects = 1
    if options.deblend and component is not None:
        from .deblending import deblend

        component, objects = deblend(
            frame, threshold, component, levels=int(options.deblend_levels), contrast=options.deblend_contrast,
            at=None if isinstance(options.center, str) else component.origin,
        )  # fmt: skip
    return finish_galaxy(frame, threshold, component, objects, expected, options)


def find_foreground(frame: Frame, options: MeasureOptions) -> tuple[Frame, Threshold]:
    """The frame to measure (smoothed, if asked for; scaled down, if need be) and its threshold."""
    if options.smooth:
        from .robust import smooth_frame

        frame = smooth_frame(frame, options.smooth)
    threshold = _threshold_of(frame, options)
    if threshold.valid and not (math.isfinite(threshold.value) or frame.exact):  # squares are beyond float64
        frame = frame._replace(rows=frame.rows * TINY, scale=frame.scale * TINY)
        threshold = _threshold_of(frame, options)
    return frame, threshold


def _threshold_of(frame: Frame, options: MeasureOptions) -> Threshold:
    if options.sigma_clip is None:
        return find_threshold(frame, options.sigma)
    from .robust import clipped_threshold

    return clipped_threshold(frame, options.sigma, options.sigma_clip)


def finish_galaxy(
    grey: Frame,
    threshold: Threshold,
    component: Component | None,
    objects: int,
    expected: tuple[float, float] | None,
    options: MeasureOptions,
) -> Galaxy:
    """Steps 4 and 5, of a component; a galaxy expected nowhere in particular is expected where it is."""
    limited = False
    if component is None:
        ellipse = Ellipse(*image_center(grey.height, grey.width), 0.0, 0.0, 0.0)
        side = float(min(grey.height, grey.width))
    else:
        if options.fill_holes:
            from .robust import fill_holes

            component = fill_holes(component)
        ellipse = fit_ellipse(component)
        size = ellipse.major_axis
        if options.size_from != "major_axis":
            from .sizes import SIZES

            size = SIZES[options.size_from](grey, threshold, component, ellipse)
            if not size > 0:
                size, limited = ellipse.major_axis, True
        side = max(options.margin * size, 1.0)
        if options.side_limits is not None:
            from .sizes import limit_side

            side, cut = limit_side(side, options.side_limits)
            limited = limited or cut
    expected = expected or ellipse[:2]
    middle = ellipse[:2] if options.center == "galaxy" else expected
    return Galaxy(threshold, component, ellipse, expected, Window(*middle, side), grey, objects, limited)


def find_sky(frame: Frame, grey: Frame, threshold: Threshold) -> Sky:
    """The sky of a frame of which ``grey`` was measured, see `find_foreground`."""
    if grey is frame:
        return measure_sky(frame, threshold)
    from .robust import sky_below

    return sky_below(frame, grey, threshold)


def describe_galaxy(frame: Frame, galaxy: Galaxy, sky: Sky) -> Measurement:
    """All that is known of a galaxy, flags included."""
    threshold, component, ellipse, _, window, *_ = galaxy
    area, bbox = (0, (0, 0, 0, 0)) if component is None else (component.moments[0], component.bbox)
    return Measurement(
        threshold=threshold.value,
        sky=tuple(sky.values.tolist()),
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
        flags=find_flags(frame, galaxy, sky),
    )


def find_flags(frame: Frame, galaxy: Galaxy, sky: Sky) -> Flag:
    """What may be wrong with a galaxy; see `Flag`."""
    threshold, component, ellipse, expected, window, _, objects, limited = galaxy
    flags = Flag(0)
    if window.leaves(frame.height, frame.width):
        flags |= Flag.PADDED
    if has_non_finite(frame, threshold):
        flags |= Flag.NON_FINITE
    if limited:
        flags |= Flag.SCALE_LIMITED
    if component is None:
        return flags | Flag.NO_FOREGROUND
    area, bbox = component.moments[0], component.bbox
    if bbox[0] == 0 or bbox[1] == 0 or bbox[2] == frame.height or bbox[3] == frame.width:
        flags |= Flag.TOUCHES_EDGE
    if math.dist(expected, ellipse[:2]) > ellipse.major_axis / 8:
        flags |= Flag.OFF_CENTER
    if ellipse.minor_axis < 1:
        flags |= Flag.DEGENERATE_ELLIPSE
    elif objects > 1 or area < FULL_ELLIPSE * math.pi / 4 * ellipse.major_axis * ellipse.minor_axis:
        flags |= Flag.BLENDED
    if sky.pixels < threshold.valid - sky.pixels:
        flags |= Flag.MOST_OF_IMAGE
    return flags | _flags_of_pixels(frame, galaxy, component, sky)


FULL_ELLIPSE = 0.9  # of its ellipse is what a single galaxy fills; two side by side leave more empty
NEIGHBOUR = 0.05  # of the galaxy's area is the least that makes a neighbour
CONTRAST = 4.0  # deviations of the sky
_MOST = {np.dtype(name): int(np.iinfo(name).max) for name in ("uint8", "int8", "uint16", "int16")}
SKY_STEP = 16  # rows from one to the next in which the deviation of the sky is measured


def _flags_of_pixels(frame: Frame, galaxy: Galaxy, component: Component, sky: Sky) -> Flag:
    """The flags for which the pixels must be looked at again."""
    grey, threshold = galaxy.grey, galaxy.threshold
    top, left = (math.floor(edge) for edge in galaxy.window.corner())
    side = math.ceil(galaxy.window.side)
    window = max(top, 0), max(left, 0), min(top + side, grey.height), min(left + side, grey.width)
    neighbours, faint, saturated = kernels.regions.inspect_region(
        grey.rows, grey.kind, grey.weights, grey.valid, threshold.cutoff, grey.level,
        sky.foreground, component.mask, component.mask is sky.foreground, component.bbox, window,
        min(SKY_STEP, grey.height), CONTRAST,
        frame.rows, frame.bands, _MOST.get(frame.dtype, -1),
    )  # fmt: skip
    flags = Flag(0)
    if saturated:
        flags |= Flag.SATURATED
    if neighbours > NEIGHBOUR * component.moments[0]:
        flags |= Flag.NEIGHBOUR_IN_WINDOW
    if faint:
        flags |= Flag.LOW_CONTRAST
    return flags


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
    margin : float > 0 and at most 1000, default 1.0
        Side of the window over the galaxy's size.
    center : {"image", "galaxy", "log", "dog"} or (row, col), default "image"
        Centre of the window: the image's (the paper), the galaxy's centroid, a position, or the most salient blob that
        a Laplacian-of-Gaussian or difference-of-Gaussians search finds (the image's centre if there is no blob). The
        galaxy is looked for at the blob or the given position, else at the image's centre.
    channel_axis : int, optional
        Axis of the bands; by default the last of three.
    weights : sequence of float, optional
        Weights of the bands in the grey level, in place of the ones above.
    sigma_clip : float >= 1, optional
        Compute mean and deviation without pixels more than this many deviations from the mean, repeatedly. The
        threshold then follows the sky, not the objects: raise ``sigma`` to 2 or 3.
    smooth : float from 0 to 1000, default 0
        Standard deviation, in pixels, of a Gaussian that smooths the grey level before all else.
    min_area : int > 0, default 1
        Pixels that a component must have to be the galaxy.
    fill_holes : bool, default False
        Count the pixels that the region encloses as the galaxy's.
    deblend : bool, default False
        Separate the galaxy from neighbours that touch it.
    deblend_levels : int from 2 to 10000, default 32
        Levels at which deblending looks for separate peaks.
    deblend_contrast : float from 0 to 1, default 0.005
        Light that a peak must have, relative to the greater one beside it and weighted by the depth of the valley
        between, to be another object.
    size_from : {"major_axis", "half_light", "petrosian"}, default "major_axis"
        What the window is scaled by: the region's major axis, twice the half-light diameter, or the Petrosian
        diameter, both along the major axis of elliptical apertures. If these cannot be measured, the major axis, and
        the flag ``SCALE_LIMITED`` is set.
    side_limits : (float, float), optional
        Least and greatest side of the window, in pixels; the least from 1 to 1,000,000.
    mask_neighbours : bool, default False
        Paint foreground that is not the galaxy with sky in the normalised crop. Changes no measurement.
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
    options = MeasureOptions(
        sigma=sigma, margin=margin, center=center, channel_axis=channel_axis,
        weights=weights,  # type: ignore[arg-type]
        sigma_clip=sigma_clip, smooth=smooth, min_area=min_area, fill_holes=fill_holes, deblend=deblend,
        deblend_levels=deblend_levels, deblend_contrast=deblend_contrast, size_from=size_from,
        side_limits=side_limits, mask_neighbours=mask_neighbours,
    )  # fmt: skip
    frame = as_frame(image, options, mask)
    return describe_galaxy(frame, *find_galaxy_and_sky(frame, options))
