"""From the bytes of a file to an array: pictures, FITS and .npy.

Neighbours call `decode` and `decode_masked` with `DecodeOptions`; what cannot be decoded is an `ImageError`.
"""

from ..files.errors import ImageError
from .decoding import decode, decode_masked
from .options import IMAGE_SUFFIXES, DecodeOptions

__all__ = ["IMAGE_SUFFIXES", "DecodeOptions", "ImageError", "decode", "decode_masked"]
