"""What to decode to, and how large an image may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..files.errors import ImageError

_FITS_SUFFIXES = (".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fts.gz", ".fits.fz")
IMAGE_SUFFIXES = frozenset([".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".npy", *_FITS_SUFFIXES])
"""Endings (lower case) that folders and archives contribute."""


#: Largest file or archive member that is read whatever ``max_pixels`` says.
MAX_BYTES = 2_000_000_000


@dataclass(frozen=True)
class DecodeOptions:
    """What to decode to.

    Attributes
    ----------
    dtype : {"uint8", "uint16"}
        Type of pictures. 16-bit samples become 8-bit ones as ``round(v / 257)``, 8-bit ones 16-bit ones as
        ``v * 257``. FITS and .npy keep their own type; ``longdouble`` becomes float64.
    bands : {"rgb", "grey"}
        Bands of pictures. Colour becomes grey as in Pillow's ``convert("L")``.
    max_pixels : int > 0
        Largest height * width, checked in the header before anything is decoded. A file may have 4 bytes for each
        of them, and 2 GB in any case.
    hdu : int, str or None
        FITS: number or EXTNAME of the image; None takes the first HDU that holds a 2-D or 3-D image.
    mask_hdu : int, str or None
        FITS: a mask of the same height and width, non-zero = excluded.
    weight_hdu : int, str or None
        FITS: a weight map of the same height and width, excluded where it is not above 0 or not finite.
    """

    dtype: Literal["uint8", "uint16"] = "uint8"
    bands: Literal["rgb", "grey"] = "rgb"
    max_pixels: int = 500_000_000
    hdu: int | str | None = None
    mask_hdu: int | str | None = None
    weight_hdu: int | str | None = None

    def __post_init__(self) -> None:
        if self.dtype not in ("uint8", "uint16"):
            raise ValueError(f"dtype must be 'uint8' or 'uint16', not {self.dtype!r}")
        if self.bands not in ("rgb", "grey"):
            raise ValueError(f"bands must be 'rgb' or 'grey', not {self.bands!r}")
        if self.max_pixels < 1:
            raise ValueError(f"max_pixels must be at least 1, not {self.max_pixels}")

    @property
    def max_bytes(self) -> int:
        """Largest file or archive member to read."""
        return max(4 * int(self.max_pixels), MAX_BYTES)


def check_size(height: int, width: int, options: DecodeOptions) -> None:
    """Raise `ImageError` for an image of no pixels or of more than ``options.max_pixels``."""
    if height < 1 or width < 1:
        raise ImageError(f"an image of {height} x {width} pixels")
    if height * width > options.max_pixels:
        raise ImageError(
            f"{height} x {width} pixels are more than the limit of {options.max_pixels} (raise max_pixels)"
        )
