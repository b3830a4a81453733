"""Learning curves over seeds, and figures against beta."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from attnlab.comparison.grouping import group_runs
from attnlab.comparison.reading import Run
from attnlab.comparison.records import Row
from attnlab.comparison.statistics import Summary, interval, summarise

POINTS, RESAMPLES = 200, 1999
BETA, GAP = "attention.beta", "val/soft_argmax_gap"
BESIDE_BETA = ("val/sequence_accuracy", "val/attention_entropy", "grad_norm/total", GAP)


class Curve(NamedTuple):
    """The mean over seeds at every step that all of them logged, with its 95 % interval; equal to it for a
    single seed."""

    label: str
    n: int
    steps: np.ndarray
    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


class BetaSeries(NamedTuple):
    """A figure of runs that differ in beta, and in nothing else but the seed."""

    label: str
    betas: list[float]
    summaries: list[Summary]


def curves(rows: Sequence[Row], metric: str) -> tuple[list[Curve], list[str]]:
    """The curve of every group that has one, at up to 200 of its steps; and a word on each that has none."""
    found, words = [], []
    for row in rows:
        kept: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        for run in row.counted:
            if metric not in run.tags:
                words.append(f"{metric} was not logged during training by {run.name}: it is in no curve")
                continue
            try:
                steps, values = run.history(metric)
            except ValueError as error:
                words.append(f"{error}: it is in no curve")
                continue
            kept.setdefault(run.seed or 0, []).append(
                (steps[np.isfinite(values)], values[np.isfinite(values)])
            )
        if not kept:
            continue
        curve = _curve(row.group.label, list(kept.values()))
        if len(curve.steps):
            found.append(curve)
        else:
            words.append(f"{row.group.label} has no curve: its runs logged {metric} at no common step")
    return found, words


def _curve(label: str, seeds: list[list[tuple[np.ndarray, np.ndarray]]]) -> Curve:
    common = seeds[0][0][0]
    for steps in (steps for runs in seeds for steps, _ in runs):
        if not np.array_equal(common, steps):
            common = np.intersect1d(common, steps)
    if len(common) > POINTS:
        common = common[np.unique(np.linspace(0, len(common) - 1, POINTS).round().astype(int))]
    values = np.stack(
        [
            np.mean([values[np.searchsorted(steps, common)] for steps, values in runs], axis=0)
            for runs in seeds
        ]
    )
    if len(values) < 2 or not len(common):
        return Curve(label, len(values), common, values[0], values[0], values[0])
    return Curve(label, len(values), common, *interval(values, RESAMPLES))


def beta_series(runs: Sequence[Run], metric: str, by: Sequence[str]) -> dict[str, list[BetaSeries]]:
    """By figure: a series for runs that agree in all but beta and seed, or in the keys `by` less beta; {}
    unless it varies."""
    found: dict[str, list[BetaSeries]] = {}
    for group in group_runs(runs, [key for key in by if key != BETA], without=[BETA]):
        betas = sorted({beta for run in group.runs if (beta := _beta(run)) is not None})
        if len(betas) < 2:
            continue
        for tag in dict.fromkeys((metric, *BESIDE_BETA)):
            summaries = [_at(group.runs, beta, tag) for beta in betas]
            known = [(beta, summary) for beta, summary in zip(betas, summaries, strict=True) if summary.n]
            if known:
                found.setdefault(tag, []).append(
                    BetaSeries(group.label, *map(list, zip(*known, strict=True)))
                )
    return found


def _at(runs: Sequence[Run], beta: float, tag: str) -> Summary:
    by_seed: dict[int, list[float]] = {}
    for run in runs:
        value = run.results.get(tag)
        if _beta(run) == beta and value is not None and np.isfinite(value):
            by_seed.setdefault(run.seed or 0, []).append(value)
    return summarise(np.array([np.mean(values) for values in by_seed.values()]))


def _beta(run: Run) -> float | None:
    attention = run.config.get("attention")
    beta = attention.get("beta") if isinstance(attention, dict) else None
    return float(beta) if isinstance(beta, int | float) else None
