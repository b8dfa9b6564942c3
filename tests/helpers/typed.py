"""Commands as one types them, in this process."""

from __future__ import annotations

import importlib


def run(capsys, command, *arguments):
    """Exit code, and lines of stdout and stderr, but for what depends on the kernels compiled before.

    The command is the name of a module of scalenorm.commands, or of a function of galaxy_trainer.cli.
    """
    if command in ("train", "evaluate", "predict", "compare"):
        main = getattr(importlib.import_module("galaxy_trainer.cli"), command)
    else:
        main = importlib.import_module(f"scalenorm.commands.{command}").main
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out.splitlines(), [line for line in err.splitlines() if not line.startswith("Compiling scalenorm")]
