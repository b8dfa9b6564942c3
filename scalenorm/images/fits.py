"""FITS images and their masks, through astropy (extra ``fits``)."""

from __future__ import annotations

import contextlib
import io
import lzma
import math
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from ..files.errors import ImageError, turned_into
from ..files.optional import optional_package
from ..files.reading import COMPRESSED
from .decoder_warnings import data_warnings_raise
from .options import DecodeOptions, blank_to_nan, check_size

# What astropy says about lost or changed data; its many remarks on header style are no failure.
_DAMAGE = "truncated|verification failed|[Ee]rror|corrupt|not enough|missing"

# astropy changes process-wide warning filters while it reads, and runs under the GIL anyway.
_lock = threading.Lock()


def decode_fits(data: bytes, options: DecodeOptions) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode the image and the mask that `options` name, of a file that may be compressed as a whole.

    The image has the type of the file (after BSCALE and BZERO). Three axes are taken as bands first, the custom of
    FITS, unless the last has at most 4 and no more than the first. Leading axes of length 1 are dropped. The mask,
    (H, W), is True where any band is excluded.
    """
    with contextlib.closing(FitsImage(data, options)) as file:
        return blank_to_nan(_plain_array(file.pixels[:, :]), options), file.mask


class FitsImage:
    """An image in a FITS file of which only what is used is read; its `shape` is (H, W) or (H, W, C).

    `file` is a path on this machine, of a file that is not compressed as a whole and whose check sums are not verified;
    or the bytes of any.
    """

    def __init__(self, file: str | bytes, options: DecodeOptions) -> None:
        self._file, self.options = file, options
        with _opened(file, options) as self._hdus:
            self._hdu = _find(self._hdus, options.hdu)
            self.header = self._hdu.header
            shape, self._bands_first = _layout(self._hdu, options)
            self.shape = (*shape[1:], shape[0]) if self._bands_first else shape

    def close(self) -> None:
        """Close the file."""
        self._hdus.close()

    @cached_property
    def pixels(self) -> Any:
        """The pixels, (H, W) or (H, W, C): an array, or what gives one when sliced in rows and columns."""
        scale = [self.header.get(name, usual) for name, usual in (("BSCALE", 1), ("BZERO", 0), ("BLANK", None))]
        is_mapped = _is_plain(self._hdu) and isinstance(self._file, str)
        # astropy leaves BLANK in unsigned integers, and where it is 0.
        if scale == [1, 0, None] or not (is_mapped or (scale[2] is not None and self.header["BITPIX"] > 0)):
            with _errors():
                return self._mapped(self._hdu.data) if is_mapped else _pixels(self._hdu, self.options)
        with _opened(self._file, self.options, do_not_scale_image_data=True) as hdus, contextlib.closing(hdus):
            raw = self._mapped(hdus[self._hdus.index(self._hdu)].data)
            return Sliced(raw.shape, lambda key: _scaled(raw[key], *scale))

    def _mapped(self, data: Any) -> np.ndarray:
        return _bands_last(data, _shape(self._hdu), self._bands_first)

    @cached_property
    def mask(self) -> np.ndarray | None:
        """The mask that the options name, (H, W), True = excluded."""
        with _errors():
            return _mask(self._hdus, self.shape[:2], self.options)


class Sliced:
    """What gives an array when it is sliced in rows and columns, and makes no more than that."""

    def __init__(self, shape: tuple[int, ...], make: Callable[[tuple[slice, slice]], np.ndarray]) -> None:
        self._make, self.shape, self.ndim = make, shape, len(shape)
        self.dtype = self[:1, :1].dtype

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        return self._make(key)


def _scaled(raw: np.ndarray, scale: float, zero: float, blank: int | None) -> np.ndarray:
    """Return pixels as BSCALE, BZERO and BLANK say, in the types that astropy gives."""
    raw = raw.astype(raw.dtype.newbyteorder("="))
    bits = 8 * raw.itemsize
    if raw.dtype.kind in "iu" and scale == 1 and blank is None:
        if raw.dtype.kind == "i" and zero == 1 << (bits - 1):  # FITS has no unsigned integers of its own
            return raw.view(f"u{raw.itemsize}") ^ np.array(1 << (bits - 1), f"u{raw.itemsize}")
        if raw.dtype.kind == "u" and zero == -128:
            return (raw ^ np.uint8(128)).view(np.int8)
    kind = raw.dtype if raw.dtype.kind == "f" else np.dtype(np.float32 if bits <= 16 else np.float64)
    values = raw.astype(kind)
    if scale != 1:
        values *= kind.type(scale)
    if zero != 0:
        values += kind.type(zero)
    if blank is not None and raw.dtype.kind in "iu":
        values[raw == blank] = np.nan
    return values


def _mask(hdus: Any, shape: tuple[int, ...], options: DecodeOptions) -> np.ndarray | None:
    """Return the mask that `options` name, (H, W), True = excluded."""
    mask = None
    for key, is_weight in ((options.mask_hdu, False), (options.weight_hdu, True)):
        if key is None:
            continue
        values = _pixels(_find(hdus, key), options)
        excluded = ~(np.isfinite(values) & (values > 0)) if is_weight else values != 0
        if excluded.ndim == 3:
            excluded = excluded.any(axis=2)
        if excluded.shape != shape:
            raise ImageError(f"HDU {key!r} of shape {excluded.shape} does not fit the image of shape {shape}")
        mask = excluded if mask is None else mask | excluded
    return mask


@contextmanager
def _opened(data: bytes | str, options: DecodeOptions, **more: bool) -> Iterator[Any]:
    """Open the HDU list of a file's bytes, or, mapped, of a path; whoever wants the latter closed closes it."""
    fits = optional_package("astropy.io.fits", "fits", "reading FITS", ImageError)
    mapped = isinstance(data, str)
    if isinstance(data, bytes) and data.startswith(tuple(COMPRESSED)):
        data = _decompressed(data, options)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(data, "rb") if isinstance(data, str) else io.BytesIO(data))  # noqa: SIM115
        with _errors():
            # With True in place of None astropy would refuse to read numbers that are to be scaled.
            yield fits.open(file, memmap=None if mapped else False, checksum=not mapped, lazy_load_hdus=True, **more)
        stack.pop_all()


@contextmanager
def _errors() -> Iterator[None]:
    # Hostile headers make astropy raise nearly anything.
    with turned_into(ImageError, "damaged or unsupported FITS", Exception), _lock, data_warnings_raise(_DAMAGE):
        yield


def _decompressed(data: bytes, options: DecodeOptions) -> bytes:
    """Return the FITS file in a file that is compressed as a whole."""
    name, opener = next(found for start, found in COMPRESSED.items() if data.startswith(start))
    limit = 4 * options.max_pixels + (1 << 24)
    caught = (OSError, EOFError, zlib.error, lzma.LZMAError)
    with turned_into(ImageError, f"damaged {name} file", *caught), opener(io.BytesIO(data)) as file:
        plain: bytes = file.read(limit + 1)
    if len(plain) > limit:
        raise ImageError(f"a {name} file of more than {limit} bytes (raise max_pixels)")
    if plain[:6] != b"SIMPLE":
        raise ImageError(f"a {name} file that holds no FITS file")
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


def _layout(hdu: Any, options: DecodeOptions) -> tuple[tuple[int, ...], bool]:
    """Check the size of an image; return its shape in the file, and whether bands come first."""
    shape = _shape(hdu)
    bands_first = len(shape) == 3 and (shape[2] > 4 or shape[0] < shape[2])
    height, width = shape[1:] if bands_first else shape[:2]
    check_size(height, width, options)
    if math.prod(shape) > 4 * options.max_pixels:
        raise ImageError(f"a cube of shape {shape} holds over 4 values for each of {options.max_pixels} pixels")
    info = hdu.fileinfo()
    if _is_plain(hdu) and info["datLoc"] + hdu.size > info["file"].size:
        raise ImageError("damaged FITS: the file ends before the image does")
    return shape, bands_first


def _is_plain(hdu: Any) -> bool:
    return type(hdu).__name__ != "CompImageHDU"


def _bands_last(data: Any, shape: tuple[int, ...], bands_first: bool) -> np.ndarray:
    values = np.asarray(data).reshape(shape)
    return np.moveaxis(values, 0, 2) if bands_first else values


def _pixels(hdu: Any, options: DecodeOptions) -> np.ndarray:
    shape, bands_first = _layout(hdu, options)
    return _plain_array(_bands_last(hdu.data, shape, bands_first))


def _plain_array(values: np.ndarray) -> np.ndarray:
    return np.array(values, dtype=values.dtype.newbyteorder("="), order="C")
