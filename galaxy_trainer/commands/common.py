"""What all commands of the trainer share."""

import argparse
import functools
import warnings
from collections.abc import Callable
from typing import Any

from galaxy_trainer.files.errors import TrainerError, TrainerWarning
from scalenorm.commands.common import Parser, add_common, run_guarded, say
from scalenorm.files.errors import BatchError, CacheError, InputError, OutputError, TableError

#: Lines about progress; it is picklable.
tell = functools.partial(say, error=True)

NETWORK = "a run, a file that galaxy-export wrote, or a network that comes with the package, such as gz2"


def new_parser(name: str, text: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all commands have."""
    parser = Parser(prog=name, description=text)
    add_common(parser)
    return parser


def run_command(
    parser: argparse.ArgumentParser, action: Callable[[], int], advice: Callable[[], str] = str, *, quiet: bool
) -> int:
    """Run a command: warnings of the trainer as lines, its errors as one line and an exit code."""

    def show(message: Warning | str, category: type[Warning], *details: Any, **options: Any) -> None:
        if issubclass(category, TrainerWarning):
            say(f"{parser.prog}: warning: {message}", error=True)
        else:
            shown(message, category, *details, **options)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if quiet else "always", TrainerWarning)
        shown, warnings.showwarning = warnings.showwarning, show
        errors = (TrainerError, BatchError, CacheError, InputError, OutputError, TableError)
        return run_guarded(parser, action, errors=errors, advice=advice)
