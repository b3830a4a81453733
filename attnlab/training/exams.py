"""Exams: figures of batches under the evaluation rule, sums over examples and steps, never over batches.

A figure is kept as numerator and denominator, so that no batch size, padding or last short batch changes it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

from attnlab.core.interfaces import Selector
from attnlab.core.selectors import Enumeration
from attnlab.models.model import Model
from attnlab.tasks.batch import Batch
from attnlab.tasks.references import NO_REFERENCES, References
from attnlab.training.answers import Outputs, Predictions, outputs, predictions
from attnlab.training.metrics import Measure, Ratio, kind_of, metrics_of

OURS = metrics_of(())
"""The metrics of every exam."""


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


NUMBERS = 2**26
"""How many an evaluation may hold in one tensor: 256 MiB of float32."""


def divided(model: Model, batch: Batch, rule: Selector, beams: int = 1) -> Iterator[Batch]:
    """The batch in as many parts as memory asks for; figures are sums over examples, whatever their part.

    An example is counted as K ((S + T) W + S T) + K (S + W) numbers: K alternatives, which are S where every
    position is enumerated and else 1, each as often as there are beams, and W the rows of the largest weight,
    those of the vocabulary included; weights of attention are S T, and what an alternative reads S + W. Where
    a model reads alternatives in parts, the first K is 1.
    """
    alternatives = beams * (batch.source.size(1) if isinstance(rule, Enumeration) else 1)
    widest = max(len(parameter) for parameter in model.parameters() if parameter.ndim)
    positions, steps = batch.source.size(1), batch.target.size(1)
    whole = beams if model.in_parts else alternatives
    each = whole * ((positions + steps) * widest + positions * steps) + alternatives * (positions + widest)
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
def teacher_forced(
    model: Model, batch: Batch, rule: Selector, metrics: Sequence[Measure] = OURS
) -> dict[str, tuple[float, float]]:
    """Numerator and denominator of every metric of predictions, the right prefix given."""
    return _measured(Predictions, metrics, predictions(model, batch, rule))


@torch.no_grad()
def free_running(
    model: Model,
    batch: Batch,
    rule: Selector,
    limit: int,
    references: References = NO_REFERENCES,
    metrics: Sequence[Measure] = OURS,
) -> dict[str, tuple[float, float]]:
    """Numerator and denominator of every metric of outputs, which are decoded greedily within `limit`
    symbols."""
    return _measured(Outputs, metrics, outputs(model, batch, rule, limit, references))


def _measured(kind: type, metrics: Sequence[Measure], answers: Any) -> dict[str, tuple[float, float]]:
    found = {measure.__name__: _ratio(measure, answers) for measure in metrics if kind_of(measure) is kind}
    numbers = [
        torch.as_tensor(number, dtype=torch.float64).sum() for pair in found.values() for number in pair
    ]
    totals = torch.stack([number.to(answers.batch.source.device) for number in numbers]).tolist()
    return {name: (totals[2 * i], totals[2 * i + 1]) for i, name in enumerate(found)}


def _ratio(measure: Measure, answers: Any) -> Ratio:
    pair: Any = measure(answers)
    if not isinstance(pair, tuple) or len(pair) != 2:
        told = f"must give a numerator and a denominator, got {pair!r:.60}"
        raise ValueError(f"metrics: {measure.__name__} {told}")
    return pair


_UNTRAINED = 1.1
"""An untrained model costs so many times what a uniform guess does, and no more."""


def divergence(nll: Mapping[str, float], symbols: int) -> str | None:
    """What to say of some nll (nats a token), each under a name that says whose it is, where one of them is
    far worse than that of a uniform guess among the symbols of the target, ln(symbols)."""
    guess = math.log(symbols)
    worse = [f"{value:.4g} {whose}" for whose, value in nll.items() if not value <= _UNTRAINED * guess]
    if not worse:
        return None
    return (
        f"diverged: the nll is {' and '.join(worse)}, where a uniform guess among {symbols} symbols has "
        f"{guess:.4g}"
    )
