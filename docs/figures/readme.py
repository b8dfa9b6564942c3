"""Draw readme.png: simulated galaxies of three sizes, each original with ellipse and window beside its three views.

python docs/figures/readme.py
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import scalenorm
from scalenorm.images.showing import Limits, as_picture
from scalenorm.reporting.drawing import draw_measurement, row_of

SEED, GALAXIES = 2016, (89, 110, 56)
VIEWS = ("normalized", "center-64", "center-256")
TILE, GAP, HEAD = 152, 8, 30
GROUND, TEXT = "#101318", "#e8eaed"

width = 4 * TILE + 5 * GAP
picture = Image.new("RGB", (width, HEAD + len(GALAXIES) * (TILE + GAP)), GROUND)
draw = ImageDraw.Draw(picture)
font = ImageFont.load_default(14)
for column, name in enumerate(("original", *VIEWS)):
    draw.text((GAP + column * (TILE + GAP), 8), name, TEXT, font)

for line, number in enumerate(GALAXIES):
    image = scalenorm.make_galaxies(1, seed=SEED, first=number).images[0]
    galaxy = scalenorm.measure(image)
    tiles = [image, *scalenorm.views(image, VIEWS).values()]
    for column, pixels in enumerate(tiles):
        tile = as_picture(pixels, Limits(0, 255)).resize((TILE, TILE), Image.Resampling.BILINEAR)
        if column == 0:
            draw_measurement(tile, row_of(galaxy))
        picture.paste(tile, (GAP + column * (TILE + GAP), HEAD + line * (TILE + GAP)))

path = Path(__file__).with_name("readme.png")
# Grey levels in steps of 4: too fine to see, and half the size of the file.
Image.fromarray((np.minimum(np.asarray(picture), 250) + 2) // 4 * 4).save(path, optimize=True)
print(f"{path}: {picture.size[0]} x {picture.size[1]} pixels, {path.stat().st_size / 1000:.0f} kB")
