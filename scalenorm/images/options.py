"""What to decode to, and how large an image may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..files.errors import ImageError

_PICTURES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".j2k", ".ppm", ".pgm",
    ".qoi",
)  # fmt: skip
_FITS = [name + ending for name in (".fits", ".fit", ".fts") for ending in ("", ".gz", ".bz2", ".xz")]
IMAGE_SUFFIXES = frozenset([*_PICTURES, ".npy", *_FITS, ".fits.fz"])
"""Endings (lower case) that folders and archives contribute."""


def image_suffix(name: str) -> str:
    """Return the ending of an image's name, one of `IMAGE_SUFFIXES`, or "" where it has none."""
    lower = name.lower()
    return max((suffix for suffix in IMAGE_SUFFIXES if lower.endswith(suffix)), key=len, default="")


#: What stands for the name of a band in the path of an image whose bands have files of their own.
BAND = "{band}"

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
    bands : {"rgb", "grey"} or sequence of str
        Bands of pictures. Colour becomes grey as in Pillow's ``convert("L")``. Or the names of bands that have files of
        their own: the path of an image then has ``{band}`` in their place.
    max_pixels : int > 0
        Largest height * width, checked in the header before anything is decoded. A file may have 4 bytes for each
        of them, and 2 GB in any case.
    hdu : int, str or None
        FITS: number or EXTNAME of the image; None takes the first HDU that holds a 2-D or 3-D image.
    mask_hdu : int, str or None
        FITS: a mask of the same height and width, non-zero = excluded.
    weight_hdu : int, str or None
        FITS: a weight map of the same height and width, excluded where it is not above 0 or not finite.
    blank : float or None
        FITS and .npy: pixels of this value hold no data, and become NaN. Images of integers become float, as they do
        where a FITS header has BLANK.
    """

    dtype: Literal["uint8", "uint16"] = "uint8"
    bands: str | Sequence[str] = "rgb"
    max_pixels: int = 500_000_000
    hdu: int | str | None = None
    mask_hdu: int | str | None = None
    weight_hdu: int | str | None = None
    blank: float | None = None

    def __post_init__(self) -> None:
        if self.dtype not in ("uint8", "uint16"):
            raise ValueError(f"dtype must be 'uint8' or 'uint16', not {self.dtype!r}")
        if isinstance(self.bands, str):
            if self.bands not in ("rgb", "grey"):
                raise ValueError(f"bands must be 'rgb' or 'grey', not {self.bands!r}")
        else:
            object.__setattr__(self, "bands", _checked_bands(self.bands))
        if self.max_pixels < 1:
            raise ValueError(f"max_pixels must be at least 1, not {self.max_pixels}")
        if self.blank is not None:
            if not math.isfinite(self.blank):
                raise ValueError(f"blank must be a finite number, not {self.blank}: such pixels never count as valid")
            object.__setattr__(self, "blank", float(self.blank))  # -99 and -99.0 are one setting

    @property
    def has_band_files(self) -> bool:
        """Whether each band of an image has a file of its own."""
        return not isinstance(self.bands, str)

    def files(self, path: str) -> list[str]:
        """Return the file of an image, or those of its bands."""
        return [path.replace(BAND, band) for band in self.bands] if self.has_band_files else [path]

    @property
    def of_one_file(self) -> DecodeOptions:
        """What to decode each of these files to."""
        return replace(self, bands="grey") if self.has_band_files else self

    @property
    def max_bytes(self) -> int:
        """Largest file or archive member to read."""
        return max(4 * int(self.max_pixels), MAX_BYTES)


def _checked_bands(names: Sequence[str]) -> tuple[str, ...]:
    bands = tuple(names)
    plain = all(isinstance(name, str) and name and not set(name) & set("/{}") for name in bands)
    if not plain or len(bands) < 2 or len(set(bands)) < len(bands):
        given = ",".join(map(str, bands))
        raise ValueError(f"bands must name two or more bands, each once, such as g,r,z, not {given!r}")
    return bands


def check_size(height: int, width: int, options: DecodeOptions) -> None:
    """Raise `ImageError` for an image of no pixels or of more than ``options.max_pixels``."""
    if height < 1 or width < 1:
        raise ImageError(f"an image of {height} x {width} pixels")
    if height * width > options.max_pixels:
        raise ImageError(
            f"{height} x {width} pixels are more than the limit of {options.max_pixels} (raise max_pixels)"
        )


def blank_to_nan(image: np.ndarray, options: DecodeOptions) -> np.ndarray:
    """Give an image with NaN where it has the value ``options.blank``."""
    if options.blank is None:
        return image
    if image.dtype.kind != "f":
        image = image.astype(np.float32 if image.itemsize <= 2 else np.float64)
    kind = image.dtype.type
    with np.errstate(over="ignore"):
        return np.where(image == kind(options.blank), kind(np.nan), image)
