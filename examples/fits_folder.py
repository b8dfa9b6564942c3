"""A folder of FITS cutouts: flux units stay, masked pixels do not count, and crops lead back to the sky.

Usage: python fits_folder.py [FOLDER]
Makes a few small FITS files in FOLDER (fits-example), with a mask and sky coordinates, then a cache and a page.
"""

import sys
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

import scalenorm
from scalenorm.exporting.catalog import write_catalog
from scalenorm.exporting.images import write_images
from scalenorm.reporting.page import write_report

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "fits-example")
(folder / "images").mkdir(parents=True, exist_ok=True)

rng = np.random.default_rng(1)
rows, cols = np.mgrid[:120, :120]
for number in range(6):
    radius, angle = rng.uniform(4, 9), rng.uniform(0, np.pi)
    row, col = rng.uniform(55, 65, 2)
    along = (rows - row) * np.cos(angle) + (cols - col) * np.sin(angle)
    across = (cols - col) * np.cos(angle) - (rows - row) * np.sin(angle)
    flux = 40 * np.exp(-np.hypot(along, across / rng.uniform(0.4, 0.9)) / radius) + rng.normal(3, 0.3, rows.shape)
    bad = np.zeros(rows.shape, np.uint8)
    bad[:, 20] = 1  # a dead column of the detector
    flux[bad > 0] = 5000
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cunit = ["RA---TAN", "DEC--TAN"], ["deg", "deg"]
    wcs.wcs.crval, wcs.wcs.crpix = [150.1 + 0.05 * number, 2.2], [60.5, 60.5]
    wcs.wcs.cdelt = [-0.4 / 3600, 0.4 / 3600]
    science = fits.ImageHDU(flux.astype(np.float32), wcs.to_header(), name="SCI")
    file = fits.HDUList([fits.PrimaryHDU(), science, fits.ImageHDU(bad, name="MASK")])
    file.writeto(folder / "images" / f"field-{number}.fits", overwrite=True)

# Like: scalenorm-batch images cache.h5 --hdu SCI --mask-hdu MASK --margin 2 --center galaxy --views normalized
summary = scalenorm.convert(
    folder / "images", folder / "cache.h5", views=["normalized"], margin=2.0, center="galaxy", hdu="SCI",
    mask_hdu="MASK", overwrite=True,
)  # fmt: skip
cache = scalenorm.open_cache(folder / "cache.h5")
crops = cache.view("normalized")
print(f"{summary.images} images, {summary.failed} failed; crops {crops.shape}, {crops.dtype}")

for name, found in zip(cache.ids, cache.catalog, strict=True):
    header = fits.getheader(folder / "images" / f"{name}.fits", "SCI")
    sky = WCS(header).pixel_to_world(found["col"], found["row"])  # astropy's order is (x, y)
    print(f"{name}: {sky.to_string('hmsdms', precision=1)}, major axis {found['major_axis'] * 0.4:.1f} arcsec")

write_catalog(cache, folder / "catalog.fits", overwrite=True)
write_images(cache, folder / "crops", overwrite=True)
write_report(cache, folder / "page.html")
print(f"in {folder}: catalog.fits, crops/, page.html")
