"""Sizes that do not hang on the threshold: half-light and Petrosian, in elliptical apertures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ellipse import Ellipse
from .frame import grey_image
from .region import Region, sky_and_height
from .threshold import Threshold

ETA = 0.2  # Petrosian radius: where an annulus is this fraction of the mean inside it (Blanton et al. 2001, SDSS)
TOTAL = 1.5  # Petrosian radii that hold all light (Conselice 2003, as statmorph)
THINNEST = 0.05  # axis ratio of the thinnest apertures: a line has no area


def petrosian_size(threshold: Threshold, region: Region, ellipse: Ellipse) -> float:
    """Twice the Petrosian radius along the major axis, in pixels; NaN if light never falls that far.

    The apertures are ellipses with the centre, axis ratio and orientation of the galaxy's. Foreground that is not
    the galaxy takes no part; the sky is the mean of the pixels below the threshold.
    """
    growth = _growth(threshold, region, ellipse)
    return 2 * _petrosian_radius(*growth)


def half_light_size(threshold: Threshold, region: Region, ellipse: Ellipse) -> float:
    """Four times the radius that holds half the light within 1.5 Petrosian radii, in pixels; NaN without the latter.

    The apertures are those of `petrosian_size`. Twice the half-light diameter is about the major axis of a galaxy.
    """
    light, area = _growth(threshold, region, ellipse)
    radius = _petrosian_radius(light, area)
    if math.isnan(radius):
        return math.nan
    edges = np.arange(len(light) + 1)
    inside = np.concatenate([[0.0], np.cumsum(light)])
    half = float(np.interp(TOTAL * radius, edges, inside)) / 2
    above = max(int(np.argmax(inside >= half)), 1)
    return 4 * float(np.interp(half, inside[above - 1 : above + 1], edges[above - 1 : above + 1]))


SIZES = {"half_light": half_light_size, "petrosian": petrosian_size}


def _growth(threshold: Threshold, region: Region, ellipse: Ellipse) -> tuple[NDArray[Any], NDArray[Any]]:
    """Light above the sky, and area, of elliptical annuli one pixel wide along the major axis.

    The light of an annulus is its mean times its area: pixels that are excluded are replaced by the mean of the rest.
    """
    grey = grey_image(threshold.frame)
    sky, height = sky_and_height(grey, threshold)
    pixels = region.pixels()
    rows, cols = np.ogrid[: grey.shape[0], : grey.shape[1]]
    y, x = rows - ellipse.row, cols - ellipse.col
    along = math.cos(ellipse.orientation) * y + math.sin(ellipse.orientation) * x
    across = math.sin(ellipse.orientation) * y - math.cos(ellipse.orientation) * x
    ratio = max(ellipse.minor_axis / ellipse.major_axis, THINNEST) if ellipse.major_axis else 1.0
    radius = np.hypot(along, across / ratio)
    use = (grey < sky + height) | (pixels & np.isfinite(grey))
    bins = radius[use].astype(np.int64)
    count = np.bincount(bins)
    # Beyond the frame's nearest edge annuli are not whole; where less than a third of one is seen, it says nothing.
    annuli = np.arange(len(count))
    area = math.pi * ratio * (2.0 * annuli + 1)
    broken = (count * 3 < area) & (annuli > 2)  # the first few hold a handful of pixels
    whole = int(np.argmax(broken)) if broken.any() else len(count)
    seen = count > 0
    light = np.bincount(bins, weights=grey[use] - sky)
    mean = np.interp(annuli, annuli[seen], light[seen] / count[seen])
    return (mean * area)[:whole], area[:whole]


def _petrosian_radius(light: NDArray[Any], area: NDArray[Any]) -> float:
    """Where light per area falls to ``ETA`` of the mean inside; NaN if it does not."""
    if len(light) < 2:
        return math.nan
    inside = np.cumsum(light) / np.cumsum(area)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(inside > 0, light / area / inside, 0.0)
    falls = np.flatnonzero((ratio[1:] < ETA) & (ratio[:-1] >= ETA))
    if len(falls) == 0:
        return math.nan
    k = int(falls[0]) + 1  # middles of annuli lie at k + 1/2
    return k - 0.5 + float((ratio[k - 1] - ETA) / (ratio[k - 1] - ratio[k]))
