"""All steps from pixels to crops in one call, for images that need no more than the plain method.

It is made of the kernels that the steps call one by one, and adds nothing of its own: a call from Python costs some
microseconds, and each return to it may wait for another thread.
"""

import math

import numpy as np

from .compile import kernel
from .component import find_component
from .ellipse import fit_ellipse
from .grey import split_pixels
from .regions import inspect_region
from .resample import resample_windows
from .threshold import exact_threshold, float_threshold

# Places in the results.
VALUE, CUTOFF, ELLIPSE, WINDOW_ROW, WINDOW_COL, SIDE = 0, 1, 2, 7, 8, 9
MOMENTS, ORIGIN, BBOX, VALID, BELOW, NEIGHBOURS, FAINT, SATURATED = 0, 6, 8, 12, 13, 14, 15, 16


@kernel
def measure_and_crop(
    rows, kind, weights, scale, valid, level, sigma, margin, row, col, position, step, deviations, largest, inspect,
    mask, sky, integers, numbers, boxes, crop_sky, rounded, crops,
):  # fmt: skip
    """Measure the galaxy at pixel (row, col) and cut its views; False where the steps must be taken one by one.

    sigma : None for grey levels that are integers, whose threshold is at one deviation.
    position : centre of the window; NaN for the centroid.
    boxes : windows of the views as in `resample_windows`; one of scale 0 is set to the galaxy's.
    inspect : whether the pixels are looked at again for flags.
    sky : of each band; crop_sky : the same in the type to resample in.
    integers, numbers : see the constants above.
    """
    bands = len(weights)
    height, width = mask.shape
    pixels, valid_pixels = rows.reshape(-1), None if valid is None else valid.reshape(-1)
    if sigma is None:  # decided when compiled: what is exact needs no floats, and the other way round
        count = exact_threshold(pixels, kind, weights, valid_pixels, level, scale, numbers)
    else:
        count = float_threshold(pixels, kind, weights, valid_pixels, level, scale, sigma, numbers)
    if not np.isfinite(numbers[CUTOFF]) or (sigma is not None and count < height * width):
        return False  # no foreground, numbers beyond float64, pixels that are not finite, or masked ones that may be
    cutoff = level.dtype.type(numbers[CUTOFF])
    sums = np.zeros((bands, 1 if sigma is None else len(level)))
    below = split_pixels(pixels, kind, weights, valid_pixels, cutoff, level, sums, mask.reshape(-1))
    for band in range(bands):
        sky[band] = sums[band].sum() / max(below, 1)
        crop_sky[band] = sky[band]
    if below == 0 or not np.isfinite(sky).all():
        return False
    integers[: SATURATED + 1] = 0
    bbox = integers[BBOX : BBOX + 4]
    find_component(row, col, mask, integers[MOMENTS : MOMENTS + 8], bbox)
    if integers[MOMENTS] * max(bbox[2] - bbox[0], bbox[3] - bbox[1]) >= 1 << 30:
        return False
    ellipse = numbers[ELLIPSE : ELLIPSE + 5]
    fit_ellipse(integers[MOMENTS : MOMENTS + 8], ellipse)
    for axis in range(2):
        numbers[WINDOW_ROW + axis] = ellipse[axis] if np.isnan(position[axis]) else position[axis]
    side = max(margin * ellipse[2], 1.0)
    numbers[SIDE] = side
    top, left = numbers[WINDOW_ROW] + 0.5 - side / 2, numbers[WINDOW_COL] + 0.5 - side / 2
    for n in range(len(boxes)):
        if boxes[n, 2] == 0:
            leaves = top < 0 or left < 0 or top + side > height or left + side > width
            boxes[n, 0], boxes[n, 1], boxes[n, 2], boxes[n, 3] = (
                top,
                left,
                side / crops.shape[1],
                1.0 if leaves else 0.0,
            )
    resample_windows(rows, boxes, crop_sky, rounded, crops)
    integers[VALID], integers[BELOW] = count, below
    if inspect:
        reach = math.ceil(side)
        window = (
            max(math.floor(top), 0), max(math.floor(left), 0),
            min(math.floor(top) + reach, height), min(math.floor(left) + reach, width),
        )  # fmt: skip
        neighbours, faint, saturated = inspect_region(
            rows,
            kind,
            weights,
            valid,
            cutoff,
            level,
            mask,
            mask,
            True,
            bbox,
            window,
            min(step, height),
            deviations,
            rows,
            bands,
            largest,
        )
        integers[NEIGHBOURS], integers[FAINT], integers[SATURATED] = neighbours, faint, saturated
    return True
