"""The composed call gives what the steps give one by one, to the last bit, or leaves the image to them."""

from __future__ import annotations

import numpy as np
import pytest

import scalenorm
from scalenorm.cropping.crop import crop_views, find_and_crop, finite_frame
from scalenorm.measuring.frame import as_frame
from scalenorm.measuring.galaxy import find_galaxy
from scalenorm.measuring.measure import describe_galaxy
from scalenorm.measuring.onecall import find_in_one_call
from scalenorm.measuring.options import MeasureOptions

VIEWS = ("normalized", "center-20", "center-200")


def both(image, mask=None, **options):
    """Measurement and views by the steps, and by the one call or None."""
    checked = MeasureOptions(**options)
    frame = as_frame(image, checked, mask)
    galaxy = find_galaxy(frame, checked)
    steps = describe_galaxy(frame, galaxy), crop_views(finite_frame(frame, galaxy), galaxy, VIEWS, 16, checked)
    nothing = np.empty((0, 4)), np.empty((0, 1, frame.bands), frame.rows.dtype)
    found = find_in_one_call(frame, checked, *nothing, inspect=True)
    if found is None:
        return steps, None
    return steps, (
        describe_galaxy(frame, found.galaxy(frame), found.inspection()), find_and_crop(frame, VIEWS, 16, checked)
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "uint16", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("options", [
    {}, {"margin": 3.0}, {"center": "galaxy"}, {"center": (20.5, 31.0)}, {"channel_axis": 0}, {"weights": (1, 0.5, 2)},
])  # fmt: skip
def test_steps_and_call_agree(galaxies, dtype, options):
    for image in galaxies.images[:3]:
        image = image[180:244, 170:240]
        kinds = {"bool": image > np.percentile(image, 85), "int8": image.astype(int) // 2 - 20}
        image = kinds.get(dtype, image).astype(dtype)
        if options.get("channel_axis") == 0:
            image = np.ascontiguousarray(np.moveaxis(image, 2, 0))
        steps, call = both(image, **options)
        assert call is not None
        assert steps[0] == call[0]
        np.testing.assert_array_equal(steps[1], call[1])


def test_masked_pixels(galaxies):
    image = galaxies.images[0][150:270, 150:270]
    mask = np.zeros(image.shape[:2], bool)
    mask[:40] = True
    steps, call = both(image, mask)
    assert call is not None
    assert steps[0] == call[0]
    assert steps[0] != both(image)[0][0]


@pytest.mark.parametrize(("image", "options"), [
    (np.zeros((9, 9), "uint8"), {}),  # no foreground
    (np.array([[0, 1, 1]], "uint8"), {}),  # a threshold that no pixel reaches
    (np.eye(9) * 1e200, {}),  # squares beyond float64
    (np.where(np.eye(9), np.nan, 1.0), {}),
    (np.eye(9, dtype="uint8"), {"sigma": 0.5}),  # exact at one deviation only
    (np.eye(9), {"smooth": 1.0}), (np.eye(9), {"center": "log"}), (np.eye(9), {"side_limits": (2, 4)}),
    (np.eye(9), {"center": (20, 3)}),
])  # fmt: skip
def test_what_is_left_to_the_steps(image, options):
    checked = MeasureOptions(**options)
    frame = as_frame(image, checked)
    nothing = np.empty((0, 4)), np.empty((0, 1, 1), frame.rows.dtype)
    assert find_in_one_call(frame, checked, *nothing, inspect=True) is None
    if options.get("center") == (20, 3):
        with pytest.raises(ValueError, match="outside the image"):
            scalenorm.measure(image, **options)
    else:
        assert scalenorm.measure(image, **options) == describe_galaxy(frame, find_galaxy(frame, checked))
