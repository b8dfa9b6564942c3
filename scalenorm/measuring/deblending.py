"""Deblending: the galaxy alone, where its component also holds neighbours."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from .region import Region, fill_region
from .threshold import Threshold

BLOCKS = 400  # blocks that a component is reduced to: what is smaller than 1/20 of a galaxy is no neighbour
AROUND = 1.5  # sizes of a component's bounding box, on each side, that are looked at with it
WINDOW = 8_000  # blocks that it and its surroundings may have
NEAREST = 4  # neighbours whose light is modelled, those that matter most
REACH = 3.0  # radii of a neighbour's region beyond its edge to which its light counts
ON_TOP = 1.5, 2.5  # deviations from the centre of an object so many times larger, within which one is on top of it
ROUNDS = 3  # of the models of light, each less the light of the others; more change nothing


class Basins(NamedTuple):
    """A component and its surroundings, reduced and divided into objects."""

    factor: int  # pixels of a block along an axis
    top: int  # row of the first block's first pixel
    left: int
    light: NDArray[np.float64]  # mean scaled grey level of each block, NaN without valid pixels; a border of one block
    label: NDArray[np.int32]  # object of each block, from 1, brightest peak first; 0 below the threshold
    shape: NDArray[np.float64]  # (objects + 1, 7): light above the cutoff, centre, second moments about it, area
    sky: float

    def block(self, row: int, col: int) -> tuple[int, int]:
        """Indices of the block that holds a pixel."""
        return (row - self.top) // self.factor + 1, (col - self.left) // self.factor + 1


def find_basins(threshold: Threshold, region: Region, *, levels: int, contrast: float) -> Basins:
    """Divide the foreground in and around a component into objects, with the multi-threshold idea of SExtractor.

    The window is the component's bounding box grown on all sides, reduced until the component has about 400 blocks:
    noise averages out, and cost does not grow with the size of the galaxy.
    """
    frame = threshold.frame
    top, left, bottom, right = region.bbox
    reach = int(AROUND * max(bottom - top, right - left))
    top, left = max(0, top - reach), max(0, left - reach)
    bottom, right = min(frame.height, bottom + reach), min(frame.width, right + reach)
    factor = max(1, math.isqrt(region.area // BLOCKS), math.isqrt((bottom - top) * (right - left) // WINDOW))
    blocks = -(-(bottom - top) // factor) + 2, -(-(right - left) // factor) + 2
    light, over = np.full((2, *blocks), np.nan)
    over[:] = 0
    count, label = np.zeros((2, *blocks), np.int32)
    sky = kernels.deblend.reduce_window(
        frame.rows, frame.kind, frame.weights, frame.valid, threshold.cutoff, frame.level,
        top, left, factor, light, over, count,
    )  # fmt: skip
    objects = kernels.deblend.find_objects(over, count, threshold.cutoff, levels, contrast, label)
    shape = np.zeros((objects + 1, 7))
    kernels.deblend.measure_basins(over, count, threshold.cutoff, label, shape)
    return Basins(factor, top, left, light, label, shape, sky)


def deblend(
    threshold: Threshold,
    region: Region,
    *,
    levels: int = 32,
    contrast: float = 0.005,
    at: tuple[int, int] | None = None,
) -> tuple[Region, int]:
    """The part of a component that belongs to one galaxy, and how many objects the component holds.

    1. The foreground of a reduced image is cut into objects from the brightest of ``levels`` levels down. Where two
       peaks meet they are two objects if the light of each above the valley, times the valley's depth relative to
       the peak, is at least ``contrast`` of the light of the greater one. So a neighbour with a clear gap may be
       faint, while arms and knots, whose valleys are shallow, stay with their galaxy.
    2. The light of each object is modelled as a function of elliptical radius, less the models of the others. Pixels
       of the galaxy stay in its region if they reach the threshold without their neighbours' light.
    3. Under a neighbour the galaxy cannot be seen: there a pixel is in the region if the one opposite the galaxy's
       centre is (the symmetry that the SDSS deblender assumes).

    Parameters
    ----------
    threshold : Threshold
    region : Region
    levels : int > 1, default 32
    contrast : float from 0 to 1, default 0.005
        Both defaults are SExtractor's.
    at : (row, col), optional
        A pixel of the component: the galaxy is the object that holds it. By default the component's origin; but if
        that is well inside an object 2.5 times as large (within 1.5 standard deviations of its centre), the latter:
        the other is a star or a knot on top of it.

    Returns
    -------
    region : Region
        The galaxy alone, connected; the same object if there is nothing to remove.
    objects : int
        Objects in the component: 1 if it is not a blend.

    References
    ----------
    Bertin & Arnouts 1996, A&AS 117, 393, section 6 (multi-thresholds).
    Lupton et al. 2001, ASP Conf. Ser. 238, 269 (symmetry).
    """
    frame = threshold.frame
    basins = find_basins(threshold, region, levels=levels, contrast=contrast)
    if len(basins.shape) == 2:
        return region, 1
    if at is None:
        at = region.origin
        want = _host(basins, *basins.block(*at))
    else:
        want = int(basins.label[basins.block(*at)])
    row, col = basins.shape[want, 1:3]
    others = np.zeros(basins.label.shape, np.float32)
    neighbours = _neighbours(basins, want, contrast)
    if neighbours:
        objects = np.array([want, *neighbours])
        profiles = np.zeros((len(objects), kernels.deblend.BINS), np.float32)
        kernels.deblend.model_light(basins.light, basins.label, objects, basins.shape, basins.sky, ROUNDS, profiles)
        top, left, bottom, right = region.bbox
        (first, start), (last, stop) = basins.block(top, left), basins.block(bottom - 1, right - 1)
        kernels.deblend.add_models(objects[1:], basins.shape, profiles[1:], first, last + 1, start, stop + 1, others)

    factor = basins.factor
    middle = basins.top + (row - 0.5) * factor - 0.5, basins.left + (col - 0.5) * factor - 0.5
    mask = np.zeros((frame.height, frame.width), np.uint8)
    seen = np.zeros(len(basins.shape), np.bool_)
    kernels.deblend.own_pixels(
        frame.rows, frame.kind, frame.weights, threshold.cutoff, frame.level, region.mask, np.array(region.bbox),
        basins.top, basins.left, factor, basins.label, want, others, *middle, mask, seen,
    )  # fmt: skip
    begin = _start(mask, at, middle)
    if begin is None:
        return region, int(seen.sum())
    return fill_region(mask, *begin) or region, int(seen.sum())


def _host(basins: Basins, i: int, j: int) -> int:
    """The object at block (i, j), or the largest that it is on top of."""
    want = int(basins.label[i, j])
    _, row, col, rr, rc, cc, area = basins.shape.T
    y, x = i - row, j - col
    near = cc * y * y - 2 * rc * y * x + rr * x * x <= ON_TOP[0] ** 2 * (rr * cc - rc * rc)
    hosts = np.flatnonzero(near & (area >= ON_TOP[1] * area[want]))  # object 0 has no area
    return int(hosts[np.argmax(area[hosts])]) if len(hosts) else want


def _neighbours(basins: Basins, want: int, contrast: float) -> list[int]:
    """The objects whose light may reach the object ``want``, the most important first."""
    flux, row, col = basins.shape[:, :3].T
    radius = 2 * np.sqrt(basins.shape[:, 3] + basins.shape[:, 5])  # at least that of the region
    far = np.hypot(row - row[want], col - col[want])
    matters = (flux >= contrast * flux[want]) & (far <= radius[want] + (1 + REACH) * radius)
    matters[[0, want]] = False
    order = np.argsort(-flux / np.maximum(far, 1) ** 2, kind="stable")
    return order[matters[order]][:NEAREST].tolist()


def _start(mask: NDArray[np.uint8], at: tuple[int, int], middle: tuple[float, float]) -> tuple[int, int] | None:
    """The pixel ``at`` if it is still marked, else the marked pixel nearest to the object's centre."""
    if mask[at]:
        return at
    rows, cols = np.nonzero(mask)
    if len(rows) == 0:
        return None
    nearest = np.argmin((rows - middle[0]) ** 2 + (cols - middle[1]) ** 2)
    return int(rows[nearest]), int(cols[nearest])


def object_pixels(
    threshold: Threshold, region: Region, *, levels: int = 32, contrast: float = 0.005
) -> list[tuple[int, int]]:
    """One pixel of each object in a component, the object with the brightest peak first."""
    basins = find_basins(threshold, region, levels=levels, contrast=contrast)
    top, left, bottom, right = region.bbox
    rows, cols = np.nonzero(region.mask[top:bottom, left:right] == kernels.MEMBER)
    rows, cols = rows + top, cols + left
    block = (rows - basins.top) // basins.factor + 1, (cols - basins.left) // basins.factor + 1
    labels, light = basins.label[block], basins.light[block]
    order = np.lexsort((-light, labels))
    first = order[np.unique(labels[order], return_index=True)[1]]
    return [(int(rows[k]), int(cols[k])) for k in first if labels[k]]
