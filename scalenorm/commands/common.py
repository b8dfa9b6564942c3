"""What the commands share: exit codes, messages, and one line for whatever stops them."""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from .._version import __version__
from ..files.errors import BatchError, CacheError, InputError, OptionError, OutputError, TableError
from ..files.names import printable

DONE, FAILURE, USAGE, DONE_WITH_FAILED = 0, 1, 2, 3

_STDOUT = "standard output"


class Parser(argparse.ArgumentParser):
    """The parser of a command, made first of all; what it prints goes the way of all lines."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.color = False  # of Python 3.14, by control characters
        _open_closed_streams()

    def error(self, message: str) -> NoReturn:
        """As argparse's, on one line."""
        super().error(printable(message))

    def _print_message(self, message: str, file: Any = None) -> None:
        try:
            say(*message.rstrip("\n").split("\n"), error=file is sys.stderr)
        except OSError as error:
            _say_why(self.prog, error)
            self.exit(FAILURE)


def _open_closed_streams() -> None:
    """Let standard streams that a shell closed (``2>&-``) lead nowhere: the next file would take their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number
    if sys.stderr is None:  # sys.stdout stays None: results are missed, warnings and progress bars are not
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def say(*lines: str, error: bool = False) -> None:
    """Print lines, with control characters escaped: results to stdout, errors to stderr.

    Results that cannot be written are an `OSError` of `_STDOUT`; errors that cannot are nobody's loss.
    """
    stream = sys.stderr if error else sys.stdout
    try:
        if stream is None:
            raise OSError(errno.EBADF, "it is closed")
        # A tab parts the columns of a table.
        cells = [[printable(cell) for cell in line.split("\t")] for line in lines]
        text, encoding = "".join("\t".join(line) + "\n" for line in cells), stream.encoding or "utf-8"
        # File names may hold characters that the terminal's encoding lacks.
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError as failed:
        # Else Python would try again at exit, and complain.
        with contextlib.suppress(OSError, AttributeError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
        if not error:
            raise OSError(failed.errno, failed.strerror, _STDOUT) from failed


def _say_why(command: str, error: OSError) -> None:
    """Print what the system says; nothing if the reader of our output has gone."""
    if isinstance(error, BrokenPipeError) and error.filename == _STDOUT:
        return
    where = f"{error.filename}: " if error.filename else ""
    say(f"{command}: error: {where + error.strerror if error.strerror else error}", error=True)


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record), error=True)


@contextlib.contextmanager
def log_shown(*, quiet: bool) -> Iterator[None]:
    """Print what the library logs meanwhile to stderr, or errors only."""
    log, handler = logging.getLogger("scalenorm"), _Lines()
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.ERROR if quiet else logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


def run_guarded(
    parser: argparse.ArgumentParser,
    command: Callable[[], int | None],
    *,
    errors: tuple[type[Exception], ...] = (BatchError, CacheError, InputError, TableError, OutputError),
    advice: Callable[[], str] = str,
) -> int:
    """Run a command and return its exit code, `DONE` for None; whatever stops it becomes one line on stderr.

    The messages of `errors` are for the user; exceptions other than these and the system's are bugs. `advice` returns
    what follows the word "interrupted".
    """

    def interrupt(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        return command() or DONE
    except OptionError as error:
        parser.error(_as_typed(str(error), parser))
    except errors as error:
        say(f"{parser.prog}: error: {error}", error=True)
    except KeyboardInterrupt as stopped:  # one of `convert` says how far it got
        say(f"{parser.prog}: {str(stopped) or 'interrupted' + advice()}", error=True)
    except MemoryError as error:
        said = f" ({error})" if str(error) else ""
        say(f"{parser.prog}: error: not enough memory{said}", error=True)
    except OSError as error:
        _say_why(parser.prog, error)
    finally:
        signal.signal(signal.SIGTERM, before)
    return FAILURE


def _as_typed(message: str, parser: argparse.ArgumentParser) -> str:
    """Name options as on the command line: ``--side-limits`` where the library says ``side_limits``."""
    for action in parser._actions:
        if "_" in action.dest:
            message = message.replace(action.dest, action.option_strings[-1])
    return message


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet`` and ``--version``."""
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")


def names(text: str) -> list[str]:
    """Parse names separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural where it must be."""
    plural = noun.removesuffix("y") + "ies" if noun.endswith("y") else noun + ("es" if noun.endswith("s") else "s")
    return f"{count} {noun if count == 1 else plural}"


def rows_and_failed(rows: int, failed: int, all_objects: bool) -> str:
    """Return the counts of rows and failures; failures are images even where rows are objects."""
    if all_objects:
        return f"{counted(rows - failed, 'object')}, {counted(failed, 'image')} failed"
    return f"{counted(rows, 'image')}, {failed} failed"


def write_page(cache: str, page: str, images: list[str] | None, overwrite: bool, quiet: bool) -> None:
    """Write the report page of a cache, and print a line about it."""
    from ..cache import open_cache
    from ..reporting.page import write_report

    drawn, found = write_report(open_cache(cache), page, images=images, overwrite=overwrite)
    if not quiet:
        say(f"{page}: pictures of {counted(drawn, 'galaxy')}{without(drawn - found)}")


def without(missing: int) -> str:
    """Return what a line says of originals that were not found."""
    return f", {missing} without the original image; use --images to say where the originals are" if missing else ""
