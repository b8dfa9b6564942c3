"""Public names with their options written out. Made by tests/helpers/stub.py from scalenorm/measuring/options.py."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Self

from numpy.typing import ArrayLike, NDArray

from ._version import __version__ as __version__
from .batch.convert import convert as convert
from .batch.stream import stream as stream
from .cache import open_cache as open_cache
from .cropping.transformer import ScaleNormalizer as _ScaleNormalizer
from .measuring.flags import Flag as Flag
from .measuring.measure import Measurement as Measurement
from .measuring.options import Center
from .simulation.galaxies import make_galaxies as make_galaxies

def crop(
    image: ArrayLike,
    size: int = 64,
    *,
    view: str = "normalized",
    mask: ArrayLike | None = None,
    sigma: float = 1.0,
    margin: float = 1.0,
    center: Center = "image",
    channel_axis: int | None = None,
    weights: Sequence[float] | None = None,
    sigma_clip: float | None = None,
    smooth: float = 0.0,
    min_area: int = 1,
    fill_holes: bool = False,
    deblend: bool = False,
    deblend_levels: int = 32,
    deblend_contrast: float = 0.005,
    size_from: Literal['major_axis', 'half_light', 'petrosian'] = "major_axis",
    side_limits: tuple[float, float] | None = None,
    mask_neighbours: bool = False,
    stretch: str | None = None,
) -> NDArray[Any]: ...

def crop_all(
    image: ArrayLike,
    size: int = 64,
    *,
    mask: ArrayLike | None = None,
    sigma: float = 1.0,
    margin: float = 1.0,
    channel_axis: int | None = None,
    weights: Sequence[float] | None = None,
    sigma_clip: float | None = None,
    smooth: float = 0.0,
    min_area: int = 1,
    fill_holes: bool = False,
    deblend: bool = False,
    deblend_levels: int = 32,
    deblend_contrast: float = 0.005,
    size_from: Literal['major_axis', 'half_light', 'petrosian'] = "major_axis",
    side_limits: tuple[float, float] | None = None,
    mask_neighbours: bool = False,
    stretch: str | None = None,
) -> tuple[list[Measurement], NDArray[Any]]: ...

def crop_at(
    image: ArrayLike,
    positions: ArrayLike,
    stamp: int | tuple[int, int],
    size: int = 64,
    *,
    view: str = "normalized",
    n_jobs: int | None = None,
    mask: ArrayLike | None = None,
    sigma: float = 1.0,
    margin: float = 1.0,
    center: Center = "image",
    channel_axis: int | None = None,
    weights: Sequence[float] | None = None,
    sigma_clip: float | None = None,
    smooth: float = 0.0,
    min_area: int = 1,
    fill_holes: bool = False,
    deblend: bool = False,
    deblend_levels: int = 32,
    deblend_contrast: float = 0.005,
    size_from: Literal['major_axis', 'half_light', 'petrosian'] = "major_axis",
    side_limits: tuple[float, float] | None = None,
    mask_neighbours: bool = False,
    stretch: str | None = None,
) -> tuple[list[Measurement], NDArray[Any]]: ...

def crop_many(
    images: Iterable[ArrayLike],
    size: int = 64,
    *,
    view: str = "normalized",
    n_jobs: int | None = None,
    mask: Iterable[ArrayLike] | None = None,
    sigma: float = 1.0,
    margin: float = 1.0,
    center: Center = "image",
    channel_axis: int | None = None,
    weights: Sequence[float] | None = None,
    sigma_clip: float | None = None,
    smooth: float = 0.0,
    min_area: int = 1,
    fill_holes: bool = False,
    deblend: bool = False,
    deblend_levels: int = 32,
    deblend_contrast: float = 0.005,
    size_from: Literal['major_axis', 'half_light', 'petrosian'] = "major_axis",
    side_limits: tuple[float, float] | None = None,
    mask_neighbours: bool = False,
    stretch: str | None = None,
) -> NDArray[Any]: ...

def measure(
    image: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    sigma: float = 1.0,
    margin: float = 1.0,
    center: Center = "image",
    channel_axis: int | None = None,
    weights: Sequence[float] | None = None,
    sigma_clip: float | None = None,
    smooth: float = 0.0,
    min_area: int = 1,
    fill_holes: bool = False,
    deblend: bool = False,
    deblend_levels: int = 32,
    deblend_contrast: float = 0.005,
    size_from: Literal['major_axis', 'half_light', 'petrosian'] = "major_axis",
    side_limits: tuple[float, float] | None = None,
    mask_neighbours: bool = False,
    stretch: str | None = None,
) -> Measurement: ...

def plot(
    image: ArrayLike,
    names: Sequence[str] = ('normalized',),
    size: int = 64,
    *,
    axes: Sequence[Any] | None = None,
    mask: ArrayLike | None = None,
    sigma: float = 1.0,
    margin: float = 1.0,
    center: Center = "image",
    channel_axis: int | None = None,
    weights: Sequence[float] | None = None,
    sigma_clip: float | None = None,
    smooth: float = 0.0,
    min_area: int = 1,
    fill_holes: bool = False,
    deblend: bool = False,
    deblend_levels: int = 32,
    deblend_contrast: float = 0.005,
    size_from: Literal['major_axis', 'half_light', 'petrosian'] = "major_axis",
    side_limits: tuple[float, float] | None = None,
    mask_neighbours: bool = False,
    stretch: str | None = None,
) -> NDArray[Any]: ...

def views(
    image: ArrayLike,
    names: Sequence[str],
    size: int = 64,
    *,
    mask: ArrayLike | None = None,
    sigma: float = 1.0,
    margin: float = 1.0,
    center: Center = "image",
    channel_axis: int | None = None,
    weights: Sequence[float] | None = None,
    sigma_clip: float | None = None,
    smooth: float = 0.0,
    min_area: int = 1,
    fill_holes: bool = False,
    deblend: bool = False,
    deblend_levels: int = 32,
    deblend_contrast: float = 0.005,
    size_from: Literal['major_axis', 'half_light', 'petrosian'] = "major_axis",
    side_limits: tuple[float, float] | None = None,
    mask_neighbours: bool = False,
    stretch: str | None = None,
) -> dict[str, NDArray[Any]]: ...

class ScaleNormalizer(_ScaleNormalizer):
    def __init__(
        self,
        size: int = 64,
        *,
        view: str = "normalized",
        n_jobs: int | None = None,
        sigma: float = 1.0,
        margin: float = 1.0,
        center: Center = "image",
        channel_axis: int | None = None,
        weights: Sequence[float] | None = None,
        sigma_clip: float | None = None,
        smooth: float = 0.0,
        min_area: int = 1,
        fill_holes: bool = False,
        deblend: bool = False,
        deblend_levels: int = 32,
        deblend_contrast: float = 0.005,
        size_from: Literal['major_axis', 'half_light', 'petrosian'] = "major_axis",
        side_limits: tuple[float, float] | None = None,
        mask_neighbours: bool = False,
        stretch: str | None = None,
    ) -> None: ...

__all__: list[str]
