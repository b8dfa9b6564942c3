"""Draw plot.png, what scalenorm.plot makes of a simulated galaxy: python docs/figures/plot.py."""

from pathlib import Path

import matplotlib

import scalenorm

matplotlib.use("agg")
image = scalenorm.make_galaxies(1, seed=1, first=3).images[0]
axes = scalenorm.plot(image, ["normalized", "center-64"], margin=1.5)
axes[0].figure.savefig(Path(__file__).with_name("plot.png"), dpi=80)
