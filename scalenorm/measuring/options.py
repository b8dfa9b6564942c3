"""The options of a measurement, checked once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

Center = str | tuple[float, float]

CENTERS = ("image", "galaxy", "log", "dog")
# Beyond these a crop holds nothing but sky, a smoothed image one value, and both take minutes.
MOST_MARGIN, MOST_SMOOTH, MOST_LEAST_SIDE = 1000, 1000, 1_000_000
SIZES = ("major_axis", "half_light", "petrosian")


@dataclass(frozen=True, kw_only=True)
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
    sigma_clip: float | None = None
    smooth: float = 0.0
    min_area: int = 1
    fill_holes: bool = False
    deblend: bool = False
    deblend_levels: int = 32
    deblend_contrast: float = 0.005
    size_from: str = "major_axis"
    side_limits: tuple[float, float] | None = None
    mask_neighbours: bool = False

    def __post_init__(self) -> None:
        for name in ("sigma", "margin", "smooth", "deblend_contrast"):
            value = getattr(self, name)
            if value.__class__ is not float:
                object.__setattr__(self, name, _number(name, value))
        if not math.isfinite(self.sigma):
            raise ValueError(f"sigma must be a finite number, got {self.sigma!r}")
        if not (math.isfinite(self.margin) and self.margin > 0):
            raise ValueError(f"margin must be a positive finite number, got {self.margin!r}")
        if self.margin > MOST_MARGIN:
            raise ValueError(f"margin must be at most {MOST_MARGIN}, got {self.margin!r}")
        if not (self.channel_axis is None or isinstance(self.channel_axis, Integral)):
            raise ValueError(f"channel_axis must be an integer or None, got {self.channel_axis!r}")
        if isinstance(self.center, str):
            if self.center not in CENTERS:
                raise ValueError(f"center must be one of {', '.join(CENTERS)} or (row, col), got {self.center!r}")
        else:
            object.__setattr__(self, "center", _numbers("center", self.center, 2))
        if self.weights is not None:
            object.__setattr__(self, "weights", _numbers("weights", self.weights))
        if self.sigma_clip is not None:
            object.__setattr__(self, "sigma_clip", _number("sigma_clip", self.sigma_clip))
            if not 1 <= self.sigma_clip < math.inf:
                raise ValueError(
                    f"sigma_clip must be a finite number of deviations, at least 1, got {self.sigma_clip!r}"
                )
        if not 0 <= self.smooth <= MOST_SMOOTH:
            raise ValueError(f"smooth must be a number of pixels from 0 to {MOST_SMOOTH}, got {self.smooth!r}")
        area, levels = _number("min_area", self.min_area), _number("deblend_levels", self.deblend_levels)
        if not (area >= 1 and area.is_integer()):
            raise ValueError(f"min_area must be a positive number of pixels, got {self.min_area!r}")
        if not (2 <= levels <= 10_000 and levels.is_integer()):
            raise ValueError(f"deblend_levels must be an integer from 2 to 10000, got {self.deblend_levels!r}")
        if not 0 <= self.deblend_contrast <= 1:
            raise ValueError(f"deblend_contrast must be a number from 0 to 1, got {self.deblend_contrast!r}")
        if self.size_from not in SIZES:
            raise ValueError(f"size_from must be one of {', '.join(SIZES)}, got {self.size_from!r}")
        if self.side_limits is not None:
            low, high = _numbers("side_limits", self.side_limits, 2)
            if not 1 <= low <= min(high, MOST_LEAST_SIDE):
                raise ValueError(
                    f"side_limits must be (least, greatest) in pixels with 1 <= least <= greatest and least at most "
                    f"{MOST_LEAST_SIDE}, got {self.side_limits!r}"
                )
            object.__setattr__(self, "side_limits", (low, high))


def _number(name: str, value: object) -> float:
    """Any real number, NumPy's too, as a float."""
    if isinstance(value, str):  # float() would take "1"
        raise ValueError(f"{name} must be a number, got {value!r}")
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        raise ValueError(f"{name} is a number too large for a float") from None
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number, got {value!r}") from None


def _numbers(name: str, values: Sequence[float] | str, length: int | None = None) -> tuple[float, ...]:
    """``values`` as a tuple of finite floats."""
    wanted = f"{length} finite numbers" if length else "finite numbers"
    try:
        numbers = tuple(_number(name, value) for value in values)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be {wanted}, got {values!r}") from None
    if not numbers or (length and len(numbers) != length) or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{name} must be {wanted}, got {values!r}")
    return numbers
