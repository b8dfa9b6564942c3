"""Cost as the work grows: time and extra memory of a crop over the image's size, for plain images and noise masks."""

from __future__ import annotations

import subprocess
import sys

import common
import numpy as np

SIZES = (424, 1024, 2048, 4096, 8192)
GOALS = {"peak extra memory, bytes per pixel at 8192": "<= 4"}

PEAK = """
import resource, sys
import numpy as np, scalenorm
size, kind = int(sys.argv[1]), sys.argv[2]
rng = np.random.default_rng(1)
def make(n):
    if kind == "noise":
        return np.where(rng.random((n, n), dtype=np.float32) < 0.5, np.uint8(200), np.uint8(0))
    image = rng.integers(0, 20, (n, n, 3), dtype=np.uint8)
    image[n // 3 : -n // 3, n // 3 : -n // 3] += 150
    return image
scalenorm.crop(make(64), sigma=0.0)
image = make(size)
with open("/proc/self/clear_refs", "w") as file:  # the peak counts from here
    file.write("5")
def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) * 1024
before = status("VmRSS")
scalenorm.crop(image, sigma=0.0 if kind == "noise" else 1.0)
print((status("VmHWM") - before) / size**2)
"""


def peak_bytes_per_pixel(size: int, kind: str) -> float:
    """Peak resident memory of one crop beyond the image, in a process of its own (Linux)."""
    found = subprocess.run([sys.executable, "-c", PEAK, str(size), kind], capture_output=True, text=True, check=True)
    return float(found.stdout)


def main() -> None:
    options = common.parser(__doc__).parse_args()
    common.print_environment()
    rows = {}
    import scalenorm

    generator = np.random.default_rng(1)
    for size in SIZES:
        image = generator.integers(0, 20, (size, size, 3), dtype=np.uint8)
        image[size // 3 : -size // 3, size // 3 : -size // 3] += 150
        noise = np.where(generator.random((size, size), dtype=np.float32) < 0.5, np.uint8(200), np.uint8(0))
        times = common.interleave(
            {
                "plain": lambda image=image: scalenorm.crop(image),
                "noise": lambda noise=noise: scalenorm.crop(noise, sigma=0.0),
            },
            max(3, min(options.rounds, 20_000_000 // size**2)),
        )
        rows[size] = {
            kind: {
                "ns per pixel": times[kind]["median"] / size**2 * 1e9,
                "peak bytes per pixel": peak_bytes_per_pixel(size, kind),
            }
            for kind in ("plain", "noise")
        }
        print(f"{size:6d}  " + "   ".join(
            f"{kind}: {row['ns per pixel']:.2f} ns, {row['peak bytes per pixel']:.2f} bytes per pixel"
            for kind, row in rows[size].items()
        ))  # fmt: skip
    ratios = {
        "ns per pixel at 8192 / at 424, galaxy a third of the frame": rows[8192]["plain"]["ns per pixel"]
        / rows[424]["plain"]["ns per pixel"],
        "peak extra memory, bytes per pixel at 8192": rows[8192]["plain"]["peak bytes per pixel"],
        "peak extra memory of a noise mask, bytes per pixel at 8192": rows[8192]["noise"]["peak bytes per pixel"],
    }
    common.print_ratios(ratios, GOALS)
    common.save("growth", {"rows": rows, "ratios": ratios, "goals": GOALS}, options.output)


if __name__ == "__main__":
    main()
