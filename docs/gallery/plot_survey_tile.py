"""
A survey tile and a catalogue
=============================

From one large image and a table of positions to crops, and from a crop back to the sky. The
tile is simulated, with a WCS and three bands of linear flux; FITS files of a survey are used in
the same way.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

import scalenorm
from scalenorm.simulation.tile import make_tile

# %%
# The tile
# --------

folder = Path(tempfile.mkdtemp())
sample = make_tile(24, seed=4, size=900, apart=120)
tile, catalog = sample.write(folder)
print("".join(catalog.read_text().splitlines(keepends=True)[:3]))

# %%
# From positions to crops
# -----------------------
#
# One call cuts a stamp around each position, measures the galaxy in it, crops to it and turns
# linear flux into pictures. On the command line it is ``scalenorm-batch tile.fits galaxies.h5
# --positions catalog.csv --stamp 40arcsec --margin 1.5 --stretch asinh``.

path = folder / "galaxies.h5"
options = {"views": ["normalized"], "margin": 1.5, "stretch": "asinh"}
scalenorm.convert(tile, path, positions=catalog, stamp="40arcsec", **options)
cache = scalenorm.open_cache(path)
cache

# %%
# Where they are
# --------------
#
# The catalogue in the cache has the centre and window of each galaxy in its stamp, and the corner
# of the stamp in the tile:

rows = cache.catalog
figure, panel = plt.subplots(figsize=(6, 6), layout="constrained")
panel.imshow(np.arcsinh(sample.image.sum(axis=2) / 2), cmap="gray", origin="lower")
for row in rows:
    side = row["side"]
    top = row["stamp_row"] + row["window_row"] - side / 2
    left = row["stamp_col"] + row["window_col"] - side / 2
    panel.add_patch(Rectangle((left, top), side, side, fill=False, color="tab:orange"))
panel.set_axis_off()

# %%
# The crops
# ---------

figure, panels = plt.subplots(3, 8, figsize=(9, 3.6), layout="constrained")
for panel, crop in zip(panels.flat, cache.view("normalized"), strict=True):
    panel.imshow(crop)
    panel.set_axis_off()

# %%
# As a table
# ----------
#
# Sky positions are those of the measured centres. Each is within a pixel or so of where the
# galaxy was put:

table = cache.to_table()
table["id", "ra", "dec", "major_axis", "flags"][:5]
