"""All that is measured of one galaxy: `measure`, and its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .flags import Flag
from .frame import Frame, as_frame
from .galaxy import Galaxy, find_galaxy
from .onecall import find_in_one_call
from .options import measure_options, takes_measuring_options
from .quality import Inspection, find_flags


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

    def _repr_html_(self) -> str:
        from .showing import measurement_html

        return measurement_html(self)

    def to_image(self, row: Any, col: Any, size: int = 64) -> tuple[Any, Any]:
        """Return where pixels of the normalised view lie in the image.

        Parameters
        ----------
        row, col : float or array_like
            Positions in the crop, pixel centres at integers.
        size : int > 0, default 64
            Height and width of the crop, in pixels.

        Returns
        -------
        row, col : float or ndarray
            Positions in the image.

        Examples
        --------
        >>> import scalenorm
        >>> galaxy = scalenorm.measure(scalenorm.make_galaxies(1, seed=1).images[0])
        >>> galaxy.to_image(31.5, 31.5) == (galaxy.window_row, galaxy.window_col)
        True
        """
        scale = self.side / size
        row, col = ((np.asarray(value, float)[()] + 0.5) * scale - self.side / 2 for value in (row, col))
        return row + self.window_row, col + self.window_col

    def to_crop(self, row: Any, col: Any, size: int = 64) -> tuple[Any, Any]:
        """Return where pixels of the image lie in the normalised view; the inverse of `to_image`.

        Parameters
        ----------
        row, col : float or array_like
            Positions in the image, pixel centres at integers.
        size : int > 0, default 64
            Height and width of the crop, in pixels.

        Returns
        -------
        row, col : float or ndarray
            Positions in the crop; beyond 0 to `size` - 1 they lie outside.

        Examples
        --------
        >>> import scalenorm
        >>> galaxy = scalenorm.measure(scalenorm.make_galaxies(1, seed=1).images[0])
        >>> galaxy.to_crop(galaxy.window_row, galaxy.window_col)
        (31.5, 31.5)
        """
        scale = size / self.side
        row, col = np.asarray(row, float)[()] - self.window_row, np.asarray(col, float)[()] - self.window_col
        return tuple((value + self.side / 2) * scale - 0.5 for value in (row, col))


def describe_galaxy(frame: Frame, galaxy: Galaxy, inspection: Inspection | None = None) -> Measurement:
    """All that is known of a galaxy, flags included."""
    region, ellipse, window = galaxy.component.region, galaxy.ellipse, galaxy.window
    return Measurement(
        threshold=galaxy.threshold.value,
        sky=tuple(galaxy.foreground.sky.tolist()),
        row=ellipse.row,
        col=ellipse.col,
        major_axis=ellipse.major_axis,
        minor_axis=ellipse.minor_axis,
        orientation=ellipse.orientation,
        area=0 if region is None else region.area,
        bbox=(0, 0, 0, 0) if region is None else region.bbox,
        window_row=window.row,
        window_col=window.col,
        side=window.side,
        height=frame.height,
        width=frame.width,
        flags=find_flags(frame, galaxy, inspection),
    )


@takes_measuring_options()
def measure(image: ArrayLike, *, mask: ArrayLike | None = None, **options: Any) -> Measurement:
    """Measure the galaxy in the middle of an image.

    The grey image is thresholded at mean + ``sigma`` standard deviations; the galaxy is the 8-connected component of
    the foreground that holds the centre pixel, or is nearest to it; its ellipse has the same second central moments
    (axis lengths 4 * sqrt(eigenvalue), as scikit-image's ``regionprops``).

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
        Any real dtype, byte order and strides; never modified. Non-finite pixels take no part, nor do those that a
        masked array or astropy's ``CCDData`` masks; units are dropped. An xarray ``DataArray`` or a tensor on the CPU
        (PyTorch, TensorFlow, JAX) is an array, too.
    mask : array_like of bool, shape (H, W), optional
        True = excluded: takes no part in any statistic and is never foreground.
    **options

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
    checked = measure_options(options, "measure")
    frame = as_frame(image, checked, mask)
    found = find_in_one_call(
        frame, checked, np.empty((0, 4)), np.empty((0, 1, frame.bands), frame.rows.dtype), inspect=True
    )
    if found is not None:
        return describe_galaxy(frame, found.galaxy(frame), found.inspection())
    return describe_galaxy(frame, find_galaxy(frame, checked))
