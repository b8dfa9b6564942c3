"""A galaxy with its ellipse, its window and its views, on axes of matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cropping.crop import check_size, measure_and_crop
from ..cropping.views import parse_view
from ..files.optional import optional_package
from ..images.showing import as_picture, limits_of
from ..measuring.flags import describe
from ..measuring.frame import as_frame
from ..measuring.options import measure_options, takes_measuring_options
from ..measuring.showing import ELLIPSE, WINDOW
from .drawing import ellipse_points, row_of


@takes_measuring_options()
def plot(
    image: ArrayLike,
    names: Sequence[str] = ("normalized",),
    size: int = 64,
    *,
    axes: Sequence[Any] | None = None,
    mask: ArrayLike | None = None,
    **options: Any,
) -> NDArray[Any]:
    """Draw an image with the galaxy's ellipse and window, and its views beside it.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
        See `scalenorm.measure`. 8-bit values are shown as they are, all others with an asinh stretch.
    names : sequence of str, default ("normalized",)
        Views to draw, see `scalenorm.views`.
    size : int > 0, default 64
        Height and width of the views, in pixels.
    axes : sequence of matplotlib.axes.Axes, optional
        Where to draw: one for the image and one for each view. By default on a new figure.
    mask : array_like of bool, shape (H, W), optional
        True = excluded, see `scalenorm.measure`.
    **options

    Returns
    -------
    ndarray of matplotlib.axes.Axes, shape (1 + number of views,)

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If a shape or an option is out of range.

    Examples
    --------
    >>> import scalenorm
    >>> image = scalenorm.make_galaxies(1, seed=1).images[0]
    >>> axes = scalenorm.plot(image, ["normalized", "center-64"], margin=1.5)  # doctest: +SKIP
    >>> axes[0].figure.savefig("galaxy.png")                                   # doctest: +SKIP
    """
    if isinstance(names, str):
        raise ValueError(f"names must be a list of views, got the string {names!r}: use [{names!r}]")
    for name in names:
        parse_view(name)
    check_size(size)
    checked = measure_options(options, "plot")
    frame = as_frame(image, checked, mask)
    galaxy, crops = measure_and_crop(image, list(names), size, checked, mask=mask)
    if axes is None:
        pyplot = optional_package("matplotlib.pyplot", "plot", "plot()", ImportError)
        axes = pyplot.subplots(1, 1 + len(names), figsize=(3 * (1 + len(names)), 3.5), layout="constrained")[1]
    drawn = np.atleast_1d(np.asarray(axes, object))
    if len(drawn) != 1 + len(names):
        raise ValueError(f"axes must be {1 + len(names)}, one for the image and one for each view, got {len(drawn)}")

    pixels = frame.rows.reshape(frame.height, frame.width, frame.bands)
    extent = (-0.5, frame.width - 0.5, frame.height - 0.5, -0.5)
    drawn[0].imshow(as_picture(pixels, limits_of(pixels)), extent=extent)
    drawn[0].plot(*(ellipse_points(row_of(galaxy)) - 0.5).T, color=ELLIPSE)
    half = galaxy.side / 2
    left, right, top, bottom = (
        place + step for place in (galaxy.window_col, galaxy.window_row) for step in (-half, half)
    )
    drawn[0].plot([left, right, right, left, left], [top, top, bottom, bottom, top], color=WINDOW)
    drawn[0].set(title="image", xlabel=", ".join(describe(galaxy.flags)))
    for axis, name, crop in zip(drawn[1:], names, crops, strict=True):
        axis.imshow(as_picture(crop, limits_of(crops[0])))
        axis.set(title=name, xticks=[], yticks=[])
    return drawn
