"""From the bytes of a file to an array: JPEG through simplejpeg, other pictures through Pillow, FITS, .npy.

The format is told from the content, never from the name. Every decoder runs in its strictest mode: what it
reports about damaged data, warning or error, is an `ImageError`, and no second decoder has a try.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["IMAGE_SUFFIXES", "DecodeOptions", "ImageError", "decode", "decode_masked"]

_FITS_SUFFIXES = (".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fts.gz", ".fits.fz")
IMAGE_SUFFIXES = frozenset([".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".npy", *_FITS_SUFFIXES])
"""Endings (lower case) that folders and archives contribute."""


#: Largest file or archive member that is read whatever ``max_pixels`` says.
MAX_BYTES = 2_000_000_000


class ImageError(ValueError):
    """An image that cannot be used; the message is the reason, one line, without the file's name."""


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


def decode(data: bytes, name: str, options: DecodeOptions) -> np.ndarray:
    """Decode one image.

    Parameters
    ----------
    data : bytes
        The whole file. Of a file with several pages or frames the first is taken.
    name : str
        Its name. The format is told from the content, so this is not used to decode.
    options : DecodeOptions
        What to decode to.

    Returns
    -------
    ndarray, (H, W) or (H, W, C)
        Contiguous, native byte order. Pictures: uint8 or uint16, (H, W, 3) or with ``bands="grey"`` (H, W);
        alpha dropped, EXIF orientation applied (a damaged EXIF block turns nothing). FITS and .npy: their own
        type, bands last.

    Raises
    ------
    ImageError
        The file is empty, of no known format, damaged, or larger than `options` allow.

    Examples
    --------
    >>> import io, numpy as np
    >>> from scalenorm.images import DecodeOptions, decode
    >>> file = io.BytesIO()
    >>> np.save(file, np.eye(4, dtype=np.float32))
    >>> decode(file.getvalue(), "eye.npy", DecodeOptions()).shape
    (4, 4)
    """
    return decode_masked(data, name, options)[0]


def decode_masked(data: bytes, name: str, options: DecodeOptions) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode one image and its mask.

    As `decode`; the second value is a bool array (H, W), True = excluded, where `options` name a mask or
    weight map and the file is FITS, else None.
    """
    # Imported here because they import this module, and most runs need only one of them.
    if data[:2] == b"\xff\xd8":
        from .pictures import decode_jpeg

        return decode_jpeg(data, options), None
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        from .pictures import decode_png

        return decode_png(data, options), None
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        from .pictures import decode_tiff

        return decode_tiff(data, options), None
    if data[:2] == b"BM":
        from .pictures import decode_bmp

        return decode_bmp(data, options), None
    if data[:6] == b"\x93NUMPY":
        from .arrays import decode_npy

        return decode_npy(data, options), None
    if data[:6] == b"SIMPLE" or data[:2] == b"\x1f\x8b":
        from .fits import decode_fits

        return decode_fits(data, options)
    if not data:
        raise ImageError("the file is empty")
    raise ImageError(f"not a JPEG, PNG, TIFF, BMP, FITS or .npy file (it begins with {bytes(data[:8])!r})")


def check_size(height: int, width: int, options: DecodeOptions) -> None:
    """Raise `ImageError` for an image of no pixels or of more than ``options.max_pixels``."""
    if height < 1 or width < 1:
        raise ImageError(f"an image of {height} x {width} pixels")
    if height * width > options.max_pixels:
        raise ImageError(
            f"{height} x {width} pixels are more than the limit of {options.max_pixels} (raise max_pixels)"
        )


def reason(error: Exception) -> str:
    """Text of a decoder's exception, as one line of bounded length."""
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)  # without number and path
    text = " ".join(said.split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
