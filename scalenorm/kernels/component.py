"""The 8-connected foreground component that holds, or is nearest to, a pixel, with its moments.

The component is filled run by run. Rows are thresholded only when the fill reaches them, so a small galaxy costs its
own size; each pixel belongs to one run, so noise costs no more than the image's size.
"""

import numpy as np

from .compile import kernel
from .grey import grey_row

BACKGROUND, FOREGROUND, MEMBER = 0, 1, 2  # values of the mask


@kernel
def threshold_row(y, rows, kind, weights, valid, cutoff, level, mask, done):
    """Write the foreground of row ``y`` to the mask, once."""
    if done[y]:
        return
    done[y] = True
    grey_row(rows[y], kind, weights, level)
    line = mask[y]
    for x in range(len(level)):
        line[x] = level[x] >= cutoff
    if valid is not None:
        keep = valid[y]
        for x in range(len(level)):
            line[x] &= keep[x]


@kernel
def nearest_foreground(row, col, rows, kind, weights, valid, cutoff, level, mask, done):
    """The foreground pixel nearest to (row, col), ties to the first in row-major order; (-1, -1) if there is none."""
    height, width = mask.shape
    best = height * height + width * width
    best_row = best_col = -1
    for distance in range(max(row + 1, height - row)):
        if distance * distance > best:
            break
        for y in (row - distance, row + distance):
            if y < 0 or y >= height:
                continue
            threshold_row(y, rows, kind, weights, valid, cutoff, level, mask, done)
            line = mask[y]
            for x in range(width):
                if line[x] == FOREGROUND:
                    d = distance * distance + (x - col) * (x - col)
                    if d < best or (d == best and (y < best_row or (y == best_row and x < best_col))):
                        best, best_row, best_col = d, y, x
    return best_row, best_col


@kernel
def take_run(y, x, row, col, mask, moments, bbox):
    """Mark the run of foreground around (y, x) and add it to the moments; returns its first and last column."""
    line = mask[y]
    start = end = x
    while start > 0 and line[start - 1] == FOREGROUND:
        start -= 1
    while end + 1 < len(line) and line[end + 1] == FOREGROUND:
        end += 1
    line[start : end + 1] = MEMBER
    n = end - start + 1
    r = y - row
    a = start - col
    b = end - col
    c = (a + b) * n // 2
    moments[0] += n
    moments[1] += n * r
    moments[2] += c
    moments[3] += n * r * r
    moments[4] += r * c
    moments[5] += (b * (b + 1) * (2 * b + 1) - (a - 1) * a * (2 * a - 1)) // 6  # sum of squares from a to b
    bbox[0] = min(bbox[0], y)
    bbox[1] = min(bbox[1], start)
    bbox[2] = max(bbox[2], y + 1)
    bbox[3] = max(bbox[3], end + 1)
    return start, end


@kernel
def fill_component(row, col, rows, kind, weights, valid, cutoff, level, mask, done, moments, bbox):
    """Mark the component of the foreground pixel (row, col) in the mask; moments and bbox as in `find_component`."""
    height, width = mask.shape
    bbox[0], bbox[1], bbox[2], bbox[3] = row, col, row + 1, col + 1
    runs = np.empty((256, 3), np.int32)  # pending: row, first and last column
    start, end = take_run(row, col, row, col, mask, moments, bbox)
    runs[0, 0], runs[0, 1], runs[0, 2] = row, start, end
    pending = 1
    while pending:
        pending -= 1
        parent, first, last = runs[pending, 0], max(runs[pending, 1] - 1, 0), min(runs[pending, 2] + 1, width - 1)
        for y in (parent - 1, parent + 1):
            if y < 0 or y >= height:
                continue
            threshold_row(y, rows, kind, weights, valid, cutoff, level, mask, done)
            line = mask[y]
            x = first
            while x <= last:
                if line[x] != FOREGROUND:
                    x += 1
                    continue
                start, end = take_run(y, x, row, col, mask, moments, bbox)
                if pending == len(runs):
                    grown = np.empty((2 * pending, 3), np.int32)
                    grown[:pending] = runs
                    runs = grown
                runs[pending, 0], runs[pending, 1], runs[pending, 2] = y, start, end
                pending += 1
                x = end + 2  # end + 1 is background


@kernel
def find_component(row, col, rows, kind, weights, valid, cutoff, level, mask, done, moments, bbox):
    """Fill the component that holds (row, col) or is nearest to it; False, and nothing written, if there is none.

    moments = [n, sum r, sum c, sum rr, sum rc, sum cc, origin row, origin column], zeroed by the caller; r and c
    count from the origin, so all are exact integers. bbox = [first row, first column, last row + 1, last column + 1].
    """
    threshold_row(row, rows, kind, weights, valid, cutoff, level, mask, done)
    if mask[row, col] != FOREGROUND:
        row, col = nearest_foreground(row, col, rows, kind, weights, valid, cutoff, level, mask, done)
        if row < 0:
            return False
    fill_component(row, col, rows, kind, weights, valid, cutoff, level, mask, done, moments, bbox)
    moments[6] = row
    moments[7] = col
    return True
