"""Compile what most tests use, before several processes do so at once: ``make test`` calls this once after a change."""

from __future__ import annotations

import numpy as np

import scalenorm

OPTIONS = ({}, {"mask_neighbours": True, "margin": 3.0, "deblend": True}, {"sigma_clip": 3.0, "fill_holes": True})


def main():
    light = 20 + 200 * np.exp(-((np.indices((64, 64)) - 31.5) ** 2).sum(axis=0) / 50)
    for dtype in ("uint8", "uint16", "int16", "float32", "float64"):
        for image in (light, np.stack([light] * 3, axis=2)):
            image = image.astype(dtype)
            for options in OPTIONS:
                scalenorm.crop(image, 16, **options)
                scalenorm.measure(image, **options)
            scalenorm.crop_all(image, 16)


if __name__ == "__main__":
    main()
