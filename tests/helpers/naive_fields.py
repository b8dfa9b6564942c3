"""Slow, obvious twins of deblending, of the robust thresholds and of the sizes. Nothing here imports scalenorm."""

from __future__ import annotations

import math

import numpy as np
from skimage.measure import label


def reduce_window(grey, top, left, bottom, right, factor, cutoff):
    """Block means of all pixels and of the foreground, the number of the latter, all with a border of one; the sky."""
    window = grey[top:bottom, left:right]
    rows, cols = -(-window.shape[0] // factor) + 2, -(-window.shape[1] // factor) + 2
    light = np.full((rows, cols), np.nan)
    over, count = np.zeros((rows, cols)), np.zeros((rows, cols), int)
    for i in range(rows - 2):
        for j in range(cols - 2):
            block = window[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
            block = block[np.isfinite(block)]
            bright = block[block >= cutoff]
            light[i + 1, j + 1] = block.mean() if block.size else math.nan
            over[i + 1, j + 1] = bright.mean() if bright.size else 0
            count[i + 1, j + 1] = bright.size
    below = window[window < cutoff]
    return light, over, count, below.mean() if below.size else float(cutoff)


def objects(over, count, cutoff, levels, contrast):
    """The object of each block, from 1 in the order of their brightest blocks; 0 where there is no foreground."""
    blocks = [tuple(block) for block in np.argwhere(count > 0)]
    span = max(over[block] - cutoff for block in blocks)

    def level(block):
        share = max((over[block] - cutoff) / span, 0) if span > 0 else 0
        return min(int(levels * math.sqrt(share)), levels - 1)

    order = sorted(blocks, key=lambda block: -level(block))  # stable: row-major within a level
    excess = {block: over[block] - cutoff for block in blocks}
    host = dict.fromkeys(blocks, 1.0)
    for strictness in (math.inf, contrast, contrast):
        basins = []  # sets of blocks
        for block in order:
            valley = span * (level(block) / levels) ** 2
            mine, brightest = None, 0.0
            for step in ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)):
                near = block[0] + step[0], block[1] + step[1]
                other = next((basin for basin in basins if near in basin), None)
                if other is None:
                    continue
                if mine is None or other is mine:
                    brightest = over[near] if mine is None else max(brightest, over[near])
                    mine = other
                    continue

                def above(basin, valley=valley):
                    return sum(count[b] * excess[b] for b in basin) - sum(count[b] for b in basin) * valley

                def peak(basin):
                    highest = max(excess[b] for b in basin)
                    return min((b for b in basin if excess[b] == highest), key=order.index)

                needed = strictness * max(host[peak(mine)], host[peak(other)])

                def stands_out(basin, valley=valley, needed=needed):
                    height = excess[peak(basin)]
                    return above(basin) * (height - valley) >= needed * height

                if stands_out(mine) and stands_out(other):
                    if over[near] > brightest:
                        mine, brightest = other, over[near]
                else:
                    if above(other) > above(mine):
                        mine, other = other, mine
                    mine |= other
                    basins = [basin for basin in basins if basin is not other]
                    brightest = max(brightest, over[near])
            if mine is None:
                mine = set()
                basins.append(mine)
            mine.add(block)
        for basin in basins:
            total = sum(count[b] * excess[b] for b in basin)
            host.update(dict.fromkeys(basin, total))
    numbers = np.zeros(over.shape, int)
    basins.sort(key=lambda basin: min(order.index(b) for b in basin))
    for number, basin in enumerate(basins, 1):
        for block in basin:
            numbers[block] = number
    return numbers


def shapes(over, count, cutoff, numbers):
    """For each object: light, centre of the upper half of its light, second moments about it (with 1/12)."""
    found = {}
    for number in range(1, numbers.max() + 1):
        rows, cols = np.nonzero(numbers == number)
        excess = over[rows, cols] - cutoff
        weight = np.where(excess >= excess.max() / 2, excess * count[rows, cols], 0)
        row, col = (weight @ rows / weight.sum(), weight @ cols / weight.sum()) if weight.sum() else (
            rows.mean(), cols.mean())  # fmt: skip
        y, x = rows - row, cols - col
        moments = (y * y).mean() + 1 / 12, (y * x).mean(), (x * x).mean() + 1 / 12
        found[number] = (float((excess * count[rows, cols]).sum()), row, col, *moments)
    return found


def models(light, numbers, chosen, found, sky, rounds):
    """Light of each chosen object over all blocks; profiles are sampled at every other block."""
    bins, step = 80, 0.25
    rows, cols = np.indices(light.shape)

    def radius(number):
        _, row, col, rr, rc, cc = found[number]
        y, x = rows - row, cols - col
        square = (cc * y * y - 2 * rc * y * x + rr * x * x) / max(rr * cc - rc * rc, 1e-6)
        return np.minimum(np.sqrt(np.maximum(square, 0)) / step, bins - 0.5)

    sampled = np.zeros(light.shape, bool)
    sampled[1 : 2 * ((light.shape[0] - 1) // 2) : 2, 1 : 2 * ((light.shape[1] - 1) // 2) : 2] = True
    result = {number: np.zeros(light.shape) for number in chosen}
    for _ in range(rounds):
        for number in chosen:
            rest = light - sky - sum(result[other] for other in chosen if other != number)
            use = sampled & np.isfinite(light) & ((numbers == 0) | (numbers == number))
            at = radius(number)
            means = [rest[use & (at.astype(int) == k)] for k in range(bins)]
            means = [part.mean() if part.size else None for part in means]
            limit = max([0.0, *(mean for mean in means if mean is not None)])
            profile = []
            for mean in means:
                if mean is not None:
                    limit = min(limit, max(mean, 0.0))
                profile.append(limit)
            result[number] = np.interp(at, np.arange(bins) + 0.5, profile)
    return result


def deblend(grey, cutoff, region, at, levels=32, contrast=0.005):
    """(the galaxy's pixels as a boolean image, objects in the region)."""
    rows, cols = np.nonzero(region)
    top, left, bottom, right = rows.min(), cols.min(), rows.max() + 1, cols.max() + 1
    reach = int(1.5 * max(bottom - top, right - left))
    top, left = max(0, top - reach), max(0, left - reach)
    bottom, right = min(grey.shape[0], bottom + reach), min(grey.shape[1], right + reach)
    factor = max(1, math.isqrt(len(rows) // 400), math.isqrt(int((bottom - top) * (right - left) // 8000)))
    light, over, count, sky = reduce_window(grey, top, left, bottom, right, factor, cutoff)
    numbers = objects(over, count, cutoff, levels, contrast)
    if numbers.max() == 1:
        return region, 1
    found = shapes(over, count, cutoff, numbers)
    block_of = {(r, c): ((r - top) // factor + 1, (c - left) // factor + 1) for r, c in zip(rows, cols, strict=True)}
    want = numbers[block_of[at]]
    flux, row, col = found[want][:3]

    def size(number):
        return 2 * math.sqrt(found[number][3] + found[number][5])

    def far(number):
        return math.hypot(found[number][1] - row, found[number][2] - col)

    near = [n for n in found if n != want and found[n][0] >= contrast * flux and far(n) <= size(want) + 4 * size(n)]
    near = sorted(near, key=lambda n: -found[n][0] / max(far(n), 1) ** 2)[:4]
    light_of = models(light, numbers, [want, *near], found, sky, 3)
    others = sum((light_of[n] for n in near), np.zeros(light.shape))

    kept = np.zeros(region.shape, bool)
    for pixel, block in block_of.items():
        kept[pixel] = numbers[block] == want and grey[pixel] - others[block] >= cutoff
    own = kept.copy()
    middle = top + (row - 0.5) * factor - 0.5, left + (col - 0.5) * factor - 0.5
    for (r, c), block in block_of.items():
        if numbers[block] != want:
            opposite = math.floor(2 * middle[0] + 0.5 - r), math.floor(2 * middle[1] + 0.5 - c)
            own[r, c] = opposite in block_of and kept[opposite]
    pixels = np.argwhere(own)
    if len(pixels) == 0:
        return region, len({numbers[block] for block in block_of.values()})
    if not own[at]:
        at = tuple(pixels[((pixels - middle) ** 2).sum(axis=1).argmin()])
    labels = label(own, connectivity=2)
    return labels == labels[at], len({numbers[block] for block in block_of.values()})
