"""Import Keras without the lines that its backends write."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator

from galaxy_trainer.files.errors import TrainerError


@contextlib.contextmanager
def silent_start() -> Iterator[None]:
    """Start the backend without the lines that TensorFlow's C++ parts write before they can be told not to."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # It also warns of compiling one function per network, which is what several networks in one process need.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        # Here, as the names of this package are imported on first use; a first tensor looks for devices.
        try:
            import keras

            keras.ops.zeros(())
        except (ImportError, ValueError) as error:
            raise TrainerError(_no_keras(error)) from None
        from galaxy_trainer.network import backend

        backend.import_tensorflow()
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _no_keras(error: Exception) -> str:
    chosen = os.environ.get("KERAS_BACKEND")
    advice = f"KERAS_BACKEND is {chosen}" if chosen else "pip install 'scalenorm[train]' brings it and TensorFlow"
    return f"Keras does not start: {str(error).splitlines()[0]} ({advice})"
