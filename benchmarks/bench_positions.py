"""Stamps at the positions of a catalogue: scalenorm-batch, crop_at, a loop by hand, and ESA's Cutana.

One simulated FITS tile in one band, stamps of 128 pixels to 64. By hand: slices of the mapped tile, cropped one by one,
without and with a measurement; nothing is written. Cutana (``pip install cutana`` in an environment of its own, named
with ``--cutana``) cuts and resizes, it does not measure. Each contender runs in a process of its own, round after
round; what starting it costs is taken from a run over few positions and subtracted. With ``--growth`` also: 100,000
positions over 25 tiles, rows per second and peak memory of one and of all tiles.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import common
import numpy as np
from astropy.io import fits
from bench_memory_growth import watch

from scalenorm.simulation.tile import make_tile

BATCH = Path(sys.executable).parent / "scalenorm-batch"
STAMP, SIZE, FEW = 128, 64, 200

BY_HAND = """
import sys, numpy as np, scalenorm
from astropy.io import fits
from astropy.wcs import WCS
tile, table = sys.argv[1:]
names, ra, dec = np.genfromtxt(table, delimiter=",", skip_header=1, dtype=None, unpack=True, encoding="utf-8")
with fits.open(tile, memmap=True) as hdus:
    pixels, wcs = hdus[0].data, WCS(hdus[0].header)
    col, row = wcs.all_world2pix(ra, dec, 0)
    crops = np.empty((len(names), 64, 64), np.float32)
    found = []
    for number, (r, c) in enumerate(zip(np.ceil(row - 64).astype(int), np.ceil(col - 64).astype(int))):
        stamp = pixels[max(r, 0) : r + 128, max(c, 0) : c + 128]
        crops[number] = scalenorm.crop(stamp)
"""
AND_MEASURED = BY_HAND + "        found.append(scalenorm.measure(stamp))\n"

CUTANA = """
import json, sys
from cutana import Orchestrator, get_default_config
table, output = sys.argv[1:]
config = get_default_config()
config.source_catalogue = table
config.output_dir = output
config.output_format = "zarr"
config.target_resolution = 64
config.selected_extensions = [{"name": "VIS", "ext": "PRIMARY"}]
config.channel_weights = {"VIS": [1.0]}
config.apply_flux_conversion = False
config.data_type = "float32"
config.normalisation_method = "none"
config.console_log_level = "ERROR"
config.max_workers = 2
result = Orchestrator(config).run()
print(json.dumps(result, default=str))
"""


def write_tile(folder: Path, count: int, size: int) -> tuple[Path, Path]:
    """Write a tile of one band and its catalogue."""
    sample = make_tile(count, seed=1, size=size)
    tile, table = folder / "tile.fits", sample.write(folder)[1]
    fits.writeto(tile, np.ascontiguousarray(sample.image[:, :, 1]), sample.wcs().to_header(), overwrite=True)
    return tile, table


def few(table: Path) -> Path:
    """Write the first rows of a table."""
    start = table.with_name("few.csv")
    start.write_text("".join(table.read_text().splitlines(keepends=True)[: FEW + 1]))
    return start


def for_cutana(table: Path, tile: Path) -> Path:
    """Write a catalogue as Cutana wants it."""
    path = table.with_name(f"cutana-{table.name}")
    with table.open() as file, path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["SourceID", "RA", "Dec", "diameter_pixel", "fits_file_paths"])
        for row in csv.DictReader(file):
            writer.writerow([row["id"], row["ra"], row["dec"], STAMP, json.dumps([str(tile)])])
    return path


def contenders(tile: Path, table: Path, folder: Path, cutana: str | None) -> dict[str, list[str]]:
    """Return the command line of each."""
    options = ["--stamp", str(STAMP), "--size", str(SIZE), "--overwrite", "--quiet"]
    out = str(folder / "out.h5")
    batch = [str(BATCH), str(tile), out, "--positions", str(table), *options]
    found = {
        "scalenorm-batch, 2 threads": [*batch, "--jobs", "2", "--backend", "threads"],
        "scalenorm-batch, 2 processes": [*batch, "--jobs", "2", "--backend", "loky"],
        "scalenorm-batch, 1 thread": [*batch, "--jobs", "1", "--backend", "threads"],
        "loop by hand, crop": [sys.executable, "-c", BY_HAND, str(tile), str(table)],
        "loop by hand, crop and measure": [sys.executable, "-c", AND_MEASURED, str(tile), str(table)],
    }
    if cutana:
        found["Cutana"] = [cutana, "-c", CUTANA, str(for_cutana(table, tile)), str(folder / "cutana")]
    return found


def run(command: list[str]) -> None:
    """Run a contender."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def growth(folder: Path, tile: Path, table: Path) -> dict[str, dict[str, float]]:
    """Rows per second and peak memory over one tile, and over 25."""
    tiles = folder / "tiles"
    tiles.mkdir()
    rows = list(csv.DictReader(table.open()))
    data, header = fits.getdata(tile), fits.getheader(tile)
    for number in range(25):  # next to each other on the sky
        header["CRVAL1"] = 150.0 + 2 * number
        fits.writeto(tiles / f"tile{number:02d}.fits", data, header)
    found: dict[str, dict[str, float]] = {}
    for backend in ("threads", "loky", "dask"):
        for count in (1, 25):
            catalog = folder / "growth.csv"
            with catalog.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["id", "ra", "dec"])
                for number in range(count):
                    writer.writerows(
                        (f"{number:02d}-{row['id']}", float(row["ra"]) + 2 * number, row["dec"]) for row in rows
                    )
            seconds, peak = watch(
                BATCH, tiles, folder / "out.h5", "--positions", catalog, "--stamp", str(STAMP), "--size", str(SIZE),
                "--overwrite", "--quiet", "--jobs", "2", "--backend", backend,
            )  # fmt: skip
            found[f"{backend}, {count} tiles"] = {
                "rows": count * len(rows), "seconds": seconds, "rows per second": count * len(rows) / seconds,
                "peak memory of the main process": peak,
            }  # fmt: skip
            print(f"  {backend}, {count} tiles: {found[f'{backend}, {count} tiles']}", flush=True)
    return found


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--count", type=int, default=4000, help="positions (default %(default)s)")
    parser.add_argument("--tile", type=int, default=8000, help="side of the tile, pixels (default %(default)s)")
    parser.add_argument("--cutana", metavar="PYTHON", help="the Python of an environment with Cutana")
    parser.add_argument("--growth", action="store_true", help="also 25 tiles: 6 GB of disk at the default size")
    parser.set_defaults(rounds=5)
    options = parser.parse_args()
    common.print_environment()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tile, table = write_tile(folder, options.count, options.tile)
        start = contenders(tile, few(table), folder, options.cutana)
        whole = contenders(tile, table, folder, options.cutana)
        calls = {f"{word} {which}": command for word, commands in (("few", start), ("all", whole))
                 for which, command in commands.items()}  # fmt: skip
        times = common.interleave({which: lambda command=command: run(command) for which, command in calls.items()},
                                  options.rounds)  # fmt: skip
        common.print_times(f"{options.count} positions, and {FEW}", times, unit="s", scale=1.0)
        per_row = {
            which: (times[f"all {which}"]["median"] - times[f"few {which}"]["median"]) / (options.count - FEW)
            for which in whole
        }
        ours = "scalenorm-batch, 2 threads"
        ratios = {f"{which} / {ours}, per row": value / per_row[ours] for which, value in per_row.items()}
        ratios |= {f"{which} / {ours}, whole run": times[f"all {which}"]["median"] / times[f"all {ours}"]["median"]
                   for which in whole}  # fmt: skip
        goals = {f"loop by hand, crop / {ours}, whole run": ">= 1.5", f"Cutana / {ours}, whole run": ">= 6"}
        common.print_ratios(ratios, goals)
        grown = growth(folder, tile, table) if options.growth else {}
    common.save("positions", {
        "times": times, "per_row": per_row, "ratios": ratios, "goals": goals, "growth": grown,
    }, options.output)  # fmt: skip


if __name__ == "__main__":
    main()
