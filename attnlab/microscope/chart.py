"""Bias against variance, every mechanism a point, its cost as its size."""

import math
import textwrap
from collections.abc import Mapping

import numpy as np
from numpy import ndarray

from attnlab.microscope.live import WEIGHTS, Found

_FLOOR = 1e-3
"""Relative bias and variance are drawn from here on; what has neither is named below."""


def chart(found: Mapping[str, Found], step: int | None = None) -> ndarray:
    """Pixels Y X 3: relative bias at all weights over the relative variance of one estimate, both axes
    logarithmic. Points whose bias noise explains stand open, at what it is below."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.8), dpi=80, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    axes.set(xscale="log", yscale="log", xlabel="relative variance of one estimate", ylabel="relative bias")
    axes.set_title("Gradients on the weights" + (f", step {step}" if step is not None else ""))
    points = {name: one for name, one in found.items() if not _exact(one)}
    for number, (name, one) in enumerate(points.items(), 1):
        own, colour = one.own[WEIGHTS], colormaps["tab20"]((number - 1) % 20)
        biased = own.relative_bias > 0
        x = max(own.relative_variance, _FLOOR)
        y = max(own.relative_bias if biased else own.bias_error, _FLOOR)
        face = colour if biased else "none"
        axes.scatter(x, y, 25 + 12 * one.cost, facecolors=face, edgecolors=colour, label=f"{number} {name}")
        axes.annotate(str(number), (x, y), (5, 4), textcoords="offset points", fontsize=8)
    axes.set_xlim(_FLOOR / 2)
    axes.set_ylim(_FLOOR / 2)
    if points:
        figure.legend(loc="outside right upper", fontsize=8, frameon=False, markerscale=0.6)
    below = "filled: biased; open: at most there, three standard errors; size: cost"
    if none := [name for name, one in found.items() if _exact(one)]:
        below += f"\nneither bias nor variance: {', '.join(none)}"
    figure.supxlabel(
        "\n".join(line for part in below.split("\n") for line in textwrap.wrap(part, 100)), fontsize=8
    )
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _exact(one: Found) -> bool:
    own = one.own[WEIGHTS]
    return math.isnan(own.relative_bias) or (
        own.relative_bias == own.relative_variance == own.bias_error == 0
    )
