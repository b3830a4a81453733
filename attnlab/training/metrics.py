"""How a trained mechanism is read at evaluation, and the figures taken: sums over examples and steps, never
over batches.

A figure is kept as numerator and denominator, so that no batch size, padding or last short batch changes it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import torch
from jaxtyping import Float
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from attnlab import functional
from attnlab.core.distributions import most_probable
from attnlab.core.interfaces import Pass, Selector
from attnlab.core.selectors import Enumeration
from attnlab.models.decoding import greedy
from attnlab.models.model import Model, predict, taken_by
from attnlab.randomness import Randomness
from attnlab.tasks.batch import EOS, PAD, Batch
from attnlab.tasks.references import NO_REFERENCES, References, word_figures


class Tally:
    """Sums of numerators and denominators by figure; a figure without a denominator is absent."""

    def __init__(self) -> None:
        self.above: Counter[str] = Counter()
        self.below: Counter[str] = Counter()

    def add(self, parts: Mapping[str, tuple[float, float]]) -> None:
        """Add what one batch contributes."""
        for name, (above, below) in parts.items():
            self.above[name] += above  # pyright: ignore[reportArgumentType]
            self.below[name] += below  # pyright: ignore[reportArgumentType]

    def figures(self, prefix: str) -> dict[str, float]:
        """Every figure so far, under `prefix/name`."""
        return {f"{prefix}/{name}": self.above[name] / below for name, below in self.below.items() if below}


NUMBERS = 2**28
"""How many an evaluation may hold in one tensor: 1 GiB of float32."""


def divided(model: Model, batch: Batch, rule: Selector) -> Iterator[Batch]:
    """The batch in as many parts as memory asks for; figures are sums over examples, whatever their part.

    An example is counted as K (S + T) W numbers: K alternatives, which are S where every position is
    enumerated and else 1, and W the rows of the largest weight, those of the vocabulary included.
    """
    alternatives = batch.source.size(1) if isinstance(rule, Enumeration) else 1
    widest = max(parameter.size(0) for parameter in model.parameters())
    each = alternatives * (batch.source.size(1) + batch.target.size(1)) * widest
    size = max(1, NUMBERS // each)
    for start in range(0, len(batch.source), size):
        yield Batch(*(tensor[start : start + size] for tensor in batch))


def first_examples(batches: Iterable[Batch], number: int) -> Iterator[Batch]:
    """The first so many examples of some batches, in as few parts."""
    for batch in batches:
        part = Batch(*(rows[:number] for rows in batch))
        yield part
        number -= len(part.target)
        if not number:
            return


@torch.no_grad()
def teacher_forced(model: Model, batch: Batch, rule: Selector) -> dict[str, tuple[float, float]]:
    """nll (nats) and token_accuracy a valid token; attention_entropy (nats) a valid step; alignment a step
    with gold."""
    taken = taken_by(model, batch, rule, Randomness(torch.Generator(batch.source.device)))
    log_probs, probs = predict(taken.logits, taken.mass), alignment(model, taken)
    valid = batch.target != PAD
    right = (log_probs.argmax(-1) == batch.target) & valid
    nll = -log_probs.gather(-1, batch.target[..., None]).squeeze(-1).double()
    gold = batch.gold.expand_as(probs)
    known, everywhere = gold.any(-1) & valid, valid.expand(probs.shape[:-1])
    sums = {
        "nll": (torch.where(valid, nll, 0.0), valid),
        "token_accuracy": (right, valid),
        "attention_entropy": (torch.where(valid, functional.entropy(probs.double()), 0.0), everywhere),
        "alignment_accuracy": (torch.where(known, (most_probable(probs) * gold).sum(-1), 0.0), known),
        "alignment_mass": (torch.where(known, (probs.double() * gold).sum(-1), 0.0), known),
    }
    totals = torch.stack([tensor.double().sum() for pair in sums.values() for tensor in pair]).tolist()
    return {name: (totals[2 * i], totals[2 * i + 1]) for i, name in enumerate(sums)}


def alignment(model: Model, taken: Pass) -> Float[Tensor, "N B T S"]:
    """The distributions over the source that a pass chose from, one for each site and head between source and
    target."""
    found = [taken.sites[name].selection.probs[0] for name, place in model.sites.items() if place.aligned]
    return torch.cat([probs.movedim(0, -3).reshape(-1, len(probs), *probs.shape[-2:]) for probs in found])


@torch.no_grad()
def free_running(
    model: Model, batch: Batch, rule: Selector, limit: int, references: References = NO_REFERENCES
) -> dict[str, tuple[float, float]]:
    """sequence_accuracy: share decoded exactly, greedily; error_rate: sum of edit distances over sum of
    reference lengths; unfinished: share of outputs that did not end within `limit` symbols. Where the right
    targets of each source are known, those of `word_figures` as well."""
    outputs = greedy(model, batch, rule, limit).tolist()
    guesses = [_symbols(row) for row in outputs]
    pairs = list(zip(guesses, map(_symbols, batch.target.tolist()), strict=True))
    by_source: dict[str, tuple[float, float]] = {}
    if references:
        sides = ([[s for s in row if s != PAD] for row in side.tolist()] for side in batch[:2])
        by_source = word_figures(references, zip(*sides, guesses, strict=True))
    return by_source | {
        "unfinished": (float(sum(EOS not in row for row in outputs)), float(len(outputs))),
        "sequence_accuracy": (
            float(sum(guess == reference for guess, reference in pairs)),
            float(len(pairs)),
        ),
        "error_rate": (
            float(sum(Levenshtein.distance(*pair) for pair in pairs)),
            float(sum(len(reference) for _, reference in pairs)),
        ),
    }


UNTRAINED = 1.1
"""An untrained model costs so many times what a uniform guess does, and no more."""


def divergence(nll: Mapping[str, float], symbols: int) -> str | None:
    """What to say of some nll (nats a token), each under a name that says whose it is, where one of them is
    far worse than that of a uniform guess among the symbols of the target, ln(symbols)."""
    guess = math.log(symbols)
    worse = [f"{value:.4g} {whose}" for whose, value in nll.items() if not value <= UNTRAINED * guess]
    if not worse:
        return None
    return (
        f"diverged: the nll is {' and '.join(worse)}, where a uniform guess among {symbols} symbols has "
        f"{guess:.4g}"
    )


def _symbols(row: list[int]) -> list[int]:
    """The symbols before EOS, or all of them where decoding never ended."""
    return row[: row.index(EOS)] if EOS in row else row
