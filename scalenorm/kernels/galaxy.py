"""All steps from pixels to crops in one call, for images that need no more than the plain method.

It is made of the kernels that the steps call one by one, and adds nothing of its own: a call from Python costs some
microseconds, and each return to it may wait for another thread.
"""

import math

import numpy as np

from .compile import composed, kernel
from .component import find_component
from .constants import BLOCK
from .ellipse import fit_ellipse
from .grey import find_foreground, float_sky
from .regions import inspect_region
from .resample import resample_windows
from .threshold import exact_threshold, float_threshold

# Places in the results.
VALUE, CUTOFF, ELLIPSE, WINDOW_ROW, WINDOW_COL, SIDE = 0, 1, 2, 7, 8, 9
MOMENTS, ORIGIN, BBOX, VALID, BELOW, NEIGHBOURS, FAINT, SATURATED = 0, 6, 8, 12, 13, 14, 15, 16


@composed
def measure_and_crop(
    rows, kind, weights, scale, valid, level, sigma, margin, row, col, position, step, deviations, largest, inspect,
    mask, sky, integers, numbers, boxes, crop_sky, rounded, crops,
):  # fmt: skip
    """Measure the galaxy at pixel (row, col) and cut its views; False where the steps must be taken one by one.

    sigma : None for grey levels that are integers, whose threshold is at one deviation.
    position : centre of the window; NaN for the centroid.
    boxes : windows of the views as in `resample_windows`; one of scale 0 is set to the galaxy's.
    inspect : whether the pixels are looked at again for flags.
    sky : of each band, of floats only where a view or the flags need it; crop_sky : the same in the type of sums.
    integers, numbers : see the constants above.
    """
    bands = len(weights)
    height, width = mask.shape
    pixels, foreground = rows.reshape(-1), mask.reshape(-1)
    peaks = np.empty((height * width + BLOCK - 1) // BLOCK, level.dtype)
    totals, over = np.zeros(bands, np.int64), np.zeros(bands, np.int64)
    if sigma is None:  # decided when compiled: what is exact needs no floats, and the other way round
        count = exact_threshold(pixels, kind, weights, valid, level, scale, totals, peaks, numbers)
    else:
        count = float_threshold(pixels, kind, weights, valid, level, scale, sigma, peaks, numbers)
        if count < height * width:
            return False  # pixels that are not finite, or masked ones that may be
    if not np.isfinite(numbers[CUTOFF]):
        return False  # no foreground
    cutoff = level.dtype.type(numbers[CUTOFF])
    if sigma is None:
        below = count - find_foreground(pixels, kind, weights, valid, cutoff, level, peaks, over, foreground)
        for band in range(bands):
            sky[band] = crop_sky[band] = (totals[band] - over[band]) / below
    else:
        below = count - find_foreground(pixels, kind, weights, valid, cutoff, level, peaks, None, foreground)
    if below == 0:
        return False  # no sky
    for place in range(len(integers)):
        integers[place] = 0
    bbox = integers[BBOX : BBOX + 4]
    if not find_component(row, col, mask, integers[MOMENTS : MOMENTS + 8], bbox):
        return False
    if integers[MOMENTS] * max(bbox[2] - bbox[0], bbox[3] - bbox[1]) >= 1 << 30:
        return False
    ellipse = numbers[ELLIPSE : ELLIPSE + 5]
    fit_ellipse(integers[MOMENTS : MOMENTS + 8], ellipse)
    for axis in range(2):
        numbers[WINDOW_ROW + axis] = ellipse[axis] if np.isnan(position[axis]) else position[axis]
    side = max(margin * ellipse[2], 1.0)
    numbers[SIDE] = side
    top, left = numbers[WINDOW_ROW] + 0.5 - side / 2, numbers[WINDOW_COL] + 0.5 - side / 2
    outside = False
    for n in range(len(boxes)):
        if boxes[n, 2] == 0:
            boxes[n, 0], boxes[n, 1], boxes[n, 2] = top, left, side / crops.shape[1]
            boxes[n, 3] = 1 if top < 0 or left < 0 or top + side > height or left + side > width else 0
        outside |= boxes[n, 3] != 0
    if sigma is not None and (inspect or outside):  # of floats it costs as much as their threshold
        sums = np.zeros(bands)
        float_sky(pixels, kind, weights, valid, cutoff, level, peaks, foreground, sums)
        for band in range(bands):
            sky[band] = crop_sky[band] = sums[band] / below
            if not np.isfinite(sky[band]):
                return False
    resample_windows(rows, boxes, crop_sky, rounded, crops)
    integers[VALID], integers[BELOW] = count, below
    if inspect:
        reach = math.ceil(side)
        window = (
            max(math.floor(top), 0), max(math.floor(left), 0),
            min(math.floor(top) + reach, height), min(math.floor(left) + reach, width),
        )  # fmt: skip
        neighbours, faint, saturated = inspect_region(
            rows, kind, weights, valid, cutoff, level, mask, mask, True, bbox, window, min(step, height), deviations,
            rows, bands, largest,
        )  # fmt: skip
        integers[NEIGHBOURS], integers[FAINT], integers[SATURATED] = neighbours, faint, saturated
    return True


@kernel
def measure_and_crop_each(
    images, kind, weights, scale, valid, level, sigma, margin, row, col, position, step, deviations, largest, inspect,
    mask, sky, integers, numbers, boxes, crop_sky, rounded, crops, done,
):  # fmt: skip
    """`measure_and_crop` for images (N, height, width * bands), boxes and crops of each; its result goes to ``done``.

    The other results are those of the last image.
    """
    for n in range(len(images)):
        done[n] = measure_and_crop(
            images[n], kind, weights, scale, valid, level, sigma, margin, row, col, position, step, deviations, largest,
            inspect, mask, sky, integers, numbers, boxes[n], crop_sky, rounded, crops[n],
        )  # fmt: skip
