"""Pictures: JPEG through simplejpeg; all others through Pillow."""

from __future__ import annotations

import io
import re
import struct
import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files.errors import ImageError, reason, turned_into
from .decoder_warnings import data_warnings_raise, tiff_errors_raise
from .options import DecodeOptions, blank_to_nan, check_size

if TYPE_CHECKING:
    from PIL import Image, ImageFile


# libjpeg-turbo's own advice: beyond this many scans a small file can keep the decoder busy for hours.
_MAX_SCANS = 500


def decode_jpeg(data: bytes, options: DecodeOptions) -> np.ndarray:
    """Decode a JPEG file; what libjpeg calls a warning is an `ImageError` too."""
    height, width, bands, orientation = _jpeg_header(data)
    check_size(height, width, options)
    import simplejpeg

    colorspace = "CMYK" if bands == 4 else "GRAY" if bands == 1 and options.bands == "grey" else "RGB"
    try:
        # strict: what libjpeg calls a warning (missing or corrupt data, replaced by grey) raises too.
        image = simplejpeg.decode_jpeg(data, colorspace=colorspace, strict=True)
    except (ValueError, RuntimeError, MemoryError) as error:
        if "subsampling" in str(error):
            raise ImageError("damaged JPEG, or one of an unusual chroma subsampling; save it anew") from error
        raise ImageError(f"damaged JPEG: {reason(error)}") from error
    if bands == 4:
        from PIL import Image

        # Adobe writes CMYK inverted, and so does everyone else; Pillow assumes the same.
        image = np.asarray(Image.fromarray(255 - image, "CMYK").convert("RGB"))
    return _finish(image[:, :, 0] if colorspace == "GRAY" else image, orientation, options)


def _jpeg_header(data: bytes) -> tuple[int, int, int, int]:
    """Height, width, number of components and EXIF orientation, from the markers before the first scan."""
    size = bands = height = width = 0
    orientation = 1
    progressive = False
    pos, end = 2, len(data) - 4
    while pos < end:
        if data[pos] != 0xFF:
            raise ImageError("damaged JPEG: stray bytes between the markers")
        marker = data[pos + 1]
        if marker == 0xFF:
            pos += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            pos += 2
            continue
        if marker == 0xDA:
            if not bands:
                break
            if progressive and data.count(b"\xff\xda") > _MAX_SCANS:
                raise ImageError(f"a progressive JPEG of more than {_MAX_SCANS} scans")
            return height, width, bands, orientation
        size = data[pos + 2] << 8 | data[pos + 3]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if bands or pos + 10 > len(data):
                break
            height, width, bands = struct.unpack_from(">HHB", data, pos + 5)
            progressive = marker in (0xC2, 0xC6, 0xCA, 0xCE)
        elif marker == 0xE1 and data[pos + 4 : pos + 10] == b"Exif\0\0":
            orientation = _exif_orientation(data[pos + 10 : pos + 2 + size])
        pos += 2 + size
    raise ImageError("damaged JPEG: no image after its header")


def _exif_orientation(exif: bytes) -> int:
    """Orientation 1 to 8 of an EXIF block; 1 where it has none or cannot be read."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return 1
    first = struct.unpack_from(order + "I", exif, 4)[0]
    if first + 2 > len(exif):
        return 1
    count = struct.unpack_from(order + "H", exif, first)[0]
    for pos in range(first + 2, min(first + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, number, value = struct.unpack_from(order + "HHIH", exif, pos)
        if tag == 0x0112:
            return value if kind == 3 and number == 1 and 1 <= value <= 8 else 1
    return 1


def decode_png(data: bytes, options: DecodeOptions) -> np.ndarray:
    """Decode a PNG file, of an animated one the default image."""
    from PIL.PngImagePlugin import PngImageFile

    exif = _check_png(data)
    return _finish(_decode_pillow(PngImageFile, "PNG", data, options), _exif_orientation(exif), options)


def decode_tiff(data: bytes, options: DecodeOptions) -> np.ndarray:
    """Decode the first page of a TIFF file."""
    from PIL.TiffImagePlugin import TiffImageFile

    # Pillow turns TIFFs itself.
    image = _decode_pillow(TiffImageFile, "TIFF", data, options)
    if image.dtype.kind == "f":  # no picture, but fluxes
        return blank_to_nan(np.require(image, requirements=("C", "W")), options)
    return _finish(image, 1, options)


#: What other formats begin with, and Pillow's plugins for them.
OTHERS = {
    b"BM": "Bmp",
    b"GIF87a": "Gif",
    b"GIF89a": "Gif",
    b"RIFF": "WebP",
    b"\0\0\0\x0cjP  \r\n\x87\n": "Jpeg2K",
    b"\xff\x4f\xff\x51": "Jpeg2K",
    **dict.fromkeys((b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"), "Ppm"),
    b"qoif": "Qoi",
    b"\x01\xda": "Sgi",
}


def decode_other(data: bytes, options: DecodeOptions) -> np.ndarray:
    """Decode the first frame of a picture in one of the formats of `OTHERS`."""
    name = next(name for start, name in OTHERS.items() if data.startswith(start))
    plugin = getattr(import_module(f"PIL.{name}ImagePlugin"), f"{name}ImageFile")
    kind = {"Jpeg2K": "JPEG 2000", "WebP": "WebP", "Ppm": "PNM"}.get(name, name.upper())
    return _finish(_decode_pillow(plugin, kind, data, options), 1, options)


def _check_png(data: bytes) -> bytes:
    """Walk the chunks, compare their check sums (Pillow skips those of the pixels), return the EXIF block."""
    view, pos, exif = memoryview(data), 8, b""
    while pos + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, pos)
        if pos + 12 + size > len(data):
            break
        if zlib.crc32(view[pos + 4 : pos + 8 + size]) != struct.unpack_from(">I", data, pos + 8 + size)[0]:
            raise ImageError(f"damaged PNG: wrong check sum of chunk {kind!r}")
        if kind == b"eXIf":
            exif = data[pos + 8 : pos + 8 + size]
        if kind == b"IEND":
            return exif
        pos += 12 + size
    raise ImageError("damaged PNG: the file ends early")


def _decode_pillow(plugin: type[ImageFile.ImageFile], kind: str, data: bytes, options: DecodeOptions) -> np.ndarray:
    """Pixels as (H, W) or (H, W, 3), uint8 or uint16."""
    # Hostile files make Pillow's decoders raise nearly anything (SyntaxError, KeyError, OverflowError, ...).
    words = f"damaged or unsupported {kind}"
    with turned_into(ImageError, words, Exception), data_warnings_raise(), tiff_errors_raise():
        # The plugin, not Image.open: that guesses other formats and has its own limit on pixels.
        image: Any = plugin(io.BytesIO(data))
        check_size(image.height, image.width, options)
        if kind == "TIFF" and {322, 323} <= set(image.tag_v2):
            # libtiff makes room for a whole tile, even where the image covers only its corner.
            check_size(image.tag_v2[323], image.tag_v2[322], options)
        if kind == "TIFF" and image.tag_v2.get(284) == 2 and max(image.tag_v2.get(258, (1,))) > 8:
            # Pillow takes their bytes for 8-bit samples.
            raise ImageError("16-bit samples in separate planes are not supported; convert it to FITS or .npy")
        if kind in ("PNG", "TIFF") and any(";16" in raw for raw in _raw_modes(image)):
            return _wide_pixels(plugin, image, data)
        if kind == "TIFF" and image.mode == "F":
            return np.asarray(image)
        if image.mode.startswith("I") and kind in ("JPEG 2000", "PNM"):
            return np.asarray(image).astype(np.uint16)
        return _narrow_pixels(image, kind)


def _narrow_pixels(image: Image.Image, kind: str) -> np.ndarray:
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        raise ImageError(f"a {kind} of {image.mode!r} samples is not supported; convert it to FITS or .npy")
    image.load()
    image.info.pop("transparency", None)  # else Pillow warns that converting drops it
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _raw_modes(image: Any) -> list[str]:
    return [tile[3] if isinstance(tile[3], str) else tile[3][0] for tile in image.tile]


def _wide_pixels(plugin: Any, image: Any, data: bytes) -> np.ndarray:
    """16-bit samples of `image`, whose pixels are not loaded yet."""
    modes = set(_raw_modes(image))
    if len(modes) == 1 and (mode := modes.pop()) in ("I;16", "I;16B", "I;16L", "I;16N"):
        pixels = np.asarray(image).astype(np.uint16)
        white_is_zero = getattr(image, "tag_v2", {}).get(262) == 0  # of 8-bit samples Pillow knows that itself
        return 65535 - pixels if white_is_zero else pixels
    if mode == "LA;16B":
        # Four bytes to a pixel: grey high and low, alpha high and low.
        _set_raw_mode(image, "RGBA")
        pairs = np.asarray(image)
        return pairs[:, :, 0].astype(np.uint16) << 8 | pairs[:, :, 1]
    if re.fullmatch(r"RGB[AX]?;16[BLN]", mode) is None:
        raise ImageError(f"16-bit samples of layout {mode!r} are not supported; convert it to FITS or .npy")
    # Pillow has no 16-bit colour: it keeps the high byte of each sample. Read with the other byte order it
    # keeps the low one.
    native = "L" if np.little_endian else "B"
    other = {"L": "B", "B": "L"}[mode[-1].replace("N", native)]
    low = plugin(io.BytesIO(data))
    _set_raw_mode(low, mode[:-1] + other)
    high = np.asarray(image)[:, :, :3].astype(np.uint16)
    return high << 8 | np.asarray(low)[:, :, :3]


def _set_raw_mode(image: Any, mode: str) -> None:
    image.tile = [tile._replace(args=mode if isinstance(tile[3], str) else (mode, *tile[3][1:])) for tile in image.tile]


def _finish(image: np.ndarray, orientation: int, options: DecodeOptions) -> np.ndarray:
    """Bands, type and orientation of a picture (H, W) or (H, W, 3) of uint8 or uint16."""
    if options.bands == "grey" and image.ndim == 3:
        image = _grey(image)
    if image.dtype != options.dtype:
        if options.dtype == "uint16":
            image = image * np.uint16(257)
        else:
            image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if options.bands == "rgb" and image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    if orientation > 1:
        image = _turn(image, orientation)
    return image if image.flags.carray else np.require(image, requirements=("C", "W"))


def _grey(image: np.ndarray) -> np.ndarray:
    """Luma of Rec. 601 in Pillow's fixed point, for 8 and 16 bits alike."""
    if image.dtype == np.uint8:
        from PIL import Image

        return np.asarray(Image.fromarray(image).convert("L"))
    red, green, blue = (image[:, :, band].astype(np.uint32) for band in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(image.dtype)


def _turn(image: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation of 2 to 8."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image
