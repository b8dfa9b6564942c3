"""Small pictures on disk, for tests of the batch command."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, size: int = 40, bands: int = 3) -> np.ndarray:
    """One bright tilted ellipse on noise, (size, size, bands) uint8."""
    rng = np.random.default_rng(seed)
    row, col = np.mgrid[:size, :size] - (size - 1) / 2 - rng.uniform(-2, 2, 2)[:, None, None]
    angle, long, ratio = rng.uniform(0, np.pi), rng.uniform(4, 9), rng.uniform(0.3, 1)
    along, across = row * np.cos(angle) + col * np.sin(angle), col * np.cos(angle) - row * np.sin(angle)
    light = 200 * np.exp(-0.5 * ((along / long) ** 2 + (across / (long * ratio)) ** 2))
    image = light[..., None] * rng.uniform(0.6, 1, bands) + rng.uniform(0, 20, (size, size, bands))
    return image.clip(0, 255).astype(np.uint8)


@cache
def _encoded(number: int, suffix: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(number, 36 + number % 7)).save(file, Image.registered_extensions()[suffix])
    return file.getvalue()


def write_pictures(folder: Path, numbers: range | list[int], suffix: str = ".png") -> Path:
    """Write pictures named by their number, of changing size, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"g{number:04d}{suffix}").write_bytes(_encoded(number, suffix))
    return folder


def beside(output: Path) -> list[str]:
    """Names in the output's folder that begin like the output."""
    return sorted(path.name for path in output.parent.iterdir() if path.name.startswith(output.name))
