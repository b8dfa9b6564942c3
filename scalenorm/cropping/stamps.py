"""Stamps: the galaxies at given positions of a large image, each cut out and then measured as an image of its own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..measuring.flags import Flag
from ..measuring.frame import as_frame, bands_last, values_and_mask
from ..measuring.galaxy import find_galaxy
from ..measuring.measure import Measurement, describe_galaxy
from ..measuring.options import MeasureOptions, measure_options, takes_measuring_options
from ..measuring.window import Window
from .crop import Adjust, check_size, crop_views, finite_frame, into, measure_and_crop
from .many import check_jobs, in_blocks
from .stretching import crop_dtype
from .views import parse_view

Box = tuple[int, int, int, int]


class Cut(NamedTuple):
    """A square that was cut from a larger image."""

    image: NDArray[Any]  # (side, side[, C]), C-contiguous, in native byte order
    mask: NDArray[np.bool_] | None
    top: int  # the larger image's row that is row 0 here
    left: int
    inside: Box | None  # first row, first column, last row + 1, last column + 1 of what the larger image has of it


def corner(position: float, side: int) -> int:
    """Return the first row (or column) of a stamp: that for which its middle is nearest, as in astropy's Cutout2D."""
    return math.ceil(position - side / 2)


def cut_stamp(pixels: Any, mask: Any, row: float, col: float, side: int) -> Cut:
    """Cut a stamp around a position inside an image, (H, W[, C]): an array, or what gives one when sliced."""
    height, width = pixels.shape[:2]
    top, left = corner(row, side), corner(col, side)
    first_row, first_col = max(top, 0), max(left, 0)
    last_row, last_col = min(top + side, height), min(left + side, width)
    found = np.asarray(pixels[first_row:last_row, first_col:last_col])
    image = np.ascontiguousarray(found, found.dtype.newbyteorder("="))
    excluded = None if mask is None else np.asarray(mask[first_row:last_row, first_col:last_col], bool)
    if found.shape[:2] == (side, side):
        return Cut(image, excluded, top, left, None)
    inside = (first_row - top, first_col - left, last_row - top, last_col - left)
    whole = np.zeros((side, side, *image.shape[2:]), image.dtype)
    whole[_slices(inside)] = image
    beyond = np.ones((side, side), bool)
    beyond[_slices(inside)] = False if excluded is None else excluded
    return Cut(whole, beyond, top, left, inside)


def measure_and_crop_stamp(
    cut: Cut,
    view_names: Sequence[str],
    size: int,
    options: MeasureOptions,
    out: Sequence[NDArray[Any]] | None = None,
    adjust: Adjust | None = None,
) -> tuple[Measurement, Any]:
    """`measure_and_crop` for a stamp: where the larger image ends, it goes on as sky."""
    image, mask, top, left, inside = cut
    if inside is None and adjust is None:
        return measure_and_crop(image, view_names, size, options, mask=mask, out=out)
    frame = as_frame(image, options, mask)
    galaxy = find_galaxy(frame, options)
    if adjust is not None:
        galaxy = galaxy._replace(window=adjust(galaxy.window, top, left))
    if inside is not None:
        frame = as_frame(_continued(image, inside, galaxy.foreground.sky), options, mask)
    crops = crop_views(finite_frame(frame, galaxy), galaxy, view_names, size, options)
    measurement = describe_galaxy(frame, galaxy)
    return measurement if inside is None else _flagged(measurement, inside), into(crops, out)


def _continued(image: NDArray[Any], inside: Box, sky: NDArray[np.float64]) -> NDArray[Any]:
    """Return a stamp with sky beyond the larger image."""
    beyond = np.ones(image.shape[:2], bool)
    beyond[_slices(inside)] = False
    image, value = image.copy(), sky if image.ndim == 3 else sky[0]
    image[beyond] = np.floor(value + 0.5) if image.dtype.kind != "f" else value
    return image


def _flagged(measurement: Measurement, inside: Box) -> Measurement:
    """Set the flags of what meets the larger image's edge as if it were the frame's."""
    flags, (top, left, bottom, right) = measurement.flags, inside
    window = Window(measurement.window_row - top, measurement.window_col - left, measurement.side)
    if window.leaves(bottom - top, right - left):
        flags |= Flag.PADDED
    first_row, first_col, last_row, last_col = measurement.bbox
    if measurement.area and (first_row == top or first_col == left or last_row == bottom or last_col == right):
        flags |= Flag.TOUCHES_EDGE
    return dataclasses.replace(measurement, flags=flags)


def _slices(box: Box) -> tuple[slice, slice]:
    return slice(box[0], box[2]), slice(box[1], box[3])


def stamp_sides(least: int, most: int) -> list[int]:
    """Return the sides to try: each twice the one before, `most` the last."""
    sides = [least]
    while sides[-1] < most:
        sides.append(min(2 * sides[-1], most))
    return sides


def cut_and_measure(
    pixels: Any,
    mask: Any,
    position: tuple[float, float],
    sides: Sequence[int],
    view_names: Sequence[str],
    size: int,
    options: MeasureOptions,
    out: Sequence[NDArray[Any]] | None = None,
    adjust: Adjust | None = None,
) -> tuple[Cut, Measurement, Any]:
    """Cut, measure and crop the smallest stamp of some `sides` in which the galaxy does not touch the edge."""
    for side in sides:
        cut = cut_stamp(pixels, mask, *position, side)
        measurement, crops = measure_and_crop_stamp(cut, view_names, size, options, out, adjust)
        if Flag.TOUCHES_EDGE not in measurement.flags:
            break
    return cut, measurement, crops


@takes_measuring_options()
def crop_at(
    image: ArrayLike,
    positions: ArrayLike,
    stamp: int | tuple[int, int],
    size: int = 64,
    *,
    view: str = "normalized",
    n_jobs: int | None = None,
    mask: ArrayLike | None = None,
    **options: Any,
) -> tuple[list[Measurement], NDArray[Any]]:
    """Measure and crop the galaxies at given positions of a large image.

    Around each position a square stamp is cut out, as astropy's ``Cutout2D`` cuts it, and treated as
    `scalenorm.measure` and `scalenorm.crop` treat an image. Where the image ends, the stamp goes on as sky.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
        Also a memory map; only the stamps are read. See `scalenorm.measure`.
    positions : array_like, shape (N, 2)
        (row, col) of each galaxy, pixel centres at integers; inside the image.
    stamp : int > 0 or (int, int)
        Side of the stamps, in pixels. Of a pair (64, 512) each galaxy gets the smallest of 64, 128, 256, 512 in which
        it does not touch the edge, or the largest.
    size : int > 0, default 64
        Height and width of each crop, in pixels.
    view : str, default "normalized"
        ``"normalized"``, or ``"center-N"``: the N x N pixels in the middle of the stamp.
    n_jobs : int, optional
        Threads; by default, and for -1, one for each core that this process may use.
    mask : array_like of bool, shape (H, W), optional
        True = excluded.
    **options

    Returns
    -------
    measurements : list of Measurement, length N
        Positions are those in `image`; ``height`` and ``width`` are those of the stamp.
    crops : ndarray, shape (N, size, size) or (N, size, size, C)
        Of the input's dtype; with `stretch` uint8.

    Raises
    ------
    TypeError
        If the image is not of a real dtype.
    ValueError
        If a shape, position or option is out of range; the message names the position's index.

    See Also
    --------
    scalenorm.crop_all : finds the objects, too.

    Examples
    --------
    >>> import numpy as np, scalenorm
    >>> field = np.zeros((100, 100))
    >>> field[10:20, 10:30] = 1.0
    >>> field[60:70, 40:50] = 1.0
    >>> measurements, crops = scalenorm.crop_at(field, [(64, 44), (15, 20)], stamp=48, size=32)
    >>> [(m.row, m.col, m.area) for m in measurements], crops.shape
    ([(64.5, 44.5, 100), (14.5, 19.5, 200)], (2, 32, 32))
    """
    check_size(size)
    parse_view(view)
    checked = measure_options(options, "crop_at")
    sides = _sides(stamp)
    places = np.asarray(positions, float)
    if places.ndim != 2 or places.shape[1] != 2 or not len(places):
        raise ValueError(f"positions must be one or more (row, col), shape (N, 2), got shape {places.shape}")
    pixels, excluded = _whole(image, mask, checked)
    if pixels.ndim == 3:
        checked = dataclasses.replace(checked, channel_axis=-1)
    first = as_frame(pixels[:1, :1], checked)
    inside = ((places >= -0.5) & (places <= np.array(pixels.shape[:2]) - 0.5)).all(axis=1)
    if not inside.all():
        index = int(np.argmin(inside))
        raise ValueError(
            f"position {index}, {tuple(places[index].tolist())}, lies outside the image of shape {pixels.shape[:2]}"
        )
    shape = (size, size) if first.flat else (size, size, first.bands)
    crops = np.empty((len(places), *shape), crop_dtype(first.dtype, checked))
    measurements: list[Any] = [None] * len(places)

    def crop_block(block: range) -> None:
        for index in block:
            position = tuple(places[index].tolist())
            cut, found, _ = cut_and_measure(pixels, excluded, position, sides, (view,), size, checked, [crops[index]])
            measurements[index] = _moved(found, cut.top, cut.left)

    in_blocks(range(len(places)), crop_block, check_jobs(n_jobs))
    return measurements, crops


def _whole(
    image: ArrayLike, mask: ArrayLike | None, options: MeasureOptions
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return an image with its bands last, and its mask, (H, W); nothing is read of a memory map."""
    values, own = values_and_mask(image)
    pixels, own = bands_last(np.asarray(values), own, options.channel_axis)
    if own is not None and own.ndim == 3:
        own = own.any(axis=2)
    if mask is None:
        return pixels, own
    given = np.asarray(mask, bool)
    if given.shape != pixels.shape[:2]:
        raise ValueError(f"mask must have the image's shape {pixels.shape[:2]}, got {given.shape}")
    return pixels, given if own is None else given | own


def _sides(stamp: int | tuple[int, int]) -> list[int]:
    least, most = stamp if isinstance(stamp, Sequence) else (stamp, stamp)
    for side in (least, most):
        if not isinstance(side, (int, np.integer)) or isinstance(side, bool) or side < 1:
            raise ValueError(f"stamp must be a positive number of pixels, or a pair of them, got {stamp!r}")
    if least > most:
        raise ValueError(f"stamp must name the smallest side first, got {stamp!r}")
    return stamp_sides(int(least), int(most))


def _moved(found: Measurement, top: int, left: int) -> Measurement:
    """Return a stamp's measurement in the coordinates of the image it was cut from."""
    first_row, first_col, last_row, last_col = found.bbox
    box = (first_row + top, first_col + left, last_row + top, last_col + left) if found.area else found.bbox
    return dataclasses.replace(
        found, row=found.row + top, col=found.col + left, bbox=box,
        window_row=found.window_row + top, window_col=found.window_col + left,
    )  # fmt: skip
