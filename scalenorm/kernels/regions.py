"""What flags need to know of a region and its surroundings."""

import numpy as np

from .compile import composed, kernel
from .constants import CHUNK, MEMBER
from .grey import fold, grey_levels


@kernel
def count_neighbours(foreground, member, bbox, window):
    """The foreground pixels in a window that are not in the region.

    bbox and window are first row, first column, last row + 1, last column + 1, inside the frame.
    """
    count = 0
    for y in range(window[0], window[2]):
        line = foreground[y, window[1] : window[3]]
        found = np.int32(0)  # of a row: more small integers fit a vector; Numba adds them as large ones, unless told
        for x in range(len(line)):
            found = np.int32(found + (line[x] != 0))
        count += found
        if bbox[0] <= y < bbox[2]:
            low = max(bbox[1], window[1])
            high = max(min(bbox[3], window[3]), low)
            line, own = foreground[y, low:high], member[y, low:high]
            found = np.int32(0)
            for x in range(len(line)):
                found = np.int32(found + ((line[x] != 0) & (own[x] == MEMBER)))
            count -= found
    return count


@kernel
def sky_moments(rows, kind, weights, valid, cutoff, level, step):
    """Mean and variance of the grey level of the pixels below the cutoff, in every step-th row."""
    bands = len(weights)
    width = rows.shape[1] // bands
    planes, depths, powers = np.empty((3, CHUNK), rows.dtype), np.empty(CHUNK), np.empty(CHUNK)
    count = 0
    total = squares = 0.0
    for y in range(step // 2, len(rows), step):
        for start in range(0, width, CHUNK):
            stop = min(start + CHUNK, width)
            grey, part, square = level[: stop - start], depths[: stop - start], powers[: stop - start]
            grey_levels(rows[y, start * bands : stop * bands], kind, weights, planes, grey)
            if len(valid):
                keep = valid[y * width + start : y * width + stop]
                for x in range(len(grey)):
                    if keep[x] == 0:
                        grey[x] = cutoff
            below = np.int32(0)
            for x in range(len(grey)):
                below = np.int32(below + ((grey[x] < cutoff) & np.isfinite(grey[x])))
            count += below
            for x in range(len(grey)):
                part[x] = float(grey[x]) - cutoff if (grey[x] < cutoff) & np.isfinite(grey[x]) else 0.0
                square[x] = part[x] * part[x]
            total += fold(part)
            squares += fold(square)
    if count == 0:
        return np.nan, np.nan
    depth = total / count
    return cutoff + depth, max(squares / count - depth * depth, 0.0)


@kernel
def reaches(rows, bands, valid, value, member, bbox):
    """Whether any band of any valid pixel of a region has a value."""
    width = rows.shape[1] // bands
    value = rows.dtype.type(value)  # compared in their own type, many at once
    for y in range(bbox[0], bbox[2]):
        values = rows[y, bbox[1] * bands : bbox[3] * bands]
        found = np.int32(0)
        for x in range(len(values)):  # without branches, and most rows need no more
            found = np.int32(found + (values[x] == value))
        if found:
            line = member[y, bbox[1] : bbox[3]]
            for x in range(len(line)):
                if line[x] == MEMBER and (len(valid) == 0 or valid[y * width + bbox[1] + x] != 0):
                    for band in range(bands):
                        if values[bands * x + band] == value:
                            return True
    return False


@kernel
def mean_light(rows, kind, weights, valid, level, member, bbox):
    """Mean of the scaled grey level over the valid, finite pixels of a region: a filled hole may hold others."""
    bands = len(weights)
    width = rows.shape[1] // bands
    planes = np.empty((3, CHUNK), rows.dtype)
    wide = np.int64(1)  # makes int64 of int32, and leaves floats
    total = level.dtype.type(0) * wide
    count = 0
    for y in range(bbox[0], bbox[2]):
        for start in range(bbox[1], bbox[3], CHUNK):
            stop = min(start + CHUNK, bbox[3])
            grey, line = level[: stop - start], member[y, start:stop]
            grey_levels(rows[y, start * bands : stop * bands], kind, weights, planes, grey)
            for x in range(len(grey)):
                use = (
                    line[x] == MEMBER
                    and np.isfinite(grey[x])
                    and (len(valid) == 0 or valid[y * width + start + x] != 0)
                )
                total += grey[x] * wide if use else 0
                count += use
    return total / count


@composed
def inspect_region(
    rows, kind, weights, valid, cutoff, level, foreground, member, whole, bbox, window, step, deviations,
    values, bands, top,
):  # fmt: skip
    """All of the above in one call, which is compiled as one: (neighbours, faint, saturated).

    ``whole`` says that the region is a component as it was found. Faint: its mean grey level is less than so many
    deviations of the sky above the sky. Saturated: it reaches ``top`` >= 0 in ``values``.
    """
    neighbours = count_neighbours(foreground, member, bbox, window)
    saturated = top >= 0 and reaches(values, bands, valid, top, member, bbox)
    mean, variance = sky_moments(rows, kind, weights, valid, cutoff, level, step)
    least = mean + deviations * np.sqrt(variance)
    # No pixel of a whole region is below the cutoff: if that is far above the sky, so is their mean.
    faint = False
    if not (whole and cutoff >= least):
        faint = mean_light(rows, kind, weights, valid, level, member, bbox) < least
    return neighbours, faint, saturated
