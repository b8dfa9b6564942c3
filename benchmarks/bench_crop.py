"""One image in memory, one thread: crop, measure and views against what one would use instead.

Every contender is first checked to find the same galaxy: the same pixels where it thresholds the same way.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import common
import cv2
import numpy as np
import scipy.ndimage
import sep
import skimage.color
import skimage.measure
import skimage.transform

import scalenorm
from scalenorm import kernels
from scalenorm.measuring.foreground import find_foreground
from scalenorm.measuring.frame import as_frame
from scalenorm.measuring.options import MeasureOptions
from scalenorm.measuring.quality import CONTRAST, SKY_STEP
from scalenorm.measuring.threshold import find_threshold

cv2.setNumThreads(1)
MANY = 1000  # stamps of crop_many
VIEWS = ("normalized", "center-64", "center-256")
LUMA = np.array([0.2125, 0.7154, 0.0721])
GOALS = {
    "scikit-image / crop": ">= 36",
    "OpenCV floodFill / crop": ">= 2.0 on Intel, >= 4.3 on Zen 5",
    "crop / (np.mean + np.std of the float grey)": "<= 0.55",
    "three views / one view": "<= 1.27",
    "uint16 / uint8, crop": "<= 1.5",
    "float32 / uint8, crop": "<= 2.5",
    "crop / (np.mean + np.std), float32 stamp of 128 x 128": "<= 2.2",
    "crop_many / kernels alone, float32 stamps, 1 thread": "<= 1.15",
    "crop_many, 2 threads / 1 thread, rate": ">= 1.8",
    "ns per pixel at 8192 / at 424": "<= 1.3",
    "first crop in a process / first trivial cached kernel": "<= 1.5",
}


def window(image, row_row, col_col, row_col, count):
    """Axis length and window from central moments."""
    spread = np.hypot(row_row - col_col, 2 * row_col)
    side = 4 * np.sqrt((row_row + col_col + spread) / 2 / count)
    middle = image.shape[0] / 2
    return side, middle - side / 2


def with_skimage(image):
    grey = skimage.color.rgb2gray(image)
    labels = skimage.measure.label(grey >= grey.mean() + grey.std(), connectivity=2)
    region = (labels == labels[labels.shape[0] // 2, labels.shape[1] // 2]).astype(np.uint8)
    side = skimage.measure.regionprops(region)[0].axis_major_length
    start = round((image.shape[0] - side) / 2)
    part = image[max(start, 0) : start + round(side), max(start, 0) : start + round(side)]
    small = skimage.transform.resize(part, (64, 64), order=1, anti_aliasing=True, preserve_range=True)
    return region.sum(), side, small.astype(np.uint8)


def with_scipy(image):
    grey = image @ LUMA
    labels, _ = scipy.ndimage.label(grey >= grey.mean() + grey.std(), np.ones((3, 3)))
    region = labels == labels[labels.shape[0] // 2, labels.shape[1] // 2]
    rows, cols = np.nonzero(region)
    rows, cols = rows - rows.mean(), cols - cols.mean()
    side, start = window(image, (rows**2).sum(), (cols**2).sum(), (rows * cols).sum(), len(rows))
    start = round(start)
    part = image[max(start, 0) : start + round(side), max(start, 0) : start + round(side)]
    factor = 64 / part.shape[0]
    small = scipy.ndimage.zoom(part, (factor, factor, 1), order=1)
    return region.sum(), side, small


def opencv_threshold(image):
    grey = cv2.transform(image, LUMA[np.newaxis].astype(np.float32))  # 8-bit grey: what one gets quickly there
    mean, deviation = cv2.meanStdDev(grey)
    return cv2.threshold(grey, np.ceil(mean[0, 0] + deviation[0, 0]) - 1, 1, cv2.THRESH_BINARY)[1]


def opencv_crop(image, region):
    moments = cv2.moments(region, binaryImage=True)
    side, start = window(image, moments["mu02"], moments["mu20"], moments["mu11"], moments["m00"])
    part = image[max(round(start), 0) : round(start + side), max(round(start), 0) : round(start + side)]
    return moments["m00"], side, cv2.resize(part, (64, 64), interpolation=cv2.INTER_AREA)


def with_opencv_components(image):
    labels = cv2.connectedComponents(opencv_threshold(image), connectivity=8)[1]
    return opencv_crop(image, (labels == labels[labels.shape[0] // 2, labels.shape[1] // 2]).view(np.uint8))


def with_opencv_flood_fill(image):
    binary = opencv_threshold(image)
    height, width = binary.shape
    mask = np.zeros((height + 2, width + 2), np.uint8)
    cv2.floodFill(binary, mask, (width // 2, height // 2), 1, flags=8 | cv2.FLOODFILL_MASK_ONLY | (1 << 8))
    return opencv_crop(image, mask[1:-1, 1:-1])


def with_sep(image):
    grey = np.ascontiguousarray(image @ LUMA)
    objects = sep.extract(grey - grey.mean(), float(grey.std()), filter_kernel=None)
    nearest = np.hypot(objects["x"] - 211.5, objects["y"] - 211.5).argmin()
    return objects["npix"][nearest], 4 * objects["a"][nearest], None


def with_photutils(image):
    from photutils.segmentation import SourceCatalog, detect_sources

    grey = image @ LUMA
    segments = detect_sources(grey, grey.mean() + grey.std(), 5)
    source = SourceCatalog(np.ones_like(grey), segments.copy())
    nearest = np.hypot(source.x_centroid - 211.5, source.y_centroid - 211.5).argmin()
    return source.area[nearest].value, 4 * source.semimajor_axis[nearest].value, None


def check(images):
    """Same galaxy, same size. Contenders with 8-bit grey may differ by the 5% that rounding costs."""
    exact, rounded = (with_skimage, with_scipy), (with_opencv_components, with_opencv_flood_fill)
    for image in images:
        found = scalenorm.measure(image)
        for contender in exact:
            area, side, _ = contender(image)
            if area != found.area or abs(side - found.major_axis) > 1e-6:
                raise SystemExit(f"{contender.__name__} measured {area}, {side}; scalenorm {found}")
        for contender in (*rounded, with_sep, with_photutils):
            side = contender(image)[1]
            if abs(side / found.major_axis - 1) > 0.25:  # sep deblends, so sizes differ for a few
                print(f"note: {contender.__name__} has axis {side:.1f}, scalenorm {found.major_axis:.1f}")


def read(image):
    """Every byte once, eight at a time."""
    return np.bitwise_xor.reduce(image.reshape(-1).view(np.uint64))


def over(function, images):
    def run():
        for image in images:
            function(image)

    return run


def first_call(code):
    """Seconds that a statement takes in a new process, after its imports."""
    script = f"import time, numpy as np\n{code}\nprint(time.perf_counter() - start)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return float(found.stdout)


TRIVIAL = """
import importlib.util, os, sys, tempfile
path = os.path.join(tempfile.gettempdir(), "scalenorm_trivial_kernel.py")
if not os.path.exists(path):
    with open(path, "w") as file:
        file.write("import numba\\n@numba.njit(cache=True)\\ndef add(a):\\n    return a[0] + 1\\n")
sys.path.insert(0, os.path.dirname(path))
image = np.zeros((424, 424, 3), np.uint8)
start = time.perf_counter()
import scalenorm_trivial_kernel
scalenorm_trivial_kernel.add(image.reshape(-1))
"""
CROP = """
import scalenorm
image = np.zeros((424, 424, 3), np.uint8)
image[200:230, 190:220] = 200
start = time.perf_counter()
scalenorm.crop(image)
"""


FIRST = """
import scalenorm
image = np.zeros((424, 424, 3), np.uint8)
image[200:230, 190:220] = 200
start = time.perf_counter()
for do, pixels in ((scalenorm.crop, image), (scalenorm.measure, image), (scalenorm.crop, image.astype(np.float32))):
    before = time.perf_counter()
    do(pixels)
    print(time.perf_counter() - before, end=" ")
"""


def compile_all() -> dict[str, float]:
    """Seconds of the first calls with an empty cache of Numba, one after the other in one process."""
    with tempfile.TemporaryDirectory() as folder:
        script = f"import time, numpy as np\n{FIRST}"
        found = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True,
            env={**os.environ, "NUMBA_CACHE_DIR": folder},
        )  # fmt: skip
    names = ("crop of uint8", "measure of uint8, after it", "crop of float32, after it")
    return dict(zip(names, map(float, found.stdout.split()), strict=True))


def profile(images, rounds):
    """Seconds of each step's kernel by itself, and of the whole, an image."""
    options, scratch = MeasureOptions(), np.empty(images[0].shape[:2], np.uint8)
    steps = {
        name: [] for name in ("sums and threshold", "foreground and sky", "component", "ellipse", "flags", "resampling")
    }
    for image in images:
        frame = as_frame(image, options)
        threshold = find_threshold(frame, options)
        mask = find_foreground(frame, threshold).mask
        marked, found = mask.copy(), scalenorm.measure(image)
        moments, bbox, ellipse = np.zeros(8, np.int64), np.zeros(4, np.int64), np.empty(5)
        kernels.component.find_component(212, 212, marked, moments, bbox)
        box = np.array(
            [[found.window_row + 0.5 - found.side / 2, found.window_col + 0.5 - found.side / 2, found.side / 64, 0.0]]
        )
        out, crop_sky = np.empty((1, 64, 64 * frame.bands), frame.rows.dtype), np.array(found.sky, frame.crop_dtype)
        before = frame.pixels, frame.kind, frame.weights, frame.valid_pixels
        sums, totals, result = threshold.sums, np.zeros(frame.bands, np.int64), np.empty(2)
        window = np.concatenate([box[0, :2], box[0, :2] + found.side]).clip(0, 424).astype(np.int64)
        steps["sums and threshold"].append(
            functools.partial(kernels.threshold.exact_threshold, *before, frame.level, frame.scale, *sums, result)
        )
        steps["foreground and sky"].append(functools.partial(
            kernels.grey.find_foreground, *before, threshold.cutoff, frame.level, sums.peaks, totals,
            scratch.reshape(-1),
        ))  # fmt: skip
        steps["component"].append(functools.partial(fill, scratch, mask, moments.copy(), bbox.copy()))
        steps["ellipse"].append(functools.partial(kernels.ellipse.fit_ellipse, moments, ellipse))
        steps["flags"].append(functools.partial(
            kernels.regions.inspect_region, frame.rows, *before[1:], threshold.cutoff, frame.level, marked, marked,
            True, bbox, tuple(window.tolist()), SKY_STEP, CONTRAST, frame.rows, frame.bands, 255,
        ))  # fmt: skip
        steps["resampling"].append(
            functools.partial(kernels.resample.resample_windows, frame.rows, box, crop_sky, True, out)
        )
    contenders = {name: over_all(calls) for name, calls in steps.items()}
    contenders["copying the mask"] = over_all(
        [functools.partial(np.copyto, call.args[0], call.args[1]) for call in steps["component"]]
    )
    contenders |= {"crop": over(scalenorm.crop, images), "measure": over(scalenorm.measure, images)}
    found = common.interleave(contenders, rounds, len(images))
    copying = found.pop("copying the mask")["median"]
    found["component"] = {key: value - copying for key, value in found["component"].items()}
    return found


def kernels_alone(images):
    """The compiled call for each image, as `crop` makes it, and nothing else."""
    frames = [as_frame(image, MeasureOptions()) for image in images]
    height, width = images[0].shape
    mask, numbers, integers = np.empty((height, width), np.uint8), np.empty(10), np.zeros(17, np.int64)
    position, box, sky = np.array([(height - 1) / 2, (width - 1) / 2]), np.zeros((1, 1, 4)), np.empty(1)
    crop_sky, out, done = np.empty(1, frames[0].crop_dtype), np.empty((1, 1, 64, 64), np.float32), np.empty(1, bool)

    def run():
        for f in frames:
            box[0] = 0
            kernels.galaxy.measure_and_crop_each(
                f.rows[np.newaxis], f.kind, f.weights, f.scale, f.valid_pixels, f.level, 1.0, 1.0,
                height // 2, width // 2, position, SKY_STEP, CONTRAST, -1, False,
                mask, sky, integers, numbers, box, crop_sky, False, out, done,
            )  # fmt: skip

    return run


def fill(mask, fresh, moments, bbox):
    np.copyto(mask, fresh)
    moments[:] = 0
    kernels.component.find_component(212, 212, mask, moments, bbox)


def over_all(calls):
    def run():
        for call in calls:
            call()

    return run


def main() -> None:
    arguments = common.parser(__doc__)
    arguments.add_argument("--count", type=int, default=40, help="images a round (default %(default)s)")
    arguments.add_argument("--cpu", help="compile for this processor (NUMBA_CPU_NAME), such as skylake or znver4")
    options = arguments.parse_args()
    if options.cpu and os.environ.get("NUMBA_CPU_NAME") != options.cpu:
        # Numba reads the name when it is imported; code for another processor does not belong in the usual cache.
        with tempfile.TemporaryDirectory() as folder:
            chosen = {"NUMBA_CPU_NAME": options.cpu, "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": folder}  # not ours
            raise SystemExit(subprocess.run([sys.executable, *sys.argv], env={**os.environ, **chosen}).returncode)
    common.print_environment()
    print(f"compiled for {options.cpu or 'this processor'}")
    images = common.load_images(options.images, options.count)
    images = [image for image in images if image.shape == (424, 424, 3)]
    check(images)
    greys = [image @ LUMA for image in images]
    n = len(images)

    def mean_std():
        for grey in greys:
            np.mean(grey), np.std(grey)

    times = common.interleave(
        {
            "crop": over(scalenorm.crop, images),
            "measure": over(scalenorm.measure, images),
            "three views": over(lambda image: scalenorm.views(image, VIEWS), images),
            "reading the image from memory": over(read, images),
            "np.mean + np.std of the float grey": mean_std,
            "OpenCV floodFill": over(with_opencv_flood_fill, images),
            "OpenCV connected components": over(with_opencv_components, images),
        },
        options.rounds,
        n,
    )
    few = images[: max(4, n // 5)]
    slow = common.interleave(
        {
            "crop": over(scalenorm.crop, few),
            "scikit-image": over(with_skimage, few),
            "scipy.ndimage": over(with_scipy, few),
            "sep (measures only)": over(with_sep, few),
            "photutils (measures only)": over(with_photutils, few),
        },
        max(5, options.rounds // 3),
        len(few),
    )
    common.print_times(f"{n} images of 424 x 424 x 3 uint8, one thread", times)
    common.print_times("the slower ones, beside crop again", slow)

    kinds = {}
    for dtype in ("uint8", "uint16", "float32"):
        typed = [image.astype(dtype) * (257 if dtype == "uint16" else 1) for image in few]
        kinds[f"crop {dtype}"] = over(scalenorm.crop, typed)
        kinds[f"measure {dtype}"] = over(scalenorm.measure, typed)
    stamps = {
        "float32 stamp of 128 x 128": [np.ascontiguousarray(i[148:276, 148:276, 1]).astype(np.float32) for i in few],
        "uint8 stamp of 64 x 64 x 3": [np.ascontiguousarray(image[180:244, 180:244]) for image in few],
    }
    for name, typed in stamps.items():
        kinds[f"crop {name}"] = over(scalenorm.crop, typed)
        plain = [image @ LUMA if image.ndim == 3 else image for image in typed]
        kinds[f"np.mean + np.std {name}"] = over(lambda image: (np.mean(image), np.std(image)), plain)
    many = [stamps["float32 stamp of 128 x 128"][number % len(few)] for number in range(MANY)]
    for threads in (1, 2):
        kinds[f"crop_many of {MANY} float32 stamps, threads: {threads}"] = functools.partial(
            scalenorm.crop_many, many, n_jobs=threads
        )
    alone = "kernels alone, float32 stamps"
    kinds[alone] = kernels_alone(many)
    generator = np.random.default_rng(1)
    noise = np.where(generator.random((424, 424)) < 0.5, 200, 0).astype(np.uint8)
    tiny, huge = np.zeros((2, 424, 424, 3), np.uint8)
    tiny[210:214, 210:214] = 200
    huge[4:420, 4:420] = 200
    kinds |= {
        "crop of a noise mask (half the pixels, one maze)": over(lambda i: scalenorm.crop(i, sigma=0.0), [noise]),
        "scipy label of the same mask": over(lambda i: scipy.ndimage.label(i, np.ones((3, 3))), [noise]),
        "crop of a tiny galaxy": over(scalenorm.crop, [tiny]),
        "crop of a huge galaxy": over(lambda i: scalenorm.crop(i, sigma=0.0), [huge]),
    }
    counts = dict.fromkeys(kinds, 1)
    for name in kinds:
        if "stamp of" in name or name.split()[-1] in ("uint8", "uint16", "float32"):
            counts[name] = len(few)
        elif name.startswith("crop_many") or name == alone:
            counts[name] = MANY
    kinds_times = common.interleave(kinds, options.rounds)
    kinds_times = {name: {key: value / counts[name] for key, value in t.items()} for name, t in kinds_times.items()}
    common.print_times("other kinds of image", kinds_times)

    sizes = {}
    for size in (64, 128, 256, 424, 1024, 2048, 4096, 8192):
        repeat = -(-size // 424)
        image = np.tile(images[0], (repeat, repeat, 1))[:size, :size]
        image = np.ascontiguousarray(image) if size < 424 else _one_large_galaxy(images[0], size)
        calls = max(1, (424 * 20 // size) ** 2 // 20)
        sizes[size] = common.interleave({"crop": over(scalenorm.crop, [image] * calls)}, 7, calls)["crop"]
    per_pixel = {size: t["median"] / size**2 * 1e9 for size, t in sizes.items()}
    print("\nns per pixel: " + ", ".join(f"{size}: {value:.2f}" for size, value in per_pixel.items()))

    steps = profile(few, options.rounds)
    common.print_times("the steps' kernels by themselves, uint8, and the whole", steps)
    compiled = compile_all()
    print(
        "\nfirst calls with an empty cache: " + ", ".join(f"{name} {value:.1f} s" for name, value in compiled.items())
    )

    first_call(TRIVIAL), first_call(CROP)
    starts = [(first_call(CROP), first_call(TRIVIAL)) for _ in range(5)]
    first_crop, first_trivial = np.median(starts, axis=0)
    print(f"first crop in a process {first_crop:.3f} s, first trivial cached kernel {first_trivial:.3f} s")

    median = {name: t["median"] for name, t in (times | {k: v for k, v in slow.items() if k != "crop"}).items()}
    stamp = "float32 stamp of 128 x 128"
    rate = {n: kinds_times[f"crop_many of {MANY} float32 stamps, threads: {n}"]["median"] for n in (1, 2)}
    ratios = {
        "scikit-image / crop": slow["scikit-image"]["median"] / slow["crop"]["median"],
        "scipy.ndimage / crop": slow["scipy.ndimage"]["median"] / slow["crop"]["median"],
        "OpenCV connected components / crop": median["OpenCV connected components"] / median["crop"],
        "OpenCV floodFill / crop": median["OpenCV floodFill"] / median["crop"],
        "sep / measure": slow["sep (measures only)"]["median"] / slow["crop"]["median"]
        * (median["crop"] / median["measure"]),
        "photutils / measure": slow["photutils (measures only)"]["median"] / slow["crop"]["median"]
        * (median["crop"] / median["measure"]),
        "crop / (np.mean + np.std of the float grey)": median["crop"] / median["np.mean + np.std of the float grey"],
        "crop / reading the image from memory": median["crop"] / median["reading the image from memory"],
        "three views / one view": median["three views"] / median["crop"],
        "uint16 / uint8, crop": kinds_times["crop uint16"]["median"] / kinds_times["crop uint8"]["median"],
        "float32 / uint8, crop": kinds_times["crop float32"]["median"] / kinds_times["crop uint8"]["median"],
        "crop / (np.mean + np.std), float32 stamp of 128 x 128": kinds_times[f"crop {stamp}"]["median"]
        / kinds_times[f"np.mean + np.std {stamp}"]["median"],
        "crop_many / kernels alone, float32 stamps, 1 thread": rate[1] / kinds_times[alone]["median"],
        "crop_many, 2 threads / 1 thread, rate": rate[1] / rate[2],
        "ns per pixel at 8192 / at 424": per_pixel[8192] / per_pixel[424],
        "first crop in a process / first trivial cached kernel": first_crop / first_trivial,
    }  # fmt: skip
    common.print_ratios(ratios, GOALS)
    common.save(
        "crop",
        {
            "source": "real images" if options.images else "simulated galaxies",
            "compiled for": options.cpu or "this processor",
            "times": times, "slow": slow, "kinds": kinds_times,
            "steps": steps, "first calls": compiled, "ns_per_pixel": per_pixel, "ratios": ratios, "goals": GOALS,
        },
        options.output,
    )  # fmt: skip


def _one_large_galaxy(image, size):
    """The image enlarged by repetition: the same galaxy, filling the same part of a larger frame."""
    factor = -(-size // image.shape[0])
    return np.ascontiguousarray(image.repeat(factor, 0).repeat(factor, 1)[:size, :size])


if __name__ == "__main__":
    started = time.perf_counter()
    main()
    print(f"{time.perf_counter() - started:.0f} s")
