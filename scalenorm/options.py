"""The options of a measurement, checked once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Center = str | tuple[float, float]

CENTERS = ("image", "galaxy", "log", "dog")


@dataclass(frozen=True)
class MeasureOptions:
    """How to measure; see `scalenorm.measure` for what each option means.

    Raises
    ------
    ValueError
        If an option is out of its range; the message says which, what was given and what is possible.
    """

    sigma: float = 1.0
    margin: float = 1.0
    center: Center = "image"
    channel_axis: int | None = None
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.sigma):
            raise ValueError(f"sigma must be a finite number, got {self.sigma!r}")
        if not (math.isfinite(self.margin) and self.margin > 0):
            raise ValueError(f"margin must be a positive finite number, got {self.margin!r}")
        if self.center.__class__ is str:
            if self.center not in CENTERS:
                raise ValueError(f"center must be one of {', '.join(CENTERS)} or (row, col), got {self.center!r}")
        else:
            object.__setattr__(self, "center", _numbers("center", self.center, 2))
        if self.weights is not None:
            object.__setattr__(self, "weights", _numbers("weights", self.weights))


def _numbers(name: str, values: Sequence[float] | str, length: int | None = None) -> tuple[float, ...]:
    """``values`` as a tuple of finite floats."""
    wanted = f"{length} finite numbers" if length else "finite numbers"
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be {wanted}, got {values!r}") from None
    if not numbers or (length and len(numbers) != length) or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{name} must be {wanted}, got {values!r}")
    return numbers
