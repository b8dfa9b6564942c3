"""Rotations, flips, shifts (and zoom, brightness) of images: drawn on the host, applied as one interpolation.

The draws are plain NumPy and a function of (seed, epoch, batch), so they are the same on every backend, with
any number of workers, and after a resume. The interpolation runs on the device, inside the model that is
trained.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is drawn for each image; the default is table 1 of Kabani & El-Sakka (2016).

    Parameters
    ----------
    rotate : bool
        Rotate by an angle uniform in 0 to 360 degrees.
    flip : bool
        Flip rows, and independently columns, with probability 1/2 each.
    shift : float >= 0
        Shift along rows and columns by up to so many pixels of the crop, uniform, either way.
    zoom : float >= 1
        Scale by a factor log-uniform between 1 / zoom and zoom; 1 is off.
    brightness : float in [0, 1)
        Multiply what stands above the sky by a factor uniform in 1 - brightness to 1 + brightness; 0 is off.

    Examples
    --------
    >>> from galaxy_trainer import Augmentation
    >>> Augmentation(shift=4.0)
    Augmentation(rotate=True, flip=True, shift=4.0, zoom=1.0, brightness=0.0)
    """

    rotate: bool = True
    flip: bool = True
    shift: float = 12.0
    zoom: float = 1.0
    brightness: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if not (self.shift >= 0 and self.zoom >= 1 and 0 <= self.brightness < 1):
            raise ValueError(
                "augmentation needs shift >= 0, zoom >= 1 and 0 <= brightness < 1, "
                f"got {self.shift}, {self.zoom}, {self.brightness}"
            )


NO_AUGMENTATION = Augmentation(rotate=False, flip=False, shift=0.0)
"""Leaves images as they are."""


class Draws(NamedTuple):
    """Drawn transformations of n images.

    Parameters
    ----------
    transform : ndarray of float32, shape (n, 8)
        As `keras.ops.image.affine_transform` wants it: from output (column, row) to input (column, row).
    gain : ndarray of float32, shape (n,)
        Factor on what stands above the sky.
    """

    transform: np.ndarray
    gain: np.ndarray


def draw(augmentation: Augmentation, n: int, size: int, rng: np.random.Generator) -> Draws:
    """Draw the transformations of n images.

    Parameters
    ----------
    augmentation : Augmentation
        What may be drawn.
    n : int
        Number of images.
    size : int
        Their height and width in pixels.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Draws

    Examples
    --------
    >>> draws = draw(NO_AUGMENTATION, 1, 64, np.random.default_rng(0))
    >>> (draws.transform[0] + 0.0).tolist()
    [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    """
    # All seven are drawn whatever is switched on, so that switching one on leaves the others' draws alone.
    u = rng.random((7, n))
    flips = np.where(u[1:3] < 0.5, -1.0, 1.0) if augmentation.flip else np.ones((2, n))
    shifts = augmentation.shift * (2.0 * u[3:5] - 1.0)
    transform = transforms(
        size,
        angle=2.0 * math.pi * u[0] * augmentation.rotate,
        flip_rows=flips[0],
        flip_columns=flips[1],
        shift_rows=shifts[0],
        shift_columns=shifts[1],
        zoom=np.exp(math.log(augmentation.zoom) * (2.0 * u[5] - 1.0)),
    )
    gain = 1.0 + augmentation.brightness * (2.0 * u[6] - 1.0)
    return Draws(transform, gain.astype(np.float32))


def transforms(
    size: int,
    *,
    angle: np.ndarray,
    flip_rows: np.ndarray,
    flip_columns: np.ndarray,
    shift_rows: np.ndarray,
    shift_columns: np.ndarray,
    zoom: np.ndarray,
) -> np.ndarray:
    """Compose flip, zoom, rotation and shift, in this order, into one affine transformation per image.

    A point at (row, column) = (r, c) from the image centre goes to ``shift + rotation(angle) @ (zoom * flip
    * (r, c))`` with ``rotation = [[cos, -sin], [sin, cos]]``: positive angles turn from rows towards columns.

    Parameters
    ----------
    size : int
        Height and width of the images.
    angle : ndarray, shape (n,)
        Radians.
    flip_rows, flip_columns : ndarray, shape (n,)
        1 or -1.
    shift_rows, shift_columns : ndarray, shape (n,)
        Pixels.
    zoom : ndarray, shape (n,)
        Above 1 enlarges.

    Returns
    -------
    ndarray of float32, shape (n, 8)
        As in `Draws`.
    """
    centre = (size - 1) / 2
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    row, column = centre + shift_rows, centre + shift_columns
    zero = np.zeros_like(cos)
    return np.stack(
        [
            flip_columns * cos, -flip_columns * sin, centre + flip_columns * (sin * row - cos * column),
            flip_rows * sin, flip_rows * cos, centre - flip_rows * (cos * row + sin * column),
            zero, zero,
        ],
        axis=1,
    ).astype(np.float32)  # fmt: skip


def orientations(count: int, size: int) -> np.ndarray:
    """Return `count` evenly spread orientations: rotations by equal angles, each as it is and flipped.

    Parameters
    ----------
    count : int
        1 (as it is), or an even number: 2 flips, 8 is the whole symmetry group of the square.
    size : int
        Height and width of the images.

    Returns
    -------
    ndarray of float32, shape (count, 8)
        As `Draws.transform`.

    Raises
    ------
    ValueError
        If count is neither 1 nor even and positive.

    Examples
    --------
    >>> orientations(8, 64).shape
    (8, 8)
    """
    if count != 1 and (count < 1 or count % 2):
        raise ValueError(f"orientations must be 1 or an even number (rotations times flip), got {count}")
    i = np.arange(count)
    ones = np.ones(count)
    return transforms(
        size,
        angle=2.0 * math.pi * (i // 2) / max(1, count // 2),
        flip_rows=np.where(i % 2, -1.0, 1.0),
        flip_columns=ones,
        shift_rows=0.0 * ones,
        shift_columns=0.0 * ones,
        zoom=ones,
    )


def warp(images: Any, sky: Any, transform: Any, gain: Any) -> Any:
    """Apply drawn transformations with one bilinear interpolation; outside the image there is its sky.

    Parameters
    ----------
    images : tensor, shape (n, size, size, channels)
        Raw images.
    sky : tensor of float32, shape (n, channels)
        Sky of each image and band.
    transform, gain : tensor
        As in `Draws`.

    Returns
    -------
    tensor of float32, shape (n, size, size, channels)
    """
    sky = ops.reshape(sky, (-1, 1, 1, ops.shape(sky)[-1]))
    # The fill is one number for all images, so the sky is taken off first and the outside filled with 0.
    above = ops.cast(images, "float32") - sky
    above = ops.image.affine_transform(
        above, transform, interpolation="bilinear", fill_mode="constant", fill_value=0.0, data_format="channels_last"
    )
    return above * ops.reshape(gain, (-1, 1, 1, 1)) + sky


class Augmented(keras.Model):
    """A network behind `warp`: what is trained, while the network alone is what is saved.

    Its input is a dict: the views (``view_0``, ...), ``sky``, ``transform`` and ``gain``. All views of a galaxy are
    transformed alike.

    Parameters
    ----------
    network : keras.Model
        From raw images to answers.
    stochastic : bool
        Keep dropout on at prediction too (the non-deterministic score).
    """

    def __init__(self, network: keras.Model, *, stochastic: bool = False) -> None:
        super().__init__(name="augmented", dtype="float32")  # whatever the user's keras.json says
        self.network = network
        self.stochastic = stochastic

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> Any:
        """Return the network's answers for the transformed images."""
        views = {
            name: warp(images, inputs["sky"], inputs["transform"], inputs["gain"])
            for name, images in inputs.items()
            if name.startswith("view_")
        }
        return self.network(
            views["view_0"] if len(views) == 1 else views, training=True if self.stochastic else training
        )
