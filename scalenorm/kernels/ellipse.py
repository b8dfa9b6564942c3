"""The ellipse with the same second central moments as a region."""

import math

import numpy as np

from .compile import kernel
from .exact import as_float, hypotenuse, multiply, subtract


@kernel
def fit_ellipse(moments, ellipse):
    """Ellipse = [row, col, major axis, minor axis, orientation] of moments = [n, sums of r, c, rr, rc, cc, origin].

    n^2 times the covariance are exact integers: nothing cancels, and a line has a determinant of exactly 0. The caller
    sees to it that n times the region's extent is below 2^30, so that they fit 64 bits; the determinant has up to 128.
    """
    n, r, c = moments[0], moments[1], moments[2]
    var_r, var_c, cov = n * moments[3] - r * r, n * moments[5] - c * c, n * moments[4] - r * c
    major = (float(var_r + var_c) + hypotenuse(float(var_r - var_c), float(2 * cov))) / 2
    product_high, product_low = multiply(np.uint64(var_r), np.uint64(var_c))
    square_high, square_low = multiply(np.uint64(abs(cov)), np.uint64(abs(cov)))
    minor = as_float(*subtract(product_high, product_low, square_high, square_low)) / major if major > 0 else 0.0
    ellipse[0] = moments[6] + r / n
    ellipse[1] = moments[7] + c / n
    ellipse[2] = 4 * math.sqrt(major) / n
    ellipse[3] = 4 * math.sqrt(minor) / n
    if var_r == var_c:
        ellipse[4] = math.pi / 4 if cov > 0 else -math.pi / 4
    else:
        ellipse[4] = 0.5 * math.atan2(float(2 * cov), float(var_r - var_c))
