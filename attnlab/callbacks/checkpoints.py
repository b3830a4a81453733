"""Checkpoints: the last state, from which a run goes on bit for bit, and the best one, which its results are
taken from."""

import logging
import math
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Checkpoint

from attnlab.files import replacing
from attnlab.training import NonFiniteLoss, Training

log = logging.getLogger("attnlab")


class Checkpoints(Checkpoint):
    """Keeps last.ckpt, every `every` steps and after each epoch, and best.ckpt, in `folder`; each appears
    whole or not at all.

    The best has the highest val/sequence_accuracy, then the lowest val/nll. Lightning runs callbacks of the
    kind Checkpoint after all others, so that nothing of a step is missing.
    """

    def __init__(self, folder: Path, every: int):
        self.last = folder / "last.ckpt"
        self.best = folder / "best.ckpt"
        self.every = every
        self.reached = (float("-inf"), float("-inf"))
        self.validation_step = -1

    def state_dict(self) -> dict[str, Any]:
        return {"reached": list(self.reached), "validation_step": self.validation_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.reached = tuple(state_dict["reached"])
        self.validation_step = state_dict["validation_step"]

    def validated(self, step: int) -> bool:
        """Whether the parameters of a step have been validated."""
        return self.validation_step == step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Training, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # a validation belongs to the step before it: a checkpoint between the two would lose it
        last = trainer.is_last_batch or (batch_idx + 1) % (trainer.val_check_batch or 1) == 0
        if trainer.global_step > outputs["step"] and trainer.global_step % self.every == 0 and not last:
            save(trainer, self.last)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Training) -> None:
        save(trainer, self.last)

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
            save(trainer, self.best)
            log.debug("the best so far: kept as %s", self.best.name)


def save(trainer: Trainer, path: Path) -> None:
    """Write a checkpoint whole or not at all, so that a crash leaves the old one."""
    with replacing(path) as partial:
        trainer.save_checkpoint(partial)
