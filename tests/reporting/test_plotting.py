"""`scalenorm.plot`: what is drawn where, against scikit-image and the crops themselves."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import skimage.draw

import scalenorm

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")


@pytest.fixture(autouse=True)
def no_window():
    from matplotlib import pyplot

    before = matplotlib.get_backend()
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")
    pyplot.switch_backend(before)


@pytest.fixture(scope="module")
def image():
    image = np.full((120, 150, 3), 20, np.uint8)
    image[skimage.draw.ellipse(55, 80, 12, 33, rotation=0.5)] = (200, 180, 160)
    return image


def test_ellipse_and_window_lie_around_the_galaxy(image):
    axes = scalenorm.plot(image, margin=1.2, center="galaxy")
    ellipse, window = (line.get_xydata() for line in axes[0].lines)
    pixels = np.column_stack([grid.ravel() for grid in np.meshgrid(np.arange(150), np.arange(120))])
    inside = matplotlib.path.Path(ellipse).contains_points(pixels).reshape(120, 150)
    assert np.count_nonzero(inside != (image[:, :, 0] > 100)) < 60  # of 1,200: the pixels of the edge
    galaxy = scalenorm.measure(image, margin=1.2, center="galaxy")
    np.testing.assert_allclose(np.ptp(window, axis=0), galaxy.side)
    np.testing.assert_allclose(window[:4].mean(axis=0), (galaxy.col, galaxy.row))


def test_image_and_views_are_shown_as_they_are(image):
    names = ["center-64", "normalized"]
    axes = scalenorm.plot(image, names, size=32)
    assert [axis.get_title() for axis in axes] == ["image", *names]
    np.testing.assert_array_equal(axes[0].images[0].get_array(), image)
    assert list(axes[0].images[0].get_extent()) == [-0.5, 149.5, 119.5, -0.5]
    for axis, crop in zip(axes[1:], scalenorm.views(image, names, 32).values(), strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), crop)


def test_flags_are_named(image):
    axes = scalenorm.plot(np.pad(image, 5)[:, 60:], [], margin=4)
    assert "padded" in axes[0].get_xlabel()


def test_floats_masks_and_given_axes(image):
    from matplotlib import pyplot

    values = image.mean(axis=2) * 1e-12
    values[0, 0] = np.nan
    own = pyplot.figure().subplots(2, 2)
    mask = np.zeros((120, 150), bool)
    mask[:, 80:] = True
    axes = scalenorm.plot(values, axes=own[0], mask=mask)
    assert list(axes) == list(own[0])
    assert axes[0].images[0].get_array().shape == (120, 150, 3)
    assert axes[0].lines[0].get_xydata()[:, 0].max() < 85  # the galaxy ends at the mask
    with pytest.raises(ValueError, match=r"axes must be 2, one for the image and one for each view, got 4"):
        scalenorm.plot(values, axes=own.ravel())


@pytest.mark.parametrize(
    ("given", "message"),
    [({"names": "normalized"}, "must be a list of views"), ({"names": ["top"]}, "top"), ({"size": 0}, "size must be")],
)
def test_wrong_values_are_refused_before_anything_is_drawn(image, given, message):
    from matplotlib import pyplot

    with pytest.raises(ValueError, match=message):
        scalenorm.plot(image, **given)
    assert not pyplot.get_fignums()


def test_without_matplotlib_the_extra_is_named(image, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"plot\(\) needs matplotlib: pip install 'scalenorm\[plot\]'"):
        scalenorm.plot(image)
