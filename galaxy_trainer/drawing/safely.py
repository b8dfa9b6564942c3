"""Pictures that look the same everywhere, and that never cost what they are pictures of."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from galaxy_trainer.files.errors import warn


def try_to_draw(path: Path, draw: Callable[[], object]) -> None:
    """Draw under matplotlib's own settings; what fails is a `TrainerWarning` that names the file, and no error.

    Parameters
    ----------
    path : Path
        The file to be drawn.
    draw : callable
        Draws and writes it; whatever imports matplotlib may be imported there.
    """
    try:
        with default_settings():
            draw()
    except Exception as error:  # whatever a picture does, the scores are written
        lines = str(error).splitlines() or [""]
        warn(f"{path} could not be drawn ({type(error).__name__}: {lines[0][:200]}); all else is written")


@contextmanager
def default_settings() -> Iterator[None]:
    """Set what a matplotlibrc may change, such as fonts and LaTeX, to matplotlib's defaults; afterwards as before."""
    matplotlib = _matplotlib()
    # The backend stays: figures are drawn by Agg in any case, and a notebook goes on with its own.
    defaults = {name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith("backend")}
    with matplotlib.rc_context(defaults):
        yield


def _matplotlib() -> Any:
    """Import matplotlib, with whatever backend the environment names: an unknown one would stop the import."""
    backend = os.environ.pop("MPLBACKEND", None) if "matplotlib" not in sys.modules else None
    import matplotlib

    if backend is not None:
        os.environ["MPLBACKEND"] = backend
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = backend  # as the import does
    return matplotlib
