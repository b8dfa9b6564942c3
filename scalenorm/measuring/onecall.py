"""All steps in one compiled call, where no option for real fields is set: the same kernels without Python between."""

from __future__ import annotations

import math
import threading
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from .component import Component
from .ellipse import Ellipse
from .foreground import Foreground
from .frame import Frame, image_center, nearest_pixel
from .galaxy import Galaxy
from .options import MeasureOptions
from .quality import CONTRAST, LARGEST, SKY_STEP, Inspection
from .region import Region
from .threshold import Threshold
from .window import Window


class _Scratch(threading.local):
    """What calls write to, kept by each thread: fresh memory costs as much as filling it."""

    def __init__(self) -> None:
        self.mask = np.empty(0, np.uint8)
        self.integers = np.zeros(17, np.int64)
        self.numbers = np.empty(10)
        self.position = np.empty(2)


_scratch = _Scratch()


class Found(NamedTuple):
    """The results of one call, made into records only where they are wanted."""

    expected: tuple[float, float]
    integers: list[int]
    numbers: list[float]
    sky: NDArray[np.float64]

    def galaxy(self, frame: Frame) -> Galaxy:
        """The records that the steps would have made; their mask is empty."""
        value, cutoff, row, col, major, minor, orientation, window_row, window_col, side = self.numbers
        mask = np.empty((0, 0), np.uint8)
        moments, origin, bbox = self.integers[:6], self.integers[6:8], self.integers[8:12]
        region = Region(moments, (origin[0], origin[1]), (bbox[0], bbox[1], bbox[2], bbox[3]), mask)
        return Galaxy(
            Threshold(value, frame.level.dtype.type(cutoff), self.integers[12], frame),
            Foreground(mask, self.sky, self.integers[13]),
            Component(region, self.expected, 1),
            Ellipse(row, col, major, minor, orientation),
            Window(window_row, window_col, side),
        )

    def inspection(self) -> Inspection:
        """What the pixels show, if the call was asked to look."""
        return Inspection(self.integers[14], bool(self.integers[15]), bool(self.integers[16]))


def find_in_one_call(
    frame: Frame, options: MeasureOptions, boxes: NDArray[np.float64], crops: NDArray[Any], *, inspect: bool
) -> Found | None:
    """Measure and crop, or return None where the steps must be taken one by one.

    Parameters
    ----------
    frame : Frame
    options : MeasureOptions
    boxes : ndarray of float64, shape (N, 4)
        The windows of the views as for `kernels.resample.resample_windows`; one of scale 0 becomes the galaxy's.
    crops : ndarray, shape (N, size, size * bands)
        In the frame's working dtype; filled.
    inspect : bool
        Look at the pixels again for `Found.inspection`.
    """
    sky = np.empty(frame.bands)
    done = _call(frame, options, boxes[np.newaxis], crops[np.newaxis], sky, inspect=inspect)
    if not done[0]:
        return None
    return Found(_expected(frame, options), _scratch.integers.tolist(), _scratch.numbers.tolist(), sky)


def crop_in_one_call(
    frame: Frame, options: MeasureOptions, boxes: NDArray[np.float64], crops: NDArray[Any]
) -> NDArray[np.bool_]:
    """Crop many images; False where the steps must be taken one by one.

    Parameters
    ----------
    frame : Frame
        N images of its height, one below the other, none of them masked.
    options : MeasureOptions
    boxes : ndarray of float64, shape (N, 4)
        The window of each, as for `find_in_one_call`.
    crops : ndarray, shape (N, size, size * bands)
        In the frame's working dtype; filled.
    """
    return _call(frame, options, boxes[:, np.newaxis], crops[:, np.newaxis], np.empty(frame.bands), inspect=False)


def _call(
    frame: Frame, options: MeasureOptions, boxes: NDArray[np.float64], crops: NDArray[Any], sky: NDArray[np.float64],
    *, inspect: bool,
) -> NDArray[np.bool_]:  # fmt: skip
    height, width = frame.height, frame.width
    done = np.zeros(len(frame.rows) // height, np.bool_)
    if not options.plain or (frame.exact and options.sigma != 1):
        return done
    expected = _expected(frame, options)
    row, col = nearest_pixel(expected[0]), nearest_pixel(expected[1])
    if not (0 <= row < height and 0 <= col < width):
        return done
    scratch = _scratch
    if len(scratch.mask) < height * width:
        scratch.mask = np.empty(height * width, np.uint8)
    scratch.position[:] = math.nan if options.center == "galaxy" else expected
    kernels.galaxy.measure_and_crop_each(
        frame.rows.reshape(len(done), height, width * frame.bands), frame.kind, frame.weights, frame.scale,
        frame.valid_pixels, frame.level, None if frame.exact else options.sigma, options.margin, row, col,
        scratch.position, SKY_STEP, CONTRAST, LARGEST.get(frame.dtype, -1), inspect,
        scratch.mask[: height * width].reshape(height, width), sky, scratch.integers, scratch.numbers,
        boxes, np.empty(frame.bands, frame.crop_dtype), frame.rows.dtype.kind != "f", crops, done,
    )  # fmt: skip
    return done


def _expected(frame: Frame, options: MeasureOptions) -> tuple[float, float]:
    return image_center(frame.height, frame.width) if isinstance(options.center, str) else options.center
