"""Learning curves over seeds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from attnlab.comparison.metrics import facts
from attnlab.comparison.records import Row
from attnlab.comparison.statistics import INTERVALS, interval

POINTS = 200


class Curve(NamedTuple):
    """The mean over seeds at every step that all of them logged, with its 95 % interval; equal to it for a
    single seed."""

    label: str
    n: int
    steps: np.ndarray
    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def logged(rows: Sequence[Row], metric: str) -> str:
    """The tag whose curve goes with a metric: its own, or, for test data, which are not looked at while
    training goes on, that of the validation data."""
    known = any(metric in run.tags for row in rows for run in row.counted)
    return metric if known else metric.replace("test/", "val/", 1)


def curves(rows: Sequence[Row], metric: str, method: str = "student") -> tuple[list[Curve], list[str]]:
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
        curve = _curve(row.group.label, list(kept.values()), method, metric)
        if len(curve.steps):
            found.append(curve)
        else:
            words.append(f"{row.group.label} has no curve: its runs logged {metric} at no common step")
    return found, words


def _curve(label: str, seeds: list[list[tuple[np.ndarray, np.ndarray]]], method: str, metric: str) -> Curve:
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
    return Curve(label, len(values), common, *interval(values, INTERVALS[method], facts(metric).bounds))
