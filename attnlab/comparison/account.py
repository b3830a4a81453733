"""What the microscope says early in training held to account: whether a mechanism whose gradient is nearer
ends with a higher accuracy."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from attnlab.comparison.reading import Run
from attnlab.files import regular

ACCURACY = "test/sequence_accuracy"
FIGURES = ("squared_error", "expected_squared_error", "relative_bias", "relative_variance")
PLACES = ("scores", "weights")
_RESAMPLES, _LEVEL = 2000, 0.95


class Account(NamedTuple):
    """A run: what the microscope said of its own mechanism at the first look, and what it came to."""

    task: str
    mechanism: str
    step: int
    figures: Mapping[tuple[str, str], float]  # by figure and place
    accuracy: float


class Correlation(NamedTuple):
    """Spearman's rank correlation of a figure with accuracy, by task and in their mean, with the interval of
    that: percentiles over resamples of mechanisms, whose seeds and tasks go with them. nan where all
    runs have the same accuracy, or the same error."""

    tasks: dict[str, float]
    mean: float
    lower: float
    upper: float


def accounts(runs: Sequence[Run]) -> Iterator[Account]:
    """Of every run that is done and was looked at with its own mechanism."""
    for run in runs:
        task, mechanism, _ = run.name.split("/")
        path = run.folder / "microscope.csv"
        if ACCURACY not in run.results or not path.is_file():
            continue
        with regular(path).open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["mechanism"] == mechanism]
        first = min((int(row["step"]) for row in rows), default=0)
        figures = {
            (figure, row["place"]): float(row[figure])
            for row in rows
            if int(row["step"]) == first
            for figure in FIGURES
        }
        if figures:
            yield Account(task, mechanism, first, figures, run.results[ACCURACY])


def correlation(found: Sequence[Account], figure: str, place: str) -> Correlation:
    """Of a figure at a place with accuracy. Raises ValueError where a task has fewer than 3 mechanisms."""
    tasks = sorted({one.task for one in found})
    names = sorted({one.mechanism for one in found})
    if any(len({one.mechanism for one in found if one.task == task}) < 3 for task in tasks) or not tasks:
        raise ValueError(f"a rank correlation needs three mechanisms at least on each task, got {len(names)}")
    points = {
        (task, name): [
            (one.figures[figure, place], one.accuracy)
            for one in found
            if (one.task, one.mechanism) == (task, name) and (figure, place) in one.figures
        ]
        for task in tasks
        for name in names
    }

    def of(task: str, taken: Sequence[str]) -> float:
        pairs = np.array([pair for name in taken for pair in points[task, name]])
        if len(pairs) < 2 or (np.ptp(pairs, axis=0) == 0).any():
            return np.nan
        ranked: Any = stats.spearmanr(pairs[:, 0], pairs[:, 1])
        return float(ranked.statistic)

    each = {task: of(task, names) for task in tasks}
    generator = np.random.default_rng(0)
    resampled = [
        np.mean([of(task, generator.choice(names, len(names)).tolist()) for task in tasks])
        for _ in range(_RESAMPLES)
    ]
    tail = (1 - _LEVEL) / 2
    known = [value for value in resampled if np.isfinite(value)] or [np.nan]
    lower, upper = np.quantile(known, [tail, 1 - tail])
    return Correlation(each, float(np.mean(list(each.values()))), float(lower), float(upper))
