"""What can be wrong with a measurement, one bit each."""

from __future__ import annotations

import enum
from typing import Any


class _InNotebooks:  # an enumeration keeps such names for itself, but inherits them
    def _repr_html_(self: Any) -> str:
        return f"{', '.join(describe(self)) or 'no flag'} <small>(Flag {self:d})</small>"


class Flag(_InNotebooks, enum.IntFlag):
    """Bits of ``Measurement.flags`` and of the catalogue column ``flags``.

    Examples
    --------
    >>> from scalenorm import Flag
    >>> Flag(6)
    <Flag.TOUCHES_EDGE|PADDED: 6>
    >>> Flag.PADDED in Flag(6)
    True
    """

    NO_FOREGROUND = 1
    """No pixel reaches the threshold (or all are equal, or none is valid); the whole image is the window."""
    TOUCHES_EDGE = 2
    """The region touches the frame: part of the galaxy may be missing."""
    PADDED = 4
    """The window leaves the frame and was continued with sky."""
    OFF_CENTER = 8
    """The region's centroid is more than an eighth of its major axis from where the galaxy was expected."""
    BLENDED = 16
    """Deblending found more than one object in the component; or the region fills less than 90% of its ellipse, the
    mark of galaxies side by side (which ``deblend=True`` separates)."""
    NEIGHBOUR_IN_WINDOW = 32
    """Foreground that is not the galaxy lies inside the window: more than 5% of the galaxy's area."""
    NON_FINITE = 64
    """The image holds NaN or infinite pixels; they count for nothing and become sky in the crop."""
    DEGENERATE_ELLIPSE = 128
    """The region is too thin for an ellipse: its minor axis is below one pixel."""
    SATURATED = 256
    """The region holds pixels at the largest value of the image's 8- or 16-bit integer dtype."""
    LOW_CONTRAST = 512
    """The region stands out little: its mean grey level is within four deviations of the sky's mean."""
    SCALE_LIMITED = 1024
    """The window's side was cut to ``side_limits``, or the light's size could not be measured."""
    MOST_OF_IMAGE = 2048
    """More than half of the valid pixels reach the threshold."""


def describe(flags: int) -> list[str]:
    """Names of the bits that are set, in lower case with spaces.

    Examples
    --------
    >>> from scalenorm.measuring.flags import describe
    >>> describe(6)
    ['touches edge', 'padded']
    """
    return [flag.name.lower().replace("_", " ") for flag in Flag if flag & flags and flag.name]
