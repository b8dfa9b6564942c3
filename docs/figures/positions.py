"""Draw positions_tile.jpg and positions_crops.jpg: the tile of docs/positions.rst with its windows, and the crops.

python docs/figures/positions.py
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import scalenorm
from scalenorm.images.showing import as_picture, limits_of, shrunk
from scalenorm.measuring.showing import WINDOW
from scalenorm.simulation.tile import make_tile

SIDE, GAP, COLUMNS = 600, 4, 8

tile = make_tile(40, seed=4, size=1200, apart=120)
places = np.column_stack([tile.row, tile.col])
measurements, crops = scalenorm.crop_at(tile.image, places, 128, stretch="asinh")

small = shrunk(tile.image, SIDE)
picture = as_picture(small, limits_of(small))
draw = ImageDraw.Draw(picture)
scale = SIDE / len(tile.image)
for galaxy in measurements:
    middle = np.array([galaxy.window_col, galaxy.window_row]) + 0.5
    corners = np.concatenate([middle - galaxy.side / 2, middle + galaxy.side / 2]) * scale
    draw.rectangle(corners.tolist(), outline=WINDOW)
picture.save(path := Path(__file__).with_name("positions_tile.jpg"), quality=85, optimize=True)
print(f"{path}: {picture.size[0]} x {picture.size[1]} pixels, {path.stat().st_size / 1000:.0f} kB")

step = crops.shape[1] + GAP
sheet = Image.new("RGB", (COLUMNS * step + GAP, -(-len(crops) // COLUMNS) * step + GAP), "#101318")
for number, crop in enumerate(crops):
    sheet.paste(Image.fromarray(crop), (GAP + number % COLUMNS * step, GAP + number // COLUMNS * step))
sheet.save(path := Path(__file__).with_name("positions_crops.jpg"), quality=85, optimize=True)
print(f"{path}: {sheet.size[0]} x {sheet.size[1]} pixels, {path.stat().st_size / 1000:.0f} kB")
