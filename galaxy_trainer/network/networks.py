"""The network, as a function that returns a ``keras.Model`` from raw images to the answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from galaxy_trainer.network.layers import Maxout, MeanOfTurns, Standardise, TreeHead, Turns, UntiedBias

CONVOLUTIONS: tuple[tuple[int, ...], ...] = ((32, 32, 32), (64, 64), (128, 128), (128, 128))
"""Filters of the paper's nine convolutions at width 1; a 2 x 2 maximum stands between the groups."""

COMPACT: tuple[tuple[int, ...], ...] = ((64, 64), (128, 128), (256, 256))
"""Filters of the six convolutions of "compact" at width 1; the first halves the image."""

DENSE_UNITS = 256
"""Units of each of the two maxout layers at width 1."""

ROTATIONS = (1, 4, 8, 16)
"""Numbers of orientations that the convolutions can see an image in."""

LINEAR = "linear"
"""Name of the last layer with weights."""

LAST = "channels_last"
"""Said to every layer, as a user's keras.json may have another default."""


def derived_seed(*keys: int) -> int:
    """Return a 31-bit seed that depends on all keys: every random draw is a function of where it is used.

    Parameters
    ----------
    *keys : int >= 0
        For instance (run seed, epoch, layer).

    Returns
    -------
    int

    Examples
    --------
    >>> derived_seed(1, 2) == derived_seed(1, 2), derived_seed(1, 2) == derived_seed(2, 1)
    (True, False)
    """
    return int(np.random.SeedSequence(keys).generate_state(1)[0] >> 1)


def paper_network(
    size: int = 64,
    *,
    trunk: str = "paper",
    channels: int = 3,
    views: int = 1,
    rotations: int = 1,
    width: float = 1.0,
    pieces: int = 2,
    dropout: float = 0.5,
    head: str | Callable[[Any], Any] = "linear",
    answers: int = 37,
    mean: Sequence[Sequence[float]] | None = None,
    std: Sequence[Sequence[float]] | None = None,
    seed: int = 0,
    dtype: str = "float32",
) -> keras.Model:
    """Build the network of Kabani & El-Sakka (2016), or one with other convolutions.

    Nine 3 x 3 convolutions (stride 1, one pixel of padding, untied biases, ReLU) in groups of 3, 2, 2, 2
    with 2 x 2 maxima between the groups, two maxout layers with dropout, a linear layer of 37. Glorot
    initialisation, no weight penalty. The paper's figure with the widths is not to be had. At width 1 there
    are 5.5 million parameters (22 MB each for weights, gradients and momenta) and 2 MB of activations per
    convolution and image at most, so that a 4 GB GPU of 2015 trains batches of 16 with room to spare.

    Parameters
    ----------
    size : int
        Height and width of the input, a multiple of 8.
    trunk : {"paper", "compact"}
        The convolutions, a name in `TRUNKS`. "compact": six with twice the filters of the paper's, the first 5 x 5
        with stride 2, the others 3 x 3, one bias per filter, 2 x 2 maxima behind the second and the fourth, He
        initialisation. Nothing but the first looks at the full resolution, so that four rotations are affordable.
    channels : int
        Bands of the input.
    views : int
        Number of input images per galaxy. Above 1 the convolutions are shared between the views and their
        features joined before the first maxout layer; the inputs are then a dict ``view_0``, ``view_1``, ...
    rotations : {1, 4, 8, 16}
        Above 1: convolutions and first maxout layer see each image in so many orientations, and what they answer is
        averaged (the cyclic pooling of Dieleman et al. 2016), at so many times the cost. 4: turned by right angles,
        8: and mirrored, 16: and turned by 45 degrees (`network.layers.Turns`). The answers are the same however
        the image is turned by right angles and, from 8 on, mirrored.
    width : float > 0
        Factor on the number of filters and dense units.
    pieces : int
        Linear pieces of a maxout unit.
    dropout : float
        Fraction dropped behind each maxout layer, in [0, 1).
    head : {"linear", "tree"} or callable
        "tree" puts the `TreeHead` of Galaxy Zoo 2 behind the linear layer; another layer can be given itself.
    answers : int
        Number of outputs; the tree of Galaxy Zoo 2 needs 37.
    mean, std : sequence of sequences of float, shape (views, channels), optional
        Standardisation of each view, part of the model. Default: mean 0, standard deviation 1.
    seed : int
        Seed of all initial weights and of dropout.
    dtype : str
        Keras dtype policy of the layers, for instance "mixed_bfloat16". Standardisation and output stay
        float32.

    Returns
    -------
    keras.Model
        From (n, size, size, channels), any real dtype, raw pixel values, to float32 (n, answers).

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from galaxy_trainer import paper_network
    >>> model = paper_network(width=0.1)
    >>> tuple(model(np.zeros((2, 64, 64, 3), np.uint8)).shape)
    (2, 37)
    """
    if size < 8 or size % 8:
        raise ValueError(f"size must be a multiple of 8, as three 2 x 2 maxima halve it, got {size}")
    if views < 1 or channels < 1 or width <= 0:
        raise ValueError(f"views, channels and width must be positive, got {views}, {channels}, {width}")
    if rotations not in ROTATIONS:
        raise ValueError(f"rotations must be 1, 4, 8 or 16, got {rotations}")
    if trunk not in TRUNKS:
        raise ValueError(f"unknown trunk {trunk!r}; known: {', '.join(TRUNKS)}")
    if isinstance(head, str) and head not in HEADS:
        raise ValueError(f"unknown head {head!r}; known: {', '.join(HEADS)}")
    # In the order of use: weights must not change where the recipe does not.
    seeds = (derived_seed(seed, i) for i in range(1000))

    def glorot() -> Any:
        return keras.initializers.GlorotUniform(seed=next(seeds))

    def scaled(count: int) -> int:
        return max(1, round(count * width))

    layers = [
        *TRUNKS[trunk](scaled, seeds, dtype),
        keras.layers.Flatten(name="features", data_format=LAST, dtype=dtype),
    ]
    inputs = {f"view_{i}": keras.Input((size, size, channels), name=f"view_{i}", dtype="float32") for i in range(views)}
    features = []
    for i, image in enumerate(inputs.values()):
        x = Standardise(
            [0.0] * channels if mean is None else mean[i],
            [1.0] * channels if std is None else std[i],
            name=f"standardise_{i}",
            dtype="float32",
        )(image)
        if rotations > 1:
            x = Turns(rotations, name=f"turns_{i}", dtype="float32")(x)
        for layer in layers:
            x = layer(x)
        features.append(x)
    x = features[0] if views == 1 else keras.layers.Concatenate(name="joined", dtype=dtype)(features)
    for i in (1, 2):
        x = Maxout(scaled(DENSE_UNITS), pieces=pieces, kernel_initializer=glorot(), name=f"maxout_{i}", dtype=dtype)(x)
        x = keras.layers.Dropout(dropout, seed=next(seeds), name=f"dropout_{i}", dtype=dtype)(x)
        if i == 1 and rotations > 1:
            x = MeanOfTurns(rotations, name="mean_of_turns", dtype=dtype)(x)
    x = keras.layers.Dense(answers, kernel_initializer=glorot(), name=LINEAR, dtype="float32")(x)
    outputs = HEADS[head](x) if isinstance(head, str) else head(x)
    return keras.Model(inputs["view_0"] if views == 1 else inputs, outputs, name="paper_network")


def _paper_trunk(scaled: Callable[[int], int], seeds: Iterator[int], dtype: str) -> list[Any]:
    layers: list[Any] = []
    for group, filters in enumerate(CONVOLUTIONS):
        if group:
            layers.append(keras.layers.MaxPooling2D(2, name=f"pool_{group}", data_format=LAST, dtype=dtype))
        for i, count in enumerate(filters):
            name = f"{group + 1}_{i + 1}"
            layers += [
                keras.layers.Conv2D(
                    scaled(count), 3, padding="same", use_bias=False, name=f"conv_{name}", dtype=dtype,
                    data_format=LAST, kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
                ),
                UntiedBias(name=f"bias_{name}", dtype=dtype),
                keras.layers.ReLU(name=f"relu_{name}", dtype=dtype),
            ]  # fmt: skip
    return layers


def _compact_trunk(scaled: Callable[[int], int], seeds: Iterator[int], dtype: str) -> list[Any]:
    layers: list[Any] = []
    for group, filters in enumerate(COMPACT):
        if group:
            layers.append(keras.layers.MaxPooling2D(2, name=f"pool_{group}", data_format=LAST, dtype=dtype))
        for i, count in enumerate(filters):
            kernel, stride = (3, 1) if group or i else (5, 2)
            layers.append(
                keras.layers.Conv2D(
                    scaled(count), kernel, strides=stride, padding="same", activation="relu", dtype=dtype,
                    data_format=LAST,
                    kernel_initializer=keras.initializers.HeNormal(seed=next(seeds)), name=f"conv_{group + 1}_{i + 1}",
                )
            )  # fmt: skip
    return layers


TRUNKS: Mapping[str, Callable[[Callable[[int], int], Iterator[int], str], list[Any]]] = {
    "paper": _paper_trunk,
    "compact": _compact_trunk,
}
"""Convolutions by name; a recipe names them. From scaling, seeds and dtype to layers that all views share."""

HEADS: Mapping[str, Callable[[Any], Any]] = {
    "linear": lambda x: x,
    "tree": lambda x: TreeHead(name="answers", dtype="float32")(x),
}
"""What follows the last linear layer, by name."""
