"""What a notebook shows of a measurement and of flags."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

import scalenorm


def bar(angle):
    """A bright bar through the middle, `angle` from the row axis towards larger columns; another size either way."""
    row, col = np.mgrid[:90, :110] - np.array([44.5, 50.0])[:, None, None]
    along, across = row * np.cos(angle) + col * np.sin(angle), col * np.cos(angle) - row * np.sin(angle)
    return ((np.abs(along) < 25) & (np.abs(across) < 4)).astype(np.uint8) * 200


@pytest.mark.parametrize("angle", [0.3, 1.2, -0.7])
def test_the_sketch_is_true(angle):
    """The major axis of the SVG, turned as its specification says, lies along the bar, and the window in its place."""
    image = bar(angle)
    galaxy = scalenorm.measure(image, center="galaxy")
    sketch = ElementTree.fromstring(galaxy._repr_html_().replace("&deg;", "")).find("svg")
    frame, window = sketch.findall("rect")
    assert (frame.get("width"), frame.get("height")) == ("110", "90")
    ellipse = sketch.find("ellipse")
    turn, x, y = map(float, ellipse.get("transform")[len("rotate(") : -1].split())
    assert (x, y) == (float(ellipse.get("cx")), float(ellipse.get("cy")))
    radius = float(ellipse.get("rx"))
    for sign in (-0.8, 0.8):
        step = sign * radius * np.array([np.cos(np.radians(turn)), np.sin(np.radians(turn))])
        assert image[int(y + step[1]), int(x + step[0])] == 200
        assert image[int(y + step[1]), int(x - step[0])] == 0  # its mirror image is not on the bar
    assert float(window.get("x")) + float(window.get("width")) / 2 == pytest.approx(galaxy.window_col + 0.5, abs=0.02)
    assert float(window.get("width")) == pytest.approx(2 * radius, abs=0.02)


def test_a_window_beyond_the_frame_is_inside_the_sketch():
    galaxy = scalenorm.measure(bar(0.3), margin=4)
    sketch = ElementTree.fromstring(galaxy._repr_html_().replace("&deg;", "")).find("svg")
    left, top, width, height = map(float, sketch.get("viewBox").split())
    window = sketch.findall("rect")[1]
    assert left <= float(window.get("x")) < 0
    assert float(window.get("x")) + float(window.get("width")) <= left + width + 0.02
    assert float(window.get("y")) + float(window.get("height")) <= top + height + 0.02


def test_numbers_have_units():
    galaxy = scalenorm.measure(bar(0.3))
    table = ElementTree.fromstring(galaxy._repr_html_().replace("&deg;", " degrees")).find("table")
    shown = {row.find("th").text: row.find("td").text for row in table}
    assert shown["axes"] == f"{galaxy.major_axis:.1f} and {galaxy.minor_axis:.1f} px"
    assert shown["orientation"] == f"{np.degrees(galaxy.orientation):.1f} degrees"
    assert shown["flags"] == "saturated" if galaxy.flags else "none"


def test_flags_are_words():
    assert scalenorm.Flag(6)._repr_html_() == "touches edge, padded <small>(Flag 6)</small>"
    assert scalenorm.Flag(0)._repr_html_() == "no flag <small>(Flag 0)</small>"
