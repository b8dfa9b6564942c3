"""Thresholds and regions for noisy, crowded or holey images; each function is one option of `scalenorm.measure`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from .component import Component, without_overflow
from .frame import Frame
from .threshold import Sky, Threshold, measure_sky


def grey_image(frame: Frame) -> NDArray[np.float64]:
    """Scaled grey levels, shape (H, W); NaN where a pixel is masked or not finite."""
    # By the kernel, because a sum in another order may not find the same foreground.
    level = np.empty(frame.height * frame.width, frame.level.dtype)
    planes = np.empty((3, len(level)), frame.rows.dtype)
    kernels.grey.grey_levels(frame.pixels, frame.kind, frame.weights, planes, level)
    grey = level.reshape(frame.height, frame.width).astype(np.float64, copy=False)
    if frame.valid is not None:
        grey[frame.valid == 0] = np.nan
    if not frame.exact:
        grey[~np.isfinite(grey)] = np.nan
    return grey


def smooth_frame(frame: Frame, smooth: float) -> Frame:
    """A frame of one float band: the grey level smoothed with a Gaussian of ``smooth`` pixels standard deviation.

    Masked and non-finite pixels take no part and stay out. The edge pixels continue beyond the frame.
    """
    from scipy.ndimage import gaussian_filter

    grey = grey_image(frame)
    bad = np.isnan(grey)
    if bad.any():
        grey[bad] = 0
        share = gaussian_filter((~bad).astype(float), smooth, mode="nearest")
        with np.errstate(invalid="ignore", divide="ignore"):
            grey = gaussian_filter(grey, smooth, mode="nearest") / share
        grey[bad] = np.nan
    else:
        grey = gaussian_filter(grey, smooth, mode="nearest")
    level = np.empty(min(kernels.grey.CHUNK, grey.size))
    return Frame(grey, frame.height, frame.width, 1, 0, np.ones(1), frame.scale, level, frame.valid, grey.dtype, True)


def clipped_threshold(frame: Frame, sigma: float, clip: float) -> Threshold:
    """Threshold at the clipped mean plus ``sigma`` clipped standard deviations.

    Pixels more than ``clip`` deviations from the mean are dropped and both computed again, until none is dropped; as
    astropy's ``sigma_clipped_stats`` with ``cenfunc="mean"``. It stops before all that is left has one value.
    """
    grey = grey_image(frame)
    values = grey[np.isfinite(grey)]
    if values.size == 0:
        return Threshold(math.nan, None, 0)
    kept = values
    with np.errstate(over="ignore", invalid="ignore"):  # overflow ends as a threshold that is not finite
        mean, deviation = float(kept.mean()), float(kept.std())
        while deviation > 0:
            fewer = kept[np.abs(kept - mean) <= clip * deviation]
            if fewer.size == kept.size or (fewer == fewer[:1]).all():
                break
            kept = fewer
            mean, deviation = float(kept.mean()), float(kept.std())
    cutoff = mean + sigma * deviation
    if deviation == 0 or not math.isfinite(cutoff):
        return Threshold(cutoff / frame.scale, None, values.size)
    if frame.exact:
        limits = np.iinfo(np.int32)
        return Threshold(
            cutoff / frame.scale, np.int32(min(max(math.ceil(cutoff), limits.min), limits.max)), values.size
        )
    return Threshold(cutoff / frame.scale, np.float64(cutoff), values.size)


def sky_and_height(grey: NDArray[np.float64], threshold: Threshold) -> tuple[float, float]:
    """Mean of the grey levels below the cutoff, and how far above it the cutoff is (above 0)."""
    cutoff = math.inf if threshold.cutoff is None else float(threshold.cutoff)
    below = grey[grey < cutoff]
    sky = float(below.mean() if below.size else np.nanmin(grey))
    return sky, max(cutoff - sky, float(np.finfo(float).tiny))


def large_component(frame: Frame, threshold: Threshold, min_area: int, row: int, col: int) -> Component | None:
    """The component of at least ``min_area`` pixels that is nearest to a pixel; None if there is none."""
    labels, areas = label_foreground(frame, threshold)
    keep = areas >= min_area
    keep[0] = False
    rows, cols = np.nonzero(keep[labels])
    if len(rows) == 0:
        return None
    nearest = np.argmin((rows - row) ** 2 + (cols - col) ** 2)  # the first in row-major order among equals
    pixel = int(rows[nearest]), int(cols[nearest])
    return component_of(labels == labels[pixel], pixel)


def label_foreground(frame: Frame, threshold: Threshold) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """8-connected components of the foreground, numbered from 1 in row-major order, and the pixels of each number."""
    from scipy.ndimage import label

    labels, count = label(foreground(frame, threshold), np.ones((3, 3)))
    return labels, np.bincount(labels.ravel(), minlength=count + 1)


def foreground(frame: Frame, threshold: Threshold) -> NDArray[np.bool_]:
    """The pixels that reach the threshold, shape (H, W)."""
    if threshold.cutoff is None:
        return np.zeros((frame.height, frame.width), bool)
    return grey_image(frame) >= threshold.cutoff  # NaN is not


def fill_holes(component: Component) -> Component:
    """The component with the pixels that it encloses; scikit-image counts holes the same way (8-connected region)."""
    from scipy.ndimage import binary_fill_holes

    pixels = component.pixels()
    top, left, bottom, right = component.bbox
    pixels[top:bottom, left:right] = binary_fill_holes(pixels[top:bottom, left:right])
    return component_of(pixels, component.origin)


def component_of(pixels: NDArray[np.bool_], origin: tuple[int, int]) -> Component:
    """The component that consists of the True pixels, of which ``origin`` is one."""
    rows, cols = np.nonzero(pixels)
    r, c = rows - origin[0], cols - origin[1]
    moments = [len(r), *(int(np.sum(part)) for part in (r, c, r * r, r * c, c * c))]
    bbox = int(rows.min()), int(cols.min()), int(rows.max()) + 1, int(cols.max()) + 1
    mask = pixels.astype(np.uint8) * np.uint8(kernels.component.MEMBER)
    return without_overflow(Component(moments, origin, bbox, mask))


def sky_below(frame: Frame, grey: Frame, threshold: Threshold) -> Sky:
    """`measure_sky` of a frame whose foreground is that of another frame, ``grey``."""
    everything = threshold._replace(cutoff=None)
    if threshold.cutoff is None:
        return measure_sky(frame, everything)
    levels = grey_image(grey)
    below, over = levels < threshold.cutoff, (levels >= threshold.cutoff).astype(np.uint8)
    if not below.any():
        return measure_sky(frame, everything)._replace(pixels=0, foreground=over)
    sky = measure_sky(frame._replace(valid=below.astype(np.uint8)), everything)
    return Sky(sky.values, int(below.sum()), over)
