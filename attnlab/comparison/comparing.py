"""The comparison itself: one value a run, one row a group, and every pair of groups."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from itertools import combinations

import numpy as np

from attnlab.comparison.cautions import cautions
from attnlab.comparison.grouping import Group, group_runs
from attnlab.comparison.labels import number
from attnlab.comparison.metrics import facts
from attnlab.comparison.power import what_bounds_hide, what_seeds_show
from attnlab.comparison.reading import Run, natural
from attnlab.comparison.records import WORK, Comparison, Pair, Row, across_tasks, task
from attnlab.comparison.statistics import INTERVALS, compare, summarise
from attnlab.text import counted as number_of

_METRIC = "test/sequence_accuracy"  # on examples by which no checkpoint was chosen


def make(
    runs: Sequence[Run], metric: str = _METRIC, by: Sequence[str] = (), method: str = "student"
) -> Comparison:
    """Compare runs by a metric. Raises ValueError for a metric or a key that none of them has, or where no
    run is done."""
    value_of, source = _values_of(runs, metric)
    left_out = [(run, "", run.problem) for run in runs if not run.config]
    known = facts(metric)
    better, bounds = known.better, known.bounds
    rows = []
    for group in group_runs(runs, by):
        counted, reasons = _standing(group.runs, value_of, metric)
        left_out += [(run, group.label, reason) for run, reason in reasons.items()]
        rows.append(_row(group, counted, method, metric))
    rows = ordered(rows, better)
    pairs = _pairs(rows, metric, by, method)
    shared = [pair.result.n for pair in pairs if pair.result.n] or [
        row.summary.n for row in rows if row.summary.n
    ]
    warnings = [*source, *_selected(rows, metric), *cautions(rows, pairs)]
    several = sum(pair.result.p is not None for pair in pairs)
    words = what_seeds_show(min(shared), several, INTERVALS[method]) if shared else ""
    words = (
        f"Some pairs share only {number_of(min(shared), 'seed')}. {words}" if len(set(shared)) > 1 else words
    )
    crowded = [
        said for row in rows if (said := what_bounds_hide(np.array(list(row.values.values())), bounds))
    ]
    words = " ".join([words, *crowded[:1]])
    return Comparison(metric, better, by, method, rows, pairs, warnings, left_out, words)


def ordered(rows: Sequence[Row], better: str) -> list[Row]:
    """Rows by their task, then by their numbers where numbers are all that tells them apart, else the best
    mean first (the highest where neither way is better); those without a mean last."""
    telling = [
        {key: value for key, value in row.group.telling.items() if not key.startswith("task.")}
        for row in rows
    ]
    numbers = all(one and all(number(value) is not None for value in one.values()) for one in telling)
    telling = telling if numbers else [{} for _ in rows]
    sign = 1 if better == "lower" else -1

    def place(found: tuple[Row, dict[str, str]]) -> tuple:
        row, numbered = found
        mean = row.summary.mean
        rank = [number(value) or 0.0 for value in numbered.values()] or [mean is None, sign * (mean or 0.0)]
        return natural(str(task(row))), len(numbered), rank, natural(row.group.label)

    return [row for row, _ in sorted(zip(rows, telling, strict=True), key=place)]


def _values_of(runs: Sequence[Run], metric: str) -> tuple[Callable[[Run], float | None], list[str]]:
    """How a run's value is found: in its results, or, for a figure that is no result, the last one logged;
    and a word on it.

    Raises ValueError where no run is done, or none has the figure.
    """
    done = [run for run in runs if not run.problem]
    if not done:
        reasons = "\n".join(f"  {run.name}: {run.problem}" for run in runs[:20])
        none = "the run is not" if len(runs) == 1 else f"none of the {len(runs)} runs is"
        raise ValueError(f"{none} done:\n{reasons}" + ("\n  ..." if len(runs) > 20 else ""))
    if any(metric in run.results for run in done):
        last = f"{metric} is the figure of one batch, at the last logged step of each run; "
        mean = metric.replace("grad_norm_last/", "grad_norm/")
        return lambda run: run.figure(metric), [f"{last}{mean} is its mean over training"] * (mean != metric)
    if any(metric in run.tags for run in done):
        word = (
            f"{metric} is not among the results of the best checkpoint; each run's last logged value is taken"
        )
        word += ", the figure of one batch" if metric.startswith(("train/", "grad_norm")) else ""
        return lambda run: run.history(metric).values.tolist()[-1] if metric in run.tags else None, [word]
    known = list(dict.fromkeys(tag for run in done for tag in [*run.results, *run.tags]))
    close = get_close_matches(metric, known, 3, 0.5) or [tag for tag in known if metric in tag]
    meant = f"; did you mean {' or '.join(close[:3])}?" if close else f"; there are {', '.join(known)}"
    raise ValueError(f"no run has a figure {metric}{meant}")


def _selected(rows: Sequence[Row], metric: str) -> list[str]:
    """A word on figures of the examples by which each checkpoint was chosen."""
    if not metric.startswith("val/"):
        return []
    times = {
        len(run.history(tag).steps)
        for row in rows
        for run in row.counted
        for tag in ("val/sequence_accuracy", metric)
        if tag in run.tags
    } or {0}
    few, many = min(times), max(times)
    best = (
        f"the best of {few if few == many else f'{few} to {many}'} validations"
        if many
        else "a best validation"
    )
    test = metric.replace("val/", "test/", 1)
    return [
        f"{metric} is of {best}, by which the checkpoint was chosen: it flatters; {test} was not selected on"
    ]


def _standing(
    runs: Sequence[Run], value_of: Callable[[Run], float | None], metric: str
) -> tuple[dict[Run, float], dict[Run, str]]:
    """The values of the runs that count, and the reasons why the others do not."""
    done = sorted((run for run in runs if not run.problem), key=lambda run: str(run.status.get("end")))
    latest = {run.identity: run for run in done}
    counted, reasons = {}, {run: run.problem for run in runs if run.problem}
    for run in done:
        try:
            value = value_of(run)
        except ValueError as error:
            reasons[run] = str(error)
            continue
        if latest[run.identity] is not run:
            reasons[run] = (
                f"the same configuration and seed as {latest[run.identity].folder}, which ended later"
            )
        elif value is None or not np.isfinite(value):
            reasons[run] = f"has no figure {metric}" if value is None else f"{metric} is {value}"
        else:
            counted[run] = float(value)
    return counted, reasons


def _row(group: Group, counted: dict[Run, float], method: str, metric: str) -> Row:
    seeds = sorted({run.seed for run in counted if run.seed is not None})
    values = {
        seed: float(np.mean([value for run, value in counted.items() if run.seed == seed])) for seed in seeds
    }
    work = {}
    for name, (of, _) in WORK.items():
        known = [found for run in counted if (found := of(run)) is not None]
        work[name] = float(np.mean(known)) if known else None
    summary = summarise(np.array(list(values.values())), INTERVALS[method], facts(metric).bounds)
    without = {run.seed: run for run in group.runs if run.seed is not None and run.seed not in values}
    missing = {seed: "has no figure" if run.state == "done" else run.state for seed, run in without.items()}
    diverged = sorted({run.seed for run in counted if run.seed is not None and run.diverged})
    return Row(group, counted, values, summary, work, dict(sorted(missing.items())), diverged)


def _pairs(rows: list[Row], metric: str, by: Sequence[str], method: str) -> list[Pair]:
    """Every pair of groups on one task; also across tasks where the user groups by a setting of the task."""
    across = across_tasks(by)
    chosen = [
        (a, b)
        for a, b in combinations([row for row in rows if row.values], 2)
        if across or task(a) == task(b)
    ]
    vectors = []
    for first, second in chosen:
        seeds = [seed for seed in first.values if seed in second.values]
        vectors.append(tuple(np.array([row.values[seed] for seed in seeds]) for row in (first, second)))
    known = facts(metric)
    results = compare(vectors, known.better != "lower", INTERVALS[method], known.bounds)
    return [Pair(a.group.label, b.group.label, found) for (a, b), found in zip(chosen, results, strict=True)]
