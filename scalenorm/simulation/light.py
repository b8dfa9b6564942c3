"""The galaxies behind `scalenorm.make_galaxies`: drawn parameters, their 37 answers, their light.

Lengths are in reference pixels, of which the frame always holds 424 x 424, whatever the size of the picture.
Surface brightness is linear, and 1.1 is where the stretch of the picture reaches half of white.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

FRAME = 424.0
QUESTION_SIZES = (3, 2, 2, 2, 4, 2, 3, 7, 3, 3, 6)
ANSWER_NAMES = tuple(f"Class{q}.{a}" for q, size in enumerate(QUESTION_SIZES, 1) for a in range(1, size + 1))

# Red, green and blue in the SDSS colour pictures: hot stars, young (0) and old (1) galaxies, cool stars.
_WARMTH = (-0.6, 0.0, 1.0, 2.0)
_RED, _GREEN, _BLUE = (0.74, 0.99, 1.21, 1.80), (0.93, 0.95, 1.06, 0.80), (1.32, 1.05, 0.73, 0.40)

_KINDS = ("smooth", "disc", "edge-on", "irregular", "merger", "star")
_KIND_SHARES = (0.422, 0.365, 0.115, 0.045, 0.045, 0.008)


@dataclass(frozen=True, slots=True, kw_only=True)
class Galaxy:
    """What is drawn of one galaxy. Strengths run from 0 (not there) to 1 (plain to see)."""

    kind: str
    radius: float  # effective radius along the major axis
    brightness: float  # surface brightness at that radius
    sersic: float  # Sersic index of the main body
    axis_ratio: float  # as seen
    angle: float  # major axis, from the row axis towards the column axis
    warmth: float  # colour of the main body: 0 young, 1 old
    bulge: float  # share of the light in the bulge
    boxy: float
    arms: int
    pitch: float  # of the arms, radians
    arm: float
    bar: float
    ring: float
    lens: float
    disturbed: float
    clumpy: float
    dust: float
    sense: float  # of rotation, -1 or 1
    phase: float  # of arms, bar and whatever else needs a direction within the galaxy
    separation: float  # of the second nucleus of a merger, in effective radii


def draw_galaxy(rng: np.random.Generator) -> Galaxy:
    """Draw one galaxy."""
    kind = str(rng.choice(_KINDS, p=_KIND_SHARES))
    # Everything is drawn for every kind, so that one more kind would not change the galaxies of the others.
    u = rng.random(16)
    g = rng.standard_normal(4)
    strong = rng.random(7)
    disc = kind == "disc"
    featured = disc or kind in ("irregular", "merger")
    if kind == "smooth":
        axis_ratio = 0.30 + 0.68 * np.sqrt(u[0])
        sersic = 1.1 + 1.6 * u[1]
        bulge = 0.05 + 0.6 * u[2]
    elif kind == "edge-on":
        axis_ratio = 0.13 + 0.17 * u[0]
        sersic = 0.9
        bulge = 0.45 * u[2] ** 1.5
    else:
        axis_ratio = 0.36 + 0.62 * u[0] ** 0.8
        sersic = 0.55 + 0.5 * u[1]
        bulge = 0.5 * u[2] ** 1.5
    arm = (0.15 + 0.85 * u[3] ** 0.7) * (u[4] < 0.8) if disc else 0.3 * u[3] * (kind == "merger")
    bar = (0.35 + 0.65 * u[5]) * (u[6] < 0.33) if disc else 0.0
    cool = 0.0 if kind == "smooth" else 0.75 if featured else 0.45
    return Galaxy(
        kind=kind,
        radius=(30.0 + 6.3 * featured) * axis_ratio**-0.22 * np.exp(0.13 * g[0] + 0.03 * (g[0] ** 2 - 1.0)),
        brightness=0.32 * np.exp(0.30 * g[1]),
        sersic=sersic,
        axis_ratio=axis_ratio,
        angle=np.pi * (u[7] - 0.5),
        warmth=float(np.clip(1.0 - cool * u[8] + 0.10 * g[2], 0.0, 1.0)),
        bulge=bulge,
        boxy=(0.3 + 0.7 * u[9]) * (strong[0] < 0.15),
        arms=int(np.searchsorted(np.cumsum((0.07, 0.65, 0.12, 0.06)), u[10])) + 1,
        pitch=np.deg2rad(9.0 + 25.0 * u[11] ** 1.2),
        arm=float(arm),
        bar=float(bar),
        ring=(0.4 + 0.6 * u[12]) * (strong[1] < (0.10 if disc else 0.02)) * (kind != "star"),
        lens=(0.5 + 0.5 * u[12]) * (strong[2] < 0.02) * (kind == "smooth"),
        disturbed=(0.3 + 0.7 * u[13]) * (kind == "merger" or strong[3] < (0.10 if featured else 0.02)),
        clumpy={"irregular": 0.6 + 0.4 * u[13], "merger": 0.3, "disc": 0.45 * u[13]}.get(kind, 0.0),
        dust=(0.4 + 0.6 * u[12]) * (strong[5] < (0.10 if kind == "edge-on" else 0.003)) * (kind != "star"),
        sense=1.0 if u[14] < 0.5 else -1.0,
        phase=2 * np.pi * u[15],
        separation=1.2 + 1.2 * strong[6],
    )


def answers_of(galaxy: Galaxy) -> Array:
    """Give the 37 answers, soft probabilities that obey the decision tree."""
    star = galaxy.kind == "star"
    merger = galaxy.kind == "merger"
    edge_on = _step(0.31 - galaxy.axis_ratio, 0.03) * (0.96 if galaxy.kind == "edge-on" else 0.35)
    facing = np.clip((galaxy.axis_ratio - 0.2) / 0.4, 0.0, 1.0)
    arm = galaxy.arm * (0.5 + 0.5 * facing)
    signs = (arm, galaxy.bar * facing, 0.9 * galaxy.clumpy, 0.8 * galaxy.ring, 0.8 * edge_on, 0.7 * merger)
    featured = _step(max(signs) + 0.25 * (galaxy.kind in ("disc", "edge-on")) - 0.42, 0.14)
    odd = {
        "ring": galaxy.ring,
        "lens": galaxy.lens,
        "disturbed": 0.55 * galaxy.disturbed * (0.5 if merger else 1.0),
        "irregular": 0.9 * galaxy.clumpy * (galaxy.kind == "irregular"),
        "other": 0.35 * float(star),
        "merger": 1.1 * merger,
        "dust lane": galaxy.dust,
    }
    fractions = {
        1: _share((1.05 - featured, 0.13 + featured, 4.0 * star + 0.022)),
        2: _share((0.02 + edge_on, 1.02 - edge_on)),
        3: _share((0.09 + galaxy.bar, 1.02 - galaxy.bar)),
        4: _share((0.10 + 1.15 * arm**0.8, 1.05 - arm**0.8)),
        5: _near(galaxy.bulge, (-0.14, 0.11, 0.34, 0.75), 0.13),
        6: _share((0.13 + 1.2 * max(odd.values()), 0.93 - 0.75 * max(odd.values()))),
        7: _near(galaxy.axis_ratio, (0.99, 0.62, 0.25), 0.15),
        8: _share(np.add(list(odd.values()), (0.03, 0.02, 0.06, 0.04, 0.13, 0.04, 0.005))),
        9: _share((0.05 + 2.5 * galaxy.bulge, 0.05 + 2.0 * galaxy.boxy, 0.02 + 0.6 * np.exp(-galaxy.bulge / 0.06))),
        10: _near(np.rad2deg(galaxy.pitch), (9.0, 23.0, 38.0), 8.0),
        11: _share(
            (galaxy.arms == np.arange(1, 7)) * (0.1 + arm) + (0.015, 0.08, 0.02, 0.01, 0.01, 0.6 * (1.15 - arm))
        ),
    }
    given: dict[int, float] = {1: 1.0, 6: 1.0}
    given[7], given[2] = fractions[1][:2]
    given[9], face_on = given[2] * fractions[2]
    given[3] = given[4] = given[5] = face_on
    given[8] = fractions[6][0]
    given[10] = given[11] = face_on * fractions[4][0]
    return np.concatenate([given[q] * fractions[q] for q in range(1, 12)])


def light_of(galaxy: Galaxy, rows: Array, cols: Array, rng: np.random.Generator) -> Array:
    """Give the galaxy's light, (3, rows, cols) float32, on a grid relative to its centre."""
    if galaxy.kind == "star":
        return star_light(rows, cols, 160.0 * galaxy.brightness, 2.0 * galaxy.phase / np.pi - 1.0, spikes=True)
    along = np.cos(galaxy.angle) * rows[:, None] + np.sin(galaxy.angle) * cols
    across = np.cos(galaxy.angle) * cols - np.sin(galaxy.angle) * rows[:, None]
    along, across = along / galaxy.radius, across / galaxy.radius
    if galaxy.disturbed:
        # A tide bends the outskirts: shifts that grow with the square of the distance along the major axis.
        bend = 0.16 * galaxy.disturbed * galaxy.sense
        side = bend * galaxy.axis_ratio * np.sign(np.sin(galaxy.phase))
        across = across + side * along**2 * np.exp(-0.12 * along**2)
        along = along + 0.7 * bend * np.cos(galaxy.phase) * np.minimum(across**2, 9.0)
    body = np.hypot(along, across / galaxy.axis_ratio)
    if galaxy.boxy and galaxy.kind == "edge-on":
        body = (np.abs(along) ** 3 + np.abs(across / galaxy.axis_ratio) ** 3) ** (1 / 3)
    flux = sersic(body, galaxy.sersic)
    red = np.zeros_like(flux)  # light of old stars added to that of the body, and of young ones
    blue = np.zeros_like(flux)
    turn = np.arctan2(across / galaxy.axis_ratio, along) * galaxy.sense
    if galaxy.arm:
        wave = turn - np.log(body + 0.05) / np.tan(galaxy.pitch)
        wander = 0.35 * np.sin(turn + galaxy.phase) + 0.25 * np.sin(2 * turn + 3 * galaxy.phase)
        ridge = (0.5 + 0.5 * np.cos(galaxy.arms * wave + wander + galaxy.phase)) ** 3 / 0.3125 - 1.0
        inner = 0.55 + 0.35 * (galaxy.bar > 0)
        ridge *= 0.62 * galaxy.arm * _step(body - inner, 0.10)
        blue += flux * np.maximum(ridge, 0.0)
        flux *= 1.0 + np.minimum(ridge, 0.0)
    if galaxy.ring:
        height = 0.9 * galaxy.ring * sersic(np.float32(1.5), galaxy.sersic)
        blue += height * np.exp(-(((body - 1.75) / 0.22) ** 2))
        flux *= 1.0 - 0.6 * galaxy.ring * np.exp(-(((body - 1.15) / 0.4) ** 2))
    if galaxy.lens:
        facing = np.exp(2.5 * (np.cos(turn - galaxy.phase) - 1.0))
        blue += 0.6 * galaxy.lens * facing * np.exp(-(((np.hypot(along, across) - 1.9) / 0.12) ** 2))
    if galaxy.bar:
        lean = galaxy.phase
        a = np.cos(lean) * along + np.sin(lean) * across / galaxy.axis_ratio
        b = np.cos(lean) * across / galaxy.axis_ratio - np.sin(lean) * along
        red += 2.6 * galaxy.bar * np.exp(-((a / 0.85) ** 4) - (b / 0.20) ** 2)
        flux *= 1.0 - 0.35 * galaxy.bar * np.exp(-((body / 0.8) ** 4))
    if galaxy.clumpy:
        patches = rng.standard_normal(flux.shape, dtype=np.float32)
        depth = 0.9 * galaxy.clumpy
        blue += flux * (np.exp(depth * patches - depth**2 / 2) - 1.0) * _step(body - 0.3, 0.1) * 0.9
        if galaxy.kind == "irregular":
            for angle, far in zip(rng.uniform(0, 2 * np.pi, 5), rng.uniform(0.4, 1.8, 5), strict=True):
                gap = (along - far * np.cos(angle)) ** 2 + (across - far * galaxy.axis_ratio * np.sin(angle)) ** 2
                blue += 1.1 * galaxy.clumpy * np.exp(-gap / 0.10)
    if galaxy.bulge:
        size = 0.16 + 0.35 * galaxy.bulge
        shape = max(galaxy.axis_ratio, min(0.85, 1.6 * galaxy.axis_ratio + 0.15))
        share = galaxy.bulge / (1.0 - 0.8 * galaxy.bulge)
        red += share * 0.21 / size**1.3 * sersic(np.hypot(along, across / shape) / size, 1.7)
    warmth = galaxy.warmth
    inner = flux * np.exp(-body)  # the outskirts are younger
    bands = (
        (flux - inner) * _colour(warmth - 0.2) + (inner + red) * _colour(warmth + 0.12) + blue * _colour(warmth - 0.5)
    )
    bands = np.maximum(bands * np.float32(galaxy.brightness), 0.0)
    if galaxy.kind == "merger":
        # The second galaxy and the bridge and tail that the two have drawn out of each other.
        far = galaxy.separation
        x = along - far * np.cos(galaxy.phase)
        y = across - far * np.sin(galaxy.phase)
        second = 0.9 * sersic(np.hypot(x, y / 0.65) / 0.6, 1.2)
        curl = np.hypot(along, across)
        trail = galaxy.phase + 0.45 * galaxy.sense * (curl - far)
        tail = np.exp(6.0 * (np.cos(turn * galaxy.sense - trail) - 1.0))
        second += 0.35 * galaxy.disturbed * tail * np.exp(-(((curl - 1.9) / 1.1) ** 2))
        bands += np.float32(galaxy.brightness) * second * _colour(warmth)
    if galaxy.dust:
        lane = np.exp(-(((across - 0.05) / (0.16 * galaxy.axis_ratio + 0.035)) ** 2) - (along / 1.6) ** 4)
        bands *= np.exp(-2.0 * galaxy.dust * lane * np.array([1.0, 1.3, 1.6]).reshape(3, 1, 1))
    return bands.astype(np.float32, copy=False)


def smooth_light(
    rows: Array, cols: Array, *, radius: float, axis_ratio: float, angle: float, index: float, warmth: float
) -> Array:
    """Give the light of a plain galaxy, a neighbour; 1 at its effective radius."""
    along = np.cos(angle) * rows[:, None] + np.sin(angle) * cols
    across = np.cos(angle) * cols - np.sin(angle) * rows[:, None]
    return sersic(np.hypot(along, across / axis_ratio) / np.float32(radius), index) * _colour(warmth)


def star_light(rows: Array, cols: Array, peak: float, warmth: float, *, spikes: bool = False) -> Array:
    """Give the light of a star: a point as the telescope shows it, before the blur by the air."""
    square = rows[:, None] ** 2 + cols**2
    profile = peak * (np.exp(-square / 12.0) + 2.5e-3 / (1.0 + square / 900.0) ** 1.2)
    if spikes:
        for a, b in ((rows[:, None], cols), (cols, rows[:, None])):
            profile = profile + peak * 6e-3 * np.exp(-np.abs(a) / 28.0 - (b / 2.5) ** 2)
    return profile.astype(np.float32) * _colour(warmth)


def sersic(radius: npt.ArrayLike, index: float) -> Array:
    """Give Sersic's profile, 1 at radius 1; the core is softened as no pixel would resolve it."""
    b = 2.0 * index - 1.0 / 3.0 + 0.009876 / index  # Prugniel & Simien 1997
    soft = np.sqrt(np.square(radius, dtype=np.float32) + np.float32(0.006))
    return np.exp(np.float32(-b) * (soft ** np.float32(1.0 / index) - np.float32(1.0)))


def _colour(warmth: float) -> Array:
    """Red, green and blue, of mean about 1, shape (3, 1, 1)."""
    return np.array([np.interp(warmth, _WARMTH, band) for band in (_RED, _GREEN, _BLUE)], np.float32).reshape(3, 1, 1)


def _step(x: Any, width: float) -> Any:
    """Rise from 0 to 1 around 0, as a logistic function."""
    return 0.5 + 0.5 * np.tanh(x / (2 * width))


def _share(weights: Any) -> Array:
    """Scale weights to the sum 1."""
    weights = np.maximum(np.asarray(weights, dtype=np.float64), 0.0)
    return weights / weights.sum()


def _near(value: float, places: tuple[float, ...], width: float) -> Array:
    """Share 1 among places by their nearness to a value."""
    gaps = ((value - np.array(places)) / width) ** 2 / 2
    return _share(np.exp(gaps.min() - gaps) + 0.02)
