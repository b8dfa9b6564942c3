"""The grey level of each pixel of a row, and the sums over an image that the threshold and the sky need.

Grey levels are kept scaled: 10000 times the luma for RGB and RGBA, the sum of the bands otherwise. They are int32 for
8- and 16-bit images, so that every sum is exact in whatever order it is taken, and float64 for all others.
"""

import numpy as np

from .compile import kernel

SUM, RGB, RGBA, WEIGHTED = 0, 1, 2, 3  # how bands make grey


@kernel
def grey_row(row, kind, weights, level):
    """Write the scaled grey level of each pixel of ``row`` to ``level``, whose dtype decides the arithmetic."""
    width = len(level)
    bands = len(weights)
    if kind == RGB:  # constant strides, so that the compiler can vectorise
        for x in range(width):
            level[x] = 2125 * row[3 * x] + 7154 * row[3 * x + 1] + 721 * row[3 * x + 2]
    elif kind == RGBA:
        for x in range(width):
            level[x] = 2125 * row[4 * x] + 7154 * row[4 * x + 1] + 721 * row[4 * x + 2]
    elif kind == WEIGHTED:
        for x in range(width):
            total = 0.0
            for band in range(bands):
                total += weights[band] * row[bands * x + band]
            level[x] = total
    elif bands == 1:
        for x in range(width):
            level[x] = row[x]
    else:
        for x in range(width):
            level[x] = row[bands * x]
            for band in range(1, bands):
                level[x] += row[bands * x + band]


@kernel
def integer_sums(rows, kind, weights, valid, wide, level, out):
    """Exact sums: out = [sum g, then sum g^2 as A 2^32 + B 2^16 + C], over the valid pixels.

    ``wide`` splits g into 16-bit halves before squaring, where a row's sum of g^2 could pass 64 bits.
    """
    width = len(level)
    total = high = middle = low = 0
    for y in range(len(rows)):
        grey_row(rows[y], kind, weights, level)
        if valid is not None:
            keep = valid[y]
            for x in range(width):
                level[x] *= keep[x]
        if wide:
            for x in range(width):
                g = np.int64(level[x])
                upper = g >> 16
                lower = g & 0xFFFF
                total += g
                high += upper * upper
                middle += 2 * upper * lower
                low += lower * lower
        else:
            row_total = row_squares = 0
            for x in range(width):
                g = np.int64(level[x])
                row_total += g
                row_squares += g * g
            total += row_total
            high += row_squares >> 32
            low += row_squares & 0xFFFFFFFF
    out[0] = total
    out[1] = high
    out[2] = middle
    out[3] = low


@kernel
def float_sums(rows, kind, weights, valid, pivot, level, sums, squares):
    """Add g - pivot and its square over the valid, finite pixels to sums and squares, one for each column.

    One partial sum a column vectorises and does not depend on the machine. Returns the number of pixels.
    """
    width = len(level)
    count = 0
    for y in range(len(rows)):
        grey_row(rows[y], kind, weights, level)
        if valid is not None:
            keep = valid[y]
            for x in range(width):
                if keep[x] == 0:
                    level[x] = np.nan
        for x in range(width):
            g = level[x] - pivot
            if g - g != 0.0:  # not finite
                g = 0.0
            sums[x] += g
            squares[x] += g * g
        for x in range(width):
            count += level[x] - level[x] == 0.0
    return count


@kernel
def sky_sums(rows, kind, weights, valid, cutoff, level, out):
    """Add each band's values over the valid, finite pixels with g < cutoff to ``out``; returns their number."""
    width = len(level)
    bands = len(weights)
    count = 0
    for y in range(len(rows)):
        row = rows[y]
        grey_row(row, kind, weights, level)
        if valid is not None:
            keep = valid[y]
            for x in range(width):
                if keep[x] == 0:
                    level[x] = cutoff
        for x in range(width):
            count += level[x] < cutoff and level[x] - level[x] == 0
        if bands == 3:
            red = green = blue = row[0] * 0  # the sums' type: int64 for integers, the input's for floats
            for x in range(width):
                if level[x] < cutoff and level[x] - level[x] == 0:
                    red += row[3 * x]
                    green += row[3 * x + 1]
                    blue += row[3 * x + 2]
            out[0] += red
            out[1] += green
            out[2] += blue
        else:
            for x in range(width):
                if level[x] < cutoff and level[x] - level[x] == 0:
                    for band in range(bands):
                        out[band] += row[bands * x + band]
    return count
