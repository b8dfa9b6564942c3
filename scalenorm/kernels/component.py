"""The 8-connected foreground component that holds, or is nearest to, a pixel, with its moments.

The component is filled run by run, in a mask of the foreground: a small galaxy costs its own size, and each pixel
belongs to one run, so noise costs no more than the image's size.
"""

import numpy as np

from .compile import composed, kernel
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
    """The first x from start to stop - 1 with line[x] == value, else stop."""
    part = line[start:stop]  # a slice, whose indices need no check of their sign
    x = 0
    while x < len(part) and part[x] != value:
        x += 1
    return start + x


@kernel
def fill_component(row, col, mask, moments, bbox):
    """Mark the component of the foreground pixel (row, col) in the mask; moments and bbox as in `find_component`."""
    height, width = mask.shape
    n = sum_r = sum_c = sum_rr = sum_rc = sum_cc = 0
    top, left, bottom, right = row, col, row, col
    runs = np.empty((512 + width, 3), np.int32)  # row, start and end of runs that are marked but not yet summed
    pending = 0
    above, below, low, high = row, -1, col, col + 1  # rows and columns where to look for runs: first at the pixel
    while True:
        for y in (above, below):
            if y < 0 or y >= height:
                continue
            line = mask[y]
            start = find_value(line, low, high, FOREGROUND)
            while start < high:
                end = find_value(line, start, width, BACKGROUND)
                while start > 0 and line[start - 1] == FOREGROUND:
                    start -= 1
                run = line[start:end]
                for x in range(len(run)):
                    run[x] = MEMBER
                runs[pending, 0], runs[pending, 1], runs[pending, 2] = y, start, end
                pending += 1
                start = find_value(line, end, high, FOREGROUND)
        if pending == 0:
            break
        if pending + width + 2 > len(runs):  # room for the neighbours of any run
            grown = np.empty((2 * len(runs) + width, 3), np.int32)
            for k in range(pending):  # assigned as a slice, Numba would compile the text of an error for seconds
                grown[k, 0], grown[k, 1], grown[k, 2] = runs[k, 0], runs[k, 1], runs[k, 2]
            runs = grown
        pending -= 1
        y, start, end = int(runs[pending, 0]), int(runs[pending, 1]), int(runs[pending, 2])

        # Sums over the run in closed form, about (row, col): integers, exact while they are below 2^63.
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
        sum_cc += (b * (b + 1) * (2 * b + 1) - (a - 1) * a * (2 * a - 1)) // 6  # squares to b, less those to a - 1
        top = min(top, y)
        bottom = max(bottom, y)
        left = min(left, start)
        right = max(right, end - 1)
        above, below, low, high = y - 1, y + 1, max(start - 1, 0), min(end + 1, width)
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


@composed
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
