"""Slow, obvious twins of the steps of scalenorm, with NumPy, SciPy, scikit-image and Pillow: the truth of the tests.

Nothing here imports scalenorm.
"""

from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
from PIL import Image
from skimage.measure import label, regionprops


@np.errstate(invalid="ignore")  # infinite less infinite
def grey(image, weights=None):
    """(grey levels scaled so that integers stay integers, scale)."""
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[:, :, np.newaxis]
    bands = image.shape[2]
    wide = image.astype(np.int64) if image.dtype.kind in "bui" and image.dtype.itemsize <= 2 else image.astype(float)
    if weights is not None:
        return wide @ np.asarray(weights, float), 1
    if bands == 3 or (bands == 4 and image.dtype == np.uint8):
        return 2125 * wide[..., 0] + 7154 * wide[..., 1] + 721 * wide[..., 2], 10000
    return wide.sum(axis=2), bands


def foreground(image, sigma=1.0, weights=None, mask=None):
    """Boolean image of the pixels at and above mean + sigma * std, exact for small integers; and the threshold."""
    g, scale = grey(image, weights)
    valid = np.isfinite(g) if g.dtype.kind == "f" else np.ones(g.shape, bool)
    if mask is not None:
        valid &= ~np.asarray(mask, bool)
    values = g[valid]
    if values.size == 0 or (values == values[0]).all():
        return np.zeros(g.shape, bool), values[0] / scale if values.size else math.nan
    if g.dtype.kind == "f":
        threshold = values.mean() + sigma * values.std()
        return valid & (np.where(valid, g, -np.inf) >= threshold), threshold / scale
    levels, counts = (found.tolist() for found in np.unique(values, return_counts=True))  # Python's integers: exact
    n = len(values)
    total = sum(count * level for level, count in zip(levels, counts, strict=True))
    squares = sum(count * level**2 for level, count in zip(levels, counts, strict=True))
    variance = Fraction(n * squares - total**2, n**2)
    bound = Fraction(sigma) ** 2 * variance * n**2

    def reaches(level):  # level >= mean + sigma * sqrt(variance), n times as large and without a square root
        distance = n * level - total
        if sigma >= 0:
            return distance >= 0 and distance**2 >= bound
        return distance >= 0 or distance**2 <= bound

    passed = np.isin(g, [level for level in levels if reaches(level)])
    return valid & passed, (float(Fraction(total, n)) + sigma * math.sqrt(variance)) / scale


def component(pixels, row, col):
    """The 8-connected component at (row, col) or at the foreground pixel nearest to it, as a boolean image."""
    if not pixels.any():
        return np.zeros(pixels.shape, bool)
    if not pixels[row, col]:
        rows, cols = np.nonzero(pixels)  # in row-major order, so that argmin breaks ties as asked
        nearest = ((rows - row) ** 2 + (cols - col) ** 2).argmin()
        row, col = rows[nearest], cols[nearest]
    labels = label(pixels, connectivity=2)
    return labels == labels[row, col]


def measure(image, sigma=1.0, margin=1.0, center="image", weights=None, mask=None):
    """What scalenorm.measure measures, but for the flags."""
    image = np.asarray(image)
    height, width = image.shape[:2]
    middle = (height - 1) / 2, (width - 1) / 2
    pixels, threshold = foreground(image, sigma, weights, mask)
    expected = middle if isinstance(center, str) else center
    seed = (height // 2, width // 2) if isinstance(center, str) else tuple(math.floor(x + 0.5) for x in center)
    region = component(pixels, *seed)
    found = SimpleNamespace(threshold=threshold, pixels=region, sky=sky(image, pixels, mask), area=int(region.sum()))
    if not found.area:
        found.row, found.col = middle
        found.major_axis = found.minor_axis = found.orientation = 0.0
        found.bbox, found.side = (0, 0, 0, 0), float(min(height, width))
    else:
        props = regionprops(region.astype(np.uint8))[0]
        found.row, found.col = props.centroid
        found.major_axis, found.minor_axis = props.axis_major_length, props.axis_minor_length
        found.orientation = props.orientation
        found.bbox = props.bbox
        found.side = max(margin * found.major_axis, 1.0)
    found.window_row, found.window_col = (found.row, found.col) if center == "galaxy" else expected
    return found


def sky(image, pixels, mask=None):
    """Mean of each band over the valid pixels that are not foreground; over all valid pixels if there are none."""
    values = np.asarray(image).reshape(*pixels.shape, -1).astype(float)
    valid = np.isfinite(values).all(axis=2)
    if mask is not None:
        valid &= ~np.asarray(mask, bool)
    chosen = valid & ~pixels if (valid & ~pixels).any() else valid
    return values[chosen].mean(axis=0) if chosen.any() else np.zeros(values.shape[2])


def resample(image, row, col, side, size, sky_level):
    """Pillow's BILINEAR with box=window, band by band in floating point; sky is padded around a window that leaves."""
    image = np.asarray(image)
    bands = image.reshape(*image.shape[:2], -1)
    top, left = row + 0.5 - side / 2, col + 0.5 - side / 2
    height, width = bands.shape[:2]
    leaves = top < 0 or left < 0 or top + side > height or left + side > width
    pad = int(2 * side + 4) if leaves else 0
    result = []
    for band, level in zip(np.moveaxis(bands, 2, 0), sky_level, strict=True):
        band = np.where(np.isfinite(band), band, level) if band.dtype.kind == "f" else band
        padded = np.pad(band.astype(np.float32), pad, constant_values=np.float32(level))
        box = (left + pad, top + pad, left + pad + side, top + pad + side)
        result.append(np.asarray(Image.fromarray(padded).resize((size, size), Image.Resampling.BILINEAR, box=box)))
    return np.stack(result, axis=2).reshape((size, size, *image.shape[2:]))


def crop(image, size=64, found=None, **options):
    """The normalised view, in floating point, before rounding; of what `measure` found, if that is known."""
    found = measure(image, **options) if found is None else found
    return resample(image, found.window_row, found.window_col, found.side, size, found.sky)
