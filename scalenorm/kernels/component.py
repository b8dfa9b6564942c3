"""The 8-connected foreground component that holds, or is nearest to, a pixel, with its moments.

The component is filled run by run, in a mask of the foreground: a small galaxy costs its own size, and each pixel
belongs to one run, so noise costs no more than the image's size.
"""

import numpy as np

from .compile import kernel
from .constants import BACKGROUND, FOREGROUND, MEMBER


@kernel
def nearest_foreground(row, col, mask):
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
            line = mask[y]
            for x in range(width):
                if line[x] == FOREGROUND:
                    d = distance * distance + (x - col) * (x - col)
                    if d < best or (d == best and (y < best_row or (y == best_row and x < best_col))):
                        best, best_row, best_col = d, y, x
    return best_row, best_col


@kernel
def find_value(line, start, stop, value):
    """The first x from start to stop - 1 with line[x] == value, else stop; the slice spares a sign check a step."""
    part = line[start:stop]
    for x in range(len(part)):
        if part[x] == value:
            return start + x
    return stop


@kernel
def fill_component(row, col, mask, moments, bbox):
    """Mark the component of the foreground pixel (row, col) in the mask; moments and bbox as in `find_component`."""
    height, width = mask.shape
    n = sum_r = sum_c = sum_rr = sum_rc = sum_cc = 0
    top, left, bottom, right = row, col, row, col
    seeds = np.empty((512 + width, 2), np.int32)  # a pixel of each run still to be taken; a run can be here twice
    seeds[0, 0], seeds[0, 1] = row, col
    pending = 1
    while pending:
        if pending + width + 2 > len(seeds):  # room for the neighbours of any run
            grown = np.empty((2 * len(seeds) + width, 2), np.int32)
            grown[:pending] = seeds[:pending]
            seeds = grown
        pending -= 1
        y, x = int(seeds[pending, 0]), int(seeds[pending, 1])
        line = mask[y]
        if line[x] == MEMBER:
            continue
        start = x
        while start > 0 and line[start - 1] == FOREGROUND:
            start -= 1
        end = find_value(line, x, width, BACKGROUND)
        run = line[start:end]
        for k in range(len(run)):
            run[k] = MEMBER

        # Sums over the run in closed form, about (row, col).
        length = end - start
        r = y - row
        a = start - col
        b = end - 1 - col
        c = ((a + b) * length) >> 1
        n += length
        sum_r += length * r
        sum_c += c
        sum_rr += length * r * r
        sum_rc += r * c
        sum_cc += (b * (b + 1) * (2 * b + 1) - (a - 1) * a * (2 * a - 1)) // 6
        top = min(top, y)
        bottom = max(bottom, y)
        left = min(left, start)
        right = max(right, end - 1)

        low, high = max(start - 1, 0), min(end + 1, width)
        for near in (y - 1, y + 1):
            if near < 0 or near >= height:
                continue
            line = mask[near]
            x = find_value(line, low, high, FOREGROUND)
            while x < high:
                seeds[pending, 0], seeds[pending, 1] = near, x
                pending += 1
                x = find_value(line, x, high, BACKGROUND)
                x = find_value(line, x, high, FOREGROUND)
    moments[0] = n
    moments[1] = sum_r
    moments[2] = sum_c
    moments[3] = sum_rr
    moments[4] = sum_rc
    moments[5] = sum_cc
    bbox[0] = top
    bbox[1] = left
    bbox[2] = bottom + 1
    bbox[3] = right + 1


@kernel
def find_component(row, col, mask, moments, bbox):
    """Fill the component that holds (row, col) or is nearest to it; False, and nothing written, if there is none.

    moments = [n, sum r, sum c, sum rr, sum rc, sum cc, origin row, origin column], zeroed by the caller; r and c
    count from the origin, so all are exact integers. bbox = [first row, first column, last row + 1, last column + 1].
    """
    if mask[row, col] != FOREGROUND:
        row, col = nearest_foreground(row, col, mask)
        if row < 0:
            return False
    fill_component(row, col, mask, moments, bbox)
    moments[6] = row
    moments[7] = col
    return True
