"""The grey level of pixels, and the sums over an image that the threshold and the sky need.

Grey levels are kept scaled: 10000 times the luma for RGB and RGBA, the sum of the bands otherwise. They are int32 for
8- and 16-bit images, so that every sum is exact in whatever order it is taken, and float64 for all others.

Sums do not care about rows: they run over ``pixels``, the image as one flat sequence, CHUNK pixels at a time.
"""

import numpy as np

from .compile import composed, kernel
from .constants import BACKGROUND, BLOCK, CHUNK, LANES, RGBA, WEIGHTED

_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


@kernel
def split_bands(pixels, kind, planes, count):
    """Write the three bands of RGB or RGBA one by one: bytes are read faster so, wider numbers where they are."""
    red, green, blue = planes[0], planes[1], planes[2]
    if kind is None:  # RGB; strides must be constants
        for x in range(count):
            red[x], green[x], blue[x] = pixels[3 * x], pixels[3 * x + 1], pixels[3 * x + 2]
    else:
        for x in range(count):
            red[x], green[x], blue[x] = pixels[4 * x], pixels[4 * x + 1], pixels[4 * x + 2]


@kernel
def luma(planes, level):
    """The grey level of three bands, the weights of scikit-image's ``rgb2gray`` times 10000."""
    number = level.dtype.type
    red, green, blue = planes[0], planes[1], planes[2]
    for x in range(len(level)):  # constants, not ``weights``: of bytes and small constants a short multiply is made
        level[x] = 2125 * number(red[x]) + 7154 * number(green[x]) + 721 * number(blue[x])


@kernel
def grey_levels(pixels, kind, weights, planes, level):
    """Write the scaled grey level of each pixel to ``level``, whose dtype decides the arithmetic.

    Of RGB and RGBA bytes, ``planes`` then holds the three bands one by one.
    """
    bands = len(weights)
    number = level.dtype.type
    if kind is None and pixels.itemsize > 1:
        for x in range(len(level)):  # as `luma`, of bands that are not apart
            level[x] = 2125 * number(pixels[3 * x]) + 7154 * number(pixels[3 * x + 1]) + 721 * number(pixels[3 * x + 2])
    elif kind is None or kind == RGBA:
        split_bands(pixels, kind, planes, len(level))
        luma(planes, level)
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
def block_peaks(values, size, factor, peaks):
    """The largest of every ``size`` values, times a factor."""
    for block in range(len(peaks)):
        part = values[block * size : (block + 1) * size]
        peak = part[0]
        for x in range(len(part)):
            peak = part[x] if part[x] > peak else peak
        peaks[block] = peak
        peaks[block] *= factor  # in their type, not in that of the values


@kernel
def byte_sums(planes, count, totals):
    """Add three bands of bytes to ``totals``; returns the sum of g and that of g^2, from the products of the bands.

    CHUNK such products sum to less than 2^27, so 32 bits do, and short multiplies; those of g^2 to less than 2^54.
    """
    red, green, blue = planes[0], planes[1], planes[2]
    reds = greens = blues = rr = gg = bb = rg = rb = gb = np.int32(0)
    for x in range(count):
        r, g, b = np.int32(red[x]), np.int32(green[x]), np.int32(blue[x])
        reds = np.int32(reds + r)  # Numba adds small integers as large ones, unless told
        greens = np.int32(greens + g)
        blues = np.int32(blues + b)
        rr = np.int32(rr + np.int32(r * r))
        gg = np.int32(gg + np.int32(g * g))
        bb = np.int32(bb + np.int32(b * b))
        rg = np.int32(rg + np.int32(r * g))
        rb = np.int32(rb + np.int32(r * b))
        gb = np.int32(gb + np.int32(g * b))
    totals[0] += reds
    totals[1] += greens
    totals[2] += blues
    levels = 2125 * np.int64(reds) + 7154 * np.int64(greens) + 721 * np.int64(blues)
    squares = 2125 * 2125 * np.int64(rr) + 7154 * 7154 * np.int64(gg) + 721 * 721 * np.int64(bb)
    products = 2125 * 7154 * np.int64(rg) + 2125 * 721 * np.int64(rb) + 7154 * 721 * np.int64(gb)
    return levels, squares + 2 * products


@composed
def word_sums(pixels, level, totals):
    """Write the grey level of pixels of 16-bit RGB and add their bands to ``totals``; returns the sum of g."""
    reds = greens = blues = np.int32(0)  # CHUNK values of 16 bits sum to less than 2^27
    for x in range(len(level)):
        r, g, b = np.int32(pixels[3 * x]), np.int32(pixels[3 * x + 1]), np.int32(pixels[3 * x + 2])
        reds = np.int32(reds + r)
        greens = np.int32(greens + g)
        blues = np.int32(blues + b)
        level[x] = 2125 * r + 7154 * g + 721 * b
    totals[0] += reds
    totals[1] += greens
    totals[2] += blues
    return 2125 * np.int64(reds) + 7154 * np.int64(greens) + 721 * np.int64(blues)


@composed
def sum_squares(level):
    """The sum of the squares of integers below 2^31 as A 2^32 + B, four at a time: they are below 2^64."""
    quarter = len(level) // 4
    first, second, third, fourth = (
        level[:quarter], level[quarter : 2 * quarter], level[2 * quarter : 3 * quarter], level[3 * quarter :]
    )  # fmt: skip
    high, low = np.uint64(0), np.uint64(0)
    for x in range(quarter):
        a, b, c, d = np.int64(first[x]), np.int64(second[x]), np.int64(third[x]), np.int64(fourth[x])
        squares = np.uint64(a * a) + np.uint64(b * b) + np.uint64(c * c) + np.uint64(d * d)
        high += squares >> _HALF
        low += squares  # wraps: what A leaves of it is below 2^64
    return high, low - (high << _HALF)


@kernel
def exact_sums(pixels, kind, weights, valid, level, totals, peaks):
    """Sums over the valid pixels of an image of 8 or 16 bits: that of g, and A and B with sum g^2 = A 2^32 + B.

    Adds each band to ``totals``, and writes what g of every BLOCK pixels, masked ones too, cannot exceed to ``peaks``.
    ``valid`` is empty where all pixels are.
    """
    bands = len(weights)
    count = len(pixels) // bands
    most = bands  # g of a pixel whose bands are all 1: no weight is negative
    if kind is None or kind == RGBA:
        most = 10000
    planes = np.empty((3, CHUNK), pixels.dtype)
    kept = np.empty(CHUNK * bands if len(valid) else 0, pixels.dtype)
    total, high, low = 0, np.uint64(0), np.uint64(0)
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        chunk, grey = pixels[start * bands : stop * bands], level[: stop - start]
        block_peaks(chunk, BLOCK * bands, most, peaks[start // BLOCK : (stop + BLOCK - 1) // BLOCK])
        if kind is None and pixels.itemsize == 1:
            split_bands(chunk, kind, planes, len(grey))
            if len(valid):
                keep = valid[start:stop]
                for band in range(3):
                    plane = planes[band]
                    for x in range(len(grey)):
                        plane[x] *= keep[x]
            levels, squares = byte_sums(planes, len(grey), totals)
            total += levels
            high += np.uint64(squares) >> _HALF
            low += np.uint64(squares) & _LOW
            continue
        if len(valid):  # masked pixels count as 0
            for x in range(len(grey)):
                for band in range(bands):
                    kept[bands * x + band] = chunk[bands * x + band] if valid[start + x] else 0
            chunk = kept[: len(chunk)]
        if kind is None:
            total += word_sums(chunk, grey, totals)
        else:
            grey_levels(chunk, kind, weights, planes, grey)
            for band in range(bands):
                added = np.int32(0)
                for x in range(len(grey)):
                    added = np.int32(added + np.int32(chunk[bands * x + band]))
                totals[band] += added
                share = 1
                if kind == RGBA:
                    share = (2125, 7154, 721, 0)[band]
                total += share * np.int64(added)
        filled = level[: (len(grey) + 3) // 4 * 4]
        for x in range(len(grey), len(filled)):
            filled[x] = 0
        upper, lower = sum_squares(filled)
        high += upper  # 2^32 pixels are too many: neither sum reaches 2^64
        low += lower
    return total, high, low


@kernel
def copy(source, target):
    """Copy one sequence to the start of another."""
    for x in range(len(source)):
        target[x] = source[x]


@kernel
def gather_blocks(pixels, bands, valid, cutoff, peaks, block, starts, gathered, keep):
    """Copy the pixels of the next blocks, from ``block`` on, whose peak reaches the cutoff, as many as fit CHUNK.

    Loops over one block each would be short. Writes where the blocks start; returns their number, that of their pixels,
    and the block to go on with.
    """
    count = len(pixels) // bands
    blocks = size = 0
    while block < len(peaks) and blocks < len(starts):
        if peaks[block] >= cutoff:
            start, stop = block * BLOCK, min((block + 1) * BLOCK, count)
            copy(pixels[start * bands : stop * bands], gathered[size * bands :])
            if len(valid):
                copy(valid[start:stop], keep[size:])
            starts[blocks] = start
            blocks += 1
            size += stop - start
        block += 1
    return blocks, size, block


@kernel
def find_foreground(pixels, kind, weights, valid, cutoff, level, peaks, totals, foreground):
    """Write 1 where valid, finite pixels have g >= cutoff, else 0; returns their number.

    Most of an image is sky: only the blocks that may reach the cutoff by ``peaks`` are looked at. The bands of the
    foreground are added to ``totals``, unless that is None, as it must be for floats.
    """
    bands = len(weights)
    gathered, planes = np.empty(CHUNK * bands, pixels.dtype), np.empty((3, CHUNK), pixels.dtype)
    over, keep = np.empty(CHUNK, np.uint8), np.empty(CHUNK, np.uint8)
    starts = np.empty(CHUNK // BLOCK, np.int64)
    foreground[:] = 0
    found, block = 0, np.int64(0)  # typed: Numba would compile what takes a literal twice
    while block < len(peaks):
        blocks, size, block = gather_blocks(pixels, bands, valid, cutoff, peaks, block, starts, gathered, keep)
        grey = level[:size]
        grey_levels(gathered, kind, weights, planes, grey)
        for x in range(size):
            over[x] = (grey[x] >= cutoff) & np.isfinite(grey[x])
        if len(valid):
            for x in range(size):
                over[x] &= keep[x]
        reached = np.int32(0)
        for x in range(size):
            reached = np.int32(reached + over[x])
        found += reached
        if totals is not None and kind is None and pixels.itemsize > 1:  # three sums at once: bands are not apart
            reds = greens = blues = np.int32(0)  # CHUNK values of 16 bits sum to less than 2^27
            for x in range(size):
                one = np.int32(over[x])
                reds = np.int32(reds + np.int32(gathered[3 * x]) * one)
                greens = np.int32(greens + np.int32(gathered[3 * x + 1]) * one)
                blues = np.int32(blues + np.int32(gathered[3 * x + 2]) * one)
            totals[0] += reds
            totals[1] += greens
            totals[2] += blues
        elif totals is not None:
            for band in range(bands):
                added = np.int32(0)
                if kind is None:
                    plane = planes[band]
                    for x in range(size):
                        added = np.int32(added + np.int32(plane[x]) * np.int32(over[x]))
                else:
                    for x in range(size):
                        added = np.int32(added + np.int32(gathered[bands * x + band]) * np.int32(over[x]))
                totals[band] += added
        for k in range(blocks):
            stop = min(starts[k] + BLOCK, len(foreground))
            copy(over[k * BLOCK : k * BLOCK + stop - starts[k]], foreground[starts[k] : stop])
    return found


@kernel
def fold(values):
    """The sum of floats, which are overwritten: half of them is added to the other half until one is left.

    The order is the same on every machine, the loops are vector loops, and errors grow with the logarithm of the count.
    """
    count = len(values)
    while count > 1:
        half = count // 2
        upper = values[count - half : count]
        for x in range(half):
            values[x] += upper[x]
        count -= half
    return values[0]


@kernel
def sums_about(pivot, level, sums, squares, largest, peaks):
    """The sums of g - pivot and of its square, and the largest g of each block, of whole blocks.

    They are taken side by side, LANES at a time: the order is fixed, and the loop a vector loop. Four times as many are
    a block, and taken in one pass, to spare loads and stores.
    """
    for x in range(LANES):
        sums[x] = squares[x] = 0.0
    for block in range(len(peaks)):
        part = level[block * BLOCK : (block + 1) * BLOCK]
        first, second, third, fourth = part[:LANES], part[LANES:], part[2 * LANES :], part[3 * LANES :]
        for x in range(LANES):
            a, b, c, d = first[x], second[x], third[x], fourth[x]
            upper, lower = a if a > b else b, c if c > d else d
            largest[x] = upper if upper > lower else lower
            a, b, c, d = a - pivot, b - pivot, c - pivot, d - pivot
            sums[x] = sums[x] + a + b + c + d
            squares[x] = squares[x] + a * a + b * b + c * c + d * d
        for x in range(8):
            a, b, c, d = largest[x], largest[x + 8], largest[x + 16], largest[x + 24]
            upper, lower = a if a > b else b, c if c > d else d
            largest[x] = upper if upper > lower else lower
        peak = largest[0]  # the compiler makes no vectors of a largest float: it could be one that is no number
        for x in range(1, 8):
            peak = largest[x] if largest[x] > peak else peak
        peaks[block] = peak
    return fold(sums), fold(squares)


@kernel
def float_sums(pixels, kind, weights, valid, level, peaks):
    """Number of valid, finite pixels, a pivot p among their levels, and the sums of g - p and (g - p)^2.

    About one of its values the squares of an image do not cancel. Writes the largest g of every BLOCK pixels to
    ``peaks``, infinity if any of them is masked or not finite.
    """
    bands = len(weights)
    count = len(pixels) // bands
    planes, lanes = np.empty((3, CHUNK), pixels.dtype), np.empty((3, LANES))
    others = np.empty(CHUNK // BLOCK)
    used = 0
    pivot = total = squares = 0.0
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        grey = level[: stop - start]
        grey_levels(pixels[start * bands : stop * bands], kind, weights, planes, grey)
        if len(valid):
            keep = valid[start:stop]
            for x in range(len(grey)):
                if keep[x] == 0:
                    grey[x] = np.nan
        if used == 0:
            for x in range(len(grey)):
                if np.isfinite(grey[x]):
                    pivot = grey[x]
                    break
        blocks = peaks[start // BLOCK : (stop + BLOCK - 1) // BLOCK]
        filled = level[: len(blocks) * BLOCK]
        for x in range(len(grey), len(filled)):  # the last block may be short of pixels
            filled[x] = pivot
        added, added_squares = sums_about(pivot, filled, lanes[0], lanes[1], lanes[2], blocks)
        if np.isfinite(added_squares):
            used += stop - start
        else:  # some are not finite, or their squares
            for x in range(len(grey)):
                if np.isfinite(grey[x]):
                    used += 1
                else:
                    grey[x] = pivot
                    blocks[x // BLOCK] = np.inf
            rest = others[: len(blocks)]
            added, added_squares = sums_about(pivot, filled, lanes[0], lanes[1], lanes[2], rest)
        total += added
        squares += added_squares
    return used, pivot, total, squares


@kernel
def float_sky(pixels, kind, weights, valid, cutoff, level, peaks, foreground, totals):
    """Add each band of the valid, finite pixels with g < cutoff to ``totals``; returns their number.

    They are summed themselves, because a total less the foreground's would cancel. Blocks are added to each other,
    value by value. Only where ``peaks`` is infinite may pixels be neither sky nor foreground.
    """
    bands = len(weights)
    count = len(pixels) // bands
    lanes, planes = np.zeros(BLOCK * bands), np.empty((3, BLOCK), pixels.dtype)
    sky, use, values = np.empty(BLOCK, np.uint8), np.empty(BLOCK * bands, np.uint8), np.empty(BLOCK)
    used = 0
    for block in range(len(peaks)):
        start, stop = block * BLOCK, min((block + 1) * BLOCK, count)
        part, grey = pixels[start * bands : stop * bands], level[: stop - start]
        if peaks[block] < cutoff:
            for x in range(len(part)):
                lanes[x] += part[x]
            used += len(grey)
            continue
        over = foreground[start:stop]
        for x in range(len(grey)):
            sky[x] = over[x] == BACKGROUND
        if peaks[block] == np.inf:
            grey_levels(part, kind, weights, planes, grey)
            for x in range(len(grey)):
                sky[x] &= np.isfinite(grey[x])
            if len(valid):
                keep = valid[start:stop]
                for x in range(len(grey)):
                    sky[x] &= keep[x]
        below = np.int32(0)
        for x in range(len(grey)):
            below = np.int32(below + sky[x])
        used += below
        if kind is None:  # strides must be constants
            for x in range(len(grey)):
                use[3 * x], use[3 * x + 1], use[3 * x + 2] = sky[x], sky[x], sky[x]
        else:
            for x in range(len(grey)):
                for band in range(bands):
                    use[bands * x + band] = sky[x]
        for x in range(len(part)):
            value = part[x]  # read in any case: a read that depends on the mask would be a branch
            lanes[x] += value if use[x] else 0
    for band in range(bands):
        for x in range(BLOCK):
            values[x] = lanes[bands * x + band]
        totals[band] += fold(values)
    return used
