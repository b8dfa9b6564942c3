"""
First crops
===========

From one image to its measurement and crop, and what the options do. Takes a minute, most of it
for compiling when scalenorm is used for the first time.
"""

import matplotlib.pyplot as plt

import scalenorm

# %%
# Galaxies to try things on
# -------------------------
#
# ``make_galaxies`` simulates colour pictures of 424 x 424 pixels, as those of Galaxy Zoo are. Put
# your own array here: any shape (H, W) or (H, W, bands), any type of numbers.

sample = scalenorm.make_galaxies(6, seed=1)
image = sample.images[3]
image.shape, image.dtype

# %%
# Measuring
# ---------
#
# The pixels that are brighter than the mean by one standard deviation are the foreground. The
# part of it in the centre is the galaxy, and its ellipse has the same second moments. In a
# notebook, the result shows itself:

scalenorm.measure(image)

# %%
# Cropping
# --------
#
# The crop is the square around the ellipse's major axis, resized to 64 x 64 pixels. Beside it are
# two crops of a fixed size:

axes = scalenorm.plot(image, ["normalized", "center-64", "center-256"])

# %%
# The array itself comes from ``crop``. Several views at once cost little more than one:

crop = scalenorm.crop(image, 64)
views = scalenorm.views(image, ["normalized", "center-256"], 64)
crop.shape, views["center-256"].shape

# %%
# What scale normalisation does
# -----------------------------
#
# Galaxies of different sizes fill the crop alike:

figure, rows = plt.subplots(2, 6, figsize=(9, 3.2), layout="constrained")
for column, galaxy in zip(rows.T, sample.images, strict=True):
    column[0].imshow(galaxy)
    column[1].imshow(scalenorm.crop(galaxy))
    column[0].set_title(f"{scalenorm.measure(galaxy).major_axis:.0f} pixels", fontsize=9)
for panel in rows.flat:
    panel.set_axis_off()

# %%
# Options
# -------
#
# A higher threshold (``sigma``) sees less of the outskirts; a ``margin`` leaves room around the
# galaxy:

figure, rows = plt.subplots(3, 2, figsize=(5, 7), layout="constrained")
for row, options in zip(rows, ({"sigma": 0.5}, {"sigma": 2.0}, {"margin": 1.5}), strict=True):
    scalenorm.plot(image, axes=row, **options)
    row[0].set_title(str(options)[1:-1], fontsize=9)

# %%
# For a folder of images, ``scalenorm-batch images galaxies.h5`` does all this on every core and
# writes one file; ``scalenorm-report images
# --try margin=1,1.25,1.5`` shows settings side by side on a page.
