"""The one error that means: what was given cannot be used, and here is why; and the one warning."""

import warnings

from scalenorm.files.errors import Printable
from scalenorm.files.names import printable


class TrainerError(Printable, ValueError):
    """Input, options or a run folder cannot be used; the message is one line that says what to do."""


class TrainerWarning(UserWarning):
    """What was asked for is done, but not all is as it seems; the message says what."""


def warn(text: str) -> None:
    """Warn the caller of the package with a `TrainerWarning`; the commands make one line of it."""
    warnings.warn(printable(text), TrainerWarning, stacklevel=4)
