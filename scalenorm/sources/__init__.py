"""Which images there are, their ids, bytes and labels: folders, files, globs, archives, lists, stacks, URLs.

Neighbours call `find` for a sequence of `Source` records, and `Reader` for their bytes; ``labels`` joins a table of
answers to ids; ``positions`` lists stamps in tiles; ``tables`` reads all tables.
"""

from ..files.errors import InputError
from .finding import find
from .listing import Source, Sources
from .reader import Reader

__all__ = ["InputError", "Reader", "Source", "Sources", "find"]
