"""Every exception that scalenorm raises of its own, and the words for those of the system."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from .names import printable

#: The machine fails, not one image: a run stops, and resumes from its finished parts later.
MACHINE_ERRORS = {
    errno.ENOENT: "it has vanished since the inputs were listed",
    errno.ESTALE: "its file system has gone away",
    errno.EMFILE: "too many open files (see ulimit -n)",
    errno.ENFILE: "too many open files on this machine",
    errno.ENOMEM: "the machine is out of memory",
}

#: A file cannot be written.
DISK_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than the system allows",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EMFILE: "too many open files (see ulimit -n)",
    errno.ENFILE: "too many open files on this machine",
    errno.ENOENT: "no such folder",
    errno.ENOTDIR: "no such folder",
}


class Printable(Exception):
    """An exception whose message is one line that may be shown anywhere, whatever it quotes; see `names.printable`."""

    def __init__(self, *message: object) -> None:
        super().__init__(*map(printable, message))


class OptionError(Printable, ValueError):
    """An option is out of its range, or does not go with another one."""


class ConfigError(Printable, ValueError):
    """A settings file cannot be read, or holds what is no option; the message says which."""


class InputError(Printable, ValueError):
    """The inputs cannot be used; found before any image is read."""


class TableError(Printable, ValueError):
    """A table of labels, ids or positions cannot be used; the message says why."""


class ArchiveError(Printable, ValueError):
    """The archive as a whole cannot be read; the message is the reason, without its name."""


class ImageError(Printable, ValueError):
    """An image that cannot be used; the message is the reason, one line, without the file's name."""


class CacheError(Printable, ValueError):
    """A file is not a cache, is damaged, or does not fit to another one."""


class PartError(CacheError):
    """A part of a virtual cache is missing or was replaced."""


class OutputError(Printable, ValueError):
    """A file cannot be written, or what it needs is not installed; the message says what to do."""


class BatchError(Printable, RuntimeError):
    """A run cannot start or continue. What is finished is kept; the message says what to do."""


class LockedError(BatchError):
    """Another run holds the lock of an output; the message says which."""


class Stopped(Exception):
    """Raised in worker threads when the run is being stopped."""


class Interrupted(KeyboardInterrupt):
    """A run was stopped by a signal; the message says how far it got and how to resume it."""


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let errors of the system that name no file name this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


@contextlib.contextmanager
def damage(what: str) -> Iterator[None]:
    """Whatever a library raises over a file becomes an `ImageError`; errors of the system itself stay."""
    try:
        yield
    except Exception as error:  # each library has exceptions of its own
        if isinstance(error, (ImageError, MemoryError)) or (isinstance(error, OSError) and error.errno is not None):
            raise
        raise ImageError(f"damaged {what}: {reason(error)}") from error


@contextlib.contextmanager
def turned_into(kind: type[Exception], words: str, *caught: type[Exception]) -> Iterator[None]:
    """Let errors that are `caught` become one of another kind, which says some words and the reason.

    Those of this kind stay as they are.
    """
    try:
        yield
    except kind:
        raise
    except caught as error:
        raise kind(f"{words}: {reason(error)}") from error


def one_line(error: Exception) -> str:
    """Return the text of an exception, which may have several lines, on one."""
    return " ".join(str(error).split())


def reason(error: Exception) -> str:
    """Return the text of a decoder's exception, as one line of bounded length."""
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)  # without number and path
    text = " ".join(said.split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
