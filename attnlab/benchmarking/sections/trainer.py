"""A training step in Lightning's Trainer, with all that a run logs, watches and keeps, against a plain loop
over the same module and the same batches, at default sizes. Validations are in neither."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from attnlab.benchmarking.beside import BLOCK, beside
from attnlab.benchmarking.gauge import Gauge, gauge
from attnlab.benchmarking.steps import plain_loop
from attnlab.building import build

MECHANISMS = ("soft", "hard_exact", "hard_reinforce")


def gauges(rounds: int) -> Iterator[Gauge]:
    """One for each of some mechanisms: seconds of the Trainer over those of the loop."""
    for mechanism in MECHANISMS:
        overrides = [f"attention={mechanism}"]
        with tempfile.TemporaryDirectory() as folder:
            ours, loop = beside(build(overrides), plain_loop(build(overrides)), rounds, Path(folder))
        yield gauge(mechanism, ours, "plain loop", loop, "ms a step", 1000.0 / BLOCK)
