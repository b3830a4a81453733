"""Checkpoints: the last state, from which a run goes on bit for bit, and the best one, which its results are
taken from."""

import logging
import math
from functools import partial
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Checkpoint

from attnlab.files import flush, replacing
from attnlab.training.finite import NonFiniteLoss
from attnlab.training.lightning_module import Training

log = logging.getLogger("attnlab")


class Checkpoints(Checkpoint):
    """Keeps last.ckpt, every `every` steps and after each epoch, previous.ckpt, the one before it, and
    best.ckpt, in `folder`; each appears whole or not at all, and names its run.

    The best has the highest val/sequence_accuracy, then the lowest val/nll. The last is written between two
    batches, when everything that follows the first of them is over: its validation, what that moves, and the
    end of its epoch. Lightning runs callbacks of the kind Checkpoint after all others, so that the best lacks
    nothing of its validation.
    """

    def __init__(self, folder: Path, every: int, run: str = ""):
        self.last, self.previous, self.best = (
            folder / f"{name}.ckpt" for name in ("last", "previous", "best")
        )
        self.every = every
        self.run = run
        self.reached = (float("-inf"), float("-inf"))
        self.validation_step = -1
        self.finished = False  # whether nothing is left to train
        self.step = 0  # of last.ckpt
        self.begun = False  # whether training has taken up what it goes on from

    def state_dict(self) -> dict[str, Any]:
        return {
            "reached": list(self.reached),
            "validation_step": self.validation_step,
            "finished": self.finished,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.reached = tuple(state_dict["reached"])
        self.validation_step = state_dict["validation_step"]

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Training, checkpoint: dict[str, Any]) -> None:
        checkpoint["run"] = self.run

    def validated(self, step: int) -> bool:
        """Whether the parameters of a step have been validated."""
        return self.validation_step == step

    def setup(self, trainer: Trainer, pl_module: Training, stage: str) -> None:
        pl_module.between_batches = partial(self._between_batches, trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: Training) -> None:
        self.begun = True
        self.step = trainer.global_step

    def _between_batches(self, trainer: Trainer, pl_module: Training) -> None:
        loop = trainer.fit_loop.epoch_loop
        # a resumed loop counts a step twice, and with it whatever callbacks log
        loop._batches_that_stepped = trainer.global_step
        due = trainer.global_step % self.every == 0 or loop.batch_progress.current.ready == 0
        if due and not pl_module.parts and trainer.global_step > self.step:
            self.keep(trainer)

    def keep(self, trainer: Trainer) -> None:
        """Write last.ckpt; what it was becomes previous.ckpt once the new one is safe on disk."""
        with replacing(self.last) as written:
            _save(trainer, written)
            if self.last.exists():
                self.last.replace(self.previous)
        self.step = trainer.global_step

    def finish(self, trainer: Trainer) -> None:
        """Write last.ckpt of a run in which nothing is left to train."""
        self.finished = True
        self.keep(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: Training) -> None:
        if trainer.sanity_checking:
            return
        self.validation_step = trainer.global_step
        figures = pl_module.figures
        if not math.isfinite(figures["val/nll"]):
            raise NonFiniteLoss(f"val/nll is {figures['val/nll']} after step {trainer.global_step}")
        now = (figures["val/sequence_accuracy"], -figures["val/nll"])
        if now > self.reached:
            self.reached = now
            with replacing(self.best) as written:
                _save(trainer, written)
            log.debug("the best so far: kept as %s", self.best.name)


def _save(trainer: Trainer, path: Path) -> None:
    for logger in trainer.loggers:
        logger.save()  # a run that goes on from here has the figures up to here
    trainer.save_checkpoint(path)
    flush(path)
