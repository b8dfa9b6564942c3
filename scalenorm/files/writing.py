"""Files that the report and export commands write: whole or not at all, and never over anyone else's."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal

from .errors import OutputError


def check_output(path: Path, *, overwrite: bool, marker: bytes = b"") -> None:
    """Refuse an output that exists or cannot be made.

    Parameters
    ----------
    path : Path
        The file.
    overwrite : bool
        Whether it may exist.
    marker : bytes
        An existing file that holds this in its first 4 kB is this command's own earlier result and may be replaced.

    Raises
    ------
    OutputError
        If it exists and may not be replaced, is a folder, or its folder is missing or not writable.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder: give the name of a file in it")
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent}: no such folder; make it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path.parent}: no permission to write there")
    if path.exists() and not overwrite:
        with path.open("rb") as file:
            own = bool(marker) and marker in file.read(4096)
        if not own:
            raise OutputError(f"{path} exists and is not replaced: give another name, or --overwrite")


@contextlib.contextmanager
def whole_file(path: Path, mode: Literal["w", "wb"] = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path` for writing; rename it to `path` if all goes well.

    Raises
    ------
    OutputError
        If the system cannot write it.
    """
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.tmp")
    text: dict[str, Any] = {} if mode == "wb" else {"encoding": "utf-8", "newline": ""}
    try:
        with temporary.open(mode, **text) as file:
            yield file
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
