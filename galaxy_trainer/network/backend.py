"""What depends on the Keras backend; the only file of this package that imports TensorFlow or JAX."""

import contextlib
import importlib
import importlib.util
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras

from galaxy_trainer.files.errors import TrainerError


def name() -> str:
    """Return the Keras backend in use, for instance "tensorflow"."""
    return str(keras.backend.backend())


def version() -> str:
    """Return the version of the backend's package."""
    return str(importlib.import_module(name()).__version__)


def check_can_train() -> None:
    """Raise `TrainerError` on a backend of Keras that only predicts."""
    if name() not in ("tensorflow", "jax", "torch"):
        raise TrainerError(f"Keras does not train on the backend {name()}: set KERAS_BACKEND=tensorflow, jax or torch")


def threads() -> int:
    """Return over how many threads an operation is split on the CPU."""
    count = 0
    if name() == "tensorflow":
        import tensorflow as tf

        count = tf.config.threading.get_intra_op_parallelism_threads()
        named = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
        count = count or int(named if named.isdecimal() else 0)
    elif name() == "torch":
        import torch

        count = torch.get_num_threads()
    return count or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


@contextlib.contextmanager
def keras_defaults() -> Iterator[None]:
    """Set what a user's keras.json may change, such as the type of floats, to Keras' defaults; afterwards as before."""
    settings = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}
    before = {key: getattr(keras.config, key)() for key in settings}
    policy = keras.config.dtype_policy()
    for key, value in settings.items():
        getattr(keras.config, f"set_{key}")(value)
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        for key, value in before.items():
            getattr(keras.config, f"set_{key}")(value)
        keras.config.set_dtype_policy(policy)


def log_gamma(values: Any) -> Any:
    """Return the logarithm of the gamma function of a tensor, which Keras does not have."""
    if name() == "tensorflow":
        import tensorflow as tf

        return tf.math.lgamma(values)
    if name() == "jax":
        import jax

        return jax.scipy.special.gammaln(values)
    import torch

    return torch.lgamma(values)


def make_deterministic() -> None:
    """Let the same program give the same numbers on the same machine.

    TensorFlow has a switch, which is process-wide; JAX needs none on the CPU. Nothing here touches global
    random state: every draw of this package has a seed of its own.
    """
    if name() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif name() == "torch":
        import torch

        torch.use_deterministic_algorithms(True, warn_only=True)


def compile_step() -> bool | str:
    """Return Keras's ``jit_compile`` for a step that holds an affine transformation.

    TensorFlow's kernel for it does not compile under XLA.
    """
    return False if name() == "tensorflow" else "auto"


@contextlib.contextmanager
def on_devices(count: int) -> Iterator[None]:
    """Build and train within this to split every batch over `count` devices of this machine.

    Parameters
    ----------
    count : int
        1 changes nothing. More: `tf.distribute.MirroredStrategy` on TensorFlow,
        `keras.distribution.DataParallel` on JAX. GPUs where there are any, else (virtual) CPUs.

    Raises
    ------
    TrainerError
        If there are fewer devices, or the backend is another.
    """
    if count == 1:
        yield
        return
    if name() == "tensorflow":
        import tensorflow as tf

        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        devices = [device.name for device in tf.config.list_logical_devices(kind)]
        _check_count(count, devices)
        with tf.distribute.MirroredStrategy(devices[:count]).scope():
            yield
    elif name() == "jax":
        devices = keras.distribution.list_devices()
        _check_count(count, devices)
        before = keras.distribution.distribution()
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices[:count]))
        try:
            yield
        finally:
            keras.distribution.set_distribution(before)
    else:
        raise TrainerError(f"several devices need the TensorFlow or JAX backend, this is {name()}")


def _check_count(count: int, devices: list[str]) -> None:
    if not 1 <= count <= len(devices):
        raise TrainerError(f"{count} devices asked for, there are {len(devices)}: {', '.join(devices)}")


def log_scalars(folder: Path, step: int, values: Mapping[str, float]) -> None:
    """Append scalars to TensorBoard logs.

    Parameters
    ----------
    folder : Path
        Folder of the logs.
    step : int
        Epoch.
    values : mapping of str to float
        What to log.
    """
    import tensorflow as tf

    # tf.summary.scalar needs the package tensorboard, which TensorFlow does not bring; this is what it writes.
    metadata = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
    metadata.plugin_data.plugin_name = "scalars"
    with tf.summary.create_file_writer(str(folder)).as_default():
        for key, value in values.items():
            tf.summary.write(key, tf.constant(value, tf.float32), step=step, metadata=metadata)


def check_can_log() -> None:
    """Raise `TrainerError` if TensorFlow, which writes TensorBoard's logs on every backend, is not installed."""
    if importlib.util.find_spec("tensorflow") is None:
        raise TrainerError("TensorBoard logs are written by TensorFlow, which is not installed")
