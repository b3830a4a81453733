"""Pictures of what the microscope found: bias against variance, and either of them against a number."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy import ndarray

from attnlab.colours import COLOURS
from attnlab.microscope.live import WEIGHTS, Found

Over = Literal["beta", "length"]
"""What gradients are looked at over: beta times that of the run, the length of sources."""

_FLOOR = 1e-3
"""Relative bias and variance are drawn from here on; what has neither is named below."""
_WIDTH, _MARKERS = 3.6, "osD^vPX"  # inches: TensorBoard shows pictures about 350 pixels wide


def chart(found: Mapping[str, Found], step: int | None = None, dpi: int = 100) -> ndarray:
    """Pixels Y X 3: relative bias at all weights over the relative variance of one estimate, both axes
    logarithmic. Points whose bias noise explains stand open, at what it is below."""
    points = {name: one for name, one in found.items() if not _exact(one)}
    below = ["filled: biased; open: no bias told, at most there; size: cost"]
    if none := [name for name, one in found.items() if _exact(one)]:
        below.append(f"neither bias nor variance: {', '.join(none)}")
    axes, places = _axes(below, len(points), dpi), []
    axes.set(xscale="log", yscale="log", xlabel="relative variance of one estimate", ylabel="relative bias")
    axes.set_title("Gradients on the weights" + (f", step {step}" if step is not None else ""), fontsize=9)
    for number, (name, one) in enumerate(points.items()):
        own, (colour, marker, _) = one.own[WEIGHTS], _style(number)
        x = max(own.relative_variance, _FLOOR)
        y = max(own.relative_bias or own.bias_error, _FLOOR)
        face = colour if own.relative_bias > 0 else "none"
        label = f"{number + 1} {name}"
        axes.scatter(x, y, 15 + 6 * one.cost, marker=marker, facecolors=face, edgecolors=colour, label=label)
        places.append((x, y))
    axes.set_xlim(_FLOOR / 2)
    axes.set_ylim(_FLOOR / 2, 3 * max((y for _, y in places), default=1.0))
    return _pixels(axes, below, places)


def chart_over(found: Mapping[float, Mapping[str, Found]], over: Over, dpi: int = 100) -> ndarray:
    """Pixels Y X 3: relative bias at all weights against beta, or the relative variance of one estimate
    against the length of sources, a line each mechanism; those that have none anywhere are named below."""
    value, label, across, none = _OVER[over]
    names = dict.fromkeys(name for each in found.values() for name in each)
    lines = {
        name: [
            (x, y)
            for x, each in found.items()
            if name in each and (y := getattr(each[name].own[WEIGHTS], value)) > 0
        ]
        for name in names
    }
    drawn = {name: line for name, line in lines.items() if any(y > _FLOOR for _, y in line)}
    without = ", ".join(name for name in names if name not in drawn)
    below = [f"{none}: {without}"] if without else []
    axes, ends = _axes(below, len(drawn), dpi), []
    for number, (name, line) in enumerate(drawn.items()):
        colour, marker, dashes = _style(number)
        x, y = zip(*((x, max(y, _FLOOR)) for x, y in line), strict=True)
        axes.plot(x, y, dashes, color=colour, marker=marker, markersize=4, label=f"{number + 1} {name}")
        ends.append((x[-1], y[-1]))
    axes.set(yscale="log", xlabel=across, ylabel=label, xscale="log" if over == "beta" else "linear")
    axes.set_xticks(list(found), [f"{x:g}" for x in found])
    axes.set_ylim(_FLOOR / 2)
    axes.set_xlim(right=max(found) * (1.4 if over == "beta" else 1.1))
    axes.minorticks_off()
    return _pixels(axes, below, ends)


class _Over(NamedTuple):
    value: str
    label: str
    across: str
    none: str


_OVER = {
    "beta": _Over(
        "relative_bias",
        "relative bias",
        "beta, times that of the run",
        "a line is where a bias is told; none",
    ),
    "length": _Over(
        "relative_variance", "relative variance of one estimate", "symbols in the source", "none above 0.001"
    ),
}


def _axes(below: Sequence[str], names: int, dpi: int) -> Any:
    """Axes with room below for lines of text and a legend."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = _wrapped(below).count("\n") + 1 + names
    figure = Figure(figsize=(_WIDTH, 2.7 + 0.165 * lines), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_size(9)
    axes.yaxis.label.set_size(9)
    axes.grid(alpha=0.3)
    return axes


def _wrapped(below: Sequence[str]) -> str:
    return "\n".join(line for part in below for line in textwrap.wrap(part, 46))


def _pixels(axes: Any, below: Sequence[str], places: Sequence[tuple[float, float]]) -> ndarray:
    """The figure, a number beside each place; those of places that lie together stand in one row."""
    figure = axes.figure
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower left",
        fontsize=9,
        frameon=False,
        markerscale=0.7,
        labelspacing=0.15,
        title=_wrapped(below),
        title_fontsize=9,
        alignment="left",
    )
    figure.canvas.draw()
    rows: list[tuple[ndarray, list[int]]] = []
    for number, at in enumerate(axes.transData.transform(places) if places else [], 1):
        beside = next(
            (row for where, row in rows if np.all(np.abs(where - at) < figure.dpi * _TOGETHER)), None
        )
        rows.append((at, [number])) if beside is None else beside.append(number)
    for _, row in rows:
        text, place = ", ".join(map(str, row)), places[row[0] - 1]
        axes.annotate(text, place, (7, 4), textcoords="offset points", fontsize=9)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


_TOGETHER = np.array([0.45, 0.15])
"""Inches across and up, within which two numbers would lie on each other."""


def _style(number: int) -> tuple[str, str, str]:
    """Colour, marker and dashes of the n-th mechanism."""
    turn = number // len(COLOURS)
    return (
        COLOURS[number % len(COLOURS)],
        _MARKERS[(number + turn) % len(_MARKERS)],
        ("-", "--", ":")[turn % 3],
    )


def _exact(one: Found) -> bool:
    own = one.own[WEIGHTS]
    return math.isnan(own.relative_bias) or (
        own.relative_bias == own.relative_variance == own.bias_error == 0
    )
