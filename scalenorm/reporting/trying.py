"""A page that shows the same galaxies under several settings, to choose one by eye: ``scalenorm-report --try``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..batch.rows import explain_failure
from ..cache.recipe import Recipe
from ..cropping.crop import measure_and_crop
from ..files.errors import OptionError
from ..files.names import as_html
from ..files.writing import check_output
from ..images.showing import as_jpeg, as_picture, fitted, limits_of
from ..measuring.flags import describe
from ..sources.finding import find
from ..sources.listing import Source
from ..sources.reader import Reader
from . import MARKER
from .drawing import draw_measurement, row_of
from .page import template, write_page

MOST_PICTURES = 1000
_SIDE = 128


class Setting(NamedTuple):
    """One way to crop: what it is called, how to do it to all images, and the options of `scalenorm.convert`."""

    label: str
    command: str
    options: Mapping[str, Any]


def write_trial(
    inputs: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    settings: Sequence[Setting],
    *,
    sample: int = 12,
    overwrite: bool = False,
) -> int:
    """Write a page with some of the images, evenly spread over their ids, cropped with each of some settings.

    Parameters
    ----------
    inputs : sequence of path
        Folders, archives, stacks and images, as for `scalenorm.convert`.
    output : path
        The HTML file.
    settings : sequence of Setting
        Their options are those of measuring and decoding, and ``size``.
    sample : int > 0
        How many images to show.
    overwrite : bool
        Replace a file that is not an earlier page.

    Returns
    -------
    int
        The number of images shown.

    Raises
    ------
    InputError
        If the images cannot be listed.
    OptionError
        If an option is out of its range, or there would be more than 1,000 crops.
    OutputError
        If the file exists or cannot be written.
    """
    path = Path(output)
    check_output(path, overwrite=overwrite, marker=MARKER)
    recipes = [_recipe(dict(setting.options)) for setting in settings]
    sources = find([os.fspath(given) for given in inputs])
    sample = min(sample, len(sources))
    if sample * len(settings) > MOST_PICTURES:
        raise OptionError(f"{sample} images with {len(settings)} settings are more than {MOST_PICTURES:,} crops")
    rows = []
    for number in np.linspace(0, len(sources) - 1, sample).round().astype(int).tolist():
        source = sources[number]
        cells = "".join(_cell(source, recipe) for recipe in recipes)
        rows.append(f'<tr><th scope="row"><bdi>{as_html(source.id)}</bdi></th>{cells}</tr>')
    style = template("report.css") + template("try.css") + "".join(map(_rule, range(len(settings))))
    fields = {
        "heads": "".join(_head(place, setting) for place, setting in enumerate(settings)),
        "rows": "".join(rows),
        "commands": "".join(
            f'<pre class="command" id="command-{place}">{as_html(setting.command)}</pre>'
            for place, setting in enumerate(settings)
        ),
    }
    write_page(path, "try.html", style, "", fields)
    return sample


def _recipe(options: dict[str, Any]) -> Recipe:
    try:
        return Recipe.checked(("normalized",), options.pop("size", 64), "stem", False, options)
    except (TypeError, ValueError) as error:
        raise OptionError(str(error)) from None


def _cell(source: Source, recipe: Recipe) -> str:
    """Return an image with ellipse and window beside its crop, or why there is none."""
    try:
        with Reader(recipe.decode.max_bytes, recipe.decode) as reader:
            image, mask = reader.decode(reader.read(source))
        galaxy, (crop,) = measure_and_crop(image, recipe.views, recipe.size, recipe.measure, mask=mask)
    except Exception as error:  # whatever one image does, the page is written and says so
        return f'<td class="failed">{as_html(explain_failure(error, source))}</td>'
    picture = fitted(as_picture(image, limits_of(image)), _SIDE)
    draw_measurement(picture, row_of(galaxy))
    pictures = "".join(
        f'<img alt="{what}" src="data:image/jpeg;base64,{as_jpeg(drawn)}">'
        for what, drawn in (("image", picture), ("crop", fitted(as_picture(crop, limits_of(crop)), _SIDE)))
    )
    flags = "".join(f' <span class="flag">{flag}</span>' for flag in describe(galaxy.flags))
    return f"<td><div>{pictures}</div>window {galaxy.side:.0f} px{flags}</td>"


def _head(place: int, setting: Setting) -> str:
    chosen = " checked" if place == 0 else ""
    return (
        f'<th scope="col"><label><input type="radio" name="setting" id="setting-{place}"{chosen}> '
        f"{as_html(setting.label)}</label></th>"
    )


def _rule(place: int) -> str:
    """Show the command of the setting that is chosen, and mark its column."""
    chosen = f"body:has(#setting-{place}:checked)"
    return (
        f"{chosen} #command-{place} {{ display: block; }}\n"
        f"{chosen} #trial :is(th, td):nth-child({place + 2}) {{ background: var(--warn-ground); }}\n"
    )
