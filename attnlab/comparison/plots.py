"""Plots of a comparison, drawn by matplotlib without a display, in colours that the colour-blind can tell
apart: names stand beside what they name, or below it, with the room that they take."""

import io
import re
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attnlab.colours import COLOURS
from attnlab.comparison.against import Series, logarithmic
from attnlab.comparison.curves import Curve
from attnlab.comparison.metrics import axis_label, facts
from attnlab.comparison.records import Comparison, Field, Row, fields
from attnlab.comparison.statistics import Summary

DARK = ("#4da3e0", "#f08a4b", "#2fc79a", "#e0a0c4", "#f0b429", "#8fd0f5", "#e8e8e8")
_MARKERS = "osD^vPX*"  # not as many as colours, so that 56 groups look different
_TOGETHER, _APART, ROWS = 7, 12, 40  # curves in one panel, curves with a panel each, groups in a plot
WIDTH, _LINE = 5.2, 0.17  # inches: a phone shows letters of nine points then; a line of text
SETTINGS: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def png(figure: Figure) -> bytes:
    """A plot on white."""
    return _saved(figure, "png", dpi=180)


def svg(figure: Figure) -> str:
    """A plot for a page: without ground, in the colours that the page defines as --ink and --line-1 to
    --line-7."""
    text = _saved(figure, "svg", transparent=True, metadata={"Date": None}).decode()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r' (xmlns(:xlink)?|version)="[^"]*"| width="[\d.]+pt"| height="[\d.]+pt"', "", text)
    for number, colour in enumerate(COLOURS[:-1], 1):
        text = text.replace(colour, f"var(--line-{number})")
    return text.replace("#000000", "var(--ink)")


@rc_context(SETTINGS)
def figures(comparison: Comparison) -> Figure:
    """Each group's mean and interval, with a small dot for every seed: a panel a task."""
    shown, names = fields(comparison), _names(comparison)
    panels = [_in_order(comparison, best(field.rows, _share(ROWS, shown))) for field in shown]
    counts = len({row.summary.n for rows in panels for row in rows}) > 1
    labels = [
        [textwrap.fill(field.names[row.group.label] + f"\xa0({row.summary.n})" * counts, 27) for row in rows]
        for field, rows in zip(shown, panels, strict=True)
    ]
    heights = [0.1 + sum(0.14 + _LINE * (label.count("\n") + 1) for label in several) for several in labels]
    figure = canvas(0.6 + sum(heights) + 0.35 * len(heights))
    axes: Any = figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=heights)
    for axis, field, rows, ticks in zip(axes[:, 0], shown, panels, labels, strict=True):
        for place, row in enumerate(rows):
            colour, marker = style(names.index(field.names[row.group.label]))
            _, mean, _, lower, upper = row.summary
            values = list(row.values.values())
            axis.plot(values, [place] * len(values), "o", color=colour, alpha=0.4, markersize=4, mew=0)
            if lower is not None:
                axis.plot([lower, upper], [place, place], color=colour, linewidth=2.2)
            axis.plot([mean], [place], marker, color=colour, markersize=7)
        axis.set_yticks(range(len(rows)), ticks)
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.set_title(textwrap.fill(field.title, 60), fontsize=9, fontweight="bold", loc="left")
        axis.grid(axis="x", alpha=0.3)
    better = f"\n{comparison.better} is better" if comparison.better else ""
    axes[-1, 0].set_xlabel(_wrapped_label(comparison.metric, 60) + better)
    return figure


@rc_context(SETTINGS)
def learning(curves: Sequence[Curve], comparison: Comparison, tag: str) -> Figure:
    """Mean over seeds against the step, each with its band: a panel a task, or, where groups are many, a
    panel each, before the others in grey."""
    by_label = {curve.label: curve for curve in curves}
    shown = [
        (field, [by_label[row.group.label] for row in rows if row.group.label in by_label])
        for field in fields(comparison)
        for rows in [_in_order(comparison, best(field.rows, _share(_APART, fields(comparison))))]
    ]
    shown = [(field, drawn) for field, drawn in shown if drawn]
    if len(_names(comparison)) <= _TOGETHER and len(shown) <= _TOGETHER:
        return _together(shown, _names(comparison), tag)
    return _apart(shown, tag)


def _together(shown: Sequence[tuple[Field, list[Curve]]], names: list[str], tag: str) -> Figure:
    figure = canvas(0.2 + 2.7 * len(shown))
    panels: Any = figure.subplots(len(shown), 1, squeeze=False, sharex=True)
    for panel, (field, drawn) in zip(panels[:, 0], shown, strict=True):
        for curve in drawn:
            _draw(panel, curve, *style(names.index(field.names[curve.label])))
        panel.set_title(textwrap.fill(field.title, 60), fontsize=9, fontweight="bold", loc="left")
        panel.set_ylabel(_wrapped_label(tag, 40))
    panels[-1, 0].set_xlabel("training step")
    legend(figure, names)
    return figure


def _apart(shown: Sequence[tuple[Field, list[Curve]]], tag: str) -> Figure:
    cells = [(curve, drawn) for _, drawn in shown for curve in drawn]
    titles = [textwrap.fill(curve.label, 30) for curve, _ in cells]
    lines, height = max(title.count("\n") + 1 for title in titles), (len(cells) + 1) // 2
    figure = canvas(0.6 + (1.15 + _LINE * lines) * height)
    panels: Any = figure.subplots(height, 2, sharex=True, sharey=True, squeeze=False)
    for panel in list(panels.flat)[len(cells) :]:
        panel.set_visible(False)
    for panel, title, (curve, others) in zip(panels.flat, titles, cells, strict=False):
        for other in others:
            panel.plot(other.steps, other.mean, color="#999999", linewidth=0.6, alpha=0.6)
        _draw(panel, curve, *style(0))
        panel.set_title(title, fontsize=8, loc="left")
    figure.supxlabel("training step", fontsize=9)
    figure.supylabel(_wrapped_label(tag, 60), fontsize=9)
    return figure


def _draw(panel: Any, curve: Curve, colour: str, marker: str) -> None:
    every = max(1, len(curve.steps) // 8)
    panel.fill_between(curve.steps, curve.lower, curve.upper, color=colour, alpha=0.14, linewidth=0)
    panel.plot(curve.steps, curve.mean, color=colour, marker=marker, markevery=every, markersize=4)
    panel.grid(alpha=0.3)


@rc_context(SETTINGS)
def against(series: dict[str, list[Series]], key: str) -> Figure:
    """One panel a figure: its mean and interval against a number, one line for each kind of run."""
    labels = list(dict.fromkeys(one.label for several in series.values() for one in several))[:_TOGETHER]
    figure = canvas(0.4 + 1.75 * len(series))
    panels: Any = figure.subplots(len(series), 1, sharex=True, squeeze=False)
    numbers = sorted({value for several in series.values() for one in several for value in one.numbers})
    for panel, (tag, several) in zip(panels[:, 0], series.items(), strict=True):
        for one in (one for one in several if one.label in labels):
            colour, marker = style(labels.index(one.label))
            means = [summary.mean for summary in one.summaries]
            panel.plot(one.numbers, means, color=colour, marker=marker, markersize=5)
            bars(panel, one.numbers, one.summaries, colour, 0.5)
        better = facts(tag).better
        panel.set_title(axis_label(tag) + (f"; {better} is better" if better else ""), fontsize=9, loc="left")
        panel.grid(alpha=0.3)
        if logarithmic(numbers):
            panel.set_xscale("log")
    if len(numbers) <= 10:
        panels[-1, 0].set_xticks(numbers, [f"{value:g}" for value in numbers])
        panels[-1, 0].set_xticks([], minor=True)
    name = "beta (inverse temperature)" if key == "attention.beta" else key
    panels[-1, 0].set_xlabel(name + (", logarithmic" if logarithmic(numbers) else ""))
    if len(labels) > 1:
        legend(figure, labels)
    return figure


def best(rows: Sequence[Row], most: int) -> list[Row]:
    """At most so many of the rows, which are the best first: all but the last are the best, and that is the
    worst."""
    return list(rows) if len(rows) <= most else [*rows[: most - 1], rows[-1]]


def _in_order(comparison: Comparison, rows: Sequence[Row]) -> list[Row]:
    return [row for row in comparison.rows if row in rows]


def _share(most: int, several: Sequence[Field]) -> int:
    """How many groups each field may show, of so many in one plot."""
    return max(3, most // max(1, len(several)))


def _names(comparison: Comparison) -> list[str]:
    """The names of groups inside their fields: alike in several of them, one colour."""
    found = {label: name for field in fields(comparison) for label, name in field.names.items()}
    return list(dict.fromkeys(found[row.group.label] for row in comparison.rows if row.group.label in found))


def words(comparison: Comparison) -> list[str]:
    """What plots leave out."""
    every = len([row for row in comparison.rows if row.values])
    shown = fields(comparison)
    counts = {
        name: sum(len(best(field.rows, _share(most, shown))) for field in shown)
        for name, most in (("figures.png", ROWS), ("curves.png", _APART))
    }
    return [
        f"{name} shows {count} of the {every} groups: the best, and the worst; groups.csv has all"
        for name, count in counts.items()
        if count < every
    ]


def bars(
    panel: Any, places: Sequence[int | float], summaries: Sequence[Summary], colour: str, alpha: float
) -> None:
    """The interval of each mean, upright."""
    for place, (_, _, _, lower, upper) in zip(places, summaries, strict=True):
        if lower is not None:
            panel.plot([place, place], [lower, upper], color=colour, linewidth=2, alpha=alpha)


def style(number: int) -> tuple[str, str]:
    """Colour and marker of the n-th group."""
    return COLOURS[number % len(COLOURS)], _MARKERS[number % len(_MARKERS)]


def canvas(height: float) -> Figure:
    """An empty plot, as wide as all are, and so many inches high."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def legend(figure: Figure, labels: Sequence[str]) -> None:
    """Names below the plot, a line each or more, for which the figure is made taller."""
    wrapped = [textwrap.fill(label, 56) for label in labels]
    columns = 2 if len(labels) > 1 and max(map(len, labels)) <= 24 else 1
    lines = sum(label.count("\n") + 1 for label in wrapped) / columns
    figure.set_figheight(figure.get_figheight() + 0.15 + 0.19 * (lines + 0.5))
    handles = []
    for number, label in enumerate(wrapped):
        colour, marker = style(number)
        handles.append(Line2D([], [], color=colour, marker=marker, markersize=5, label=label))
    figure.legend(handles=handles, loc="outside lower left", ncols=columns, frameon=False, fontsize=9)


def _wrapped_label(metric: str, width: int) -> str:
    return textwrap.fill(axis_label(metric), width)


def _saved(figure: Figure, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "attnlab"}):
        figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()
