"""Galaxies at positions: as astropy cuts them, and as a crop of each stamp."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.nddata import CCDData, Cutout2D

import scalenorm
from scalenorm import Flag
from scalenorm.cropping.stamps import cut_stamp
from scalenorm.simulation.tile import make_tile


@pytest.fixture(scope="module")
def tile():
    return make_tile(12, seed=4, size=500)


@pytest.fixture(scope="module")
def positions(tile):
    """Those of the tile's galaxies, and some at its edges and corners."""
    edges = [(0, 0), (-0.5, 499.4), (3.2, 250), (499.4, 499.4), (250.5, 1)]
    return np.concatenate([np.c_[tile.row, tile.col], edges])


def by_hand(image, position, side):
    """The stamp as astropy cuts it, NaN beyond the image."""
    planes = [Cutout2D(plane, position[::-1], side, mode="partial", fill_value=np.nan) for plane in image]
    return np.stack([plane.data for plane in planes], axis=2), planes[0]


@pytest.mark.parametrize("side", [31, 64])
def test_stamps_are_those_of_astropy(tile, positions, side):
    planes = np.moveaxis(tile.image, 2, 0)
    measurements, crops = scalenorm.crop_at(tile.image, positions, side, 20, n_jobs=2)
    assert crops.shape == (len(positions), 20, 20, 3)
    for position, found, crop in zip(positions, measurements, crops, strict=True):
        stamp, cutout = by_hand(planes, position, side)
        wanted = scalenorm.measure(stamp)
        np.testing.assert_array_equal(crop, scalenorm.crop(stamp, 20))
        left, top = np.subtract(cutout.origin_original, cutout.origin_cutout)
        assert (found.row, found.col) == (wanted.row + top, wanted.col + left)
        assert (found.major_axis, found.area, found.height) == (wanted.major_axis, wanted.area, side)
        ignored = Flag.NON_FINITE | Flag.PADDED | Flag.TOUCHES_EDGE
        assert found.flags & ~ignored == wanted.flags & ~ignored
        assert Flag.NON_FINITE not in found.flags


def test_integers_go_on_as_sky_too(tile):
    image = (tile.image[:, :, 0] * 200).astype(np.uint16)
    (found,), (crop,) = scalenorm.crop_at(image, [(2, 250)], 80, 40, view="center-80")
    assert crop.dtype == np.uint16
    assert (crop[:18] == round(found.sky[0])).all()
    assert Flag.PADDED not in scalenorm.crop_at(image, [(250, 250)], 80)[0][0].flags


def test_what_meets_the_edge_of_the_image_is_flagged():
    image = np.zeros((100, 100))
    image[:12, 40:60] = image[60:70, 40:60] = 1
    (edge, inside), _ = scalenorm.crop_at(image, [(5, 50), (64, 50)], 40)
    assert edge.flags & (Flag.TOUCHES_EDGE | Flag.PADDED) == Flag.TOUCHES_EDGE | Flag.PADDED
    assert not inside.flags & (Flag.TOUCHES_EDGE | Flag.PADDED)
    assert edge.bbox == (0, 40, 12, 60)


def test_the_smallest_stamp_that_holds_the_galaxy():
    image = np.zeros((600, 600))
    for row, length in ((100, 20), (200, 50), (400, 90)):
        image[row - 5 : row + 5, 300 - length : 300 + length] = 1
    measurements, _ = scalenorm.crop_at(image, [(100, 300), (200, 300), (400, 300)], (32, 150))
    assert [found.width for found in measurements] == [64, 128, 150]
    assert [Flag.TOUCHES_EDGE in found.flags for found in measurements] == [False, False, True]


def test_masks_and_bands_first(tile):
    mask = np.zeros((500, 500), bool)
    mask[240:260, 230:250] = True
    planes = np.moveaxis(tile.image, 2, 0)
    places = [(250, 250), (3, 480)]
    wanted, crops = scalenorm.crop_at(tile.image, places, 64, mask=mask)
    for given, options in (
        (planes, {"mask": mask, "channel_axis": 0}),
        (np.ma.masked_array(tile.image, np.repeat(mask[:, :, None], 3, axis=2)), {}),
        (CCDData(planes, mask=np.repeat(mask[None], 3, axis=0), unit="adu"), {"channel_axis": 0}),
    ):
        found, same = scalenorm.crop_at(given, places, 64, **options)
        assert found == wanted
        np.testing.assert_array_equal(same, crops)
    assert scalenorm.crop_at(tile.image, places, 64)[0] != wanted


def test_only_the_stamps_are_read(tile):
    class Sliced:
        """An image that gives what is sliced, and no more."""

        shape = (500, 500)

        def __getitem__(self, key):
            read.append(tuple((part.start, part.stop) for part in key))
            return tile.image[(*key, 0)]

    read = []
    cut_stamp(Sliced(), None, 10.0, 490.0, 64)
    assert read == [((0, 42), (458, 500))]


@pytest.mark.parametrize(
    ("positions", "stamp", "message"),
    [
        ([(5, 5), (600, 5)], 32, r"position 1, \(600\.0, 5\.0\), lies outside the image of shape \(500, 500\)"),
        ([(5, np.nan)], 32, r"position 0, \(5\.0, nan\), lies outside"),
        ([5, 5], 32, r"positions must be one or more \(row, col\), shape \(N, 2\), got shape \(2,\)"),
        ([], 32, r"got shape \(0,\)"),
        ([(5, 5)], 0, r"stamp must be a positive number of pixels, or a pair of them, got 0"),
        ([(5, 5)], 12.5, r"got 12\.5"),
        ([(5, 5)], (64, 32), r"stamp must name the smallest side first, got \(64, 32\)"),
    ],
)
def test_what_cannot_be_cut(tile, positions, stamp, message):
    with pytest.raises(ValueError, match=message):
        scalenorm.crop_at(tile.image, positions, stamp)


def test_bands_first_must_be_said(tile):
    with pytest.raises(ValueError, match=r"shape \(3, 500, 500\) looks like bands first"):
        scalenorm.crop_at(np.moveaxis(tile.image, 2, 0), [(5, 5)], 32)
