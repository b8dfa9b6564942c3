"""Keras layers that Keras does not have: standardisation in any unit, untied biases, maxout, cyclic pooling, the tree.

They use ``keras.ops`` only, so they run on every Keras backend, and are registered under the package name
``galaxy_trainer``: saved models name it, so it must never change.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from galaxy_trainer.labels.questions import Tree, shipped

_register = keras.saving.register_keras_serializable(package="galaxy_trainer")


@_register
class Standardise(keras.layers.Layer):
    """Subtract the mean of each channel and divide by its standard deviation, whatever the unit.

    Input and output have shape (n, height, width, channels). Keras' own ``Normalization`` squares the deviation and
    divides by no less than 1e-7, so that fluxes of 1e-17 all become nearly 0.

    Parameters
    ----------
    mean, std : sequence of float, shape (channels,)
        Of the pixels; no `std` may be 0.

    Examples
    --------
    >>> import numpy as np
    >>> from galaxy_trainer.network.layers import Standardise
    >>> layer = Standardise([2e-30], [1e-30])
    >>> round(float(layer(np.full((1, 1, 1, 1), 3e-30, np.float32))[0, 0, 0, 0]), 4)
    1.0
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], **kwargs: Any):
        super().__init__(**kwargs)
        self.mean = [float(value) for value in mean]
        self.std = [float(value) for value in std]
        if len(self.mean) != len(self.std) or not all(self.std):
            raise ValueError(f"Standardise needs a mean and a deviation above 0 per channel, got {mean} and {std}")

    def call(self, inputs: Any) -> Any:
        """Return ``(inputs - mean) / std``."""
        mean, std = (ops.convert_to_tensor(values, "float32") for values in (self.mean, self.std))
        return (ops.cast(inputs, "float32") - mean) / std

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the layer again."""
        return {**super().get_config(), "mean": self.mean, "std": self.std}


@_register
class UntiedBias(keras.layers.Layer):
    """Add one learned bias per place and filter, instead of one per filter.

    Input and output have shape (n, height, width, filters) and the input must have a fixed size. The biases
    start at zero. Used after a convolution without bias (Kabani & El-Sakka 2016; "untie_biases" of Dieleman
    et al. 2015).

    Examples
    --------
    >>> import keras
    >>> from galaxy_trainer.network.layers import UntiedBias
    >>> layer = UntiedBias()
    >>> tuple(layer(keras.ops.zeros((1, 4, 4, 2))).shape)
    (1, 4, 4, 2)
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the biases; every dimension but the first must be known."""
        shape = tuple(input_shape[1:])
        if None in shape:
            raise ValueError(f"UntiedBias needs an input of fixed size, got shape {tuple(input_shape)}")
        self.bias = self.add_weight(shape=shape, initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        """Return ``inputs + bias``."""
        return inputs + self.bias

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input shape."""
        return input_shape


@_register
class Maxout(keras.layers.Layer):
    """A dense layer whose every unit is the largest of several linear pieces (Goodfellow et al. 2013).

    Input (n, features), output (n, units); output unit u is ``max_k(x @ kernel[:, u, k] + bias[u, k])`` with
    the kernel stored as (features, units * pieces).

    Parameters
    ----------
    units : int > 0
        Number of outputs.
    pieces : int > 0
        Linear pieces per output; 1 is a plain linear layer.
    kernel_initializer : str or keras.initializers.Initializer
        Initialisation of the kernel; the biases start at zero.

    Examples
    --------
    >>> import keras
    >>> from galaxy_trainer.network.layers import Maxout
    >>> tuple(Maxout(3, pieces=2)(keras.ops.ones((5, 4))).shape)
    (5, 3)
    """

    def __init__(self, units: int, *, pieces: int = 2, kernel_initializer: Any = "glorot_uniform", **kwargs: Any):
        super().__init__(**kwargs)
        if units < 1 or pieces < 1:
            raise ValueError(f"Maxout needs at least one unit and one piece, got units={units}, pieces={pieces}")
        self.units = units
        self.pieces = pieces
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create kernel and biases."""
        columns = self.units * self.pieces
        self.kernel = self.add_weight(
            shape=(input_shape[-1], columns), initializer=self.kernel_initializer, name="kernel"
        )
        self.bias = self.add_weight(shape=(columns,), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        """Return the largest piece of every unit."""
        linear = ops.matmul(inputs, self.kernel) + self.bias
        return ops.max(ops.reshape(linear, (-1, self.units, self.pieces)), axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return (n, units)."""
        return (input_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the layer again."""
        return {
            **super().get_config(),
            "units": self.units,
            "pieces": self.pieces,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@_register
class Turns(keras.layers.Layer):
    """Turn and mirror square images, all orientations one after the other along the first axis.

    Shapes (n, size, size, channels) to (count n, size, size, channels); image i in orientation k is at ``k * n + i``.
    With `MeanOfTurns` behind what should not depend on the orientation this is the cyclic pooling of Dieleman, De Fauw
    & Kavukcuoglu (2016).

    Parameters
    ----------
    count : {4, 8, 16}
        4: turned by 0, 90, 180 and 270 degrees. 8: these and their mirror images. 16: also all of these after a turn by
        45 degrees, with bilinear interpolation; corners from outside the image repeat its nearest pixel.

    Examples
    --------
    >>> import keras
    >>> from galaxy_trainer.network.layers import Turns
    >>> tuple(Turns()(keras.ops.zeros((2, 8, 8, 3))).shape)
    (8, 8, 8, 3)
    """

    def __init__(self, count: int = 4, **kwargs: Any):
        super().__init__(**kwargs)
        if count not in (4, 8, 16):
            raise ValueError(f"Turns can show 4, 8 or 16 orientations, got {count}")
        self.count = count

    def call(self, inputs: Any) -> Any:
        """Return the images in all orientations."""
        shown = [inputs]
        if self.count == 16:
            shown.append(_turned_by_45_degrees(inputs))
        if self.count >= 8:
            shown += [ops.flip(images, axis=1) for images in shown]
        turned = [ops.rot90(images, k, axes=(1, 2)) if k else images for images in shown for k in range(4)]
        return ops.concatenate(turned, axis=0)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of `count` times as many images."""
        n = input_shape[0]
        return (None if n is None else self.count * n, *input_shape[1:])

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the layer again."""
        return {**super().get_config(), "count": self.count}


def _turned_by_45_degrees(images: Any) -> Any:
    """Return the images turned about their centre: of each pixel four neighbours, weighted.

    The neighbours are the same for every image, so they are picked by number, which every backend and every format of a
    network can do.
    """
    size, channels = images.shape[1], images.shape[3]
    centre = (size - 1) / 2
    down, right = (np.indices((size, size)) - centre) * math.sqrt(0.5)
    row, column = (np.clip(offset + centre, 0, size - 1) for offset in (down - right, down + right))
    top, left = (np.minimum(place.astype(int), size - 2) for place in (row, column))
    pixels = ops.reshape(images, (-1, size * size, channels))
    total: Any = 0.0
    for i in (0, 1):
        for j in (0, 1):
            weight = (1 - abs(row - top - i)) * (1 - abs(column - left - j))
            neighbour = ops.take(pixels, ((top + i) * size + left + j).ravel(), axis=1)
            total += neighbour * ops.convert_to_tensor(weight.reshape(1, -1, 1), pixels.dtype)
    return ops.reshape(total, (-1, size, size, channels))


@_register
class MeanOfTurns(keras.layers.Layer):
    """Average over the orientations that `Turns` made: shapes (count n, features) to (n, features).

    Parameters
    ----------
    count : int
        As of `Turns`.

    Examples
    --------
    >>> import keras
    >>> from galaxy_trainer.network.layers import MeanOfTurns
    >>> tuple(MeanOfTurns()(keras.ops.zeros((8, 5))).shape)
    (2, 5)
    """

    def __init__(self, count: int = 4, **kwargs: Any):
        super().__init__(**kwargs)
        self.count = count

    def call(self, inputs: Any) -> Any:
        """Return the means."""
        return ops.mean(ops.reshape(inputs, (self.count, -1, inputs.shape[-1])), axis=0)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of one row per image."""
        n = input_shape[0]
        return (None if n is None else n // self.count, *input_shape[1:])

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the layer again."""
        return {**super().get_config(), "count": self.count}


@_register
class TreeHead(keras.layers.Layer):
    """Turn numbers into answers that obey a decision tree.

    The numbers of each question go through a softmax, which is multiplied by the probability of the answer that leads
    to the question, unless the tree's answers are among those who were asked. So all answers are non-negative and those
    of a question sum to their parent, by construction and from the first step on: with all inputs zero every question
    is answered evenly.

    Shapes (n, answers) to (n, answers).

    Parameters
    ----------
    tree : mapping, optional
        As from `galaxy_trainer.labels.questions.Tree.described`. Default: that of Galaxy Zoo 2, with 37 answers.

    Examples
    --------
    >>> import keras
    >>> from galaxy_trainer.network.layers import TreeHead
    >>> answers = TreeHead()(keras.ops.zeros((1, 37)))
    >>> round(float(answers[0, 0]), 4), round(float(answers[0, 3]), 4)
    (0.3333, 0.1667)
    """

    def __init__(self, tree: Mapping[str, Any] | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.described = tree
        self.tree = shipped("galaxy_zoo_2") if tree is None else Tree.parse(tree)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Check the number of inputs."""
        if input_shape[-1] != len(self.tree.names):
            raise ValueError(f"TreeHead needs {len(self.tree.names)} inputs, got shape {tuple(input_shape)}")

    def call(self, inputs: Any) -> Any:
        """Return the answers."""
        columns: dict[int, Any] = {}
        parts: dict[int, Any] = {}
        for question in self.tree.from_root():
            share = ops.softmax(inputs[:, question.columns], axis=-1)
            if question.parent is not None and not self.tree.conditional:
                share = share * columns[question.parent]
            parts[question.number] = share
            for i in range(len(question.answers)):
                columns[question.first + i] = share[:, i : i + 1]
        return ops.concatenate([parts[number] for number in sorted(parts)], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the layer again."""
        return {**super().get_config(), "tree": self.described}


@_register
class Unstandardise(keras.layers.Layer):
    """Multiply each answer by the standard deviation of its column and add the mean, so that units do not matter.

    Parameters
    ----------
    mean, std : sequence of float, shape (answers,)
        Of the columns.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], **kwargs: Any):
        super().__init__(**kwargs)
        self.mean, self.std = list(map(float, mean)), list(map(float, std))

    def call(self, inputs: Any) -> Any:
        """Return ``inputs * std + mean``."""
        mean, std = (ops.convert_to_tensor(values, "float32") for values in (self.mean, self.std))
        return inputs * std + mean

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the layer again."""
        return {**super().get_config(), "mean": self.mean, "std": self.std}


@_register
class VotesHead(keras.layers.Layer):
    """Turn numbers into what is expected of votes: their shares, and how certain these are.

    Each number becomes a concentration of a Dirichlet distribution, between 1 and 100, as below there would be two
    peaks, and far above no doubt at all (Walmsley et al. 2022): 100 to the power of its sigmoid, so that a step changes
    small and large ones by a like factor. The concentrations of a question, divided by their sum, are the expected
    shares; the sum is how many votes' worth of certainty they have.

    Shapes (n, answers) to (n, answers + questions).

    Parameters
    ----------
    tree : mapping
        As from `galaxy_trainer.labels.questions.Tree.described`.

    Examples
    --------
    >>> import keras
    >>> from galaxy_trainer.network.layers import VotesHead
    >>> from galaxy_trainer.labels.questions import shipped
    >>> votes = VotesHead(shipped("galaxy_zoo_decals").described())(keras.ops.zeros((1, 34)))
    >>> tuple(votes.shape), round(float(votes[0, 0]), 4), round(float(votes[0, 34]), 4)
    ((1, 44), 0.3333, 30.0)
    """

    def __init__(self, tree: Mapping[str, Any], **kwargs: Any):
        super().__init__(**kwargs)
        self.described = tree
        self.tree = Tree.parse(tree)

    def call(self, inputs: Any) -> Any:
        """Return shares and votes."""
        shares, votes = [], []
        for question in self.tree.questions:
            concentrations = ops.power(100.0, ops.sigmoid(inputs[:, question.columns]))
            votes.append(ops.sum(concentrations, axis=-1, keepdims=True))
            shares.append(concentrations / votes[-1])
        return ops.concatenate([*shares, *votes], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return (n, answers + questions)."""
        return (input_shape[0], len(self.tree.names) + len(self.tree.questions))

    def get_config(self) -> dict[str, Any]:
        """Return what is needed to make the layer again."""
        return {**super().get_config(), "tree": self.described}
