"""Step 4: the ellipse with the same second central moments as a region."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .. import kernels
from .region import Region


class Ellipse(NamedTuple):
    """Centre, full axis lengths (pixels) and orientation (radians)."""

    row: float
    col: float
    major_axis: float
    minor_axis: float
    orientation: float


def fit_ellipse(region: Region) -> Ellipse:
    """Axis lengths 4 * sqrt(eigenvalue) of the covariance of the region's pixels about its centroid.

    Orientation is that of scikit-image's ``regionprops``: the angle between the row axis and the major axis, from
    -pi/2 to pi/2 counter-clockwise. A region one pixel wide has a minor axis of 0, a single pixel both.
    """
    top, left, bottom, right = region.bbox
    if region.area * max(bottom - top, right - left) >= 2**30:
        return _fit_large(region)
    ellipse = np.empty(5)
    kernels.ellipse.fit_ellipse(np.array([*region.moments, *region.origin]), ellipse)
    return Ellipse(*ellipse.tolist())


def _fit_large(region: Region) -> Ellipse:
    """As the kernel, in Python's integers: for regions whose products are beyond 64 bits."""
    n, r, c, rr, rc, cc = region.moments
    var_r, var_c, cov = n * rr - r * r, n * cc - c * c, n * rc - r * c
    major = (var_r + var_c + math.hypot(var_r - var_c, 2 * cov)) / 2
    minor = (var_r * var_c - cov * cov) / major if major else 0.0
    if var_r == var_c:
        orientation = math.pi / 4 if cov > 0 else -math.pi / 4
    else:
        orientation = 0.5 * math.atan2(2 * cov, var_r - var_c)
    row, col = region.origin[0] + r / n, region.origin[1] + c / n
    return Ellipse(row, col, 4 * math.sqrt(major) / n, 4 * math.sqrt(minor) / n, orientation)
