"""How far a run is: one bar for the whole of it on a terminal, elsewhere a line a validation; train.log has
every validation."""

import logging
import sys
import time
from typing import Any

from pytorch_lightning import Callback, Trainer

from attnlab.progress import bar, left, reached, spoken
from attnlab.training.lightning_module import Training

EVERY = 0.2  # seconds between two drawings of the bar
SHOWN = {"loss": "train/nll", "accuracy": "val/sequence_accuracy"}
"""What the bar says beside the step: the last value of each."""

log = logging.getLogger("attnlab")


class Progress(Callback):
    """Draws the bar on stderr where `draws` is true; notes every validation in the log, for people to see
    where there is no bar."""

    def __init__(self, draws: bool):
        self.draws = draws
        self.first, self.total = 0, 0.0
        self.started = self.drawn = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: Training) -> None:
        self.first, self.total = trainer.global_step, float(trainer.estimated_stepping_batches)
        self.started = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: Training, *args: Any) -> None:
        if self.draws and time.monotonic() - self.drawn > EVERY:
            self._draw(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: Training) -> None:
        if trainer.sanity_checking:
            return
        step, seconds = trainer.global_step, time.monotonic() - self.started
        told = [reached(step, self.total), spoken(seconds), left(step, self.total, self.first, seconds)]
        loss, accuracy = (pl_module.figures[f"val/{name}"] for name in ("nll", "sequence_accuracy"))
        words = f"{', '.join(filter(None, told))}: loss {loss:.4g}, accuracy {accuracy:.4f} (validation)"
        log.log(logging.DEBUG if self.draws else logging.INFO, words)

    def on_train_end(self, trainer: Trainer, pl_module: Training) -> None:
        if self.draws:
            self._draw(trainer, pl_module, "\n")

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        if self.draws:
            print(file=sys.stderr)  # what is said next begins a line

    def _draw(self, trainer: Trainer, pl_module: Training, end: str = "") -> None:
        self.drawn, step = time.monotonic(), trainer.global_step
        remaining = left(step, self.total, self.first, self.drawn - self.started)
        figures = {name: pl_module.figures.get(tag) for name, tag in SHOWN.items()}
        print(f"\r{bar(step, self.total, remaining, figures)}", end=end, file=sys.stderr, flush=True)
