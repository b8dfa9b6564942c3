"""What may be wrong with a galaxy: its flags."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .. import kernels
from .flags import Flag
from .frame import Frame
from .galaxy import Galaxy
from .region import Region

FULL_ELLIPSE = 0.9  # of its ellipse is what a single galaxy fills; two side by side leave more empty
NEIGHBOUR = 0.05  # of the galaxy's area is the least that makes a neighbour
CONTRAST = 4.0  # deviations of the sky
SKY_STEP = 16  # rows from one to the next in which the deviation of the sky is measured
LARGEST = {np.dtype(name): int(np.iinfo(name).max) for name in ("uint8", "int8", "uint16", "int16")}


class Inspection(NamedTuple):
    """What a second look at the pixels shows."""

    neighbours: int  # foreground pixels in the window that are not the galaxy's
    faint: bool  # the region stands out by less than CONTRAST
    saturated: bool  # it holds the largest value of an integer dtype


def find_flags(frame: Frame, galaxy: Galaxy, inspection: Inspection | None = None) -> Flag:
    """What may be wrong with a galaxy; see `Flag`. The pixels are looked at unless somebody has."""
    threshold, foreground, component, ellipse, window = galaxy
    region = component.region
    holds = {
        "PADDED": window.leaves(frame.height, frame.width),
        "NON_FINITE": has_non_finite(frame, galaxy),
        "SCALE_LIMITED": window.limited,
        "NO_FOREGROUND": region is None,
    }
    if region is not None:
        top, left, bottom, right = region.bbox
        full = math.pi / 4 * ellipse.major_axis * ellipse.minor_axis
        found = inspection or _inspect(frame, galaxy, region)
        thin = ellipse.minor_axis < 1
        holds |= {
            "TOUCHES_EDGE": top == 0 or left == 0 or bottom == frame.height or right == frame.width,
            "OFF_CENTER": math.dist(component.expected, ellipse[:2]) > ellipse.major_axis / 8,
            "DEGENERATE_ELLIPSE": thin,
            "BLENDED": not thin and (component.objects > 1 or region.area < FULL_ELLIPSE * full),
            "MOST_OF_IMAGE": foreground.sky_pixels < threshold.valid - foreground.sky_pixels,
            "SATURATED": found.saturated,
            "NEIGHBOUR_IN_WINDOW": found.neighbours > NEIGHBOUR * region.area,
            "LOW_CONTRAST": found.faint,
        }
    return Flag(sum(_BITS[name] for name, does in holds.items() if does))


#: By name: every operation on the enumeration's own costs a microsecond.
_BITS = {flag.name: int(flag) for flag in Flag}


def _inspect(frame: Frame, galaxy: Galaxy, region: Region) -> Inspection:
    threshold, mask, grey = galaxy.threshold, galaxy.foreground.mask, galaxy.threshold.frame
    top, left = (math.floor(edge) for edge in galaxy.window.corner())
    side = math.ceil(galaxy.window.side)
    window = max(top, 0), max(left, 0), min(top + side, grey.height), min(left + side, grey.width)
    found = kernels.regions.inspect_region(
        grey.rows, grey.kind, grey.weights, grey.valid_pixels, threshold.cutoff, grey.level,
        mask, region.mask, region.mask is mask, region.bbox, window,
        min(SKY_STEP, grey.height), CONTRAST,
        frame.rows, frame.bands, LARGEST.get(frame.dtype, -1),
    )  # fmt: skip
    return Inspection(*found)


def has_non_finite(frame: Frame, galaxy: Galaxy) -> bool:
    """Whether any pixel is NaN or infinite, masked ones included."""
    if frame.rows.dtype.kind != "f":
        return False
    if frame.valid is None:
        return galaxy.threshold.valid < frame.height * frame.width
    return not np.isfinite(frame.rows).all()
