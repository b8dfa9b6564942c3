"""Antialiased bilinear resampling of a square window: a separable triangle filter, fused with the crop.

The definition is Pillow's BILINEAR: the triangle has half-width 1 output pixel when shrinking and 1 input pixel when
enlarging, and is sampled at input pixel centres and normalised.
"""

import math

import numpy as np

from .compile import composed, kernel


@kernel
def triangle_weights(start, scale, length, extend, first, count, weights, outside):
    """Weights of the input pixels for each output pixel along one axis.

    ``start`` is the window's edge in pixel-edge coordinates (pixel k covers k to k + 1), ``scale`` its side over the
    number of output pixels. Output i is the sum over k < count[i] of weights[i, k] * input[first[i] + k]. Without
    ``extend`` weights beyond the frame are dropped and the rest normalised; with it the image continues as sky, whose
    weight is outside[i].
    """
    support = max(scale, 1.0)
    for i in range(len(first)):
        center = start + (i + 0.5) * scale
        low = math.floor(center - support + 0.5)
        high = math.floor(center + support + 0.5)
        inside_low = min(max(low, 0), length)
        inside_high = max(min(high, length), inside_low)
        inside = 0.0
        beyond = 0.0
        for k in range(low, high):
            w = max(1.0 - abs(k + 0.5 - center) / support, 0.0)
            if inside_low <= k < inside_high:
                weights[i, k - inside_low] = w
                inside += w
            else:
                beyond += w
        total = inside + beyond if extend else inside
        first[i] = inside_low
        count[i] = inside_high - inside_low
        for k in range(inside_high - inside_low):
            weights[i, k] /= total
        outside[i] = beyond / total if extend else 0.0


@kernel
def combine_rows(rows, first, count, weights, left, right, line):
    """line[x] = sum over k of weights[k] * rows[first + k, left + x]; four rows a pass, to spare loads and stores.

    The slices are taken before the loops: they tell the compiler that no index is negative.
    """
    real = line.dtype.type
    line[: right - left] = 0
    k = 0
    while k + 4 <= count:
        a = rows[first + k][left:right]
        b = rows[first + k + 1][left:right]
        c = rows[first + k + 2][left:right]
        d = rows[first + k + 3][left:right]
        wa, wb, wc, wd = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        for x in range(right - left):
            line[x] += wa * real(a[x]) + wb * real(b[x]) + wc * real(c[x]) + wd * real(d[x])
        k += 4
    while k < count:
        a = rows[first + k][left:right]
        wa = weights[k]
        for x in range(right - left):
            line[x] += wa * real(a[x])
        k += 1


@kernel
def combine_columns(line, first, count, taps, weights, outside, sky, sums):
    """sums[bands * j + band] = outside[j] * sky[band] + sum over k of weights[j, k] * pixel first[j] + k of the line.

    The line starts with pixel first[0]. All sums but empty ones have ``taps`` terms, some of weight zero: a loop whose
    length changes from one to the next is mispredicted.
    """
    bands = len(sky)
    real = line.dtype.type
    if bands == 3:
        for j in range(len(first)):
            share, pixels, target = weights[j], line[3 * (first[j] - first[0]) :], sums[3 * j : 3 * j + 4]
            red = green = blue = spare = real(0)
            for k in range(taps if count[j] else 0):  # a fourth sum makes one vector of the four: the next one's place
                w = share[k]
                red += w * pixels[3 * k]
                green += w * pixels[3 * k + 1]
                blue += w * pixels[3 * k + 2]
                spare += w * pixels[3 * k + 3]
            target[0], target[1], target[2], target[3] = red, green, blue, spare
        for j in range(len(first)):
            if outside[j] > 0:
                for band in range(3):
                    sums[3 * j + band] += outside[j] * sky[band]
    else:
        for j in range(len(first)):
            share = weights[j]
            for band in range(bands):
                pixels = line[bands * (first[j] - first[0]) + band :]
                value = outside[j] * sky[band]
                for k in range(taps if count[j] else 0):
                    value += share[k] * pixels[bands * k]
                sums[bands * j + band] = value


@kernel
def resample_window(rows, top, left, scale, extend, sky, rounded, out):
    """Resample a window of ``rows`` to ``out``, (size, size * bands): first over rows, then over columns.

    top, left and scale are as in `triangle_weights`; the dtype of ``sky``, one value a band, is the one to compute
    in; ``rounded`` rounds half up. Weights sum to one, so results need no clipping.
    """
    bands = len(sky)
    size = len(out)
    half = sky.dtype.type(0.5)
    height, width = len(rows), rows.shape[1] // bands
    most = min(math.ceil(2 * max(scale, 1.0)) + 1, max(height, width))
    row_first, row_count = np.empty(size, np.int64), np.empty(size, np.int64)
    row_weights, row_outside = np.zeros((size, most), sky.dtype), np.empty(size, sky.dtype)
    triangle_weights(top, scale, height, extend, row_first, row_count, row_weights, row_outside)
    col_first, col_count = np.empty(size, np.int64), np.empty(size, np.int64)
    col_weights, col_outside = np.zeros((size, most), sky.dtype), np.empty(size, sky.dtype)
    triangle_weights(left, scale, width, extend, col_first, col_count, col_weights, col_outside)

    taps = col_count[0]
    for j in range(1, size):
        taps = max(taps, col_count[j])
    first = col_first[0] * bands
    last = (col_first[size - 1] + col_count[size - 1]) * bands
    line = np.zeros(last - first + taps * bands + 1, sky.dtype)  # a row of the window, and zeros for taps beyond it
    sums = np.empty(size * bands + 1, sky.dtype)
    for i in range(size):
        combine_rows(rows, row_first[i], row_count[i], row_weights[i], first, last, line)
        if row_outside[i] > 0:
            for band in range(bands):
                value = row_outside[i] * sky[band]
                for x in range(band, last - first, bands):
                    line[x] += value
        combine_columns(line, col_first, col_count, taps, col_weights, col_outside, sky, sums)
        target = out[i]
        if rounded:  # a row at a time: pixel by pixel rounding takes longer than the sums
            for x in range(len(target)):
                target[x] = np.floor(sums[x] + half)
        else:
            for x in range(len(target)):
                target[x] = sums[x]


@composed
def resample_windows(rows, boxes, sky, rounded, out):
    """Resample each window, boxes[n] = (top, left, scale, extend), to out[n] as `resample_window` does."""
    bands = len(sky)
    size = out.shape[1]
    for n in range(len(boxes)):
        top, left, scale = boxes[n, 0], boxes[n, 1], boxes[n, 2]
        extend = boxes[n, 3] != 0
        if not extend and scale == 1 and top == np.floor(top) and left == np.floor(left):
            first, start = int(top), int(left) * bands  # whole pixels at scale one: the filter would copy them too
            for i in range(size):
                target, line = out[n, i], rows[first + i][start : start + size * bands]
                for x in range(len(target)):
                    target[x] = line[x]
        else:
            resample_window(rows, top, left, scale, extend, sky, rounded, out[n])
