"""FITS images and their masks, through astropy (extra ``fits``)."""

from __future__ import annotations

import gzip
import io
import math
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..files.errors import ImageError, reason
from .decoder_warnings import data_warnings_raise
from .options import DecodeOptions, blank_to_nan, check_size

# What astropy says about lost or changed data; its many remarks on header style are no failure.
_DAMAGE = "truncated|verification failed|[Ee]rror|corrupt|not enough|missing"

# astropy changes process-wide warning filters while it reads, and runs under the GIL anyway.
_lock = threading.Lock()


def decode_fits(data: bytes, options: DecodeOptions) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode the image and the mask that `options` name, of a file that may be gzipped.

    The image has the type of the file (after BSCALE and BZERO). Three axes are taken as bands first, the custom of
    FITS, unless the last has at most 4 and no more than the first. Leading axes of length 1 are dropped. The mask,
    (H, W), is True where any band is excluded.
    """
    with _opened(data, options) as hdus:
        image = blank_to_nan(_pixels(_find(hdus, options.hdu), options), options)
        mask = None
        for key, is_weight in ((options.mask_hdu, False), (options.weight_hdu, True)):
            if key is None:
                continue
            values = _pixels(_find(hdus, key), options)
            excluded = ~(np.isfinite(values) & (values > 0)) if is_weight else values != 0
            if excluded.ndim == 3:
                excluded = excluded.any(axis=2)
            if excluded.shape != image.shape[:2]:
                raise ImageError(
                    f"HDU {key!r} of shape {excluded.shape} does not fit the image of shape {image.shape[:2]}"
                )
            mask = excluded if mask is None else mask | excluded
    return image, mask


@contextmanager
def _opened(data: bytes, options: DecodeOptions) -> Iterator[Any]:
    """Open the HDU list; whatever astropy raises inside becomes an `ImageError`."""
    try:
        from astropy.io import fits
    except ImportError:
        raise ImageError("reading FITS needs astropy: pip install 'scalenorm[fits]'") from None
    if data[:2] == b"\x1f\x8b":
        data = _gunzip(data, options)
    try:
        with (
            _lock,
            data_warnings_raise(_DAMAGE),
            fits.open(io.BytesIO(data), memmap=False, checksum=True, lazy_load_hdus=True) as hdus,
        ):
            yield hdus
    except ImageError:
        raise
    except Exception as error:  # hostile headers make it raise nearly anything
        raise ImageError(f"damaged or unsupported FITS: {reason(error)}") from error


def _gunzip(data: bytes, options: DecodeOptions) -> bytes:
    limit = 4 * options.max_pixels + (1 << 24)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            plain = file.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ImageError(f"damaged gzip file: {reason(error)}") from error
    if len(plain) > limit:
        raise ImageError(f"a gzip file of more than {limit} bytes (raise max_pixels)")
    if plain[:6] != b"SIMPLE":
        raise ImageError("a gzip file that holds no FITS file")
    return plain


def _shape(hdu: Any) -> tuple[int, ...]:
    """Axes in NumPy order without leading ones of length 1; () where the HDU holds no image."""
    if not hdu.is_image:
        return ()
    shape = tuple(int(n) for n in hdu.shape)
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    return shape


def _find(hdus: Any, key: int | str | None) -> Any:
    if key is None:
        for hdu in hdus:
            if len(_shape(hdu)) in (2, 3):
                return hdu
        raise ImageError("no HDU holds a 2-D or 3-D image")
    if isinstance(key, str) and key.isdecimal():
        key = int(key)
    try:
        hdu = hdus[key]
    except (KeyError, IndexError):
        names = ", ".join(f"{number} {hdu.name!r}" for number, hdu in enumerate(hdus))
        raise ImageError(f"no HDU {key!r}; the file has {names}") from None
    if len(_shape(hdu)) not in (2, 3):
        raise ImageError(f"HDU {key!r} holds no 2-D or 3-D image")
    return hdu


def _pixels(hdu: Any, options: DecodeOptions) -> np.ndarray:
    shape = _shape(hdu)
    bands_first = len(shape) == 3 and (shape[2] > 4 or shape[0] < shape[2])
    height, width = shape[1:] if bands_first else shape[:2]
    check_size(height, width, options)
    if math.prod(shape) > 4 * options.max_pixels:
        raise ImageError(f"a cube of shape {shape} holds over 4 values for each of {options.max_pixels} pixels")
    info = hdu.fileinfo()
    if type(hdu).__name__ != "CompImageHDU" and info["datLoc"] + hdu.size > info["file"].size:
        raise ImageError("damaged FITS: the file ends before the image does")
    values = np.asarray(hdu.data).reshape(shape)
    if bands_first:
        values = np.moveaxis(values, 0, 2)
    return np.array(values, dtype=values.dtype.newbyteorder("="), order="C")
