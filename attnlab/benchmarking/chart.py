"""Every ratio as a point, with its quartiles as a line."""

import io
from collections.abc import Sequence
from typing import Any

from attnlab.benchmarking.gauge import Gauge
from attnlab.benchmarking.page import Found

_TALL = 20  # rows, from which a section has a column of its own
_FAR = 3  # a ratio beyond which an axis is logarithmic


def chart(found: Found) -> bytes:
    """A PNG: short sections below one another, the others beside them; a line stands at 1."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    short = [name for name, gauges in found.items() if len(gauges) < _TALL]
    columns = [short] * bool(short) + [[name] for name in found if name not in short]
    heights = [[len(found[name]) + 3 for name in names] for names in columns]
    figure = Figure(figsize=(4.4 * len(columns), 0.18 * max(map(sum, heights)) + 0.4), dpi=80)
    parts = figure.subfigures(1, len(columns), squeeze=False)[0]
    for part, names, tall in zip(parts, columns, heights, strict=True):
        axes = part.subplots(len(names), squeeze=False, height_ratios=tall)[:, 0]
        part.subplots_adjust(left=0.48, right=0.96, top=0.97, bottom=0.03, hspace=0.5)
        for one, name in zip(axes, names, strict=True):
            _draw(one, name, found[name])
    written = io.BytesIO()
    FigureCanvasAgg(figure).print_png(written)
    return written.getvalue()


def _draw(axes: Any, name: str, gauges: Sequence[Gauge]) -> None:
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    places = range(len(gauges))
    axes.axvline(1, color="0.7", linewidth=1)
    axes.hlines(places, [one.low for one in gauges], [one.high for one in gauges], linewidth=2)
    axes.plot([one.ratio for one in gauges], places, "o", markersize=4)
    axes.set_yticks(places, [one.what for one in gauges], fontsize=8)
    axes.set_ylim(len(gauges) - 0.4, -0.6)
    if max(one.ratio for one in gauges) > _FAR:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", labelsize=8)
    axes.set_title(name, fontsize=9, loc="left")
