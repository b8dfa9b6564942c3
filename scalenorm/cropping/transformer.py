"""The crop as a scikit-learn transformer. Works without scikit-learn too, as any object with its methods does."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..measuring.frame import as_array
from ..measuring.options import OPTIONS, MeasureOptions, takes_measuring_options
from .crop import check_size
from .many import crop_many
from .views import parse_view

if TYPE_CHECKING:
    Base: Any = object
else:
    try:
        from sklearn.base import BaseEstimator, TransformerMixin

        class Base(TransformerMixin, BaseEstimator):
            """What scikit-learn adds to a transformer."""

            def __sklearn_tags__(self):
                tags = super().__sklearn_tags__()
                tags.input_tags.two_d_array = False
                tags.input_tags.three_d_array = True
                tags.input_tags.allow_nan = True
                tags.requires_fit = False
                return tags

    except ImportError:

        class Base:
            """The part of scikit-learn's interface that a pipeline of one's own needs."""

            def get_params(self, deep: bool = True) -> dict[str, Any]:
                """Parameters by name."""
                return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

            def set_params(self, **params: Any) -> Self:
                """Set parameters by name."""
                known = self.get_params()
                for name, value in params.items():
                    if name not in known:
                        raise ValueError(f"there is no parameter {name!r}; parameters are {', '.join(known)}")
                    setattr(self, name, value)
                return self

            def fit_transform(self, X: Any, y: Any = None) -> NDArray[Any]:
                """`fit`, then `transform`."""
                return self.fit(X, y).transform(X)


@takes_measuring_options()
class ScaleNormalizer(Base):
    """Crop each image to its galaxy and resize: `scalenorm.crop_many` as a scikit-learn transformer.

    It learns nothing from the data, so `transform` works without `fit`, and each image's crop depends on that image
    only. Where scikit-learn is not installed, the same methods are there without it.

    Parameters
    ----------
    size : int > 0, default 64
        Height and width of the crops, pixels.
    view : str, default "normalized"
        ``"normalized"`` or ``"center-N"``.
    n_jobs : int, optional
        Threads; by default, and for -1, one for each core that this process may use.
    **options

    Attributes
    ----------
    n_bands_in_ : int
        Number of bands of the images seen in `fit`, 1 for images without a band axis. Heights and widths may differ.

    Examples
    --------
    >>> import scalenorm
    >>> galaxies = scalenorm.make_galaxies(4, seed=1)
    >>> scalenorm.ScaleNormalizer(size=32).fit_transform(galaxies.images).shape
    (4, 32, 32, 3)
    """

    def __init__(
        self,
        size: int = 64,
        *,
        view: str = "normalized",
        n_jobs: int | None = None,
        **options: Any,
    ) -> None:
        for name in options:
            if name not in OPTIONS:
                raise TypeError(f"ScaleNormalizer() got an unexpected keyword argument {name!r}")
        # Stored as given, because that is what scikit-learn wants; checked when used.
        defaults = {name: field.default for name, field in OPTIONS.items()}
        for name, value in {"size": size, "view": view, "n_jobs": n_jobs, **defaults, **options}.items():
            setattr(self, name, value)

    def fit(self, X: Iterable[ArrayLike], y: Any = None) -> Self:
        """Check parameters and images; nothing is learnt.

        Parameters
        ----------
        X : array_like, (N, H, W) or (N, H, W, C), or sequence of images
            The images.
        y : ignored

        Returns
        -------
        ScaleNormalizer
            This object.

        Raises
        ------
        ValueError
            If a parameter is out of range, or X holds no images.
        """
        self._checked_options()
        self.n_bands_in_ = self._bands_of(_as_images(X)[0])
        return self

    def transform(self, X: Iterable[ArrayLike]) -> NDArray[Any]:
        """Crop images.

        Parameters
        ----------
        X : array_like, (N, H, W) or (N, H, W, C), or sequence of images
            The images.

        Returns
        -------
        ndarray, (N, size, size) or (N, size, size, C)
            The crops, of the images' dtype.

        Raises
        ------
        TypeError, ValueError
            As `scalenorm.crop_many`; also if the images have another number of bands than those of `fit`.
        """
        options = self._checked_options()
        images = _as_images(X)
        bands = self._bands_of(images[0])
        fitted = getattr(self, "n_bands_in_", bands)
        if bands != fitted:
            raise ValueError(f"X has images of {bands} bands, but fit saw images of {fitted}")
        return crop_many(images, self.size, view=self.view, n_jobs=self.n_jobs, **options)

    def _checked_options(self) -> dict[str, Any]:
        """Return the measuring options, checked here because scikit-learn wants parameters stored as given."""
        check_size(self.size)
        parse_view(self.view)
        options = {name: getattr(self, name) for name in OPTIONS}
        MeasureOptions(**options)
        return options

    def _bands_of(self, image: NDArray[Any]) -> int:
        axis = -1 if self.channel_axis is None else self.channel_axis
        if not -3 <= axis < 3:
            raise ValueError(f"channel_axis must be between -3 and 2, got {axis}")
        return 1 if image.ndim == 2 else image.shape[axis]


def _as_images(X: Iterable[ArrayLike]) -> NDArray[Any] | list[NDArray[Any]]:
    """Return X as an array of images or a list of arrays."""
    if hasattr(X, "__array__") and not isinstance(X, np.ndarray):
        X = np.asarray(X)
    images = X if isinstance(X, np.ndarray) and X.dtype != object else [as_array(image) for image in X]
    if len(images) == 0:
        raise ValueError("X holds no images: give an array (N, H, W[, C]) or a list of images")
    if images[0].ndim not in (2, 3):
        shape = images.shape if isinstance(images, np.ndarray) else images[0].shape
        raise ValueError(f"X must be images, (N, H, W) or (N, H, W, C), or a list of them; got shape {shape}")
    return images
