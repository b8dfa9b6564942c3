"""Antialiased bilinear resampling of a square window: a separable triangle filter, fused with the crop.

The definition is Pillow's BILINEAR: the triangle has half-width 1 output pixel when shrinking and 1 input pixel when
enlarging, and is sampled at input pixel centres and normalised.
"""

import math

import numpy as np

from .compile import composed, kernel

LINES = 4  # rows of a crop whose columns `combine_columns` combines at once, and names each


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
def combine_columns(lines, first, taps, weights, outside, sky, sums):
    """sums[r, bands * j + band] = outside[j] * sky[band] + sum over k of weights[j, k] * pixel first[j] + k of line r.

    The lines start with pixel first[0]. All sums have ``taps`` terms, some of weight zero: a loop whose length changes
    from one to the next is mispredicted. Four lines are summed at once, because an addition takes longer than it takes
    to start the next.
    """
    bands = len(sky)
    real = lines.dtype.type
    zero = real(0)
    one, two, three, four = lines[0], lines[1], lines[2], lines[3]
    for j in range(len(first)):
        share, start, x = weights[j], bands * (first[j] - first[0]), bands * j
        if bands == 3:
            p, q, r, s = one[start:], two[start:], three[start:], four[start:]
            red_p = green_p = blue_p = red_q = green_q = blue_q = zero
            red_r = green_r = blue_r = red_s = green_s = blue_s = zero
            for k in range(taps):
                w = share[k]
                red_p += w * p[3 * k]
                green_p += w * p[3 * k + 1]
                blue_p += w * p[3 * k + 2]
                red_q += w * q[3 * k]
                green_q += w * q[3 * k + 1]
                blue_q += w * q[3 * k + 2]
                red_r += w * r[3 * k]
                green_r += w * r[3 * k + 1]
                blue_r += w * r[3 * k + 2]
                red_s += w * s[3 * k]
                green_s += w * s[3 * k + 1]
                blue_s += w * s[3 * k + 2]
            sums[0, x], sums[0, x + 1], sums[0, x + 2] = red_p, green_p, blue_p
            sums[1, x], sums[1, x + 1], sums[1, x + 2] = red_q, green_q, blue_q
            sums[2, x], sums[2, x + 1], sums[2, x + 2] = red_r, green_r, blue_r
            sums[3, x], sums[3, x + 1], sums[3, x + 2] = red_s, green_s, blue_s
            if outside[j] > 0:
                for line in range(LINES):
                    for band in range(3):
                        sums[line, x + band] += outside[j] * sky[band]
        else:
            for band in range(bands):
                p, q, r, s = one[start + band :], two[start + band :], three[start + band :], four[start + band :]
                a = b = c = d = outside[j] * sky[band] if outside[j] > 0 else zero  # it may not be known
                for k in range(taps):
                    w = share[k]
                    a += w * p[bands * k]
                    b += w * q[bands * k]
                    c += w * r[bands * k]
                    d += w * s[bands * k]
                sums[0, x + band], sums[1, x + band], sums[2, x + band], sums[3, x + band] = a, b, c, d


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
    if left == top and width == height:  # most often: the middle of a square image
        col_first, col_count, col_weights, col_outside = row_first, row_count, row_weights, row_outside
    else:
        col_first, col_count = np.empty(size, np.int64), np.empty(size, np.int64)
        col_weights, col_outside = np.zeros((size, most), sky.dtype), np.empty(size, sky.dtype)
        triangle_weights(left, scale, width, extend, col_first, col_count, col_weights, col_outside)

    taps = col_count[0]
    for j in range(1, size):
        taps = max(taps, col_count[j])
    first = col_first[0] * bands
    last = (col_first[size - 1] + col_count[size - 1]) * bands
    # Rows of the window, and zeros for taps beyond them.
    lines, sums = np.zeros((LINES, last - first + taps * bands), sky.dtype), np.empty((LINES, size * bands), sky.dtype)
    for start in range(0, size, LINES):
        number = min(LINES, size - start)
        for i in range(start, start + number):
            line = lines[i - start]
            combine_rows(rows, row_first[i], row_count[i], row_weights[i], first, last, line)
            if row_outside[i] > 0:
                for band in range(bands):
                    value = row_outside[i] * sky[band]
                    for x in range(band, last - first, bands):
                        line[x] += value
        combine_columns(lines, col_first, taps, col_weights, col_outside, sky, sums)
        for i in range(start, start + number):
            target, values = out[i], sums[i - start]
            if rounded:  # a row at a time: pixel by pixel rounding takes longer than the sums
                for x in range(len(target)):
                    target[x] = np.floor(values[x] + half)
            else:
                for x in range(len(target)):
                    target[x] = values[x]


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
