"""Charts of the report page, as inline SVG whose colours the page's style sheet sets."""

from __future__ import annotations

import math
from html import escape

import numpy as np
from numpy.typing import NDArray

from .choosing import in_range

_WIDTH, _HEIGHT = 400, 236
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 10, 10, 46
_BINS = 40


def histogram(values: NDArray[np.float64], *, title: str, axis: str, unit: str) -> str:
    """Return a histogram of values of at least 0 as a ``<figure>``, with the median marked.

    Where the largest values lie far out, the axis ends before them, and the caption says so. It also says how many
    values are left out because they are out of range, or no numbers.
    """
    known = in_range(values) & (values >= 0)
    strange = f"{np.count_nonzero(~known):,} out of range" if not known.all() else ""
    values = values[known]
    if not len(values):
        about = strange or "no galaxies"
        return f'<figure class="chart"><figcaption>{escape(title)}<small>{about}</small></figcaption></figure>'
    low, median, high = np.percentile(values, (1, 50, 99))
    facts = f"median {median:.1f} {unit}, 98% between {low:.1f} and {high:.1f} {unit}"
    start, stop, step = _axis_range(values)
    counts, edges = np.histogram(values, bins=_BINS, range=(start, stop))
    beyond = int(np.count_nonzero(values > stop))
    shown = facts + (f"; {beyond:,} beyond {stop:g} {unit}" if beyond else "") + (f"; {strange}" if strange else "")
    most = max(int(counts.max()), 1)
    tick = max(1, _nice(most / 4))
    top = math.ceil(most / tick) * tick

    def x_of(value: float) -> float:
        return _LEFT + (value - start) / (stop - start) * (_WIDTH - _LEFT - _RIGHT)

    def y_of(number: float) -> float:
        return _HEIGHT - _BOTTOM - number / top * (_HEIGHT - _TOP - _BOTTOM)

    parts = []
    for number in np.arange(0, top + tick / 2, tick):
        y = y_of(number)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number:,.0f}</text>')
    for number, left, right in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if number:
            x, y = x_of(left), y_of(number)
            size = f'width="{x_of(right) - x - 1:.1f}" height="{_HEIGHT - _BOTTOM - y:.1f}"'
            about = f"{left:.4g} to {right:.4g} {unit}: {number:,}"
            parts.append(f'<rect class="bar" x="{x:.1f}" y="{y:.1f}" {size}><title>{about}</title></rect>')
    for value in np.arange(math.ceil(start / step) * step, stop + step / 2, step):
        parts.append(f'<text x="{x_of(value):.1f}" y="{_HEIGHT - _BOTTOM + 17}" text-anchor="middle">{value:g}</text>')
    if start <= median <= stop:
        x = x_of(median)
        parts.append(f'<line class="median" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(axis)} ({unit})</text>')
    upright = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(f'<text transform="translate(11 {upright}) rotate(-90)" text-anchor="middle">galaxies</text>')
    label = escape(f"Histogram of the {axis} of {len(values):,} galaxies: {shown}")
    return (
        f'<figure class="chart"><figcaption>{escape(title)}<small>{escape(shown)} (dashed: median)</small></figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg></figure>'
    )


def flag_table(counts: dict[str, tuple[str, int]], total: int) -> str:
    """Return a table of flags with a bar each; ``counts`` maps a filter's value to a flag's name and count."""
    rows = []
    most = max([count for _, count in counts.values()], default=0)
    for value, (name, count) in counts.items():
        share = 100 * count / max(total, 1)
        width = 100 * count / max(most, 1)
        rows.append(
            f'<tr><th scope="row"><button type="button" data-flag="{value}">{escape(name)}</button></th>'
            f'<td class="number">{count:,}</td><td class="number">{share:.1f}%</td>'
            f'<td><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="bar" width="{width:.2f}" height="10"/></svg></td></tr>'
        )
    return (
        '<figure class="chart"><figcaption>Flags<small>select one to see its galaxies; '
        "a galaxy may have several</small></figcaption>"
        '<table class="flags-table"><thead><tr><th scope="col">Flag</th><th scope="col" class="number">Galaxies</th>'
        '<th scope="col" class="number">Share</th><td></td></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></figure>"
    )


def _axis_range(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return start, stop and distance of labels of an axis that most values fill."""
    low, high = float(values.min()), float(values.max())
    usual = float(np.percentile(values, 99.5))
    if high > 2 * usual > 0:
        high = usual
    if high - low < 1e-9 * max(high, 1):
        low, high = low - 0.5, high + 0.5
    if low < 0.4 * high:
        low = 0.0
    step = _nice((high - low) / 6)
    return math.floor(low / step) * step, math.ceil(high / step) * step, step


def _nice(value: float) -> float:
    """Return 1, 2 or 5 times a power of ten, at least `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-12))
