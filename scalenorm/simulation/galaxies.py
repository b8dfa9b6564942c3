"""Simulated galaxy cutouts with their true ellipses and their 37 Galaxy Zoo answers."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .light import ANSWER_NAMES, FRAME, Array, answers_of, draw_galaxy, light_of, smooth_light, star_light

GREY = np.array([0.2125, 0.7154, 0.0721], np.float32).reshape(3, 1, 1)
# Sky of the SDSS pictures in grey levels, and the share of the noise that a band has for itself.
_SKY = np.array([4.0, 4.0, 2.4], np.float32).reshape(3, 1, 1)
_OWN_NOISE = 0.38


@dataclass(frozen=True, slots=True)
class GalaxySample:
    """Simulated galaxies and what is true of them; `make_galaxies` gives the definitions.

    Attributes
    ----------
    images : ndarray of uint8, shape (n, size, size, 3)
        The pictures, red, green, blue.
    ids : list of str, length n
        ``"galaxy-000000"`` and so on, in string order.
    row, col : ndarray of float64, shape (n,)
        True centroids, pixels.
    major_axis, minor_axis : ndarray of float64, shape (n,)
        True axis lengths, pixels.
    orientation : ndarray of float64, shape (n,)
        Angle from the row axis to the major axis, radians in [-pi/2, pi/2], as in scikit-image.
    answers : ndarray of float64, shape (n, 37)
        Answers to the questions of Galaxy Zoo 2, probabilities from 0 to 1.
    answer_names : tuple of str, length 37
        ``"Class1.1"`` ... ``"Class11.6"``.
    """

    images: npt.NDArray[np.uint8]
    ids: list[str]
    row: npt.NDArray[np.float64]
    col: npt.NDArray[np.float64]
    major_axis: npt.NDArray[np.float64]
    minor_axis: npt.NDArray[np.float64]
    orientation: npt.NDArray[np.float64]
    answers: npt.NDArray[np.float64]
    answer_names: tuple[str, ...]


def make_galaxies(
    n: int,
    *,
    seed: int,
    size: int = 424,
    first: int = 0,
    neighbours: int | None = None,
    offset: float = 0.0,
    signal_to_noise: float | None = None,
) -> GalaxySample:
    """Simulate colour cutouts of galaxies as Galaxy Zoo 2 shows them.

    Sersic bodies with bulges, discs, bars, spiral arms, rings, dust lanes, edge-on discs, mergers, irregular
    and disturbed galaxies and a few stars, blurred, stretched and enlarged as the SDSS pictures are, with sky
    noise. Galaxy `i` depends on `seed` and `i` alone, whatever `n` is, and an option changes only what it
    names: the same call with ``neighbours=0`` gives the same galaxies in the same noise, alone.

    Parameters
    ----------
    n : int >= 0
        Number of galaxies.
    seed : int >= 0
        Seed of the random numbers.
    size : int >= 32
        Height and width of the pictures in pixels. The field of view stays the same: galaxies scale with it.
    first : int >= 0
        Number of the first galaxy, to make a large sample in parts.
    neighbours : int from 0 to 10, optional
        Number of galaxies and stars beside the galaxy, and nothing else in the frame. About 40% of them touch
        the galaxy, some are brighter. They are at least 1.5 times as far from the frame's centre as the galaxy.
        By default a field as in the survey: 0 to 3 such neighbours, faint stars and galaxies, now and then a
        bright star.
    offset : float from 0 to size / 7
        The galaxy is off the frame's centre by a distance drawn uniformly from 0 to `offset` pixels, beside a
        scatter of 2 pixels per axis (of 424), as in the survey.
    signal_to_noise : float > 0, optional
        Mean grey level of the noiseless galaxy above the sky, within its true region, over the standard
        deviation of the sky noise in the grey picture, before rounding and clipping at black. ``inf`` gives no
        noise. By default as in the survey, about 17.

    Returns
    -------
    GalaxySample
        Pictures, true positions and ellipses, and answers.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Notes
    -----
    What is called true is that of the galaxy alone, in the picture without noise and before rounding to
    integers: the 8-connected region of grey levels >= mean + 1 standard deviation of that picture that holds
    the galaxy's centre (or is nearest to it), its centroid, and the ellipse with its second central moments,
    axes 4 * sqrt(eigenvalue). The companion of a merger belongs to the galaxy, neighbours do not.

    The answers are soft probabilities that follow from the drawn parameters and obey the decision tree of
    Willett et al. (2013): those to a question sum to the probability of the answer that leads to it.

    Examples
    --------
    >>> from scalenorm import make_galaxies
    >>> sample = make_galaxies(2, seed=1)
    >>> sample.images.shape, sample.images.dtype
    ((2, 424, 424, 3), dtype('uint8'))
    >>> alone = make_galaxies(2, seed=1, neighbours=0)
    >>> bool((sample.major_axis == alone.major_axis).all())
    True
    """
    n, seed, size, first = (operator.index(value) for value in (n, seed, size, first))
    check_range("n", n, 0)
    check_range("seed", seed, 0)
    check_range("size", size, 32)
    check_range("first", first, 0)
    check_range("offset", offset, 0, size / 7)
    if neighbours is not None:
        check_range("neighbours", operator.index(neighbours), 0, 10)
    if signal_to_noise is not None and not signal_to_noise > 0:
        raise ValueError(f"signal_to_noise is {signal_to_noise!r}: give a number above 0, or inf for no noise")
    images = np.empty((n, size, size, 3), np.uint8)
    answers = np.empty((n, len(ANSWER_NAMES)))
    row, col, major, minor, orientation = truth = np.empty((5, n))
    for i in range(n):
        answers[i], truth[:, i] = _draw(images[i], seed, first + i, neighbours, offset, signal_to_noise)
    ids = [f"galaxy-{first + i:06d}" for i in range(n)]
    return GalaxySample(images, ids, row, col, major, minor, orientation, answers, ANSWER_NAMES)


def check_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise `ValueError` for an argument that is out of its range."""
    if not low <= value <= high:
        wanted = f"at least {low}" if high == math.inf else f"from {low} to {high:g}"
        raise ValueError(f"{name} is {value!r}: give a number {wanted}")


def _draw(
    out: Array, seed: int, number: int, neighbours: int | None, offset: float, signal_to_noise: float | None
) -> tuple[Array, Array]:
    """Draw galaxy `number` into `out`; return its answers and (row, col, major, minor, orientation)."""
    # One stream for each subject, so that an option changes only what it names.
    streams = np.random.SeedSequence(seed, spawn_key=(number,)).spawn(5)
    galaxy_rng, place_rng, field_rng, camera_rng, noise_rng = map(np.random.default_rng, streams)
    size = len(out)
    scale = size / FRAME

    # The cutouts enlarge the pixels of the survey, so light is drawn, blurred and stretched on that coarser grid.
    zoom, seeing, brightness, level = np.exp((0.35, 0.15, 0.15, 0.22) * camera_rng.standard_normal(4))
    native = FRAME / min(max(3.4 * zoom, 1.5), 7.0)
    coarse = min(size, round(native))
    blur = 1.25 * seeing * coarse / native
    grid = ((np.arange(coarse) - (coarse - 1) / 2) * (FRAME / coarse)).astype(np.float32)

    galaxy = draw_galaxy(galaxy_rng)
    distance, turn = place_rng.random(2) * (offset / scale, 2 * np.pi)
    middle = 2.0 * place_rng.standard_normal(2) + distance * _direction(turn)
    light = light_of(galaxy, _from(grid, middle[0]), _from(grid, middle[1]), galaxy_rng)
    light = blurred(light, blur)
    grey = _enlarged((GREY * _stretch(light)).sum(axis=0), size)
    region = central_region(grey, middle * scale + (size - 1) / 2)
    truth = ellipse_of(region)

    field = np.zeros_like(light)
    if neighbours is None:
        _add_background(field, grid, field_rng)
        count = int(field_rng.choice(4, p=(0.66, 0.22, 0.08, 0.04)))
    else:
        count = neighbours
    centroid = (truth[:2] - (size - 1) / 2) / scale
    for _ in range(count):
        _add_neighbour(field, grid, centroid, truth[2:4] / scale / 2, truth[4], galaxy.brightness, field_rng)
    if neighbours != 0:
        light += blurred(field, blur)

    picture = _stretch(light) + _SKY * np.float32(brightness)
    noise = 3.9 * level if signal_to_noise is None else float(grey[region].mean()) / signal_to_noise
    if noise > 0:
        # Enlarging averages the noise: make up for it, so that `noise` is that of the grey picture.
        own = _OWN_NOISE**2
        _, part = _neighbouring(coarse, size)
        kept = np.mean((1 - part) ** 2 + part**2) * math.sqrt(1 - own + own * np.square(GREY).sum())
        shared, single = (noise_rng.standard_normal((k, coarse, coarse), dtype=np.float32) for k in (1, 3))
        shared *= np.float32(math.sqrt(1 - own) * noise / kept)
        single *= np.float32(_OWN_NOISE * noise / kept)
        picture += shared + single
    for band in range(3):
        out[..., band] = np.clip(_enlarged(picture[band], size) + np.float32(0.5), 0, 255)
    return answers_of(galaxy), truth


def _add_background(field: Array, grid: Array, rng: np.random.Generator) -> None:
    """Add what lies before and behind any galaxy: faint stars and galaxies, now and then a bright star."""
    for _ in range(rng.poisson(8)):
        place, u = (rng.random(2) - 0.5) * FRAME, rng.random(2)
        stamp, rows, cols = _stamp(field, grid, place, 25.0)
        stamp += star_light(rows, cols, 0.10 / (0.015 + u[0]), 2.6 * u[1] - 0.6)
    for _ in range(rng.poisson(4)):
        place, u = (rng.random(2) - 0.5) * FRAME, rng.random(4)
        stamp, rows, cols = _stamp(field, grid, place, 40.0)
        stamp += np.float32(0.3 * u[0] ** 2) * smooth_light(
            rows, cols, radius=2.5 + 5 * u[1], axis_ratio=0.3 + 0.7 * u[2], angle=np.pi * u[3],
            index=1.0, warmth=1.6 * u[0] + 0.3,
        )  # fmt: skip
    if rng.random() < 0.15:
        turn, far, bright, warmth = rng.random(4)
        place = 225 * math.sqrt(0.12 + 0.88 * far) * _direction(2 * np.pi * turn)
        stamp, rows, cols = _stamp(field, grid, place, 2 * FRAME)
        stamp += star_light(rows, cols, 12.0 / (0.02 + bright), 2.2 * warmth - 0.6, spikes=True)


def _add_neighbour(
    field: Array, grid: Array, middle: Array, axes: Array, orientation: float, brightness: float,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Add a star or galaxy beside the galaxy at `middle` with semi-axes `axes`."""
    star, touching = rng.random(2) < (0.25, 0.4)
    radius = 15.0 * math.exp(0.4 * rng.standard_normal())
    extent = 14.0 if star else 2.2 * radius
    for _ in range(50):  # until it is in the frame, as it is in most directions
        turn, near = rng.random(2) * (2 * np.pi, 1)
        towards, lean = _direction(turn), turn - orientation
        own = float(axes.prod()) / math.hypot(axes[1] * math.cos(lean), axes[0] * math.sin(lean))
        distance = (own + extent) * (0.75 + 0.25 * near if touching else 1.2 + 1.3 * near)
        # |middle + distance * towards| = 1.6 |middle|, solved for the least distance allowed
        ahead = float(middle @ towards)
        distance = max(distance, math.sqrt(ahead**2 + (1.6**2 - 1) * float(middle @ middle)) - ahead)
        place = middle + distance * towards
        if np.abs(place).max() < FRAME / 2 - 10:
            break
    u, g = rng.random(3), rng.standard_normal(2)
    stamp, rows, cols = _stamp(field, grid, place, 120.0 if star else 7 * radius)
    if star:
        stamp += star_light(rows, cols, 1.6 * math.exp(g[0]), 2.2 * u[0] - 0.6)
    else:
        stamp += np.float32(brightness * math.exp(0.7 * g[0])) * smooth_light(
            rows, cols, radius=radius, axis_ratio=0.3 + 0.7 * u[0], angle=np.pi * u[1],
            index=0.8 + 1.6 * u[2], warmth=0.7 + 0.3 * g[1],
        )  # fmt: skip


def _direction(turn: float) -> Array:
    """Give the unit vector (row, col) at an angle from the row axis."""
    return np.array([math.cos(turn), math.sin(turn)])


def _stamp(field: Array, grid: Array, place: Array, reach: float) -> tuple[Array, Array, Array]:
    """Give the part of the field within `reach` of a place, and its rows and columns relative to the place."""
    (r0, c0), (r1, c1) = np.searchsorted(grid, place - reach), np.searchsorted(grid, place + reach)
    return field[:, r0:r1, c0:c1], _from(grid[r0:r1], place[0]), _from(grid[c0:c1], place[1])


def _from(grid: Array, place: float) -> Array:
    """Give coordinates relative to a place, float32."""
    return grid - np.float32(place)


def _stretch(light: Array) -> Array:
    """Give grey levels from 0 to 255: Lupton et al. (2004) with the softening of the SDSS pictures."""
    total = light[0] + light[1] + light[2] + np.float32(1e-9)
    # Clipped band by band: bright stars are white inside and coloured around.
    return np.minimum(light * (255 * np.arcsinh(total) / total), np.float32(255))


def blurred(light: Array, sigma: float) -> Array:
    """Blur each band by a Gaussian."""
    from scipy import ndimage

    return ndimage.gaussian_filter(light, (0, sigma, sigma), mode="nearest")


def _enlarged(band: Array, size: int) -> Array:
    """Enlarge a square band by linear interpolation. Without BLAS, whose threads wait on a busy machine."""
    before, part = _neighbouring(len(band), size)
    after = np.minimum(before + 1, len(band) - 1)
    for _ in range(2):
        band = np.ascontiguousarray(band.T)
        band = band[before] * (1 - part) + band[after] * part
    return band


def _neighbouring(n: int, size: int) -> tuple[Array, Array]:
    """Give, for each of `size` pixels, the one of `n` before it and how far it is on to the next, (size, 1)."""
    place = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
    before = place.astype(np.intp)
    return before, (place - before).astype(np.float32)[:, None]


def central_region(grey: Array, middle: Array) -> Array:
    """Give the mask of the region above mean + 1 standard deviation at, or else nearest to, a position."""
    from scipy import ndimage

    mask = grey >= grey.mean(dtype=np.float64) + grey.std(dtype=np.float64)
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    row, col = np.floor(middle + 0.5).astype(int)
    if not mask[row, col]:
        pixels = np.argwhere(mask)
        row, col = pixels[np.square(pixels - middle).sum(axis=1).argmin()]
    return labels == labels[row, col]


def ellipse_of(region: Array) -> Array:
    """Give row, col, major axis, minor axis and orientation of a region's second moments."""
    rows, cols = (axis.astype(np.float64) for axis in np.nonzero(region))
    row, col = rows.mean(), cols.mean()
    rows, cols = rows - row, cols - col
    rr, rc, cc = np.mean(rows * rows), np.mean(rows * cols), np.mean(cols * cols)
    spread = math.hypot(rr - cc, 2 * rc)
    major, minor = 4 * math.sqrt((rr + cc + spread) / 2), 4 * math.sqrt(max(rr + cc - spread, 0.0) / 2)
    return np.array([row, col, major, minor, 0.5 * math.atan2(2 * rc, rr - cc)])
