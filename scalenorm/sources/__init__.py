"""Which images there are, their ids, bytes and labels: folders, files, globs, archives, lists, .npy stacks, URLs.

Neighbours call `find` for a `Listing` of `Source` records, and `Reader` for their bytes; ``labels`` joins a
table of answers to ids.
"""

from ..files.errors import InputError
from .finding import find
from .listing import Listing, Source, Sources
from .reader import Reader

__all__ = ["InputError", "Listing", "Reader", "Source", "Sources", "find"]
