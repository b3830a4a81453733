"""A finished run on sequences of other lengths, and at which its attention is predicted to break."""

import functools
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attnlab.building import Built, make_task
from attnlab.config.checking import ConfigurationError
from attnlab.core.interfaces import AttentionInput, Distribution, Selector
from attnlab.metric import SHARE, Metric
from attnlab.models.model import Model
from attnlab.runs.law import PREDICTED, AtLength, keep
from attnlab.settings import LONGEST
from attnlab.tasks.batch import PAD
from attnlab.tasks.task import Task
from attnlab.training.answers import Predictions, predictions
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
    leads, known = _leads(seen)
    return torch.where(known, leads, 0.0), known


def _leads(seen: Predictions) -> tuple[Float[Tensor, "N B T"], Bool[Tensor, "N B T"]]:
    """The lead of every step, and whether it has one."""
    gold = seen.batch.gold.expand_as(seen.probs)
    there = (seen.batch.source != PAD)[:, None].expand_as(seen.probs)
    others = there.sum(-1) - 1
    known = (gold.sum(-1) == 1) & seen.valid & (others > 0)
    right = (seen.probs.double() * gold).sum(-1)
    mean = (1 - right).clamp_min(_LEAST) / others.clamp_min(1)
    return right.clamp_min(_LEAST).log() - mean.log(), known


_LEAST = 1e-12
_LOG = logging.getLogger("attnlab")
EXAMPLES = 1000
"""Of each length."""


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
            "sequences of other lengths cannot be made: this task has no task.shortest and task.longest"
        )
    at = {"shortest": length, "longest": length, "test_examples": examples}
    return {**tree, "task": {**settings, **at}}


def at_lengths(
    built: Built, lengths: Sequence[int], told: Callable[[str], None], examples: int = EXAMPLES
) -> Iterator[AtLength]:
    """Figures at each length and at the longest of training, as they are measured, by the parameters that
    the model has.

    Raises ConfigurationError for lengths that its task or its model does not have.
    """
    model, device = built.model, next(built.model.parameters()).device
    model.eval()
    trained, rule = built.config["task"]["longest"], built.training.rule
    known = _task(built, trained, examples)
    at = {trained: examined(model, known, rule, device)}
    law = _law(built, _spread(model, known, rule, device), trained)
    for length in sorted({*lengths, trained}):
        told(f"{examples:,} sequences of {length} symbols")
        figures = at.get(length) or examined(model, _task(built, length, examples), rule, device)
        yield AtLength(length, figures | law(length))


@torch.no_grad()
def _spread(model: Model, task: Task, rule: Selector, device: Any) -> Float[Tensor, " N"] | None:
    """The leads of the test of a task, as quantiles; None where no step has one right position."""
    found = []
    for whole in task.test():
        for part in divided(model, whole.to(device), rule):
            leads, known = _leads(predictions(model, part, rule))
            found.append(leads[known])
    leads = torch.cat(found)
    shares = (torch.arange(_QUANTILES, dtype=leads.dtype, device=leads.device) + 0.5) / _QUANTILES
    return leads.quantile(shares) if len(leads) else None


def _law(built: Built, leads: Float[Tensor, " N"] | None, trained: int) -> Callable[[int], dict[str, float]]:
    """What is predicted of a length, by PREDICTED."""
    if leads is None:
        return lambda length: {}
    share = own_law(built.mechanism.distribution, leads, trained)
    end = break_of(share)
    return lambda length: dict(zip(PREDICTED, (share(length), end), strict=True))


def own_law(distribution: Distribution, leads: Float[Tensor, " N"], trained: int) -> Callable[[int], float]:
    """The weight of a position among n that leads by a gap g, all others alike, under a distribution, as a
    function of n: the mean over gaps, each that at which it leads by so many nats at the length of training.

    The mean over places too, since a distribution may depend on where it stands. With softmax of any beta it
    is the mean of `law.predicted_share`.
    """

    def at(gaps: Float[Tensor, " N"], length: int) -> Float[Tensor, "N P"]:
        places = torch.linspace(0, length - 1, min(length, _PLACES)).round().long().to(gaps.device)
        scores = gaps.new_zeros(1, len(gaps), len(places), length, dtype=torch.float32)
        scores[0, :, torch.arange(len(places)), places] = gaps[:, None].float()
        mask = torch.ones_like(scores, dtype=torch.bool)
        probs = distribution(AttentionInput(scores, mask, ~mask, places)).probs[0]
        return probs[:, torch.arange(len(places)), places].double()

    def led(gaps: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        right = at(gaps, trained)
        others = ((1 - right) / max(trained - 1, 1)).clamp_min(_LEAST)
        return (right.clamp_min(_LEAST).log() - others.log()).mean(-1)

    low, high = torch.full_like(leads, -_HIGHEST), torch.full_like(leads, _HIGHEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = led(middle) < leads
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return functools.cache(lambda length: at(high, length).mean().item())


_QUANTILES, _PLACES, _HIGHEST, _HALVINGS = 32, 8, 1e4, 45


def break_of(share: Callable[[int], float]) -> float:
    """The least number of positions at which a share is below a half; infinite where it is not up to
    LONGEST."""
    if share(1) < 0.5:
        return 1.0
    if share(LONGEST) >= 0.5:
        return math.inf
    low, high = 1, LONGEST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if share(middle) >= 0.5 else (low, middle)
    return float(high)


def refuse_lengths(built: Built, lengths: Sequence[int]) -> None:
    """Raises ConfigurationError for lengths that a task or a model does not have."""
    for length in lengths:
        _task(built, length, 1)


def _task(built: Built, length: int, examples: int) -> Task:
    task, known = make_task(of_length(built.config, length, examples)), built.model.longest
    if known is not None and 2 * task.longest_target > known:
        raise ConfigurationError(
            f"length {length}: decoding may take {2 * task.longest_target} steps, and the model knows "
            f"{known} positions (model.longest); model.positions=rotary has no limit"
        )
    return task


def record_lengths(
    built: Built, lengths: Sequence[int], folder: Path, log: Callable[[dict[str, float], int], Any]
) -> None:
    """Measure a run at other lengths, write what was found into its folder, and log length/* with the length
    for a step."""
    found = list(at_lengths(built, lengths, _LOG.info))
    keep(found, folder)
    for one in found:
        log({f"length/{name}": value for name, value in one.figures.items()}, one.length)
