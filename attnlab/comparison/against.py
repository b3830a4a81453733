"""Figures against a swept number: beta, samples, temperature, length, learning rate."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from attnlab.comparison.grouping import group_runs, resolve, settings_of
from attnlab.comparison.labels import number
from attnlab.comparison.metrics import facts
from attnlab.comparison.reading import Run
from attnlab.comparison.statistics import INTERVALS, Summary, summarise

BETA, GAP = "attention.beta", "val/soft_argmax_gap"
BESIDE = ("grad_norm/attention", "test/attention_entropy", GAP)


class Series(NamedTuple):
    """A figure of runs that differ in one number, and in nothing else but the seed."""

    label: str
    numbers: list[float]
    summaries: list[Summary]


def swept(runs: Sequence[Run]) -> list[str]:
    """Keys of settings that are numbers and have several values, beta first."""
    values: dict[str, set[str]] = {}
    for run in runs:
        for key, value in settings_of(run).items():
            values.setdefault(key, set()).add(value)
    keys = [key for key, found in values.items() if len(found & _numbers(found)) > 1]
    return sorted(keys, key=lambda key: key != BETA)


def key_of(runs: Sequence[Run], name: str) -> str:
    """A setting by its dotted key, or by its name alone where only one has it.

    Raises ValueError for one that no run has, or that is not two numbers at least.
    """
    settings = [settings_of(run) for run in runs]
    ends = {key for found in settings for key in found if key.rpartition(".")[2] == name}
    (key,) = resolve([ends.pop() if len(ends) == 1 else name], settings, "--against")
    found = {one[key] for one in settings if key in one}
    if key not in swept(runs):
        varying = ", ".join(swept(runs)) or "none"
        raise ValueError(
            f"--against {name}: a setting with several numbers is needed, it has {', '.join(sorted(found))}; "
            f"those with several: {varying}"
        )
    return key


def series(
    runs: Sequence[Run], metric: str, key: str, by: Sequence[str] = (), method: str = "student"
) -> dict[str, list[Series]]:
    """By figure: a series for runs that agree in all but the key and the seed, or in the keys `by`."""
    found: dict[str, list[Series]] = {}
    for group in group_runs(runs, [name for name in by if name != key], without=[key]):
        at: dict[float, list[Run]] = {}
        for run in group.runs:
            if (value := number(settings_of(run).get(key, ""))) is not None:
                at.setdefault(value, []).append(run)
        if len(at) < 2:
            continue
        for tag in dict.fromkeys((metric, *BESIDE)):
            summaries = {value: _summary(at[value], tag, method) for value in sorted(at)}
            known = {value: summary for value, summary in summaries.items() if summary.n}
            if known:
                found.setdefault(tag, []).append(Series(group.label, list(known), list(known.values())))
    return found


def logarithmic(numbers: Sequence[float]) -> bool:
    """Whether numbers are spread more evenly on a logarithmic axis: 1, 2, 5, 10, but not 6, 8, 10."""
    values = np.array(sorted(set(numbers)))
    if len(values) < 2 or values[0] <= 0 or values[-1] < 4 * values[0]:
        return False
    plain, logs = np.diff(values), np.diff(np.log(values))
    return len(values) == 2 or bool(logs.std() / logs.mean() < plain.std() / plain.mean())


def _summary(runs: Sequence[Run], tag: str, method: str) -> Summary:
    by_seed: dict[int, list[float]] = {}
    for run in runs:
        try:
            value = run.figure(tag)
        except ValueError:
            continue
        if value is not None and np.isfinite(value):
            by_seed.setdefault(run.seed or 0, []).append(value)
    values = np.array([np.mean(values) for values in by_seed.values()])
    return summarise(values, INTERVALS[method], facts(tag).bounds)


def _numbers(values: set[str]) -> set[str]:
    return {value for value in values if number(value) is not None}
