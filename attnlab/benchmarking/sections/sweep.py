"""A sweep of four runs of 100 steps against four commands one after the other: all in one process, which
loads torch once, and by joblib, two at a time."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from attnlab.benchmarking.gauge import Gauge, gauge, taken
from attnlab.benchmarking.processes import attnlab, lasting

_RUNS = 4
_SHORT = ("trainer.max_steps=100", "task.validation_examples=250", "task.test_examples=250")
_JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def gauges(rounds: int) -> Iterator[Gauge]:
    """One for each kind of sweep, in a tenth of the rounds."""
    seeds = ",".join(map(str, range(_RUNS)))
    swept, joblib, apart = taken(
        [
            lambda: _seconds(["-m", f"seed={seeds}"]),
            lambda: _seconds(["-m", f"seed={seeds}", *_JOBLIB]),
            lambda: _seconds(*([f"seed={seed}"] for seed in range(_RUNS))),
        ],
        -(-rounds // 10),
    )
    yield gauge("in one process", swept, "four commands", apart, "s")
    yield gauge("joblib, two at a time", joblib, "four commands", apart, "s")


def _seconds(*commands: list[str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return sum(lasting(attnlab("train", *command, *_SHORT), Path(folder)) for command in commands)
