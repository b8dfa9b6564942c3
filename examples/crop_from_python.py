"""Measure one galaxy, crop to it, and see what each view shows.

Usage: python crop_from_python.py [IMAGE]     (without IMAGE: a simulated galaxy)
Writes views.png.
"""

import sys

import numpy as np
from PIL import Image

import scalenorm
from scalenorm.measuring.flags import describe

image = np.asarray(Image.open(sys.argv[1])) if len(sys.argv) > 1 else scalenorm.make_galaxies(1, seed=7).images[0]

# All there is to it: an image in, a crop of one size out, whatever the size of the galaxy.
crop = scalenorm.crop(image)
print(f"{image.shape} -> {crop.shape}")

# What was measured on the way.
galaxy = scalenorm.measure(image)
print(f"centroid ({galaxy.row:.1f}, {galaxy.col:.1f}), axes {galaxy.major_axis:.1f} and {galaxy.minor_axis:.1f} px")
print(f"flags: {', '.join(describe(galaxy.flags)) or 'none'}")

# Row and column in the original of the crop's pixel (10, 20).
pixel = galaxy.side / 64
row, col = galaxy.window_row - galaxy.side / 2 + 10.5 * pixel, galaxy.window_col - galaxy.side / 2 + 20.5 * pixel
print(f"crop pixel (10, 20) lies at ({row:.1f}, {col:.1f})")

# Several views, measured once; a wider window; a larger crop.
views = scalenorm.views(image, ["normalized", "center-64", "center-256"], 128)
wide = scalenorm.crop(image, 128, margin=1.5)
Image.fromarray(np.hstack([*views.values(), wide])).save("views.png")
print("views.png: normalized, center-64, center-256, and normalized with margin 1.5")
