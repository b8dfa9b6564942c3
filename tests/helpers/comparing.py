"""Images like galaxies, and the comparison of measure and crop with their naive twins."""

from __future__ import annotations

import math
import os

import naive
import numpy as np
import pytest

import scalenorm
from scalenorm.measuring.frame import as_frame
from scalenorm.measuring.galaxy import find_galaxy
from scalenorm.measuring.options import MeasureOptions

DTYPES = ("uint8", "uint16", "int16", "float32", "float64")
JIT_OFF = bool(os.environ.get("NUMBA_DISABLE_JIT"))
SHAPE = (48, 54) if JIT_OFF else (80, 90)  # more pixels than kernels take at a time
needs_jit = pytest.mark.skipif(JIT_OFF, reason="millions of steps need the compiler")
overflows = pytest.mark.skipif(JIT_OFF, reason="NumPy's scalars warn of overflow, compiled code does not")


def galaxy_like(rng, shape=SHAPE, dtype="uint8", bands=3, noise=0.05):
    """A bright inclined ellipse near the middle, a neighbour, and noise."""
    rows, cols = np.indices(shape)
    row, col = shape[0] / 2 + rng.uniform(-3, 3), shape[1] / 2 + rng.uniform(-3, 3)
    angle, long, short = rng.uniform(0, np.pi), min(shape) / 8, min(shape) / 14

    def blob(row, col, long, short):
        u = (rows - row) * np.cos(angle) + (cols - col) * np.sin(angle)
        v = (cols - col) * np.cos(angle) - (rows - row) * np.sin(angle)
        return np.exp(-((u / long) ** 2) - (v / short) ** 2)

    light = blob(row, col, long, short) + 0.6 * blob(row * 0.3, col * 0.4, short, short)
    image = light[..., np.newaxis] * rng.uniform(0.5, 0.9, bands) + noise * rng.random((*shape, bands))
    image = image[..., 0] if bands == 1 else image
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (image * 3 - 0.2).astype(dtype)
    return (np.clip(image, 0, 1) * np.iinfo(kind).max).astype(dtype)


def component_pixels(image, mask=None, **options):
    checked = MeasureOptions(**options)
    frame = as_frame(image, checked, mask)
    component = find_galaxy(frame, checked).component.region
    return np.zeros((frame.height, frame.width), bool) if component is None else component.pixels()


def assert_same(image, mask=None, size=16, **options):
    """Everything measured, and the crop, equal the naive twin's."""
    expected = naive.measure(image, mask=mask, **options)
    np.testing.assert_array_equal(component_pixels(image, mask, **options), expected.pixels)
    got = scalenorm.measure(image, mask=mask, **options)
    assert (got.area, got.bbox) == (expected.area, expected.bbox)
    for name in ("major_axis", "row", "col", "side", "window_row", "window_col"):
        assert getattr(got, name) == pytest.approx(getattr(expected, name), rel=1e-9, abs=1e-9), name
    # The naive eigenvalues of a thin region cancel to 1e-15 of the larger one, whose square root is 3e-8.
    assert got.minor_axis == pytest.approx(expected.minor_axis, rel=1e-9, abs=1e-6 * max(1, expected.major_axis))
    if got.major_axis - got.minor_axis > 1e-6:
        turn = abs(got.orientation - expected.orientation)
        assert min(turn, math.pi - turn) < 1e-7
    np.testing.assert_allclose(got.sky, expected.sky, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(got.threshold, expected.threshold, rtol=1e-9, atol=1e-12)
    assert_same_crop(image, mask, size, expected, **options)


def assert_same_crop(image, mask=None, size=16, found=None, **options):
    image = np.asarray(image)
    got = scalenorm.crop(image, size, mask=mask, **options)
    expected = naive.crop(image, size, found, mask=mask, **options)
    assert got.shape == expected.shape
    assert got.dtype == image.dtype.newbyteorder("=")
    if image.dtype.kind == "f":
        scale = np.abs(image[np.isfinite(image)]).max() if np.isfinite(image).any() else 0
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * scale)
    else:
        tolerance = 0.5 + 1e-5 * np.abs(expected)  # rounding, and Pillow's own float32
        assert (np.abs(got - expected.astype(float)) <= tolerance + 1e-3).all()
