"""Import Keras without the lines that its backends write."""

import contextlib
import gc
import importlib
import logging
import os
import sys
from collections.abc import Iterator

from galaxy_trainer.files.errors import TrainerError
from scalenorm.files.silence import stderr_hidden

_UNUSED = ("cv2", "matplotlib", "pandas", "sklearn")
"""What Keras imports where it is installed, and networks do without; with JAX, TensorFlow's, a third of the memory."""


@contextlib.contextmanager
def silent_start(*, to_train: bool = False) -> Iterator[None]:
    """Start the backend without the lines that TensorFlow's C++ parts write before they can be told not to.

    To train, TensorFlow is imported on every backend: batches and TensorBoard's logs may need it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # It also warns of compiling one function per network, which is what several networks in one process need.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with stderr_hidden():
        # Here, as the names of this package are imported on first use; a first tensor looks for devices.
        with _hidden(*_UNUSED), _uncollected():
            try:
                if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
                    with _hidden("jax"), contextlib.suppress(ImportError):
                        importlib.import_module("tensorflow")  # which imports Keras
                import keras

                keras.ops.zeros(())
            except (ImportError, ValueError) as error:
                raise TrainerError(_no_keras(error)) from None
            if to_train:
                with contextlib.suppress(ImportError):
                    importlib.import_module("tensorflow")
        yield


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Leave out garbage collection, which would go again and again through what Keras makes and keeps."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if collects:
            gc.enable()


@contextlib.contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """Let packages look as if they were not installed, unless they were imported already."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _no_keras(error: Exception) -> str:
    chosen = os.environ.get("KERAS_BACKEND")
    advice = f"KERAS_BACKEND is {chosen}" if chosen else "pip install 'scalenorm[train]' brings it and TensorFlow"
    return f"Keras does not start: {str(error).splitlines()[0]} ({advice})"
