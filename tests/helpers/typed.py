"""Commands as one types them, in this process."""

from __future__ import annotations

import importlib


def run(capsys, command, *arguments):
    """Exit code, and lines of stdout and stderr, but for what depends on the kernels compiled before.

    The command is the name of a module of scalenorm.commands or of galaxy_trainer.commands.
    """
    package = "galaxy_trainer" if command in ("train", "evaluate", "predict", "compare") else "scalenorm"
    main = importlib.import_module(f"{package}.commands.{command}").main
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out.splitlines(), [line for line in err.splitlines() if not line.startswith("Compiling scalenorm")]
