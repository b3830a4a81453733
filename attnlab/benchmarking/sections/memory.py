"""Memory that training steps need beyond the model, its optimizer and what Python has loaded, at its peak, in
a process of its own, as the same sizes grow."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from attnlab.benchmarking.gauge import Gauge, gauge
from attnlab.benchmarking.peak import MIB
from attnlab.benchmarking.processes import said
from attnlab.benchmarking.sections.scaling import series


def gauges(rounds: int) -> Iterator[Gauge]:
    """One for each size but the smallest of a series; memory does not vary, and is taken once."""
    for one in series(rounds):
        first, *others = one.runs
        smallest = _peak(one.runs[first])
        for size in others:
            told = f"{one.mechanism}, {one.noun} {size}"
            yield gauge(told, [_peak(one.runs[size])], f"{one.noun} {first}", [smallest], "MiB", 1 / MIB)


def _peak(overrides: list[str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return float(said(["-m", "attnlab.benchmarking.peak", *overrides], Path(folder)))
