"""The options of a measurement, each declared once.

A field of `MeasureOptions` is all there is to an option: its type, default, range and text. Signatures and docstrings
of the public functions, ``scalenorm/__init__.pyi``, the transformer, the command line and the settings in a cache
follow from it.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, NamedTuple

Center = str | tuple[float, float]


class Unfit(ValueError):
    """A value that cannot be; what is possible, in the words of a message."""


class Number(NamedTuple):
    """A finite number in a range; ``above`` leaves the lower end out."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    whole: bool = False

    def check(self, value: object) -> float:
        """Return the number as a Python one, or raise ValueError."""
        if isinstance(value, str):  # float() would take "1"
            raise ValueError
        number = float(value)  # type: ignore[arg-type]
        if not (self.low <= number <= self.high and math.isfinite(number)) or (self.above and number == self.low):
            raise ValueError
        if self.whole and not number.is_integer():
            raise ValueError
        return int(number) if self.whole else number

    @property
    def words(self) -> str:
        """What is possible, for messages."""
        return f"a {'whole' if self.whole else 'finite'} number{self.limits}"

    @property
    def doc(self) -> str:
        """The type, for docstrings."""
        return f"{'int' if self.whole else 'float'}{self.limits}"

    @property
    def limits(self) -> str:
        """Its limits in words, a space first; nothing if there are none."""
        if self.low == -math.inf:
            return ""
        if self.high == math.inf:
            return f" above {self.low:g}" if self.above else f" >= {self.low:g}"
        return f" above {self.low:g}, at most {self.high:g}" if self.above else f" from {self.low:g} to {self.high:g}"


class Choice(NamedTuple):
    """One of some names, or, with ``position``, a (row, col)."""

    names: tuple[str, ...]
    position: bool = False

    def check(self, value: Any) -> str | tuple[float, ...]:
        """Return the name or the position, or raise ValueError."""
        if self.position and not isinstance(value, str):
            return Numbers(2).check(value)
        if value not in self.names:
            raise ValueError
        return str(value)

    @property
    def words(self) -> str:
        """What is possible, for messages."""
        return f"one of {', '.join(self.names)}" + (" or 2 finite numbers (row, col)" if self.position else "")

    @property
    def doc(self) -> str:
        """The type, for docstrings."""
        names = ", ".join(f'"{name}"' for name in self.names)
        return f"{{{names}}}" + (" or (row, col)" if self.position else "")


class Switch(NamedTuple):
    """On or off."""

    words: str = "True or False"
    doc: str = "bool"

    def check(self, value: object) -> bool:
        """Return a bool, or raise ValueError."""
        if value not in (True, False):
            raise ValueError
        return bool(value)


class Numbers(NamedTuple):
    """Finite numbers, a fixed count of them or any."""

    length: int | None = None
    doc: str = "sequence of float"

    def check(self, value: Any) -> tuple[float, ...]:
        """Return a tuple of floats, or raise ValueError."""
        numbers = tuple(Number().check(item) for item in value)
        if not numbers or (self.length is not None and len(numbers) != self.length):
            raise ValueError
        return numbers

    @property
    def words(self) -> str:
        """What is possible, for messages."""
        return f"{self.length} finite numbers" if self.length else "finite numbers, one for each band"


class Interval(NamedTuple):
    """A least and a greatest value; the least one within limits."""

    low: float
    high: float
    doc: str = "(float, float)"

    def check(self, value: Any) -> tuple[float, float]:
        """Return (least, greatest), or raise ValueError."""
        least, greatest = Numbers(2).check(value)
        if not self.low <= least <= min(greatest, self.high):
            raise ValueError
        return least, greatest

    @property
    def words(self) -> str:
        """What is possible, for messages."""
        return f"(least, greatest) with {self.low:,.0f} <= least <= greatest and least at most {self.high:.0f}"


class Axis(NamedTuple):
    """An axis of an array."""

    words: str = "an integer"
    doc: str = "int"

    def check(self, value: Any) -> int:
        """Return the integer, or raise ValueError."""
        if not isinstance(value, Integral):
            raise ValueError
        return int(value)


class Parameter(NamedTuple):
    """A number that a `Call` takes: its default, if any, its range, and others that it replaces, or is above."""

    default: float | None
    range: Number = Number()
    instead_of: str = ""
    above: str = ""

    @property
    def words(self) -> str:
        """What is possible, for messages."""
        above = f"above {self.above}" if self.above else ""
        instead = f"in place of {self.instead_of}" if self.instead_of else ""
        return ", ".join(filter(None, (self.range.limits.strip(), above, instead)))


class Call(NamedTuple):
    """One of some names, with numbers by name: ``asinh`` or ``asinh:a=0.1,vmax=5``."""

    parameters: Mapping[str, Mapping[str, Parameter]]
    example: str
    doc: str = "str"

    def check(self, value: Any) -> str:
        """Return the text with all defaults, the same for the same meaning, or raise ValueError."""
        name, numbers = self.parse(value)
        said = ",".join(f"{key}={number!r}".removesuffix(".0") for key, number in numbers.items())
        return f"{name}:{said}"

    def parse(self, text: str) -> tuple[str, dict[str, float]]:
        """Return the name and all numbers that it uses, or raise ValueError."""
        name, _, said = str(text).replace(" ", "").partition(":")
        if name not in self.parameters:
            raise ValueError
        try:
            return name, self._numbers(self.parameters[name], said)
        except ValueError:
            possible = ", ".join(f"{key} ({found.words})" for key, found in self.parameters[name].items())
            raise Unfit(f"{name} with {possible}, written as in {self.example},") from None

    @staticmethod
    def _numbers(known: Mapping[str, Parameter], said: str) -> dict[str, float]:
        given: dict[str, float] = {}
        for part in said.split(",") if said else ():
            key, _, number = part.partition("=")
            if key not in known or key in given:
                raise ValueError
            given[key] = known[key].range.check(float(number))
        replaced = {known[key].instead_of for key in given}
        if replaced & set(given):
            raise ValueError
        defaults = {key: found.default for key, found in known.items() if key not in replaced}
        numbers = {key: value for key, value in (defaults | given).items() if value is not None}
        if any(numbers[known[key].above] >= value for key, value in numbers.items() if known[key].above in numbers):
            raise ValueError
        return numbers

    @property
    def words(self) -> str:
        """What is possible, for messages."""
        return f"one of {', '.join(self.parameters)}, alone or with parameters as in {self.example},"


Check = Number | Choice | Switch | Numbers | Interval | Axis | Call

_PERCENT = Number(0, 100)
_ABOVE_0 = Number(0, above=True)
_PERCENTILES = {
    "min_percent": Parameter(1.0, _PERCENT),
    "max_percent": Parameter(99.8, _PERCENT, above="min_percent"),
}
_LIMITS = {
    **_PERCENTILES,
    "vmin": Parameter(None, instead_of="min_percent"),
    "vmax": Parameter(None, instead_of="max_percent", above="vmin"),
}

#: What makes pictures of crops; parameters have astropy's names. ``cropping/stretching.py`` applies them.
STRETCH = Call(
    {
        "linear": _LIMITS,
        "asinh": {"a": Parameter(0.1, _ABOVE_0), **_LIMITS},
        "log": {"a": Parameter(1000.0, _ABOVE_0), **_LIMITS},
        "zscale": {"contrast": Parameter(0.25, _ABOVE_0), "n_samples": Parameter(1000, Number(10, whole=True))},
        "lupton": {
            "Q": Parameter(8.0, _ABOVE_0),
            **_PERCENTILES,
            "minimum": Parameter(None, instead_of="min_percent"),
            "stretch": Parameter(None, _ABOVE_0, instead_of="max_percent"),
        },
    },
    "asinh:a=0.1,vmax=5",
)


def _option(default: Any, check: Check, text: str, metavar: str = "") -> Any:
    """Declare an option; the first sentence of its text is what ``--help`` says."""
    metadata = {"check": check, "text": " ".join(text.split()), "metavar": metavar}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """How to measure; see `scalenorm.measure` for what each option means.

    Raises
    ------
    ValueError
        If an option is out of its range; the message says which, what was given and what is possible.
    """

    sigma: float = _option(1.0, Number(), "Standard deviations above the mean at which the foreground starts.", "K")
    margin: float = _option(
        # Beyond this a crop holds nothing but sky, and takes minutes.
        1.0, Number(0, 1000, above=True), "Side of the window over the galaxy's size.", "M"
    )  # fmt: skip
    center: Center = _option(
        "image", Choice(("image", "galaxy", "log", "dog"), position=True),
        """Centre of the window: the image's (the paper), the galaxy's centroid, a position, or the most salient blob of
        a Laplacian-of-Gaussian or difference-of-Gaussians search. Without any blob it is the image's centre. The galaxy
        is looked for at the blob or the given position, else at the image's centre.""",
        "C",
    )  # fmt: skip
    channel_axis: int | None = _option(None, Axis(), "Axis of the bands; by default the last of three.")
    weights: Sequence[float] | None = _option(
        None, Numbers(),
        """Weights of the bands in the grey level. By default three bands, and the first three of 8-bit RGBA, become
        grey as 0.2125 R + 0.7154 G + 0.0721 B, and any other number as their mean.""",
        "W,W",
    )  # fmt: skip
    sigma_clip: float | None = _option(
        None, Number(low=1),
        """Leave pixels more than this many deviations from the mean out of mean and deviation, repeatedly. The
        threshold then follows the sky, not the objects: raise ``sigma`` to 2 or 3.""",
        "K",
    )  # fmt: skip
    smooth: float = _option(
        0.0, Number(0, 1000),
        "Standard deviation, in pixels, of a Gaussian that smooths the grey level before all else.",
        "S",
    )  # fmt: skip
    min_area: int = _option(1, Number(1, whole=True), "Pixels that a component must have to be the galaxy.", "N")
    fill_holes: bool = _option(False, Switch(), "Count the pixels that the region encloses as the galaxy's.")
    deblend: bool = _option(False, Switch(), "Separate the galaxy from neighbours that touch it.")
    deblend_levels: int = _option(
        32, Number(2, 10_000, whole=True), "Levels at which deblending looks for separate peaks.", "N"
    )
    deblend_contrast: float = _option(
        0.005, Number(0, 1),
        """Light that a peak must have to be another object, relative to the greater one beside it. It is weighted by
        the depth of the valley between them.""",
        "F",
    )  # fmt: skip
    size_from: Literal["major_axis", "half_light", "petrosian"] = _option(
        "major_axis", Choice(("major_axis", "half_light", "petrosian")),
        """What the window is scaled by: the region's major axis, twice the half-light diameter, or the Petrosian
        diameter. The last two are measured along the major axis of elliptical apertures; where that fails, the major
        axis is used and the flag ``SCALE_LIMITED`` is set.""",
        "S",
    )  # fmt: skip
    side_limits: tuple[float, float] | None = _option(
        None, Interval(1, 1_000_000), "Least and greatest side of the window, in pixels.", "A,B"
    )
    mask_neighbours: bool = _option(
        False, Switch(),
        "Paint foreground that is not the galaxy with sky in the normalised crop. Changes no measurement.",
    )  # fmt: skip
    stretch: str | None = _option(
        None, STRETCH,
        """Make crops 8-bit pictures: linear, asinh, log, zscale or lupton, with parameters as in asinh:a=0.1,vmax=5.
        Changes no measurement. By default crops keep the image's dtype and values. See :doc:`/stretches`; needs the
        extra ``fits``.""",
        "S",
    )  # fmt: skip

    @functools.cached_property
    def plain(self) -> bool:
        """Whether no option for real fields is set, which are all but those of the paper's method."""
        return self.center not in ("log", "dog") and all(
            getattr(self, name) == field.default
            for name, field in OPTIONS.items()
            if name not in ("sigma", "margin", "center", "channel_axis", "weights", "stretch")
        )

    def __post_init__(self) -> None:
        for name, field in OPTIONS.items():
            given = getattr(self, name)
            if given is not field.default:
                object.__setattr__(self, name, _checked(name, given, field))


def _checked(name: str, given: Any, field: dataclasses.Field[Any]) -> Any:
    if given is None and field.default is None:
        return None
    check = field.metadata["check"]
    try:
        return check.check(given)
    except (ValueError, TypeError, OverflowError) as error:
        words = error if isinstance(error, Unfit) else check.words
        nothing = " or None" if field.default is None else ""
        raise ValueError(f"{name} must be {words}{nothing}, got {given!r}") from None


#: The declarations by name.
OPTIONS: dict[str, dataclasses.Field[Any]] = {field.name: field for field in dataclasses.fields(MeasureOptions)}

_DEFAULTS = MeasureOptions()


@functools.lru_cache(maxsize=64)
def _remembered(**options: Any) -> MeasureOptions:
    return MeasureOptions(**options)


def measure_options(options: dict[str, Any], function: str) -> MeasureOptions:
    """Check the options that a public function was given.

    Raises
    ------
    TypeError
        For a name that is no option; the message names the function and the nearest option.
    ValueError
        For a value out of range.
    """
    if not options:
        return _DEFAULTS
    for name in options:
        if name not in OPTIONS:
            import difflib

            near = difflib.get_close_matches(name, OPTIONS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")
    try:
        return _remembered(**options)
    except TypeError:  # a list, say, cannot be remembered
        return MeasureOptions(**options)


def takes_measuring_options(*, without: Sequence[str] = ()) -> Callable[[Any], Any]:
    """Show every measuring option in the signature and the docstring of a function with ``**options``.

    The docstring holds the line ``**options`` among its parameters, which the options' own entries replace.
    """
    names = [name for name in OPTIONS if name not in without]

    def show(function: Any) -> Any:
        called = vars(function)["__init__"] if isinstance(function, type) else function
        signature = inspect.signature(called)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        shown = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=OPTIONS[name].default, annotation=OPTIONS[name].type
            )
            for name in names
        ]
        called.__signature__ = signature.replace(parameters=[*own, *shown])
        if function.__doc__:
            function.__doc__ = _with_entries(function.__doc__, names)
        return function

    return show


def _shown(default: Any) -> str:
    return f'"{default}"' if isinstance(default, str) else repr(default)


def _with_entries(text: str, names: Sequence[str]) -> str:
    """A docstring with the entries of options in place of its line ``**options``."""
    before, line, after = text.partition("**options\n")
    if not line:
        return text
    indent = before.rpartition("\n")[2]
    lines = []
    for name in names:
        field = OPTIONS[name]
        default = "optional" if field.default is None else f"default {_shown(field.default)}"
        lines.append(f"{indent}{name} : {field.metadata['check'].doc}, {default}")
        lines.append(textwrap.indent(textwrap.fill(field.metadata["text"], 108), indent + "    "))
    return before.removesuffix(indent) + "\n".join(lines) + "\n" + after
