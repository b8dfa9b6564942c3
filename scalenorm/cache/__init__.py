"""The cache file: its format, the writer of parts, the merge and the reader."""

from ..files.errors import CacheError
from .format import FORMAT, FORMAT_VERSION, Layout
from .reader import Cache, open_cache

__all__ = ["FORMAT", "FORMAT_VERSION", "Cache", "CacheError", "Layout", "open_cache"]
