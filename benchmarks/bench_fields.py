"""Simulated fields with known truth, over signal to noise: is it the right object, and is its axis right?

Two kinds of fields, 0 to 5 neighbours each, some touching, some brighter, all at least 1.5 times as far from the
image's centre as the galaxy:

* pictures: `scalenorm.make_galaxies`, 8-bit colour, stretched as the SDSS pictures are. Mergers, whose companion is the
  galaxy's own by definition, are left out of the axes: no algorithm can tell such a companion from a neighbour;
* light: Sersic profiles in linear light, float, one band, 256 x 256.

The truth of an axis is the galaxy alone in the same noise, thresholded where the field is. A field is blended if
its component has over 10% more pixels than that. How far neighbours shift the threshold itself is reported apart.
On the same blended fields, next to ours: sep's deblending at the same threshold, and the pixels with more light from
the galaxy than from all its neighbours (most light), which only a simulation knows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from common import parser, print_environment, save
from scipy import ndimage
from tables import TABLES, load, table

import scalenorm

SIGNAL_TO_NOISE = (5, 10, 20, 50, 100)
GREY = np.array([0.2125, 0.7154, 0.0721])
FINDERS = {"centre": {}, "centre, deblend": {"deblend": True}, "log, deblend": {"center": "log", "deblend": True},
           "dog, deblend": {"center": "dog", "deblend": True}}  # fmt: skip

AXES = ("plain", "deblend", "sep", "most light")


class Field(NamedTuple):
    image: np.ndarray
    alone: np.ndarray  # the same galaxy in the same noise, without neighbours
    row: float
    col: float
    merger: bool
    own: Callable[[], np.ndarray]  # pixels with more light from the galaxy than from all others, bool


def own_in_pictures(options, number):
    """From pictures without noise: the sum of an SDSS-like picture's bands is 255 arcsinh(sum of their light)."""
    options = options | {"signal_to_noise": math.inf}
    alone = scalenorm.make_galaxies(1, neighbours=0, **options).images[0]
    both = scalenorm.make_galaxies(1, neighbours=number % 6, **options).images[0]
    alone, both = (np.sinh((image - alone.min(axis=(0, 1))).sum(axis=-1) / 255.0) for image in (alone, both))
    return 2 * alone > both


def pictures(count, signal_to_noise, offset, seed):
    for number in range(count):
        options = {"seed": seed, "first": number, "signal_to_noise": signal_to_noise, "offset": offset}
        both = scalenorm.make_galaxies(1, neighbours=number % 6, **options)
        alone = scalenorm.make_galaxies(1, neighbours=0, **options)
        merger = both.answers[0, both.answer_names.index("Class8.6")] > 0.2
        place = float(both.row[0]), float(both.col[0])
        yield Field(both.images[0], alone.images[0], *place, bool(merger), partial(own_in_pictures, options, number))


def sersic(shape, row, col, radius, index, ratio, angle):
    y, x = np.ogrid[: shape[0], : shape[1]]
    y, x = y - row, x - col
    along, across = math.cos(angle) * y + math.sin(angle) * x, math.cos(angle) * x - math.sin(angle) * y
    r = np.hypot(along, across / ratio) / radius
    return ndimage.gaussian_filter(np.exp(-(2 * index - 1 / 3) * (np.sqrt(r * r + 0.01) ** (1 / index) - 1)), 1.5)


def light(count, signal_to_noise, offset, seed, size=256):
    rng = np.random.default_rng(seed)
    middle = (size - 1) / 2

    def draw(place, radius):
        return sersic((size, size), *place, radius, rng.uniform(0.7, 3), rng.uniform(0.3, 1), rng.uniform(0, math.pi))

    for number in range(count):
        radius = math.exp(rng.uniform(math.log(7), math.log(20)))
        distance, turn = rng.uniform(0, max(offset, 1)), rng.uniform(0, 2 * math.pi)
        place = middle + distance * np.array([math.sin(turn), math.cos(turn)])
        galaxy = draw(place, radius)
        others = np.zeros_like(galaxy)
        for _ in range(number % 6):
            while True:
                other, turn = radius * math.exp(rng.normal(-0.2, 0.4)), rng.uniform(0, 2 * math.pi)
                spread = rng.uniform(0.8, 1.1) if rng.random() < 0.5 else rng.uniform(1.2, 2)
                there = place + 1.8 * (radius + other) * spread * np.array([math.sin(turn), math.cos(turn)])
                far = math.dist(there, (middle, middle))
                if far >= 1.5 * distance and there.min() > 10 and there.max() < size - 10:
                    break
            others += math.exp(rng.normal(-0.1, 0.6)) * draw(there, other)
        # The mean light within the half-light radius is about 1.5.
        noise = rng.normal(0, 1.5 / signal_to_noise, galaxy.shape)
        yield Field(galaxy + others + noise, galaxy + noise, *place, False, partial(np.greater, galaxy, others))


def at(labels, row, col):
    """The object at a position (or nearest to it), None if there is none."""
    pixels = np.argwhere(labels)
    if len(pixels) == 0:
        return None
    nearest = pixels[((pixels - (row, col)) ** 2).sum(axis=1).argmin()]
    return labels == labels[tuple(nearest)]


def region(foreground, row, col):
    """The component at a position (or nearest to it), None without foreground."""
    return at(ndimage.label(foreground, np.ones((3, 3)))[0], row, col)


def region_of_sep(grey, threshold, row, col):
    """By SExtractor's deblending with its defaults, without its filter: our threshold is for the image as it is."""
    import sep

    labels = sep.extract(grey.astype(np.float32), threshold, filter_kernel=None, segmentation_map=True)[1]
    return at(labels, row, col)


def major_axis(pixels):
    return 4 * math.sqrt(np.linalg.eigvalsh(np.cov(np.argwhere(pixels).T, bias=True))[-1])


def grey_of(image):
    return image @ GREY if image.ndim == 3 else image


def examine(fields):
    """Shares of right objects by way of finding, and of right axes among blended fields."""
    right = {name: [] for name in FINDERS}
    errors = {name: [] for name in AXES}
    shifts, touching, undetected = [], [], 0
    for field in fields:
        grey, alone = grey_of(field.image), grey_of(field.alone)
        threshold = scalenorm.measure(field.image).threshold
        here = (field.row, field.col)
        truth = region(alone >= threshold, *here)
        if truth is None or truth.sum() < 20 or math.dist(np.argwhere(truth).mean(0), here) > 8:
            undetected += 1  # neighbours raise the threshold above the galaxy
            continue
        axis, middle = major_axis(truth), np.argwhere(truth).mean(0)
        for name, options in FINDERS.items():
            found = scalenorm.measure(field.image, **options)
            right[name].append(math.dist((found.row, found.col), middle) < axis / 3)
        blend = region(grey >= threshold, *here)
        excess = blend.sum() / truth.sum()
        if excess <= 1.1 or field.merger:
            continue
        touching.append(excess > 1.3)
        axes = {
            "plain": scalenorm.measure(field.image, center=here).major_axis,
            "deblend": scalenorm.measure(field.image, center=here, deblend=True).major_axis,
            "sep": major_axis(region_of_sep(grey, threshold, *here)),
            "most light": major_axis(region(blend & field.own(), *here)),
        }
        for name, value in axes.items():
            errors[name].append(value / axis - 1)
        own = region(alone >= alone.mean() + alone.std(), *here)
        shifts.append(math.log(axis / major_axis(own)))
    blended = len(shifts)
    return {
        "fields": len(right["centre"]), "undetected": undetected, "blended": blended,
        "right": {name: float(np.mean(values)) for name, values in right.items()},
        "within 5%": {name: float(np.mean(np.abs(values) < 0.05)) for name, values in errors.items()},
        "error": {name: np.percentile(values, [5, 50, 95]).tolist() for name, values in errors.items()},
        "touching, within 5%": float(np.mean(np.abs(np.array(errors["deblend"])[touching]) < 0.05)),
        "touching": int(np.sum(touching)), "threshold shift": np.percentile(shifts, [5, 50, 95]).tolist(),
    }  # fmt: skip


def percent(value):
    return f"{100 * value:.1f}"


def write_tables(results):
    lines = []
    for kind, title in (("pictures", "SDSS-like pictures"), ("light", "Linear light")):
        lines += [f"**{title}**: the right object, % of fields, galaxies up to 60 of 424 pixels off the centre", ""]
        rows = [
            [sn, str(r["fields"]), *(percent(r["right"][name]) for name in FINDERS)]
            for sn, r in results[kind]["off centre"].items()
        ]
        lines += table(["S/N", "fields", *FINDERS], rows)
        lines += [
            f"**{title}**: blended galaxies near the centre, % whose major axis is within 5% of the galaxy alone",
            "",
        ]
        rows = [
            [
                sn, str(r["blended"]), *(percent(r["within 5%"][name]) for name in AXES),
                f"{percent(r['touching, within 5%'])} of {r['touching']}",
                " / ".join(f"{100 * e:+.1f}" for e in r["error"]["deblend"]),
                " / ".join(f"{100 * e:+.1f}" for e in r["threshold shift"]),
            ]
            for sn, r in results[kind]["centred"].items()
        ]  # fmt: skip
        lines += table(
            ["S/N", "blended", *AXES, "over 30% more pixels", "error %: 5th/50th/95th", "by the threshold %"],
            rows,
        )  # fmt: skip
    (TABLES / "fields.rst").write_text("\n".join(lines))


def draw(results, path):
    """Curves over signal to noise: colours are ways to measure, dashes are fields in linear light."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from galaxy_trainer.experiment.figures import colour

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    styles = {"pictures": "-", "light": "--"}
    panels = {
        "right object, % of fields": ("off centre", "right", FINDERS),
        "blended galaxies: axis within 5%, %": ("centred", "within 5%", AXES),
    }
    for axis, (title, (where, what, names)) in zip(figure.subplots(1, 2, sharey=True), panels.items(), strict=True):
        looks = {
            name: {"color": colour(n), "marker": "os^v"[n], "ms": 7 - 1.3 * n, "clip_on": False}
            for n, name in enumerate(names)
        }
        for kind, style in styles.items():
            for name, look in looks.items():
                values = [100 * results[kind][where][str(sn)][what][name] for sn in SIGNAL_TO_NOISE]
                axis.plot(SIGNAL_TO_NOISE, values, style, **look)
        axis.set(xscale="log", xlabel="signal to noise", title=title, ylim=(0, 104))
        axis.set_xticks(SIGNAL_TO_NOISE, [str(sn) for sn in SIGNAL_TO_NOISE])
        axis.minorticks_off()
        axis.grid(axis="y", color="#dddddd", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        handles = [Line2D([], [], **look) for look in looks.values()]
        handles += [Line2D([], [], color="#666666", linestyle=style) for style in styles.values()]
        axis.legend(
            handles, [*names, "pictures", "linear light"], loc="upper center", bbox_to_anchor=(0.5, -0.16),
            ncols=3 if len(names) > 2 else 2, frameon=False, fontsize=9,
        )  # fmt: skip
    figure.savefig(path, dpi=110)


def main():
    options = parser(__doc__)
    options.add_argument("--count", type=int, default=240, help="fields for each point (default %(default)s)")
    options.add_argument("--redraw", action="store_true", help="only make tables and figure of the results there are")
    options = options.parse_args()
    figure = Path(__file__).parent.parent / "docs" / "figures" / "fields.png"
    if options.redraw:
        results = load("fields")
        write_tables(results)
        draw(results, figure)
        return
    print_environment()
    results = {}
    for kind, make, off in (("pictures", pictures, 60.0), ("light", light, 36.0)):
        results[kind] = {"off centre": {}, "centred": {}}
        for sn in SIGNAL_TO_NOISE:
            for name, offset in (("off centre", off), ("centred", 0.0)):
                found = examine(make(options.count, sn, offset, seed=7))
                results[kind][name][str(sn)] = found
                print(
                    f"{kind}, {name}, S/N {sn}: {found['fields']} fields ({found['undetected']} too faint); right: "
                    + ", ".join(f"{way} {percent(share)}" for way, share in found["right"].items())
                    + f"; {found['blended']} blended, within 5%: plain {percent(found['within 5%']['plain'])}, "
                    f"deblend {percent(found['within 5%']['deblend'])}, sep {percent(found['within 5%']['sep'])}, "
                    f"most light {percent(found['within 5%']['most light'])}",
                    flush=True,
                )
    save("fields", results, options.output)
    if options.output is None:
        write_tables(results)
        draw(results, figure)


if __name__ == "__main__":
    main()
