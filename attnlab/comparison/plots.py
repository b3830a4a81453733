"""Plots of a comparison, drawn by matplotlib without a display, in colours that the colour-blind can tell
apart."""

import io
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attnlab.comparison.curves import GAP, BetaSeries, Curve
from attnlab.comparison.records import Comparison, Row

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe & Ito
DASHES, MARKERS = ("-", "--", ":"), "osD^vPX"
CURVES, ROWS = 12, 40  # more in one plot cannot be told apart
UNITS = {"nll": "nats a token", "entropy": "nats", "accuracy": "share, 0 to 1", "mass": "share, 0 to 1"}
UNITS |= {
    "error_rate": "edits a symbol",
    "examples_per_second": "examples a second",
    "surrogate": "nats a token",
}
UNITS |= {"gap": "soft minus argmax evaluation"}


def axis_label(metric: str, better: str = "") -> str:
    """The metric with its unit and the direction of better."""
    unit = next((unit for name, unit in UNITS.items() if metric.endswith(name)), "")
    return metric + (f" ({unit})" if unit else "") + (f"; {better} is better" if better else "")


def best(rows: Sequence[Row], better: str, most: int) -> list[Row]:
    """At most so many groups that have a mean, in their order: the best, or the first where neither way is
    better."""
    known = [row for row in rows if row.summary.mean is not None]
    ranked = sorted(
        known, key=lambda row: (row.summary.mean or 0.0) * {"higher": -1, "lower": 1, "": 0}[better]
    )[:most]
    return [row for row in known if row in ranked]


def figures(comparison: Comparison) -> bytes:
    """Each group's mean and interval, with a small dot for every seed."""
    rows = best(comparison.rows, comparison.better, ROWS)[::-1]
    labels = [textwrap.fill(f"{row.group.label} (n\xa0=\xa0{row.summary.n})", 26) for row in rows]
    lines = max(label.count("\n") + 1 for label in labels)
    figure, axes = _canvas(1.3 + (0.2 + 0.18 * lines) * len(rows))
    for place, row in enumerate(rows):
        colour, _, marker = _style(len(rows) - 1 - place)
        axes.plot(
            list(row.values.values()),
            [place] * len(row.values),
            "o",
            color=colour,
            alpha=0.35,
            markersize=4,
            mew=0,
        )
        _, mean, _, lower, upper = row.summary
        assert mean is not None
        if lower is not None and upper is not None:
            axes.plot([lower, upper], [place, place], color=colour, linewidth=2.5, alpha=0.9)
        axes.plot([mean], [place], marker, color=colour, markersize=8)
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(axis_label(comparison.metric, comparison.better))
    axes.grid(axis="x", alpha=0.3)
    return _png(figure)


def learning(curves: Sequence[Curve], comparison: Comparison) -> bytes:
    """Mean over seeds against the step, each with its band."""
    shown = {row.group.label for row in best(comparison.rows, comparison.better, CURVES)}
    drawn = [curve for curve in curves if curve.label in shown]
    figure, axes = _canvas(4.4 + 0.22 * len(drawn))
    for number, curve in enumerate(drawn):
        colour, dash, marker = _style(number)
        every = max(1, len(curve.steps) // 8)
        axes.fill_between(curve.steps, curve.lower, curve.upper, color=colour, alpha=0.18, linewidth=0)
        label = f"{curve.label} (n = {curve.n})"
        axes.plot(
            curve.steps,
            curve.mean,
            dash,
            color=colour,
            label=label,
            marker=marker,
            markevery=every,
            markersize=5,
        )
    axes.set_xlabel("training step")
    axes.set_ylabel(
        axis_label(comparison.metric) + (f"\n{comparison.better} is better" if comparison.better else "")
    )
    axes.grid(alpha=0.3)
    _legend(figure, [curve.label for curve in drawn])
    return _png(figure)


def against_beta(series: dict[str, list[BetaSeries]], directions: dict[str, str]) -> bytes:
    """One panel a figure: its mean and interval against beta, one line for each kind of run."""
    labels = list(dict.fromkeys(one.label for several in series.values() for one in several))[:CURVES]
    figure = Figure(figsize=(6.4, 2.6 * len(series) + 0.3 + 0.22 * len(labels)), layout="constrained")
    panels: Any = figure.subplots(len(series), 1, sharex=True, squeeze=False)
    for panel, (tag, several) in zip(panels[:, 0], series.items(), strict=True):
        for one in (one for one in several if one.label in labels):
            colour, dash, marker = _style(labels.index(one.label))
            means = [summary.mean for summary in one.summaries]
            panel.plot(one.betas, means, dash, color=colour, marker=marker, label=one.label, markersize=5)
            bounds = [(summary.lower, summary.upper) for summary in one.summaries]
            for beta, (lower, upper) in zip(one.betas, bounds, strict=True):
                if lower is not None:
                    panel.plot([beta, beta], [lower, upper], color=colour, linewidth=2, alpha=0.5)
        better = directions.get(tag, "")
        panel.set_ylabel(axis_label("soft minus argmax accuracy" if tag == GAP else tag).replace(" (", "\n("))
        panel.set_title(f"{better} is better" if better else "", fontsize=9, loc="right")
        panel.grid(alpha=0.3)
        panel.set_xscale("log")
    betas = sorted({beta for several in series.values() for one in several for beta in one.betas})
    if len(betas) <= 10:
        panels[-1, 0].set_xticks(betas, [f"{beta:g}" for beta in betas])
        panels[-1, 0].set_xticks([], minor=True)
    panels[-1, 0].set_xlabel("beta (inverse temperature, log scale)")
    _legend(figure, labels)
    return _png(figure)


def _style(number: int) -> tuple[str, str, str]:
    """Colour, dash and marker of the n-th group: they repeat with different periods."""
    return COLOURS[number % 7], DASHES[number // 7 % 3], MARKERS[number % 7]


def _canvas(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, height), layout="constrained")
    axes: Any = figure.subplots()
    return figure, axes


def _legend(figure: Figure, labels: Sequence[str]) -> None:
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    columns = 1 if max(map(len, labels), default=0) > 24 else 2
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=10,
    )


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
