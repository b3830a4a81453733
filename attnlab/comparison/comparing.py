"""The comparison itself: one value a run, one row a group, and every pair of groups."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from itertools import combinations

import numpy as np

from attnlab.comparison.cautions import cautions
from attnlab.comparison.grouping import Group, group_runs, settings_of
from attnlab.comparison.reading import Run
from attnlab.comparison.records import WORK, Comparison, Pair, Row, task
from attnlab.comparison.statistics import compare, summarise, what_seeds_show

HIGHER = ("accuracy", "mass", "examples_per_second", "cosine")
LOWER = ("nll", "error_rate", "surrogate", "bias", "variance", "cost")


def make(runs: Sequence[Run], metric: str, by: Sequence[str] = ()) -> Comparison:
    """Compare runs by a metric. Raises ValueError for a metric or a key that none of them has, or where no
    run is done."""
    value_of, source = values_of(runs, metric)
    left_out = [(run, "", run.problem) for run in runs if not run.config]
    rows = []
    for group in group_runs(runs, by):
        counted, reasons = _standing(group.runs, value_of, metric)
        left_out += [(run, group.label, reason) for run, reason in reasons.items()]
        rows.append(_row(group, counted))
    better = direction(metric)
    pairs = _pairs(rows, better, by)
    shared = [pair.result.n for pair in pairs if pair.result.n] or [
        row.summary.n for row in rows if row.summary.n
    ]
    warnings = [*source, *cautions(rows, pairs)]
    words = what_seeds_show(min(shared), sum(pair.result.p is not None for pair in pairs)) if shared else ""
    words = f"Some pairs share only {min(shared)} seeds. {words}" if len(set(shared)) > 1 else words
    return Comparison(metric, better, by, rows, pairs, warnings, left_out, words)


def direction(metric: str) -> str:
    """Whether higher or lower is better; "" for figures such as entropy, where neither is."""
    name = metric.rpartition("/")[2]
    return "higher" if name.endswith(HIGHER) else "lower" if name.endswith(LOWER) else ""


def values_of(runs: Sequence[Run], metric: str) -> tuple[Callable[[Run], float | None], list[str]]:
    """How a run's value is found: in its results, or, for a figure that is no result, the last one logged;
    and a word on it.

    Raises ValueError where no run is done, or none has the figure.
    """
    done = [run for run in runs if not run.problem]
    if not done:
        reasons = "\n".join(f"  {run.name}: {run.problem}" for run in runs[:20])
        raise ValueError(
            f"none of the {len(runs)} runs is done:\n{reasons}" + ("\n  ..." if len(runs) > 20 else "")
        )
    if any(metric in run.results for run in done):
        return lambda run: run.results.get(metric), []
    if any(metric in run.tags for run in done):
        word = (
            f"{metric} is not among the results of the best checkpoint; each run's last logged value is taken"
        )
        return (
            lambda run: (
                next(iter(run.history(metric).values[:-2:-1].tolist()), None) if metric in run.tags else None
            ),
            [word],
        )
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
        try:
            value = value_of(run)
        except ValueError as error:
            reasons[run] = str(error)
            continue
        if latest[_same(run)] is not run:
            reasons[run] = (
                f"the same configuration and seed as {latest[_same(run)].folder}, which ended later"
            )
        elif value is None or not np.isfinite(value):
            reasons[run] = f"has no figure {metric}" if value is None else f"{metric} is {value}"
        else:
            counted[run] = float(value)
    return counted, reasons


def _same(run: Run) -> str:
    return f"{run.seed} {sorted(settings_of(run).items())}"


def _row(group: Group, counted: dict[Run, float]) -> Row:
    seeds = sorted({run.seed for run in counted if run.seed is not None})
    values = {
        seed: float(np.mean([value for run, value in counted.items() if run.seed == seed])) for seed in seeds
    }
    work = {}
    for name, (of, _) in WORK.items():
        known = [found for run in counted if (found := of(run)) is not None]
        work[name] = float(np.mean(known)) if known else None
    return Row(group, counted, values, summarise(np.array(list(values.values()))), work)


def _pairs(rows: list[Row], better: str, by: Sequence[str]) -> list[Pair]:
    """Every pair of groups on one task; also across tasks where the user groups by a setting of the task."""
    across = any(key.startswith("task.") for key in by)
    chosen = [
        (a, b)
        for a, b in combinations([row for row in rows if row.values], 2)
        if across or task(a) == task(b)
    ]
    vectors = []
    for first, second in chosen:
        seeds = [seed for seed in first.values if seed in second.values]
        vectors.append(tuple(np.array([row.values[seed] for seed in seeds]) for row in (first, second)))
    results = compare(vectors, better != "lower")
    return [Pair(a.group.label, b.group.label, found) for (a, b), found in zip(chosen, results, strict=True)]
