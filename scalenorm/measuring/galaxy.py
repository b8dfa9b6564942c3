"""Steps 1 to 5 in order, and all that they find."""

from __future__ import annotations

from typing import NamedTuple

from .component import Component, find_component
from .ellipse import Ellipse, fit_ellipse
from .foreground import Foreground, find_foreground
from .frame import Frame, image_center
from .options import MeasureOptions
from .threshold import Threshold, find_threshold
from .window import Window, find_window


class Galaxy(NamedTuple):
    """The results of the steps, from which both crops and a `Measurement` follow."""

    threshold: Threshold
    foreground: Foreground
    component: Component
    ellipse: Ellipse
    window: Window


def find_galaxy(frame: Frame, options: MeasureOptions) -> Galaxy:
    """From an image to its galaxy's window, one step after the other."""
    threshold = find_threshold(frame, options)
    foreground = find_foreground(frame, threshold)
    component = find_component(threshold, foreground, options)
    return describe_component(threshold, foreground, component, options)


def describe_component(
    threshold: Threshold, foreground: Foreground, component: Component, options: MeasureOptions
) -> Galaxy:
    """The last steps, which follow from the component."""
    if component.region is None:
        ellipse = Ellipse(*image_center(threshold.frame.height, threshold.frame.width), 0.0, 0.0, 0.0)
    else:
        ellipse = fit_ellipse(component.region)
    window = find_window(threshold, component, ellipse, options)
    return Galaxy(threshold, foreground, component, ellipse, window)
