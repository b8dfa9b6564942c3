"""What flags need to know of a region and its surroundings."""

import numpy as np

from .compile import kernel
from .component import MEMBER
from .grey import CHUNK, grey_levels


@kernel
def inspect_region(rows, kind, weights, valid, cutoff, level, member, bbox, window):
    """Sum of the grey level over a region, and the number of foreground pixels in a window that are not in it.

    bbox and window are first row, first column, last row + 1, last column + 1, inside the frame.
    """
    bands = len(weights)
    planes = np.empty((3, CHUNK), rows.dtype)
    wide = np.int64(1)  # makes int64 of int32, and leaves floats
    total = level.dtype.type(0) * wide
    neighbours = 0
    for y in range(min(bbox[0], window[0]), max(bbox[2], window[2])):
        for start in range(min(bbox[1], window[1]), max(bbox[3], window[3]), CHUNK):
            stop = min(start + CHUNK, max(bbox[3], window[3]))
            grey = level[: stop - start]
            grey_levels(rows[y, start * bands : stop * bands], kind, weights, planes, grey)
            if window[0] <= y < window[2]:
                low, high = max(start, window[1]), max(min(stop, window[3]), start, window[1])
                part = grey[low - start : high - start]
                if valid is None:
                    for x in range(len(part)):
                        neighbours += part[x] >= cutoff
                else:
                    keep = valid[y, low:high]
                    for x in range(len(part)):
                        neighbours += part[x] >= cutoff and keep[x] != 0
            if bbox[0] <= y < bbox[2]:
                low, high = max(start, bbox[1]), max(min(stop, bbox[3]), start, bbox[1])
                part, line = grey[low - start : high - start], member[y, low:high]
                for x in range(len(part)):
                    total += part[x] * wide if line[x] == MEMBER else 0
            if bbox[0] <= y < bbox[2] and window[0] <= y < window[2]:
                low = max(start, bbox[1], window[1])
                line = member[y, low : max(min(stop, bbox[3], window[3]), low)]
                for x in range(len(line)):
                    neighbours -= line[x] == MEMBER
    return total, neighbours


@kernel
def sky_moments(rows, kind, weights, valid, cutoff, level, step):
    """Mean and variance of the grey level of the pixels below the cutoff, in every step-th row."""
    bands = len(weights)
    width = rows.shape[1] // bands
    planes = np.empty((3, CHUNK), rows.dtype)
    count = 0
    total = squares = 0.0
    for y in range(step // 2, len(rows), step):
        for start in range(0, width, CHUNK):
            stop = min(start + CHUNK, width)
            grey = level[: stop - start]
            grey_levels(rows[y, start * bands : stop * bands], kind, weights, planes, grey)
            for x in range(len(grey)):
                if grey[x] < cutoff and np.isfinite(grey[x]) and (valid is None or valid[y, start + x]):
                    depth = float(grey[x]) - cutoff
                    count += 1
                    total += depth
                    squares += depth * depth
    if count == 0:
        return np.nan, np.nan
    return cutoff + total / count, max(squares / count - (total / count) ** 2, 0.0)


@kernel
def reaches(rows, bands, value, member, bbox):
    """Whether any band of any pixel of a region has a value."""
    for y in range(bbox[0], bbox[2]):
        values = rows[y, bbox[1] * bands : bbox[3] * bands]
        found = 0
        for x in range(len(values)):  # without branches, and most rows need no more
            found += values[x] == value
        if found:
            line = member[y, bbox[1] : bbox[3]]
            for x in range(len(line)):
                if line[x] == MEMBER:
                    for band in range(bands):
                        if values[bands * x + band] == value:
                            return True
    return False
