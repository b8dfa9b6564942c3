"""``python -m scalenorm``: the version, and which commands there are."""

from __future__ import annotations

import sys

from ._version import __version__
from .commands.common import Parser, run_guarded, say

COMMANDS = {
    "scalenorm-batch": "measure galaxies, crop to them, and write crops and catalogue to one file, a cache",
    "scalenorm-merge": "merge caches made with the same settings",
    "scalenorm-inspect": "print a summary of a cache",
    "scalenorm-report": "show the galaxies of a cache and their measurements, as an image or an HTML report",
    "scalenorm-export": "export the catalogue (CSV, ECSV, FITS, Parquet) and the crops (PNG, FITS, webdataset, ...)",
    "galaxy-train": "train a network on a cache",
    "galaxy-evaluate": "score a trained network",
    "galaxy-predict": "write the answers of a network to a table",
    "galaxy-similar": "list and draw the galaxies most like one",
    "galaxy-export": "store a trained network in one file, or export it to Keras, SavedModel or ONNX",
    "galaxy-compare": "train and compare networks on several views",
}


def main() -> int:
    """Print the version and the commands; return the exit code."""
    lines = [f"scalenorm {__version__}", ""]
    lines += [f"  {name:18s} {text}" for name, text in COMMANDS.items()]
    lines += ["", "Use --help with any of them. In Python: import scalenorm; help(scalenorm.crop)"]
    return run_guarded(Parser("scalenorm"), lambda: say(*lines))


if __name__ == "__main__":
    sys.exit(main())
