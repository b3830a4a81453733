"""What a model answers in an exam: predictions, the right prefix given, and outputs of its own."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attnlab.core.choosing import before_each, in_turn
from attnlab.core.interfaces import Pass, Selector
from attnlab.models.decoding import greedy
from attnlab.models.model import Model, predict, taken_by, token_losses
from attnlab.randomness import Randomness
from attnlab.tasks.batch import EOS, PAD, Batch
from attnlab.tasks.references import NO_REFERENCES, Compared, References, compared


class Predictions(NamedTuple):
    """Of every target symbol, the right ones before it given (teacher-forced)."""

    batch: Batch
    log_probs: Float[Tensor, "B T V"]
    probs: Float[Tensor, "N B T S"]  # of each site and head between source and target
    valid: Bool[Tensor, "B T"]  # steps that are no padding


class Outputs(NamedTuple):
    """Greedy and free-running, without EOS."""

    batch: Batch
    guesses: list[list[int]]
    targets: list[list[int]]
    ended: list[bool]  # whether it ended by itself
    words: list[Compared]  # each with all targets of its source; [] where every source has one


def read(model: Model, batch: Batch, rule: Selector) -> Pass:
    """What a model reads by an evaluation rule, the right prefix given."""
    taken = taken_by(model, batch, rule, Randomness(torch.Generator(batch.source.device)))
    if rule.distribution.apart:
        return taken
    return in_turn(rule, taken, before_each(token_losses(taken.readout, batch.target)))


def predictions(model: Model, batch: Batch, rule: Selector) -> Predictions:
    """What a model predicts of a batch, read by a rule."""
    taken = read(model, batch, rule)
    log_probs = predict(taken.readout, taken.mass)
    return Predictions(batch, log_probs, alignment(model, batch, taken), batch.target != PAD)


def alignment(model: Model, batch: Batch, taken: Pass) -> Float[Tensor, "N B T S"]:
    """The distributions over the source that a pass chose from, one for each site and head between source and
    target; none where no such site chooses."""
    found = [taken.sites[name].selection.probs[0] for name, place in model.sites.items() if place.aligned]
    if not found:
        return taken.logits.new_zeros(0, *batch.target.shape, batch.source.size(1))
    return torch.cat([probs.movedim(0, -3).reshape(-1, len(probs), *probs.shape[-2:]) for probs in found])


def outputs(
    model: Model, batch: Batch, rule: Selector, limit: int, references: References = NO_REFERENCES
) -> Outputs:
    """What a model says to the sources of a batch, within `limit` symbols."""
    rows = greedy(model, batch, rule, limit).tolist()
    guesses = [_symbols(row) for row in rows]
    words: list[Compared] = []
    if references:
        sides = ([[s for s in row if s != PAD] for row in side.tolist()] for side in batch[:2])
        words = list(compared(references, zip(*sides, guesses, strict=True)))
    targets = [_symbols(row) for row in batch.target.tolist()]
    return Outputs(batch, guesses, targets, [EOS in row for row in rows], words)


def _symbols(row: list[int]) -> list[int]:
    """The symbols before EOS, or all of them where decoding never ended."""
    return row[: row.index(EOS)] if EOS in row else row
