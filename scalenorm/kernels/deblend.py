"""Deblending: peaks of a reduced image grown into basins, the light of each about it, and the galaxy's own pixels.

The reduced image holds means over blocks of ``factor`` x ``factor`` pixels and has a border of one empty block, so
that each block has eight neighbours. Grey levels are scaled as in `kernels.grey`.
"""

import math

import numpy as np

from .compile import kernel
from .constants import CHUNK, FOREGROUND, MEMBER
from .grey import grey_levels

BINS = 80  # of a light profile,
STEP = 0.25  # each this wide, in standard deviations of the basin: out to 20 of them


@kernel
def reduce_window(rows, kind, weights, valid, cutoff, level, top, left, factor, light, over, count):
    """Means over blocks of a window whose first pixel is (top, left).

    light : mean of the valid pixels, NaN where there are none. over, count : mean and number of the foreground
    pixels. Returns the mean of the valid pixels below the cutoff in the whole window.
    """
    bands = len(weights)
    planes = np.empty((3, CHUNK), rows.dtype)
    bottom = min(top + factor * (len(light) - 2), len(rows))
    right = min(left + factor * (light.shape[1] - 2), rows.shape[1] // bands)
    width = right - left
    total, bright = np.zeros((2, width), np.float64)
    used, reached = np.zeros((2, width), np.int32)
    sky = 0.0
    below = 0.0
    for i in range(1, len(light) - 1):
        total[:] = 0
        bright[:] = 0
        used[:] = 0
        reached[:] = 0
        for y in range(top + (i - 1) * factor, min(top + i * factor, bottom)):
            for start in range(0, width, CHUNK):
                stop = min(start + CHUNK, width)
                grey = level[: stop - start]
                grey_levels(rows[y, (left + start) * bands : (left + stop) * bands], kind, weights, planes, grey)
                sums, brights = total[start:stop], bright[start:stop]
                uses, reaches = used[start:stop], reached[start:stop]
                if valid is None:
                    for x in range(len(grey)):
                        good = np.isfinite(grey[x])
                        is_over = good and grey[x] >= cutoff
                        sums[x] += grey[x] if good else 0
                        uses[x] += good
                        brights[x] += grey[x] if is_over else 0
                        reaches[x] += is_over
                else:
                    keep = valid[y, left + start : left + stop]
                    for x in range(len(grey)):
                        good = np.isfinite(grey[x]) and keep[x] != 0
                        is_over = good and grey[x] >= cutoff
                        sums[x] += grey[x] if good else 0
                        uses[x] += good
                        brights[x] += grey[x] if is_over else 0
                        reaches[x] += is_over
        for j in range(1, light.shape[1] - 1):
            all_light = over_light = all_pixels = over_pixels = 0.0
            for x in range((j - 1) * factor, min(j * factor, width)):
                all_light += total[x]
                all_pixels += used[x]
                over_light += bright[x]
                over_pixels += reached[x]
            light[i, j] = all_light / all_pixels if all_pixels else np.nan
            over[i, j] = over_light / over_pixels if over_pixels else 0.0
            count[i, j] = int(over_pixels)
            sky += all_light - over_light
            below += all_pixels - over_pixels
    return sky / below if below else float(cutoff)


@kernel
def root(parent, basin):
    """The basin that this one was merged into."""
    while parent[basin] != basin:
        parent[basin] = parent[parent[basin]]
        basin = parent[basin]
    return basin


@kernel
def sort_blocks(over, count, cutoff, levels, step, order):
    """Foreground blocks from the brightest level down, in row-major order within a level.

    The levels lie between cutoff and peak at the squares of equal steps: fine near the cutoff, and defined whatever
    the sky. step: the level of each block, 0 for the brightest; order: flat indices of blocks. Returns their number
    and the height of the peak above the cutoff.
    """
    light, pixels = over.reshape(-1), count.reshape(-1)
    span = 0.0
    for p in range(len(light)):
        if pixels[p]:
            span = max(span, light[p] - cutoff)
    start = np.zeros(levels + 1, np.int64)
    for p in range(len(light)):
        if pixels[p]:
            share = max((light[p] - cutoff) / span, 0.0) if span > 0 else 0.0
            step[p] = levels - 1 - min(int(levels * math.sqrt(share)), levels - 1)
            start[step[p] + 1] += 1
    for k in range(levels):
        start[k + 1] += start[k]
    for p in range(len(light)):
        if pixels[p]:
            order[start[step[p]]] = p
            start[step[p]] += 1
    return start[levels], span


@kernel
def grow_basins(over, count, cutoff, levels, contrast, step, order, span, host, label):
    """Number the objects among the foreground blocks in ``label`` (0 elsewhere), that of the brightest block first.

    Blocks are taken in ``order``. One with no neighbour taken starts a basin; one that joins two basins merges them,
    unless both stand out: the light of each above this level, times the depth of the valley relative to the peak, is
    at least ``contrast`` times ``host``, the greater light of the objects that their peaks belong to.
    """
    width = label.shape[1]
    flat, light, pixels, reference = label.reshape(-1), over.reshape(-1), count.reshape(-1), host.reshape(-1)
    flat[:] = 0
    parent = np.empty(len(order) + 1, np.int64)
    flux, number, peak, wanted = np.zeros((4, len(order) + 1))
    basins = 0
    for p in order:
        level = span * ((levels - 1 - step[p]) / levels) ** 2  # above the cutoff, as all that follows
        excess = light[p] - cutoff
        best = 0
        best_light = 0.0
        for q in (p - width - 1, p - width, p - width + 1, p - 1, p + 1, p + width - 1, p + width, p + width + 1):
            if flat[q] == 0:
                continue
            other = root(parent, flat[q])
            if best == 0 or other == best:
                best_light = light[q] if best == 0 else max(best_light, light[q])
                best = other
                continue
            mine = flux[best] - number[best] * level
            its = flux[other] - number[other] * level
            needed = contrast * max(wanted[best], wanted[other])
            if (
                mine * (peak[best] - level) >= needed * peak[best]
                and its * (peak[other] - level) >= needed * peak[other]
            ):
                if light[q] > best_light:
                    best, best_light = other, light[q]
                continue
            if its > mine:
                best, other = other, best
            parent[other] = best
            flux[best] += flux[other]
            number[best] += number[other]
            if peak[other] > peak[best]:
                peak[best] = peak[other]
                wanted[best] = wanted[other]
            best_light = max(best_light, light[q])
        if best == 0:
            basins += 1
            best = basins
            parent[best] = best
            peak[best] = excess
            wanted[best] = reference[p]
        flat[p] = best
        flux[best] += pixels[p] * excess
        number[best] += pixels[p]

    final = np.zeros(basins + 1, np.int64)
    objects = 0
    for p in order:
        basin = root(parent, flat[p])
        if final[basin] == 0:
            objects += 1
            final[basin] = objects
        flat[p] = final[basin]
    totals = np.zeros(objects + 1)
    for p in order:
        totals[flat[p]] += pixels[p] * (light[p] - cutoff)
    for p in order:
        reference[p] = totals[flat[p]]
    return objects


@kernel
def find_objects(over, count, cutoff, levels, contrast, label):
    """Number the objects among the foreground blocks in ``label`` (0 elsewhere); returns how many there are.

    Basins are grown three times: merging all, which gives the connected components; standing out against the light
    of their component; and against that of the objects found so, for the faint neighbour of a galaxy that has a
    bright one too.
    """
    step = np.empty(label.size, np.int32)
    order = np.empty(label.size, np.int64)
    host = np.ones(label.shape)
    used, span = sort_blocks(over, count, cutoff, levels, step, order)
    order = order[:used]
    grow_basins(over, count, cutoff, levels, np.inf, step, order, span, host, label)
    grow_basins(over, count, cutoff, levels, contrast, step, order, span, host, label)
    return grow_basins(over, count, cutoff, levels, contrast, step, order, span, host, label)


@kernel
def measure_basins(over, count, cutoff, label, shape):
    """Each object as shape[object] = light above the cutoff, row, col, second moments rr, rc, cc, area.

    The centre is that of the light in the upper half of the object's levels; lengths are in blocks.
    """
    height, width = label.shape
    objects = len(shape)
    top = np.zeros(objects)
    moments = np.zeros((objects, 6))
    shape[:] = 0
    for i in range(height):
        for j in range(width):
            k = label[i, j]
            if k:
                excess = over[i, j] - cutoff
                shape[k, 0] += excess * count[i, j]
                top[k] = max(top[k], excess)
    upper = np.zeros(objects)
    for i in range(height):
        for j in range(width):
            k = label[i, j]
            if k:
                excess = (over[i, j] - cutoff) * count[i, j]
                if over[i, j] - cutoff >= top[k] / 2:
                    upper[k] += excess
                    shape[k, 1] += excess * i
                    shape[k, 2] += excess * j
                moments[k, 0] += 1
                moments[k, 1] += i
                moments[k, 2] += j
                moments[k, 3] += i * i
                moments[k, 4] += i * j
                moments[k, 5] += j * j
    for k in range(1, objects):
        n, r, c, rr, rc, cc = moments[k]
        if n == 0:
            continue
        shape[k, 6] = n
        shape[k, 1] = shape[k, 1] / upper[k] if upper[k] > 0 else r / n
        shape[k, 2] = shape[k, 2] / upper[k] if upper[k] > 0 else c / n
        row, col = shape[k, 1], shape[k, 2]
        # about the centre, not the mean: a basin cut on one side has its mean off the centre
        shape[k, 3] = rr / n - 2 * row * r / n + row * row + 1 / 12
        shape[k, 4] = rc / n - row * c / n - col * r / n + row * col
        shape[k, 5] = cc / n - 2 * col * c / n + col * col + 1 / 12


@kernel
def elliptical_radius(i, j, shape):
    """Radius of block (i, j) about an object, in bins of its profile."""
    row, col, rr, rc, cc = shape[1], shape[2], shape[3], shape[4], shape[5]
    y, x = i - row, j - col
    square = (cc * y * y - 2 * rc * y * x + rr * x * x) / max(rr * cc - rc * rc, 1e-6)
    return min(math.sqrt(max(square, 0.0)) / STEP, BINS - 0.5)


@kernel
def model_light(light, label, objects, shape, sky, rounds, profiles):
    """The light of each of ``objects`` as a profile, a function of the elliptical radius about its centre alone.

    A profile is the mean over the object's own and empty blocks of the light less the models of the others; it never
    rises outwards. Starting from no light, ``rounds`` times each object in turn. One block in four is enough of a
    sample.
    """
    height, width = (light.shape[0] - 1) // 2, (light.shape[1] - 1) // 2
    number = len(objects)
    models = np.zeros((number, height, width), np.float32)
    radius = np.empty((number, height, width), np.float32)
    rest = np.empty((height, width), np.float32)  # light that no model explains
    owner = np.empty((height, width), np.int32)
    for i in range(height):
        for j in range(width):
            rest[i, j] = light[2 * i + 1, 2 * j + 1] - sky
            owner[i, j] = label[2 * i + 1, 2 * j + 1]
            for n in range(number):
                radius[n, i, j] = elliptical_radius(2 * i + 1, 2 * j + 1, shape[objects[n]])
    sums, pixels = np.empty((2, BINS), np.float32)
    for _ in range(rounds):
        for n in range(number):
            sums[:] = 0
            pixels[:] = 0
            for i in range(height):
                at, model, left, owners = radius[n, i], models[n, i], rest[i], owner[i]
                for j in range(width):
                    value = left[j] + model[j]
                    if (owners[j] == 0 or owners[j] == objects[n]) and np.isfinite(value):
                        k = int(at[j])
                        sums[k] += value
                        pixels[k] += 1
            profile = profiles[n]
            limit = np.float32(0)
            for k in range(BINS):
                if pixels[k]:
                    limit = max(limit, sums[k] / pixels[k])
            for k in range(BINS):
                if pixels[k]:
                    limit = min(limit, max(sums[k] / pixels[k], np.float32(0)))
                profile[k] = limit
            for i in range(height):
                at, model, left = radius[n, i], models[n, i], rest[i]
                for j in range(width):
                    value = light_at(at[j], profile)
                    left[j] += model[j] - value
                    model[j] = value


@kernel
def light_at(radius, profile):
    """A profile, which holds the middles of its bins, at a radius."""
    place = max(radius - np.float32(0.5), np.float32(0))
    k = min(int(place), BINS - 2)
    return profile[k] + (profile[k + 1] - profile[k]) * (place - np.float32(k))


@kernel
def add_models(objects, shape, profiles, first, last, left, right, others):
    """Add the modelled light of all ``objects`` to ``others`` for the blocks [first, last) x [left, right)."""
    for n in range(len(objects)):
        for i in range(first, last):
            for j in range(left, right):
                others[i, j] += light_at(np.float32(elliptical_radius(i, j, shape[objects[n]])), profiles[n])


@kernel
def own_pixels(
    rows, kind, weights, cutoff, level, member, bbox, top, left, factor, label, want, others, row, col, mask, seen
):
    """Mark the pixels of a component that are the galaxy's, basin ``want``, as FOREGROUND in ``mask``.

    Pixels of its basin stay if they reach the cutoff without the light of the ``others``. Pixels of other basins,
    where the galaxy cannot be seen, are its own if the pixel opposite (row, col) is.
    ``seen`` marks the objects in the component. FOREGROUND is 1, so that a comparison can be written to the mask.
    """
    bands = len(weights)
    planes = np.empty((3, CHUNK), rows.dtype)
    first, low, last, high = bbox
    block = np.empty(high, np.int32)  # of each column
    for x in range(low, high):
        block[x] = (x - left) // factor + 1
    for y in range(first, last):
        line, target, i = member[y], mask[y], (y - top) // factor + 1
        labels, light = label[i], others[i]
        for start in range(low, high, CHUNK):
            stop = min(start + CHUNK, high)
            grey = level[: stop - start]
            grey_levels(rows[y, start * bands : stop * bands], kind, weights, planes, grey)
            for x in range(start, stop):
                if line[x] == MEMBER:
                    j = block[x]
                    seen[labels[j]] = True
                    target[x] = labels[j] == want and grey[x - start] - light[j] >= cutoff
    for y in range(first, last):
        opposite = math.floor(2 * row + 0.5 - y)
        if opposite < first or opposite >= last:
            continue
        line, target, labels = member[y], mask[y], label[(y - top) // factor + 1]
        source, theirs = mask[opposite], label[(opposite - top) // factor + 1]
        for x in range(low, high):
            if line[x] == MEMBER and labels[block[x]] != want:
                across = math.floor(2 * col + 0.5 - x)
                if low <= across < high and source[across] == FOREGROUND and theirs[block[across]] == want:
                    target[x] = FOREGROUND
