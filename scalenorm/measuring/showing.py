"""A measurement as HTML, for notebooks."""

from __future__ import annotations

import math
from typing import Any

from .flags import describe

ELLIPSE, WINDOW = "#ffb000", "#4cc9f0"  # told apart by the colour-blind too, and from any galaxy

_SIDE = 150  # of the sketch, pixels of the page


def measurement_html(galaxy: Any) -> str:
    """Return the table of a `Measurement`, with units, beside a sketch of the image's frame, ellipse and window."""
    sky = ", ".join(f"{value:.6g}" for value in galaxy.sky)
    rows = {
        "centroid": f"row {galaxy.row:.1f}, column {galaxy.col:.1f}",
        "axes": f"{galaxy.major_axis:.1f} and {galaxy.minor_axis:.1f} px",
        "orientation": f"{math.degrees(galaxy.orientation):.1f}&deg;",
        "area": f"{galaxy.area:,} px",
        "window": f"{galaxy.side:.1f} px wide, at row {galaxy.window_row:.1f}, column {galaxy.window_col:.1f}",
        "image": f"{galaxy.height:,} rows, {galaxy.width:,} columns",
        "threshold": f"{galaxy.threshold:.6g} (units of the image)",
        "sky": f"{sky} (units of the image)",
        "flags": ", ".join(describe(galaxy.flags)) or "none",
    }
    table = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows.items())
    return f'<div style="display:flex;gap:1em;align-items:center">{_sketch(galaxy)}<table>{table}</table></div>'


def _sketch(galaxy: Any) -> str:
    x, y, side = galaxy.col + 0.5, galaxy.row + 0.5, galaxy.side
    left, top = galaxy.window_col + 0.5 - side / 2, galaxy.window_row + 0.5 - side / 2
    first_x, first_y = min(0, left), min(0, top)  # the window may leave the frame
    width, height = max(galaxy.width, left + side) - first_x, max(galaxy.height, top + side) - first_y
    scale = _SIDE / max(width, height)
    size = f'width="{width * scale:.0f}" height="{height * scale:.0f}"'
    box = f"{first_x:.2f} {first_y:.2f} {width:.2f} {height:.2f}"
    line = 'fill="none" stroke-width="2" vector-effect="non-scaling-stroke"'
    return (
        f'<svg {size} viewBox="{box}" role="img" aria-label="ellipse and window">'
        f'<rect width="{galaxy.width}" height="{galaxy.height}" fill="#101318"/>'
        f'<ellipse cx="{x:.2f}" cy="{y:.2f}" rx="{galaxy.major_axis / 2:.2f}" ry="{galaxy.minor_axis / 2:.2f}" '
        f'transform="rotate({90 - math.degrees(galaxy.orientation):.2f} {x:.2f} {y:.2f})" stroke="{ELLIPSE}" {line}/>'
        f'<rect x="{left:.2f}" y="{top:.2f}" width="{side:.2f}" height="{side:.2f}" stroke="{WINDOW}" {line}/></svg>'
    )
