"""What a comparison consists of."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from attnlab.comparison.grouping import Group
from attnlab.comparison.labels import labels
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
    missing: dict[int, str]  # seeds without a value, and the state of their runs
    diverged: list[int]  # seeds of which a run did


class Pair(NamedTuple):
    """Two groups over the seeds that both have."""

    first: str
    second: str
    result: Paired

    def turned(self) -> "Pair":
        """The same pair, second minus first."""
        n, difference, lower, upper, improvement, p, p_holm, ends = self.result
        low, high, mean = (None if value is None else -value for value in (upper, lower, difference))
        better = None if improvement is None else 1 - improvement
        together = None if ends is None else (-ends[1], -ends[0])
        return Pair(self.second, self.first, Paired(n, mean, low, high, better, p, p_holm, together))


class Comparison(NamedTuple):
    """Everything that tables, plots and reports show."""

    metric: str
    better: str  # higher, lower, or "" where neither is
    by: Sequence[str]
    interval: str  # the name of its method
    rows: list[Row]
    pairs: list[Pair]
    warnings: list[str]
    left_out: list[tuple[Run, str, str]]  # run, label of its group or "", reason
    seeds_show: str


class Field(NamedTuple):
    """The groups that are compared with each other, the best first, and the best against each of the rest."""

    title: str  # what their task is called; "" where there is one for all
    rows: list[Row]
    pairs: list[Pair]
    names: dict[str, str]  # by label: what tells a group from the others of its field


def fields(comparison: Comparison) -> list[Field]:
    """One a task, of groups that have figures; the highest is the best where neither way is better.

    Groups that each have a task of their own are one field without pairs.
    """
    found: dict[str, list[Row]] = {}
    for row in comparison.rows:
        if row.values:
            found.setdefault("" if across_tasks(comparison.by) else str(task(row)), []).append(row)
    if len(found) > 1 and all(len(rows) == 1 for rows in found.values()):
        alone = [row for rows in found.values() for row in rows]
        return [Field("", alone, [], {row.group.label: row.group.label for row in alone})]
    pairs = {(pair.first, pair.second): pair for pair in comparison.pairs}
    pairs |= {(pair.second, pair.first): pair.turned() for pair in comparison.pairs}
    return [_field(rows, comparison.better, pairs, len(found) > 1) for rows in found.values()]


def _field(rows: list[Row], better: str, pairs: dict[tuple[str, str], Pair], several: bool) -> Field:
    sign = 1 if better == "lower" else -1
    first, *others = sorted(rows, key=lambda row: sign * (row.summary.mean or 0.0))
    against = [(first.group.label, other.group.label) for other in others]
    found = [pairs[both] for both in against if both in pairs]
    names = {row.group.label: _name(row, False) if several else row.group.label for row in rows}
    return Field(_name(first, True).removeprefix("task=") * several, [first, *others], found, names)


def _name(row: Row, of_task: bool) -> str:
    """The label of a group, only what its task says or all but that."""
    kept = {key: value for key, value in row.group.telling.items() if key.startswith("task.") == of_task}
    return labels([row.group.settings], [kept])[0]


def across_tasks(by: Sequence[str]) -> bool:
    """Whether groups on different tasks are compared: where the user groups by a setting of the task."""
    return any(key.startswith("task.") for key in by)


def task(row: Row) -> list[tuple[str, str]]:
    """The settings of the task that a group shares."""
    return sorted((key, value) for key, value in row.group.settings.items() if key.startswith("task."))
