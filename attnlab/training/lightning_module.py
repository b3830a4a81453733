"""The LightningModule: surrogate in training, figures under the evaluation rule, everything a function of
(seed, step)."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from attnlab.core.evaluation import rule_of
from attnlab.core.interfaces import Mechanism, Pass, Selector
from attnlab.core.schedules import Scheduled, scheduled_in
from attnlab.models.model import Model, taken_by, token_losses
from attnlab.randomness import Randomness, derive, generator_for, seed_layers
from attnlab.settings import EvaluateAs
from attnlab.tasks.batch import PAD, Batch
from attnlab.tasks.references import NO_REFERENCES
from attnlab.tasks.task import Collected, Task
from attnlab.training.accumulation import group, joined
from attnlab.training.exams import OURS, Tally, divided, first_examples, free_running, teacher_forced
from attnlab.training.finite import NonFiniteLoss, naming_nan
from attnlab.training.loading import Batches, held, resumable
from attnlab.training.metrics import Measure
from attnlab.training.metrics.likelihood import nll, token_accuracy
from attnlab.training.optimizers import Configure, clip
from attnlab.training.recording import Recording
from attnlab.training.saturation import softmax_jacobian

# examples of a training batch whose figures are taken; those of a whole one would cost a third of a step
_PART = 16
_TAKEN = (nll, token_accuracy, softmax_jacobian)


class Training(Recording):
    """Trains a model by its mechanism's surrogate: sum over valid target tokens / their number, in all
    batches of an optimizer step together.

    Layers that draw from torch's global generator repeat: it is seeded for every batch and every evaluation.
    """

    def __init__(
        self,
        model: Model,
        mechanism: Mechanism,
        task: Task,
        configure: Configure,
        seed: int,
        evaluate_as: EvaluateAs = "same",
        metrics: Sequence[Measure] = OURS,
    ):
        super().__init__()
        self.model = model
        self.mechanism = mechanism
        # registered, as the selector is in the model: their state is in checkpoints
        self.estimator = mechanism.estimator
        self.task = task
        self.references = task.references if isinstance(task, Collected) else {}
        self.configure = configure
        self.seed = seed
        self.evaluate_as: EvaluateAs = evaluate_as
        self.metrics = metrics
        self.parts: list[tuple[Batch, dict[str, Any]]] = []
        """The batches of the optimizer step being prepared, each with what its `training_step` gave."""
        self.between_batches: Callable[[], object] = bool
        """Called before each batch of training, when everything that follows the one before it is over."""
        self.used: dict[str, float] = {}
        """Scheduled values, as the last logged step used them."""

    @property
    def rule(self) -> Selector:
        """What evaluation reads with; no part of the module, so that checkpoints do not depend on it."""
        return rule_of(self.mechanism, self.evaluate_as)

    @cached_property
    def scheduled(self) -> dict[str, Scheduled]:
        """Every number that moves with the step, by its name: in the model, and in all of the mechanism."""
        return scheduled_in(nn.ModuleList([self.model, *self.mechanism[:3]]))

    def move(self, step: int) -> None:
        """Give each of them the value that holds after so many steps."""
        for number in self.scheduled.values():
            number.move(step)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        epoch = self.trainer.current_epoch * self.task.steps_per_epoch
        position = epoch + batch_idx
        seed_layers(derive(self.seed, "layers", position), self.device)

        def run() -> Pass:
            generator = generator_for(self.seed, "draws", position, device=self.device)
            return taken_by(self.model, batch, self.mechanism.selector, Randomness(generator))

        with naming_nan(self.model, self.trainer.global_step + 1, run):
            taken = run()
        losses, valid = token_losses(taken.readout, batch.target), batch.target != PAD
        surrogate = self.estimator(losses, taken, valid)
        together, batches = self.trainer.accumulate_grad_batches, int(self.trainer.num_training_batches)
        others = [index for index in group(batch_idx, together, batches) if index != batch_idx]
        tokens = valid.sum() + sum((self.task.train(epoch + index).target != PAD).sum() for index in others)
        reported = surrogate.loss.sum() / tokens
        loss = reported + surrogate.auxiliary.sum() / tokens
        if not torch.isfinite(loss):
            raise NonFiniteLoss(f"the loss is {loss.item()} at step {self.trainer.global_step + 1}")
        # Lightning divides by `together`, as if all batches had the same number of tokens
        given = {"loss": loss * together, "surrogate": reported.detach(), "step": self.trainer.global_step}
        return given | {"losses": losses.detach(), "valid": valid}

    def configure_callbacks(self) -> list[pl.Callback]:
        return [_AfterStep()]

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        if self.logs_next_step():
            values = {f"schedule/{name}": part.value.item() for name, part in self.scheduled.items()}
            self.used = {"schedule/lr": float(optimizer.param_groups[0]["lr"])} | values

    def after_batch(self, outputs: dict[str, Any], batch: Batch) -> None:
        """At the end of an optimizer step, let the estimator take in the losses; on logged steps, record
        figures."""
        self.parts.append((batch, outputs))
        if self.trainer.global_step == outputs["step"]:
            return
        self.estimator.update(*joined([(part["losses"], part["valid"]) for _, part in self.parts]))
        if self.logged(outputs["step"]):
            surrogate = sum(part["surrogate"].item() for _, part in self.parts)
            self.record({"train/surrogate": surrogate} | self._taken() | self.used)
        self.parts = []
        self.move(self.trainer.global_step)

    def _taken(self) -> dict[str, float]:
        """Teacher-forced figures of the step's first _PART examples under the evaluation rule."""
        self.model.eval()
        tally = Tally()
        for part in first_examples((batch for batch, _ in self.parts), _PART):
            tally.add(teacher_forced(self.model, part, self.rule, _TAKEN))
        self.model.train()
        return tally.figures("train")

    def on_train_start(self) -> None:
        self.move(self.trainer.global_step)
        # for callbacks that look before the next validation; not by `log`, which would outlive that
        validated = {
            tag: torch.tensor(value) for tag, value in self.figures.items() if tag.startswith("val/")
        }
        self.trainer.callback_metrics.update(validated)

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the model and the estimator's own parameters apart: a baseline's regression shortens no step
        of the model."""
        for part in (self.model, self.estimator):
            clip(part.parameters(), gradient_clip_val, gradient_clip_algorithm)

    def on_validation_epoch_start(self) -> None:
        torch.manual_seed(derive(self.seed, "evaluation"))
        self.tally = Tally()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._examine(batch, "val")

    def _examine(self, batch: Batch, exam: str) -> None:
        references, limit = self.references.get(exam, NO_REFERENCES), 2 * self.task.longest_target
        for part in divided(self.model, batch, self.rule):
            self.tally.add(teacher_forced(self.model, part, self.rule, self.metrics))
            self.tally.add(free_running(self.model, part, self.rule, limit, references, self.metrics))

    def on_validation_epoch_end(self) -> None:
        if self.trainer.sanity_checking:  # some batches, of a model that has not been trained
            return
        figures = self.tally.figures("val")
        self.record(figures)
        self.log_dict(figures, logger=False)  # for callbacks that monitor a figure
        if self.trainer.state.fn == "fit":
            for schedule in self.trainer.lr_scheduler_configs:
                if schedule.reduce_on_plateau:
                    schedule.scheduler.step(self.figures[str(schedule.monitor)])  # pyright: ignore

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        if metric is None:  # a schedule that follows a figure moves where a validation ends, and only there
            super().lr_scheduler_step(scheduler, metric)

    on_test_epoch_start = on_validation_epoch_start

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._examine(batch, "test")

    def on_test_epoch_end(self) -> None:
        self.record(self.tally.figures("test"))

    def configure_optimizers(self) -> Any:
        # which counts the batches of an epoch, trainer.limit_train_batches included
        self.trainer.fit_loop.setup_data()
        steps, epoch = float(self.trainer.estimated_stepping_batches), int(self.trainer.num_training_batches)
        return self.configure(self.parameters(), steps, epoch)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["figures"] = dict(self.figures)
        checkpoint["stopped"] = self.trainer.should_stop  # by a callback, which does so once
        checkpoint["waiting"] = len(self.parts)  # batches whose gradient has moved nothing yet

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.trainer.precision_plugin.convert_module(self)  # else Lightning rounds what it loads to float32
        self.figures = dict(checkpoint["figures"])  # the last logged step may lie before an interruption
        self.move(checkpoint["global_step"])
        self.trainer.should_stop = checkpoint.get("stopped", False)

    def train_dataloader(self) -> Batches:
        return resumable(self.task, self._reached, self._before_batch)

    def _reached(self) -> tuple[int, int]:
        return self.trainer.current_epoch, self.trainer.fit_loop.epoch_loop.batch_progress.current.ready

    def _before_batch(self) -> None:
        self.write()  # all figures of a step are there, those of its validation too
        self.between_batches()

    @cached_property
    def _validation(self) -> Batches:
        return held(self.task.validation())

    def val_dataloader(self) -> Batches:
        return self._validation

    def test_dataloader(self) -> Batches:
        return held(self.task.test())


class _AfterStep(pl.Callback):
    """Runs before checkpoints are written; the module's own hook would run after them, and what it did would
    be lost."""

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        pl_module.after_batch(outputs, batch)
