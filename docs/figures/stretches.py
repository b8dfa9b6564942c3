"""Draw stretches.jpg: the same galaxies of a simulated tile, in linear flux, in each stretch.

python docs/figures/stretches.py
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import scalenorm
from scalenorm.simulation.tile import make_tile

STRETCHES = ("linear", "asinh", "log", "zscale", "lupton")
GALAXIES = (1, 4, 5, 10)
SIDE, GAP, HEAD = 120, 6, 28
GROUND, TEXT = "#101318", "#e8eaed"

tile = make_tile(12, seed=2016, size=900, apart=130)
places = np.column_stack([tile.row, tile.col])[list(GALAXIES)]
size = (len(STRETCHES) * (SIDE + GAP) + GAP, HEAD + len(GALAXIES) * (SIDE + GAP))
picture = Image.new("RGB", size, GROUND)
draw = ImageDraw.Draw(picture)
for column, stretch in enumerate(STRETCHES):
    left = GAP + column * (SIDE + GAP)
    draw.text((left, 6), stretch, TEXT, ImageFont.load_default(14))
    _, crops = scalenorm.crop_at(tile.image, places, 128, SIDE, margin=2, stretch=stretch)
    for line, crop in enumerate(crops):
        picture.paste(Image.fromarray(crop), (left, HEAD + line * (SIDE + GAP)))

path = Path(__file__).with_name("stretches.jpg")
picture.save(path, quality=90, optimize=True)
print(f"{path}: {picture.size[0]} x {picture.size[1]} pixels, {path.stat().st_size / 1000:.0f} kB")
