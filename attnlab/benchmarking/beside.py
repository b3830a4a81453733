"""A Trainer and another loop in turn: a Trainer's own loop cannot be left and entered again, so the other one
runs inside it, between two blocks of steps."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from attnlab.benchmarking.gauge import clock
from attnlab.benchmarking.steps import Step
from attnlab.building import Built
from attnlab.runs.events import Events
from attnlab.runs.folders import Shown
from attnlab.runs.limits import make_trainer, quiet
from attnlab.runs.metrics_file import MetricsFile
from attnlab.runs.watchers import callbacks_of
from attnlab.training.callbacks.checkpoints import Checkpoints
from attnlab.training.callbacks.progress import Progress

BLOCK = 10
"""Steps: as often as a run is logged."""


class _Beside(pl.Callback):
    """Seconds of each block of a Trainer's steps, from batch to batch, with everything that happens between,
    and of as many steps of another loop behind it."""

    def __init__(self, other: Step):
        self.other = other
        self.started = 0.0
        self.seconds: list[tuple[float, float]] = []

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        reached = trainer.global_step
        if reached % BLOCK:
            return
        now = clock()
        if reached:
            for position in range(reached - BLOCK, reached):
                self.other(position)
            self.seconds.append((now - self.started, clock() - now))
        self.started = clock()


def beside(built: Built, other: Step, rounds: int, folder: Path) -> tuple[list[float], list[float]]:
    """Seconds of blocks of steps in a Trainer, with all that a run writes and watches but for validations,
    and of the same steps by another loop; a first block of each is not counted."""
    quiet()
    limits = {"max_steps": (rounds + 1) * BLOCK + 1, "check_val_every_n_epoch": 10**6}
    tree = built.config | {"trainer": built.config["trainer"] | limits}
    timer = _Beside(other)
    kept = Checkpoints(folder / "checkpoints", tree["checkpoint_every"])
    kept.last.parent.mkdir()
    with Events(folder, 0, Shown({}, ())) as events:
        watchers = [timer, Progress(False), *callbacks_of(built), kept]
        trainer = make_trainer(tree, [events, MetricsFile(folder / "metrics.csv", 0)], watchers)
        trainer.fit(built.training)
    ours, theirs = zip(*timer.seconds[1:], strict=True)
    return [*ours], [*theirs]
