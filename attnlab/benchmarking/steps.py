"""Training steps without a Trainer: what a plain loop over the same module and the same batches does."""

from collections.abc import Callable

from torch.optim import Optimizer

from attnlab.building import Built, make_task
from attnlab.models.model import taken_by, token_losses
from attnlab.randomness import Randomness, generator_for
from attnlab.tasks.batch import PAD, Batch
from attnlab.tasks.task import Task
from attnlab.training.optimizers import clip

Step = Callable[[int], object]
"""Trains on the batch of a position."""


def own_task(built: Built) -> Task:
    """A task of the same batches, which keeps a plan of its own."""
    return make_task(built.config)


def plain_loop(built: Built) -> Step:
    """The steps that a Trainer would take, bit for bit: surrogate, backward, clipping, optimizer, schedule.

    It logs nothing, watches nothing, keeps nothing and looks for no number that is not finite.
    """
    task, limit = own_task(built), built.config["trainer"]["gradient_clip_val"]
    steps = float(built.config["trainer"]["max_steps"])
    made = built.training.configure(built.training.parameters(), steps, task.steps_per_epoch)
    optimizer: Optimizer = made["optimizer"]
    scheduled = made.get("lr_scheduler", {})
    schedule = scheduled["scheduler"] if scheduled.get("interval") == "step" else None

    def step(position: int) -> None:
        backward(built, task.train(position), position, optimizer)
        for part in (built.model, built.mechanism.estimator):
            clip(part.parameters(), limit, "norm")
        optimizer.step()
        if schedule is not None:
            schedule.step()

    return step


def backward(built: Built, batch: Batch, position: int, optimizer: Optimizer | None = None) -> None:
    """Forward and backward of a batch; the gradients before it are dropped by the optimizer, if there is
    one."""
    randomness = Randomness(generator_for(built.config["seed"], "draws", position))
    taken = taken_by(built.model, batch, built.mechanism.selector, randomness)
    losses, valid = token_losses(taken.readout, batch.target), batch.target != PAD
    surrogate = built.mechanism.estimator(losses, taken, valid)
    loss = surrogate.loss.sum() / valid.sum() + surrogate.auxiliary.sum() / valid.sum()
    if optimizer is not None:
        optimizer.zero_grad()
    loss.backward()
    built.mechanism.estimator.update(losses.detach(), valid)


def block(step: Step, size: int) -> Callable[[], None]:
    """`size` further steps at every call."""
    position = 0

    def steps() -> None:
        nonlocal position
        for _ in range(size):
            step(position)
            position += 1

    return steps
