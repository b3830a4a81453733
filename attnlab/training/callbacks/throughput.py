"""Examples trained a second."""

import time
from typing import Any

from pytorch_lightning import Callback, Trainer

from attnlab.training.lightning_module import Training


class Throughput(Callback):
    """speed/examples_per_second: training examples over seconds in training steps, since the last logged
    step."""

    def __init__(self) -> None:
        self.examples, self.seconds, self.started = 0, 0.0, 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: Training, *args: Any) -> None:
        self.started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Training, outputs: Any, batch: Any, *args: Any
    ) -> None:
        self.examples += len(batch.source)
        self.seconds += time.perf_counter() - self.started
        if pl_module.logged(outputs["step"]):
            pl_module.record({"speed/examples_per_second": self.examples / self.seconds})
            self.examples, self.seconds = 0, 0.0
