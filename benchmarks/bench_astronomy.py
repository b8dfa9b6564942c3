"""Sizes, angles and time against what an astronomer would use: sep, photutils, statmorph.

All measure the galaxy at the centre. What they are compared with is an independent size, that of SExtractor's algorithm
(sep) run as is usual for these pictures: green channel, background subtracted, threshold of two deviations of the
background, default deblending, semi-major axis of the light's second moments. So sep's own row, at scalenorm's
threshold, says how far two runs of one program agree. Scatter is the standard deviation of ln(size / that size), next
to the robust one (from the median absolute deviation). Angles are compared for galaxies with axis ratio below 0.8.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
from common import interleave, load_images, parser, print_environment, print_times, save
from tables import TABLES, seconds, table

import scalenorm

GREY = np.array([0.2125, 0.7154, 0.0721])


def central(labels, places):
    """Number of the object at the centre, or the nearest to it."""
    middle = np.array(labels.shape) // 2
    found = labels[tuple(middle)]
    return int(found) if found else int(((np.asarray(places) - middle) ** 2).sum(axis=1).argmin()) + 1


def ellipse(pixels):
    rows, cols = np.nonzero(pixels)
    (rr, rc), (_, cc) = np.cov(np.stack([rows, cols]), bias=True)
    spread = math.hypot(rr - cc, 2 * rc)
    return 4 * math.sqrt((rr + cc + spread) / 2), 0.5 * math.atan2(2 * rc, rr - cc)


def usual(image):
    """(semi-major axis, angle, axis ratio) by sep as people run it on these pictures."""
    import sep

    green = image[..., 1].astype(np.float32)
    background = sep.Background(green)
    objects = sep.extract(green - background.back(), 2.0, err=background.globalrms)
    middle = (np.array(green.shape) - 1) / 2
    far = (objects["y"] - middle[0]) ** 2 + (objects["x"] - middle[1]) ** 2
    best = objects[np.argmax(objects["npix"] * np.exp(-far / 5000))]
    return best["a"], math.pi / 2 - best["theta"], best["b"] / best["a"]


def by_sep(image):
    import sep

    grey = (image @ GREY).astype(np.float32)
    threshold = float(grey.mean() + grey.std())
    objects, labels = sep.extract(grey, threshold, filter_kernel=None, segmentation_map=True)
    return ellipse(labels == central(labels, np.stack([objects["y"], objects["x"]], -1)))


def segment(grey, deblend):
    from photutils.segmentation import deblend_sources, detect_sources

    labels = detect_sources(grey, grey.mean() + grey.std(), 5)
    if deblend:
        labels = deblend_sources(grey, labels, 5, nlevels=32, contrast=0.005, progress_bar=False)
    return labels


def by_photutils(image, deblend=True):
    grey = image @ GREY
    labels = segment(grey, deblend).data
    places = [np.argwhere(labels == k).mean(0) for k in range(1, labels.max() + 1)] if not labels[
        tuple(np.array(labels.shape) // 2)] else None  # fmt: skip
    return ellipse(labels == central(labels, places))


def by_statmorph(image):
    import statmorph

    grey = image @ GREY
    labels = segment(grey, True).data
    own = (labels == labels[tuple(np.array(labels.shape) // 2)]).astype(int)
    found = statmorph.SourceMorphology(
        grey - np.median(grey), own, label=1, mask=(labels > 0) & (own == 0), weightmap=np.full(grey.shape, 4.0)
    )
    return 4 * found.rhalf_ellip, math.pi / 2 - found.orientation_centroid


def by_scalenorm(image, **options):
    found = scalenorm.measure(image, **options)
    return found.side, found.orientation


METHODS = {
    "scalenorm": by_scalenorm,
    "scalenorm, deblend": lambda image: by_scalenorm(image, deblend=True),
    "scalenorm, deblend, half light": lambda image: by_scalenorm(image, deblend=True, size_from="half_light"),
    "scalenorm, deblend, Petrosian": lambda image: by_scalenorm(image, deblend=True, size_from="petrosian"),
    "sep": by_sep,
    "photutils": lambda image: by_photutils(image, deblend=False),
    "photutils, deblend": by_photutils,
    "statmorph, half light (in photutils' segment)": by_statmorph,
}
FEW = {"statmorph, half light (in photutils' segment)": 30, "photutils, deblend": 200, "photutils": 200}  # slow ones


def agreement(sizes, angles, truth):
    """Scatter of sizes and of angles."""
    logs = np.log(sizes / truth[:, 0])
    logs -= np.median(logs)
    long = truth[:, 2] < 0.8
    turn = (angles - truth[:, 1] + math.pi / 2) % math.pi - math.pi / 2
    return {
        "galaxies": len(sizes),
        "size": float(logs.std()),
        "size, robust": float(1.4826 * np.median(np.abs(logs))),
        "over 30% off": float(np.mean(np.abs(logs) > 0.3)),
        "angle, median degrees": float(np.degrees(np.median(np.abs(turn[long])))),
    }


def changes(images, truth):
    """What deblending does to the tail of off-centre and over-long regions, and to galaxies without a neighbour."""
    plain = [scalenorm.measure(image) for image in images]
    alone = [scalenorm.measure(image, deblend=True) for image in images]
    middle = (np.array(images[0].shape[:2]) - 1) / 2
    ratio = np.array([b.major_axis / a.major_axis for a, b in zip(plain, alone, strict=True)])
    single = np.array([scalenorm.Flag.BLENDED not in b.flags for b in alone])
    found = {}
    for name, measured in (("plain", plain), ("deblend", alone)):
        logs = np.log([m.major_axis for m in measured] / truth[:, 0])
        logs -= np.median(logs)
        off = np.array([math.dist((m.row, m.col), middle) for m in measured])
        long = float(np.mean(logs > math.log(1.3)))
        found[name] = {"off centre by over 18 px": float(np.mean(off > 18)), "over 1.3 times too long": long}
    found["changed by over 5%"] = float(np.mean(np.abs(ratio - 1) > 0.05))
    found["not blended"] = float(single.mean())
    found["median change of those"] = float(np.median(np.abs(ratio[single] - 1)))
    found["95% change of those"] = float(np.percentile(np.abs(ratio[single] - 1), 95))
    return found


def main():
    options = parser(__doc__)
    options.add_argument("--count", type=int, default=1000, help="images for the agreement (default %(default)s)")
    options = options.parse_args()
    warnings.simplefilter("ignore")  # statmorph and photutils warn of difficult galaxies
    print_environment()
    images = load_images(options.images, options.count)
    truth = np.array([usual(image) for image in images])
    results = {"images": "real" if options.images else "simulated", "agreement": {}}
    for name, method in METHODS.items():
        some = images[: FEW.get(name, len(images))]
        sizes, angles = np.array([method(image) for image in some]).T
        good = np.isfinite(sizes) & (sizes > 0)
        results["agreement"][name] = agreement(sizes[good], angles[good], truth[: len(some)][good])
        print(name, results["agreement"][name], flush=True)

    results["deblending"] = changes(images, truth)
    print(results["deblending"])
    sample = images[:20]

    def all_of(method):
        return lambda: [method(image) for image in sample]

    rounds = min(options.rounds, 7)
    times = interleave({name: all_of(m) for name, m in METHODS.items() if name not in FEW}, rounds, len(sample))
    sample = images[:4]
    times |= interleave({name: all_of(METHODS[name]) for name in FEW}, 2, len(sample))
    print_times("one galaxy", times)
    results["times"] = times
    save("astronomy", results, options.output)
    if options.output is None:
        base = times["scalenorm"]["median"]
        rows = [
            (
                name, str(found["galaxies"]), f"{found['size']:.3f}", f"{found['size, robust']:.3f}",
                f"{100 * found['over 30% off']:.1f}", f"{found['angle, median degrees']:.1f}",
                seconds(times[name]["median"]), f"{times[name]['median'] / base:.3g}",
            )
            for name, found in results["agreement"].items()
        ]  # fmt: skip
        head = ["method", "galaxies", "scatter", "robust", "over 30% off, %", "angle, degrees", "time", "ratio"]
        lines = [f"{len(images)} {results['images']} images.", "", *table(head, rows)]
        tail = results["deblending"]
        rows = [(what, *(f"{100 * tail[way][what]:.2f}" for way in ("plain", "deblend"))) for what in tail["plain"]]
        lines += table(["regions, %", "plain", "deblend"], rows)
        lines += [
            f"Deblending changes {100 * tail['changed by over 5%']:.1f}% of the axes by over 5%. Of the "
            f"{100 * tail['not blended']:.1f}% not flagged as blended the median change is "
            f"{100 * tail['median change of those']:.2f}%, 95% change by less than "
            f"{100 * tail['95% change of those']:.2f}%.",
            "",
        ]
        (TABLES / "astronomy.rst").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
