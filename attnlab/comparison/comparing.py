"""The comparison itself: one value a run, one row a group, every pair of groups, and all that a reader must be warned of."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from itertools import combinations
from typing import NamedTuple

import numpy as np

from attnlab.comparison.grouping import Group, group_runs, settings_of
from attnlab.comparison.reading import Run
from attnlab.comparison.statistics import Paired, Summary, compare, summarise, what_seeds_show

HIGHER = ("accuracy", "mass", "examples_per_second", "cosine")
LOWER = ("nll", "error_rate", "surrogate", "bias", "variance", "cost")
WORK: dict[str, tuple[Callable[[Run], float | None], float]] = {
    "parameters": (lambda run: run.parameters, 1.02),
    "steps": (lambda run: run.steps, 1.02),
    "seconds": (lambda run: run.seconds, 1.5),  # by the clock: the same run takes longer on a busy machine
}
"""What a figure costs, and the ratio from which groups are called unequal."""


class Row(NamedTuple):
    """A group and its figures. A seed's value is the mean over the group's runs with that seed; there is one unless merged."""

    group: Group
    counted: list[Run]
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


def make(runs: Sequence[Run], metric: str, by: Sequence[str] = ()) -> Comparison:
    """Compare runs by a metric. Raises ValueError for a metric or a key that none of them has, or where no run is done."""
    value_of, source = values_of(runs, metric)
    left_out = [(run, "", run.problem) for run in runs if not run.config]
    rows = []
    for group in group_runs(runs, by):
        counted, reasons = _standing(group.runs, value_of, metric)
        left_out += [(run, group.label, reason) for run, reason in reasons.items()]
        rows.append(_row(group, counted))
    better = direction(metric)
    pairs = _pairs(rows, better, by)
    shared = [pair.result.n for pair in pairs if pair.result.n] or [row.summary.n for row in rows if row.summary.n]
    warnings = [*source, *_merged(rows), *_unequal_work(rows), *_unequal_code(rows), *_not_paired(rows, pairs)]
    words = what_seeds_show(min(shared), sum(pair.result.p is not None for pair in pairs)) if shared else ""
    words = f"Some pairs share only {min(shared)} seeds. {words}" if len(set(shared)) > 1 else words
    return Comparison(metric, better, by, rows, pairs, warnings, left_out, words)


def direction(metric: str) -> str:
    """Whether higher or lower is better; "" for figures such as entropy, where neither is."""
    name = metric.rpartition("/")[2]
    return "higher" if name.endswith(HIGHER) else "lower" if name.endswith(LOWER) else ""


def values_of(runs: Sequence[Run], metric: str) -> tuple[Callable[[Run], float | None], list[str]]:
    """How a run's value is found: in its results, or, for a figure that is no result, the last one logged; and a word on it."""
    done = [run for run in runs if not run.problem]
    if not done:
        reasons = "\n".join(f"  {run.name}: {run.problem}" for run in runs[:20])
        raise ValueError(f"none of the {len(runs)} runs is done:\n{reasons}" + ("\n  ..." if len(runs) > 20 else ""))
    if any(metric in run.results for run in done):
        return lambda run: run.results.get(metric), []
    if any(metric in run.tags for run in done):
        word = f"{metric} is not among the results of the best checkpoint; each run's last logged value is taken"
        return lambda run: next(iter(run.history(metric).values[:-2:-1].tolist()), None) if metric in run.tags else None, [word]
    known = list(dict.fromkeys(tag for run in done for tag in [*run.results, *run.tags]))
    close = get_close_matches(metric, known, 3, 0.5) or [tag for tag in known if metric in tag]
    meant = f"; did you mean {' or '.join(close[:3])}?" if close else f"; there are {', '.join(known)}"
    raise ValueError(f"no run has a figure {metric}{meant}")


def _standing(
    runs: Sequence[Run], value_of: Callable[[Run], float | None], metric: str
) -> tuple[dict[Run, float], dict[Run, str]]:
    """The values of the runs that count, and the reasons why the others do not."""
    done = sorted((run for run in runs if not run.problem), key=lambda run: str(run.status.get("end")))
    latest = {_same(run): run for run in done}
    counted, reasons = {}, {run: run.problem for run in runs if run.problem}
    for run in done:
        value = value_of(run)
        if latest[_same(run)] is not run:
            reasons[run] = f"the same configuration and seed as {latest[_same(run)].folder}, which ended later"
        elif value is None or not np.isfinite(value):
            reasons[run] = f"has no figure {metric}" if value is None else f"{metric} is {value}"
        else:
            counted[run] = float(value)
    return counted, reasons


def _same(run: Run) -> str:
    return f"{run.seed} {sorted(settings_of(run).items())}"


def _row(group: Group, counted: dict[Run, float]) -> Row:
    seeds = sorted({run.seed for run in counted if run.seed is not None})
    values = {seed: float(np.mean([value for run, value in counted.items() if run.seed == seed])) for seed in seeds}
    work = {}
    for name, (of, _) in WORK.items():
        known = [found for run in counted if (found := of(run)) is not None]
        work[name] = float(np.mean(known)) if known else None
    return Row(group, list(counted), values, summarise(np.array(list(values.values()))), work)


def _pairs(rows: list[Row], better: str, by: Sequence[str]) -> list[Pair]:
    """Every pair of groups on one task; also across tasks where the user groups by a setting of the task."""
    across = any(key.startswith("task.") for key in by)
    chosen = [(a, b) for a, b in combinations([row for row in rows if row.values], 2) if across or task(a) == task(b)]
    vectors = []
    for first, second in chosen:
        seeds = [seed for seed in first.values if seed in second.values]
        vectors.append(tuple(np.array([row.values[seed] for seed in seeds]) for row in (first, second)))
    results = compare(vectors, better != "lower")
    return [Pair(a.group.label, b.group.label, found) for (a, b), found in zip(chosen, results, strict=True)]


def task(row: Row) -> list[tuple[str, str]]:
    """The settings of the task that a group shares."""
    return sorted((key, value) for key, value in row.group.settings.items() if key.startswith("task."))


def _merged(rows: list[Row]) -> list[str]:
    found = []
    for row in rows:
        if row.group.merged:
            differing = ", ".join(f"{key} ({', '.join(values)})" for key, values in row.group.merged.items())
            found.append(f"{row.group.label} merges runs that differ in more than the seed: {differing}")
        if len(row.counted) > len(row.values):
            found.append(
                f"{row.group.label}: {len(row.counted)} runs have {len(row.values)} seeds; runs of one seed are averaged"
            )
    return found


def _unequal_work(rows: list[Row]) -> list[str]:
    found = []
    for name, (_, ratio) in WORK.items():
        known = {row.group.label: value for row in rows if (value := row.work[name])}
        if known and max(known.values()) > ratio * min(known.values()):
            least, most = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
            unequal = f"{known[least]:,.4g} ({least}) to {known[most]:,.4g} ({most})"
            found.append(f"unequal work: {name} range from {unequal}")
    return found


def _unequal_code(rows: list[Row]) -> list[str]:
    runs = [run for row in rows for run in row.counted]
    versions = {name for run in runs for name in run.status.get("versions") or {}}
    noted = {"code revision": {run.status.get("revision") for run in runs}}
    noted |= {f"version of {name}": {(run.status.get("versions") or {}).get(name) for run in runs} for name in versions}
    return [f"the {name} differs between runs: {', '.join(sorted(map(str, of)))}" for name, of in noted.items() if len(of) > 1]


def _not_paired(rows: list[Row], pairs: list[Pair]) -> list[str]:
    found = []
    if len({str(task(row)) for row in rows if row.values}) > 1 and len(pairs) < len(rows) * (len(rows) - 1) // 2:
        found.append("groups on different tasks, or on different settings of a task, are not compared with each other")
    lonely = [f"{pair.first} and {pair.second}" for pair in pairs if pair.result.n < 2]
    if lonely:
        more = f" and {len(lonely) - 3} more pairs" if len(lonely) > 3 else ""
        found.append(f"fewer than two shared seeds, so no interval and no p-value: {', '.join(lonely[:3])}{more}")
    if any(set(a.values) != set(b.values) for a, b in combinations([row for row in rows if row.values], 2)):
        found.append("the groups do not all have the same seeds; each pair is compared over the seeds that both have")
    return found
