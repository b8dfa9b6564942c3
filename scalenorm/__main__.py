"""``python -m scalenorm``: the version, and which commands there are."""

from __future__ import annotations

import sys

from ._version import __version__

COMMANDS = {
    "scalenorm-batch": "measure galaxies, crop to them, and write crops and catalogue to one file, a cache",
    "scalenorm-merge": "join caches made with the same settings",
    "scalenorm-inspect": "print what is in a cache",
    "scalenorm-report": "draw galaxies of a cache with what was measured, as a picture or a page",
    "scalenorm-export": "write the catalogue as CSV, ECSV, FITS or Parquet, and crops as PNG or FITS files",
    "galaxy-train": "train a network on a cache",
    "galaxy-evaluate": "measure how well a trained network answers",
    "galaxy-predict": "write a network's answers to a CSV file",
    "galaxy-compare": "train and compare networks on several views",
}


def main() -> None:
    """Print the version and the commands."""
    lines = [f"scalenorm {__version__}", ""]
    lines += [f"  {name:18s} {text}" for name, text in COMMANDS.items()]
    lines += ["", "Each explains itself with --help. In Python: import scalenorm; help(scalenorm.crop)"]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
