"""A finished run on sequences of other lengths, and at which its attention is predicted to break."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from attnlab.building import Built, make_task
from attnlab.config.checking import ConfigurationError
from attnlab.core.interfaces import Selector
from attnlab.metric import SHARE, Metric
from attnlab.models.model import Model
from attnlab.tasks.batch import PAD
from attnlab.tasks.task import Task
from attnlab.training.answers import Predictions
from attnlab.training.exams import OURS, Tally, divided, free_running, teacher_forced
from attnlab.training.metrics import Measure, Ratio


@Metric(better="", unit="share, 0 to 1", bounds=SHARE)
def largest_weight(seen: Predictions) -> Ratio:
    """The largest weight, a valid step."""
    everywhere = seen.valid.expand(seen.probs.shape[:-1])
    return torch.where(seen.valid, seen.probs.double().amax(-1), 0.0), everywhere


@Metric(better="higher", unit="nats")
def lead(seen: Predictions) -> Ratio:
    """log p(right position) - log of the mean p of the others, a step with one right position of several: by
    how much, in nats, it leads what softmax adds up beside it."""
    gold = seen.batch.gold.expand_as(seen.probs)
    there = (seen.batch.source != PAD)[:, None].expand_as(seen.probs)
    others = there.sum(-1) - 1
    known = (gold.sum(-1) == 1) & seen.valid & (others > 0)
    right = (seen.probs.double() * gold).sum(-1)
    mean = (1 - right).clamp_min(_LEAST) / others.clamp_min(1)
    return torch.where(known, right.clamp_min(_LEAST).log() - mean.log(), 0.0), known


_LEAST = 1e-12


class AtLength(NamedTuple):
    """What a run does at a length: figures by name."""

    length: int
    figures: Mapping[str, float]


MEASURES: tuple[Measure, ...] = (*OURS, largest_weight, lead)


@torch.no_grad()
def examined(model: Model, task: Task, rule: Selector, device: Any) -> dict[str, float]:
    """Figures of the test of a task, by name, under a rule."""
    tally, limit = Tally(), 2 * task.longest_target
    for whole in task.test():
        batch = whole.to(device)
        for part in divided(model, batch, rule):
            tally.add(teacher_forced(model, part, rule, MEASURES))
            tally.add(free_running(model, part, rule, limit))
    return {name.removeprefix("test/"): value for name, value in tally.figures("test").items()}


def of_length(tree: Mapping[str, Any], length: int, examples: int) -> dict[str, Any]:
    """A configuration whose task makes sequences of one length. Raises ConfigurationError for a task that has
    no length to set."""
    settings = tree["task"]
    if not {"shortest", "longest", "test_examples"} <= set(settings):
        raise ConfigurationError(
            "--lengths makes sequences of other lengths, and this task has no task.shortest and task.longest"
        )
    at = {"shortest": length, "longest": length, "test_examples": examples}
    return {**tree, "task": {**settings, **at}}


def at_lengths(
    built: Built, lengths: Sequence[int], examples: int, told: Callable[[str], None]
) -> Iterator[AtLength]:
    """Figures at each length, as they are measured; the model is in evaluation mode, with its parameters.

    Raises ConfigurationError for lengths that its task or its model does not have.
    """
    model, device = built.model, next(built.model.parameters()).device
    model.eval()
    for length in lengths:
        task = make_task(of_length(built.config, length, examples))
        if model.longest is not None and 2 * task.longest_target > model.longest:
            raise ConfigurationError(
                f"length {length}: decoding may take {2 * task.longest_target} steps, and the model knows "
                f"{model.longest} positions (model.longest); model.positions=rotary has no limit"
            )
        told(f"{examples:,} sequences of {length} symbols")
        yield AtLength(length, examined(model, task, built.training.rule, device))


def predicted_break(at_training_length: Mapping[str, float]) -> float:
    """The number of positions at which the right one is predicted to lose half of the weight: 1 + exp(lead).

    With one right position of n and a lead of L nats over the mean of the others, its share under softmax is
    e^L / (e^L + n - 1), as long as more positions have scores like those before. Infinite where no step has
    one right position.
    """
    return 1 + math.exp(min(at_training_length["lead"], 700.0)) if "lead" in at_training_length else math.inf


def predicted_share(lead_: float, length: int) -> float:
    """The weight of the right position at a number of positions, by the same law."""
    return 1 / (1 + (length - 1) * math.exp(-min(lead_, 700.0)))


def measured_break(found: Sequence[AtLength], figure: str = "alignment_mass") -> float | None:
    """The length at which a figure falls below a half, between two lengths by a line over log n; None where
    it does not."""
    for before, after in zip(found, found[1:], strict=False):
        high, low = (one.figures.get(figure, math.nan) for one in (before, after))
        if high >= 0.5 > low:
            share = (high - 0.5) / (high - low)
            return math.exp(math.log(before.length) + share * math.log(after.length / before.length))
    return None
