"""How rows are made: all options that their values depend on, as checked objects and as a cache's settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..cropping.crop import check_size
from ..cropping.stretching import crop_dtype
from ..cropping.views import parse_view
from ..images.options import DecodeOptions
from ..measuring.options import MeasureOptions
from ..sources.bands import BandFiles
from .format import METHOD_VERSION, SPECIAL_SETTINGS, Layout, has_stamps, settings_hash

VIEWS = ("normalized", "center-64", "center-256")

_MEASURING = {field.name for field in dataclasses.fields(MeasureOptions)} - {"channel_axis"}
_DECODING = {field.name for field in dataclasses.fields(DecodeOptions)}


@dataclass(frozen=True)
class Recipe:
    """How to make rows."""

    views: tuple[str, ...]
    size: int  # height and width of all crops, pixels
    id_from: str  # what an image's id is: "stem" or "path"
    all_objects: bool  # rows are objects of images, not images
    measure: MeasureOptions
    decode: DecodeOptions
    special: Mapping[str, str] = dataclasses.field(default_factory=dict)  # those of SPECIAL_SETTINGS that were given

    @classmethod
    def checked(
        cls, views: Sequence[str] | None, size: int, id_from: str, all_objects: bool, options: Mapping[str, Any],
        special: Mapping[str, str] | None = None,
    ) -> Recipe:  # fmt: skip
        """Check what a user gave; `options` are those of measuring and of decoding.

        An unknown option is a `TypeError`, one out of its range a `ValueError`.
        """
        for name in options:
            if name not in _MEASURING | _DECODING:
                raise TypeError(f"there is no option {name!r}; options are {', '.join(sorted(_MEASURING | _DECODING))}")
        special = special or {}
        if views is None:
            views = VIEWS[:1] if all_objects or has_stamps(special) else VIEWS
        if all_objects:
            _check_object_options(views, options)
        check_size(size)
        _check_views(views)
        recipe = cls._of(views, size, id_from, all_objects, options, special)
        if recipe.band_files is None and recipe.decode.has_band_files:
            raise ValueError("bands must be 'rgb' or 'grey'; names of bands need band_files")
        if recipe.band_files is not None and not recipe.decode.has_band_files:
            raise ValueError("band_files needs bands, the names of the bands in order, such as g,r,z")
        return recipe

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Recipe:
        """Return the recipe that a cache was made by."""
        options = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
        all_objects = bool(settings.get("all_objects"))
        id_from = settings.get("id_from", "stem")
        special = {name: settings[name] for name in SPECIAL_SETTINGS if name in settings}
        return cls._of(settings["views"], settings["size"], id_from, all_objects, options, special)

    @classmethod
    def _of(
        cls, views: Sequence[str], size: int, id_from: str, all_objects: bool, options: Mapping[str, Any],
        special: Mapping[str, str],
    ) -> Recipe:  # fmt: skip
        # Decoding puts bands last, whatever the file has.
        measuring: dict[str, Any] = {"channel_axis": -1, **({"center": "galaxy"} if all_objects else {})}
        measuring |= {name: value for name, value in options.items() if name in _MEASURING}
        decoding = {name: value for name, value in options.items() if name in _DECODING}
        return cls(
            tuple(views), int(size), id_from, all_objects, MeasureOptions(**measuring), DecodeOptions(**decoding),
            special,
        )  # fmt: skip

    @cached_property
    def band_files(self) -> BandFiles | None:
        """The names of the files of bands, if each band has a file of its own."""
        pattern = self.special.get("band_files")
        return None if pattern is None else BandFiles(pattern, self.decode.bands)

    def layout_of(self, image: np.ndarray) -> Layout:
        """Return the layout of the crops of an image."""
        return Layout.of(image, crop_dtype(image.dtype, self.measure))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The options by name, as a cache stores them."""
        settings: dict[str, Any] = {
            "views": list(self.views), "size": self.size, "id_from": self.id_from, "method": METHOD_VERSION,
            **_plain(self.measure), **_plain(self.decode),
        }  # fmt: skip
        del settings["channel_axis"]
        for name in ("blank", "stretch"):
            if settings[name] is None:
                del settings[name]  # which caches had before it was an option
        settings |= self.special
        if self.all_objects:
            settings["all_objects"] = True
            del settings["center"]  # not a choice then
        return settings

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the settings (hexadecimal)."""
        return settings_hash(self.settings)


def _plain(options: MeasureOptions | DecodeOptions) -> dict[str, Any]:
    """Return options as Python's own types, the same for 1 and 1.0 and NumPy's numbers."""
    result = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(field.default, (bool, int, float)):
            value = type(field.default)(value)
        result[field.name] = value
    return result


def _check_views(views: Sequence[str]) -> None:
    if isinstance(views, str):
        raise ValueError(f"views must be a list of names, got the string {views!r}: use {views.split(',')!r}")
    for name in views:
        parse_view(name)
    if not views or len(set(views)) < len(views):
        raise ValueError(f"views must name one or more different views, got {list(views)}")


def _check_object_options(views: Sequence[str], options: Mapping[str, Any]) -> None:
    if "center" in options:
        raise ValueError("all_objects centres each window on its object: leave center out")
    if list(views) != ["normalized"]:
        raise ValueError(
            f"all_objects crops each object by its own size, so the only view is normalized, got {','.join(views)}"
        )
