"""Scale-normalised galaxy crops."""

from ._version import __version__
