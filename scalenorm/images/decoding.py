"""From the bytes of a file to an array: JPEG through simplejpeg, other pictures through Pillow, FITS, .npy.

The format is told from the content, never from the name. Every decoder runs in its strictest mode: what it
reports about damaged data, warning or error, is an `ImageError`, and no second decoder has a try.
"""

from __future__ import annotations

import numpy as np

from ..files.errors import ImageError
from ..files.reading import COMPRESSED
from .fits import decode_fits
from .npy import decode_npy
from .options import DecodeOptions
from .pictures import OTHERS, decode_jpeg, decode_other, decode_png, decode_tiff

#: Decoders by what their files begin with; FITS files have masks too.
_DECODERS = {
    b"\xff\xd8": decode_jpeg,
    b"\x89PNG\r\n\x1a\n": decode_png,
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), decode_tiff),
    b"\x93NUMPY": decode_npy,
    **dict.fromkeys(OTHERS, decode_other),
}


def decode(data: bytes | np.ndarray, name: str, options: DecodeOptions) -> np.ndarray:
    """Decode one image.

    Parameters
    ----------
    data : bytes or ndarray
        The whole file. Of a file with several pages or frames the first is taken. Pixels cut from a tile are an
        array already, and are returned as they are.
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
    >>> from scalenorm.images.decoding import DecodeOptions, decode
    >>> file = io.BytesIO()
    >>> np.save(file, np.eye(4, dtype=np.float32))
    >>> decode(file.getvalue(), "eye.npy", DecodeOptions()).shape
    (4, 4)
    """
    return decode_masked(data, name, options)[0]


def decode_masked(data: bytes | np.ndarray, name: str, options: DecodeOptions) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode one image and its mask.

    As `decode`; the second value is a bool array (H, W), True = excluded, where `options` name a mask or
    weight map and the file is FITS, else None.
    """
    if isinstance(data, np.ndarray):
        return data, None
    for start, decoder in _DECODERS.items():
        if data.startswith(start):
            return decoder(data, options), None
    if data.startswith((b"SIMPLE", *COMPRESSED)):
        return decode_fits(data, options)
    if not data:
        raise ImageError("the file is empty")
    raise ImageError(
        f"not a JPEG, PNG, TIFF, FITS or .npy file, nor another image that is read (it begins with {bytes(data[:8])!r})"
    )
