"""Where the galaxy is when it is not in the middle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .frame import grey_image, image_center
from .region import sky_and_height
from .threshold import Threshold

LONGEST = 128  # pixels of the reduced copy's longer side: the search costs the same on an image of any size
HEIGHTS = 10.0  # threshold heights above the sky at which light is cut, so that a star does not drown a galaxy
WEAKEST = 0.05  # response, of a blob HEIGHTS high, below which it is no blob
NEAR = 1 / 16  # of the shorter side: the distance from the centre within which all blobs are alike


def find_blob(threshold: Threshold, method: str) -> tuple[float, float] | None:
    """(row, col) of the most salient blob; None if there is no blob.

    Blobs are those of scikit-image's ``blob_log`` (Laplacian of Gaussian) or ``blob_dog`` (difference of Gaussians)
    on a copy reduced to 128 pixels, those whose middle reaches the threshold. Salience is the root of the light in the
    blob, divided by (1 + d^2 / s^2)^2 for a distance d from the image's centre, with s a sixteenth of the shorter side:
    far from the centre, a blob 1.5 times as far out as another must have 25 times its light to be taken.

    Parameters
    ----------
    threshold : Threshold
    method : {"log", "dog"}
    """
    frame = threshold.frame
    blobs = find_blobs(threshold, method)
    if len(blobs) == 0:
        return None
    middle = image_center(frame.height, frame.width)
    near = max(NEAR * min(frame.height, frame.width), 1.0)
    far = ((blobs[:, 0] - middle[0]) ** 2 + (blobs[:, 1] - middle[1]) ** 2) / near**2
    row, col = blobs[np.argmax(np.sqrt(blobs[:, 3]) / (1 + far) ** 2), :2]
    return float(row), float(col)


def find_blobs(threshold: Threshold, method: str) -> NDArray[np.float64]:
    """Blobs as rows of (row, col, standard deviation, light), in pixels; light is in threshold heights."""
    from skimage.feature import blob_dog, blob_log

    if threshold.cutoff is None:
        return np.empty((0, 4))
    frame = threshold.frame
    image, factor = _reduced(threshold)
    widest = max(min(image.shape) / 6, 2.0)
    if method == "log":
        # Without overlap=1 the one wide blob about a pair would oust the two.
        found = blob_log(
            image, min_sigma=1.5, max_sigma=widest, num_sigma=8, log_scale=True, threshold=WEAKEST, overlap=1
        )
    else:
        found = blob_dog(image, min_sigma=1.5, max_sigma=widest, threshold=WEAKEST, overlap=1)
    blobs = np.empty((len(found), 4))
    rows, cols = np.ogrid[: image.shape[0], : image.shape[1]]
    strong = np.zeros(len(found), bool)
    for k, (blob, place) in enumerate(zip(blobs, found, strict=True)):
        row, col, sigma = place.tolist()
        inside = (rows - row) ** 2 + (cols - col) ** 2 <= 2 * sigma**2
        total = image[inside].sum()
        # The last blocks may reach beyond the frame, and their middles too.
        middle = min((row + 0.5) * factor - 0.5, frame.height - 1), min((col + 0.5) * factor - 0.5, frame.width - 1)
        blob[:] = *middle, sigma * factor, total * factor**2 * HEIGHTS
        strong[k] = image[int(row), int(col)] * HEIGHTS >= 1
    return blobs[strong]


def _reduced(threshold: Threshold) -> tuple[NDArray[np.float64], int]:
    """Light above the sky, 0 to 1 at ``HEIGHTS`` times the threshold's, means over blocks; and pixels of a block."""
    grey = grey_image(threshold.frame)
    sky, height = sky_and_height(grey, threshold)
    light = np.clip(np.nan_to_num(grey - sky, nan=0.0) / (HEIGHTS * height), 0, 1)
    factor = max(1, -(-max(light.shape) // LONGEST))
    rows, cols = (-(-length // factor) for length in light.shape)
    padded = np.zeros((rows * factor, cols * factor))
    padded[: light.shape[0], : light.shape[1]] = light
    return padded.reshape(rows, factor, cols, factor).mean(axis=(1, 3)), factor
