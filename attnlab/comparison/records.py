"""What a comparison consists of."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from attnlab.comparison.grouping import Group
from attnlab.comparison.reading import Run
from attnlab.comparison.statistics import Paired, Summary

WORK: dict[str, tuple[Callable[[Run], float | None], float]] = {
    "parameters": (lambda run: run.parameters, 1.02),
    "steps": (lambda run: run.steps, 1.02),
    "seconds": (lambda run: run.seconds, 1.5),  # by the clock: the same run takes longer on a busy machine
}
"""What a figure costs, and the ratio from which groups are called unequal."""


class Row(NamedTuple):
    """A group and its figures. A seed's value is the mean over the group's runs with that seed; there is one
    unless merged."""

    group: Group
    counted: dict[Run, float]
    values: dict[int, float]  # by seed
    summary: Summary
    work: dict[str, float | None]  # means over the runs counted


class Pair(NamedTuple):
    """Two groups over the seeds that both have."""

    first: str
    second: str
    result: Paired


class Comparison(NamedTuple):
    """Everything that tables, plots and reports show."""

    metric: str
    better: str  # higher, lower, or "" where neither is
    by: Sequence[str]
    rows: list[Row]
    pairs: list[Pair]
    warnings: list[str]
    left_out: list[tuple[Run, str, str]]  # run, label of its group or "", reason
    seeds_show: str


def task(row: Row) -> list[tuple[str, str]]:
    """The settings of the task that a group shares."""
    return sorted((key, value) for key, value in row.group.settings.items() if key.startswith("task."))
