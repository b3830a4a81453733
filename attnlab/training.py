"""The LightningModule: surrogate in training, figures under the evaluation rule, everything a function of
(seed, step)."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attnlab.accumulation import group, joined
from attnlab.base import PAD, Batch, Mechanism, Selector
from attnlab.evaluation import Tally, divided, free_running, rule_of, teacher_forced
from attnlab.finite import NonFiniteLoss, naming_nan
from attnlab.models.seq2seq import Output, Seq2Seq
from attnlab.optimizers import Configure
from attnlab.randomness import derive, drawing, generator_for
from attnlab.schedules import Scheduled, scheduled_in
from attnlab.tasks.references import NO_REFERENCES
from attnlab.tasks.task import Collected, Task

# examples of a training batch whose figures are taken; those of a whole one would cost a third of a step
PART = 16


class Training(pl.LightningModule):
    """Trains a model by its mechanism's surrogate: sum over valid target tokens / their number, in all
    batches of an optimizer step together.

    `figures` holds the latest value of every figure by its tag; `record` writes them to all loggers. Layers
    that draw from torch's global generator repeat: it is seeded for every batch and every evaluation.
    """

    def __init__(self, model: Seq2Seq, mechanism: Mechanism, task: Task, configure: Configure, seed: int):
        super().__init__()
        self.model = model
        self.mechanism = mechanism
        # registered, as the selector is in the model: their state is in checkpoints
        self.estimator = mechanism.estimator
        self.task = task
        self.references = task.references if isinstance(task, Collected) else {}
        self.configure = configure
        self.seed = seed
        self.figures: dict[str, float] = {}
        self.parts: list[tuple[Batch, dict[str, Any]]] = []
        """The batches of the optimizer step being prepared, each with what its `training_step` gave."""
        self.between_batches: Callable[[], object] = bool
        """Called before each batch of training, when everything that follows the one before it is over."""
        self.unwritten = False
        """Whether loggers were given figures since they last saved."""
        self.used: dict[str, float] = {}
        """Scheduled values, as the last logged step used them."""

    @property
    def rule(self) -> Selector:
        """What evaluation reads with; no part of the module, so that checkpoints do not depend on it."""
        return rule_of(self.mechanism)

    @cached_property
    def scheduled(self) -> dict[str, Scheduled]:
        """Every number that moves with the step, by its name: in the model, and in all of the mechanism."""
        return scheduled_in(nn.ModuleList([self.model, *self.mechanism[:3]]))

    def move(self, step: int) -> None:
        """Give each of them the value that holds after so many steps."""
        for number in self.scheduled.values():
            number.move(step)

    def record(self, figures: dict[str, float]) -> None:
        """Note figures and write them under the current step. Lightning's `self.log` would cost 0.45 ms a
        figure and step."""
        self.figures.update(figures)
        for logger in self.trainer.loggers:
            logger.log_metrics(figures, step=self.trainer.global_step)
        self.unwritten = True

    def logs_next_step(self) -> bool:
        """Whether the optimizer step being prepared is one of every `trainer.log_every_n_steps`."""
        return (self.trainer.global_step + 1) % self.trainer.log_every_n_steps == 0  # pyright: ignore

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        epoch = self.trainer.current_epoch * self.task.steps_per_epoch
        position = epoch + batch_idx
        torch.manual_seed(derive(self.seed, "layers", position))

        def run() -> Output:
            generator = generator_for(self.seed, "draws", position, device=self.device)
            return self.model(batch, drawing(generator), self.estimator.controls)

        with naming_nan(self.model, self.trainer.global_step + 1, run):
            output = run()
        losses = token_losses(output.logits, batch.target)
        returns, valid = losses.detach(), batch.target != PAD
        surrogate = self.estimator(losses, returns, output.selection, valid, output.state.detach())
        together, batches = self.trainer.accumulate_grad_batches, int(self.trainer.num_training_batches)
        tokens = sum(
            (valid if index == batch_idx else self.task.train(epoch + index).target != PAD).sum()
            for index in group(batch_idx, together, batches)
        )
        reported = surrogate.loss.sum() / tokens
        loss = reported + surrogate.auxiliary.sum() / tokens
        if not torch.isfinite(loss):
            raise NonFiniteLoss(f"the loss is {loss.item()} at step {self.trainer.global_step + 1}")
        # Lightning divides by `together`, as if all batches had the same number of tokens
        result = {"loss": loss * together, "returns": returns, "valid": valid}
        return result | {"step": self.trainer.global_step, "surrogate": reported.detach()}

    def configure_callbacks(self) -> list[pl.Callback]:
        return [_AfterStep()]

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        if self.logs_next_step():
            parts = self.scheduled
            values = {f"schedule/{name}": part.value.item() for name, part in parts.items()}
            self.used = {"schedule/lr": float(optimizer.param_groups[0]["lr"])} | values

    def after_batch(self, outputs: dict[str, Any], batch: Batch) -> None:
        """At the end of an optimizer step, let the estimator take in the returns; on logged steps, record
        figures."""
        self.parts.append((batch, outputs))
        if self.trainer.global_step == outputs["step"]:
            return
        self.estimator.update(*joined([(part["returns"], part["valid"]) for _, part in self.parts]))
        if self.logged(outputs["step"]):
            surrogate = sum(part["surrogate"].item() for _, part in self.parts)
            self.record({"train/surrogate": surrogate} | self._taken() | self.used)
        self.parts = []
        self.move(self.trainer.global_step)

    def logged(self, before: int) -> bool:
        """Whether the batch just trained ended an optimizer step that is logged; `before` counts the steps
        before it."""
        step = self.trainer.global_step
        return step > before and step % self.trainer.log_every_n_steps == 0  # pyright: ignore

    def _taken(self) -> dict[str, float]:
        """Teacher-forced figures of the step's first PART examples under the evaluation rule."""
        self.model.eval()
        tally, taken = Tally(), 0
        for batch, _ in self.parts:
            part = Batch(*(rows[: PART - taken] for rows in batch))
            taken += len(part.target)
            tally.add(teacher_forced(self.model, part, self.rule))
            if taken == PART:
                break
        self.model.train()
        figures = tally.figures("train")
        return {tag: figures[tag] for tag in ("train/nll", "train/token_accuracy")}

    def on_train_start(self) -> None:
        self.move(self.trainer.global_step)
        # for callbacks that look before the next validation; not by `log`, which would outlive that
        validated = {tag: value for tag, value in self.figures.items() if tag.startswith("val/")}
        self.trainer.callback_metrics.update({tag: torch.tensor(value) for tag, value in validated.items()})

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the model and the estimator's own parameters apart: a baseline's regression shortens no step
        of the model."""
        if gradient_clip_val:
            clip = (
                nn.utils.clip_grad_value_ if gradient_clip_algorithm == "value" else nn.utils.clip_grad_norm_
            )
            for part in filter(None, (list(self.model.parameters()), list(self.estimator.parameters()))):
                clip(part, gradient_clip_val)

    def on_validation_epoch_start(self) -> None:
        torch.manual_seed(derive(self.seed, "evaluation"))
        self.tally = Tally()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._examine(batch, "val")

    def _examine(self, batch: Batch, exam: str) -> None:
        references, limit = self.references.get(exam, NO_REFERENCES), 2 * self.task.longest_target
        for part in divided(self.model, batch, self.rule):
            self.tally.add(teacher_forced(self.model, part, self.rule))
            self.tally.add(free_running(self.model, part, self.rule, limit, references))

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
        self.figures = dict(checkpoint["figures"])  # the last logged step may lie before an interruption
        self.move(checkpoint["global_step"])
        self.trainer.should_stop = checkpoint.get("stopped", False)

    def train_dataloader(self) -> "Batches":
        def remaining() -> Iterator[Batch]:
            # read when the first batch is asked for: iterators are made before a checkpoint's progress is
            # restored
            progress = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
            first = self.trainer.current_epoch * self.task.steps_per_epoch
            for position in range(first + progress, first + self.task.steps_per_epoch):
                if self.unwritten:  # all figures of a step are there, those of its validation too
                    for logger in self.trainer.loggers:
                        logger.save()
                    self.unwritten = False
                self.between_batches()
                yield self.task.train(position)

        return Batches(remaining, self.task.steps_per_epoch)

    @cached_property
    def validation_batches(self) -> list[Batch]:
        """What every validation is taken on, made once."""
        return list(self.task.validation())

    def val_dataloader(self) -> "Batches":
        # a list would be many loaders
        return Batches(lambda: iter(self.validation_batches), len(self.validation_batches))

    def test_dataloader(self) -> "Batches":
        batches = list(self.task.test())
        return Batches(lambda: iter(batches), len(batches))


class _AfterStep(pl.Callback):
    """Runs before checkpoints are written; the module's own hook would run after them, and what it did would
    be lost."""

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        pl_module.after_batch(outputs, batch)


class Batches:
    """Something with a length to iterate over more than once; each time it starts where `start` says."""

    def __init__(self, start: Callable[[], Iterator[Batch]], length: int):
        self.start = start
        self.length = length

    def __iter__(self) -> Iterator[Batch]:
        return self.start()

    def __len__(self) -> int:
        return self.length


def token_losses(logits: Float[Tensor, "K B T V"], target: Int[Tensor, "B T"]) -> Float[Tensor, "K B T"]:
    """-log p(target symbol) in nats, for every alternative."""
    repeated = target.expand(logits.shape[:-1])
    losses = nn.functional.cross_entropy(logits.flatten(0, -2), repeated.flatten(), reduction="none")
    return losses.view(logits.shape[:-1])
