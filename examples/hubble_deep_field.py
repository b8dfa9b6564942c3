"""Galaxies of every size in one picture: the Hubble deep field that comes with scikit-image.

Finds blobs, measures the galaxy at each, and puts all of them side by side, cut out as they are and normalised; then
makes a cache with a row for every object. Writes hubble.png, field.png and field.h5.
"""

import numpy as np
from PIL import Image
from skimage import data
from skimage.feature import blob_dog

import scalenorm
from scalenorm import Flag

field = data.hubble_deep_field()
blobs = blob_dog(field.mean(axis=2), min_sigma=4, max_sigma=24, threshold=12, overlap=0.2, exclude_border=30)
print(f"{len(blobs)} blobs in {field.shape[1]} x {field.shape[0]} pixels")

kept = []
for row, col in blobs[:, :2].astype(int):
    # The threshold is that of the cutout, because in the whole field a bright neighbour's halo would join in.
    top, left = max(row - 60, 0), max(col - 60, 0)
    cutout = field[top : row + 60, left : col + 60]
    options = {"center": (row - top, col - left), "sigma": 2.0}
    galaxy = scalenorm.measure(cutout, **options)
    if galaxy.area > 60 and not galaxy.flags & (Flag.TOUCHES_EDGE | Flag.OFF_CENTER):
        kept.append((galaxy.major_axis, cutout, options))
kept.sort(key=lambda found: -found[0])
print(f"{len(kept)} galaxies with major axes from {kept[-1][0]:.0f} to {kept[0][0]:.0f} px")

kept = kept[:: max(1, len(kept) // 12)][:12]
fixed = [scalenorm.crop(cutout, 96, **options, margin=80 / axis) for axis, cutout, options in kept]
normalized = [scalenorm.crop(cutout, 96, **options, margin=1.3) for axis, cutout, options in kept]
Image.fromarray(np.vstack([np.hstack(fixed), np.hstack(normalized)])).save("hubble.png")
print("hubble.png: above 80 x 80 pixels around each, below the same galaxies normalised")

# The same as: scalenorm-batch field.png field.h5 --all-objects --min-area 30 --deblend
Image.fromarray(field).save("field.png")
scalenorm.convert("field.png", "field.h5", all_objects=True, min_area=30, deblend=True, overwrite=True)
cache = scalenorm.open_cache("field.h5")
alone = int(np.count_nonzero(cache.catalog["flags"] == 0))
print(f"field.h5: {len(cache)} objects, {alone} without a flag; {cache.ids[0]} has {cache.catalog['area'][0]} pixels")
