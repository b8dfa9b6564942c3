"""The grey level of pixels, and the sums over an image that the threshold and the sky need.

Grey levels are kept scaled: 10000 times the luma for RGB and RGBA, the sum of the bands otherwise. They are int32 for
8- and 16-bit images, so that every sum is exact in whatever order it is taken, and float64 for all others.

Sums do not care about rows: they run over ``pixels``, the image as one flat sequence, CHUNK pixels at a time.
"""

import numpy as np

from .compile import kernel
from .constants import CHUNK, RGB, RGBA, WEIGHTED


@kernel
def grey_levels(pixels, kind, weights, planes, level):
    """Write the scaled grey level of each pixel to ``level``, whose dtype decides the arithmetic.

    Of RGB and RGBA, ``planes`` then holds the three bands one by one: apart they vectorise, together they do not.
    """
    bands = len(weights)
    number = level.dtype.type
    if kind in (RGB, RGBA):
        red, green, blue = planes[0], planes[1], planes[2]
        if kind == RGB:  # strides must be constants
            for x in range(len(level)):
                red[x], green[x], blue[x] = pixels[3 * x], pixels[3 * x + 1], pixels[3 * x + 2]
        else:
            for x in range(len(level)):
                red[x], green[x], blue[x] = pixels[4 * x], pixels[4 * x + 1], pixels[4 * x + 2]
        for x in range(len(level)):
            level[x] = 2125 * number(red[x]) + 7154 * number(green[x]) + 721 * number(blue[x])
    elif kind == WEIGHTED:
        for x in range(len(level)):
            total = 0.0
            for band in range(bands):
                total += weights[band] * pixels[bands * x + band]
            level[x] = total
    else:
        for x in range(len(level)):
            level[x] = pixels[bands * x]
        for band in range(1, bands):
            for x in range(len(level)):
                level[x] += number(pixels[bands * x + band])


@kernel
def integer_sums(pixels, kind, weights, valid, level, out):
    """Exact sums over the valid pixels: out = [sum g, and A, B, C with sum g^2 = A 2^32 + B 2^16 + C]."""
    bands = len(weights)
    count = len(pixels) // bands
    planes = np.empty((3, CHUNK), pixels.dtype)
    total = high = middle = low = 0
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        grey = level[: stop - start]
        grey_levels(pixels[start * bands : stop * bands], kind, weights, planes, grey)
        if valid is not None:
            keep = valid[start:stop]
            for x in range(len(grey)):
                grey[x] *= keep[x]
        if pixels.itemsize == 1:  # the squares of a chunk fit 64 bits
            squares = 0
            for x in range(len(grey)):
                g = np.int64(grey[x])
                total += g
                squares += g * g
            high += squares >> 32
            low += squares & 0xFFFFFFFF
        else:
            for x in range(len(grey)):
                g = np.int64(grey[x])
                upper = g >> 16
                lower = g & 0xFFFF
                total += g
                high += upper * upper
                middle += 2 * upper * lower
                low += lower * lower
    out[0] = total
    out[1] = high
    out[2] = middle
    out[3] = low


@kernel
def float_sums(pixels, kind, weights, valid, pivot, level, sums, squares):
    """Add g - pivot and its square over the valid, finite pixels to CHUNK partial sums; returns the number of pixels.

    Independent partial sums vectorise, and a fixed number of them gives the same result on any machine.
    """
    bands = len(weights)
    count = len(pixels) // bands
    planes = np.empty((3, CHUNK), pixels.dtype)
    used = 0
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        grey = level[: stop - start]
        grey_levels(pixels[start * bands : stop * bands], kind, weights, planes, grey)
        if valid is not None:
            keep = valid[start:stop]
            for x in range(len(grey)):
                if keep[x] == 0:
                    grey[x] = np.nan
        for x in range(len(grey)):
            used += np.isfinite(grey[x])
        for x in range(len(grey)):
            g = grey[x] - pivot if np.isfinite(grey[x]) else 0.0
            sums[x] += g
            squares[x] += g * g
    return used


@kernel
def split_pixels(pixels, kind, weights, valid, cutoff, level, sums, foreground):
    """Add each band over the valid, finite pixels with g < cutoff to sums: (bands, 1), or (bands, CHUNK) for floats.

    Writes 1 to ``foreground`` where valid pixels have g >= cutoff, else 0. Returns the number of pixels added.
    """
    bands = len(weights)
    count = len(pixels) // bands
    planes = np.empty((3, CHUNK), pixels.dtype)
    exact = level.itemsize == 4
    used = 0
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        chunk = pixels[start * bands : stop * bands]
        grey = level[: stop - start]
        grey_levels(chunk, kind, weights, planes, grey)
        over = foreground[start:stop]
        for x in range(len(grey)):
            over[x] = (grey[x] >= cutoff) & np.isfinite(grey[x])
        if valid is not None:
            keep = valid[start:stop]
            for x in range(len(grey)):
                over[x] &= keep[x]
                if keep[x] == 0:
                    grey[x] = cutoff
        if kind == RGB and exact:
            red, green, blue = planes[0], planes[1], planes[2]
            n = reds = greens = blues = np.int32(0)  # CHUNK values of 16 bits fit
            for x in range(len(grey)):
                sky = np.int32(1) if grey[x] < cutoff else np.int32(0)
                n = np.int32(n + sky)
                reds = np.int32(reds + np.int32(red[x] * sky))
                greens = np.int32(greens + np.int32(green[x] * sky))
                blues = np.int32(blues + np.int32(blue[x] * sky))
            used += n
            sums[0, 0] += reds
            sums[1, 0] += greens
            sums[2, 0] += blues
            continue
        for x in range(len(grey)):
            grey[x] = grey[x] < cutoff and np.isfinite(grey[x])
        for x in range(len(grey)):
            used += np.int64(grey[x])
        for band in range(bands):
            if kind == RGB:
                plane, partial = planes[band], sums[band]
                for x in range(len(grey)):
                    partial[x] += plane[x] if grey[x] != 0 else 0
            elif exact:
                total = 0
                for x in range(len(grey)):
                    total += np.int32(chunk[bands * x + band]) * grey[x]
                sums[band, 0] += total
            else:
                partial = sums[band]
                for x in range(len(grey)):
                    partial[x] += chunk[bands * x + band] if grey[x] != 0 else 0
    return used
