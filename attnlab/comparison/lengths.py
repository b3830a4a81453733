"""Runs at lengths that they were not trained on: where attention was predicted to break, and where it did."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from attnlab.comparison.numbers import NEAR, near
from attnlab.comparison.plots import SETTINGS, bars, canvas, legend, style
from attnlab.comparison.records import Row
from attnlab.comparison.statistics import INTERVALS as METHODS
from attnlab.comparison.statistics import Summary, summarise
from attnlab.runs.law import PREDICTED, kept, measured_break
from attnlab.text import filled

_FIGURES = {"alignment_mass": "weight of the right positions", "sequence_accuracy": "sequence accuracy"}
_SHARE = (0.0, 1.0)


class ByLength(NamedTuple):
    """A group at each length that all of its runs were measured at."""

    label: str
    lengths: list[int]
    summaries: dict[str, list[Summary]]  # of each figure, by length
    shares: list[float]  # the predicted weight, in the mean over runs
    breaks: list[tuple[float, ...]]  # of each run: predicted, and measured of attention and accuracy


def by_length(rows: Sequence[Row], method: str) -> list[ByLength]:
    """The groups of which runs were measured at several lengths."""
    return [found for row in rows if (found := _of(row, method))]


def _of(row: Row, method: str) -> ByLength | None:
    runs = [found for run in row.counted if len(found := kept(run.folder)) > 1]
    if not runs:
        return None
    lengths = sorted(set.intersection(*({one.length for one in found} for found in runs)))
    at = [{one.length: one.figures for one in found} for found in runs]

    def of(name: str) -> list[Summary]:
        known = all(name in run[length] for run in at for length in lengths)
        values = [np.array([run[length][name] for run in at]) for length in lengths * known]
        return [summarise(one, METHODS[method], _SHARE) for one in values]

    share, end = PREDICTED
    ends = [
        (found[0].figures[end], *(measured_break(found, name) or math.inf for name in _FIGURES))
        for found in runs
        if end in found[0].figures
    ]
    shares = [summary.mean or 0.0 for summary in of(share)]
    return ByLength(row.group.label, lengths, {name: of(name) for name in _FIGURES}, shares, ends)


class Break(NamedTuple):
    """At which length a group loses half of what it had, in the median over its runs; infinite where it does
    not."""

    label: str
    predicted: float  # of the weight of the right position
    measured: float
    accuracy: float  # measured, of the sequence accuracy

    def agrees(self, shortest: int, longest: int) -> bool:
        """Whether the prediction is within a factor of 2; where nothing broke up to the longest length, or
        all at the shortest already, whether it is not below half of that, or not above twice this."""
        if self.measured > longest:
            return self.predicted * NEAR > longest
        if self.measured <= shortest:
            return self.predicted <= NEAR * shortest
        return near(self.predicted, self.measured)


def breaks(groups: Sequence[ByLength]) -> list[Break]:
    """Of each group in which a step has one right position."""
    return [
        Break(group.label, *(float(np.median(values)) for values in zip(*group.breaks, strict=True)))
        for group in groups
        if group.breaks
    ]


def table(groups: Sequence[ByLength]) -> str:
    """Predicted and measured breaks, and how often they agree; "" where nothing can be predicted."""
    if not (found := breaks(groups)):
        return ""
    ends, wide = _ends(groups), max(len(one.label) for one in found) + 2
    lines = [
        "length at which half is lost",
        f"{'group':{wide}}{'predicted':>11}{'attention':>11}{'accuracy':>11}",
    ]
    for one in found:
        cells = (_number(value, *ends) for value in one[1:])
        lines.append(f"{one.label:{wide}}" + "".join(f"{cell:>11}" for cell in cells))
    return "\n".join([*lines, "", filled(verdict(groups))])


def verdict(groups: Sequence[ByLength]) -> str:
    """How often the law was right, in a sentence; "" where it says nothing."""
    if not (found := breaks(groups)):
        return ""
    shortest, longest = _ends(groups)
    right = sum(one.agrees(shortest, longest) for one in found)
    return (
        f"What the leads at the length of training predict was within a factor of {NEAR:g} in {right} of "
        f"{len(found)} groups; the longest sequences had {longest:,} symbols."
    )


def _ends(groups: Sequence[ByLength]) -> tuple[int, int]:
    lengths = [length for group in groups for length in group.lengths]
    return min(lengths), max(lengths)


def _number(value: float, shortest: int, longest: int) -> str:
    if value <= shortest:
        return f"<= {shortest:,}"
    return f"> {longest:,}" if value > longest else f"{value:,.0f}"


@rc_context(SETTINGS)
def drawn(groups: Sequence[ByLength]) -> Figure:
    """A panel a figure: mean and interval over seeds at each length, and the predicted weight, dashed."""
    figures = [name for name in _FIGURES if any(name in group.summaries for group in groups)]
    figure = canvas(0.5 + 2.6 * len(figures))
    panels: Any = figure.subplots(len(figures), 1, squeeze=False, sharex=True)
    for panel, name in zip(panels[:, 0], figures, strict=True):
        for place, group in enumerate(groups):
            colour, marker = style(place)
            several = group.summaries.get(name, [])
            means, lengths = [summary.mean for summary in several], group.lengths[: len(several)]
            panel.plot(lengths, means, color=colour, marker=marker, markersize=4)
            bars(panel, lengths, several, colour, 0.4)
            if name == "alignment_mass" and group.shares:
                panel.plot(group.lengths, group.shares, "--", color=colour, linewidth=1)
        panel.set(ylim=(-0.02, 1.02), xscale="log")
        panel.set_title(textwrap.fill(_FIGURES[name], 60), fontsize=9, loc="left")
        panel.grid(alpha=0.3)
    every = sorted({length for group in groups for length in group.lengths})
    panels[-1, 0].set_xticks(every, [str(length) for length in every], rotation=45)
    panels[-1, 0].set_xticks([], minor=True)
    panels[-1, 0].set_xlabel("length of the source")
    legend(figure, [group.label for group in groups])
    return figure
