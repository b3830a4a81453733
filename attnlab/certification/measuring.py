"""The law of an estimate on one problem: its mean and spread, over every outcome or over many draws."""

import math
import random
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy
import torch
from jaxtyping import Float
from torch import Tensor

from attnlab.certification.outcomes import Drawn, First, NotEnumerable, enumerated
from attnlab.certification.subject import Estimate, Subject
from attnlab.randomness import derive

_Made = TypeVar("_Made")
_AGAIN = range(32)  # seeds of repetitions


class Measured(NamedTuple):
    """What all outcomes of one problem say, for each of R rows."""

    mean: Float[Tensor, "R S"]
    behind: Float[Tensor, "R ..."]
    squares: Float[Tensor, "R"]
    """The mean squared length of one estimate."""
    cost: float
    outcomes: int
    broken: int
    """Outcomes that may occur, and whose estimate is not finite."""


def measured(subject: Subject, problem: Any, most: int) -> Measured:
    """Over every outcome. Raises NotEnumerable for more than `most`, and for continuous noise."""
    found = _quietly(lambda: enumerated(lambda choices: subject.estimate(problem, choices), most))
    made, chances = zip(*found, strict=True)
    slopes, behind = (torch.stack([getattr(one, name) for one in made]) for name in ("slope", "behind"))
    rows = slopes.size(1)
    chance = torch.stack([chance.flatten().expand(rows) for chance in chances])  # O R
    finite = slopes.isfinite().all(-1)
    broken = int(((chance > 0) & ~finite).any(-1).sum())
    slopes = torch.where((chance > 0)[..., None], slopes, 0.0)
    shown = chance.view(*chance.shape, *(1 for _ in behind.shape[2:]))
    behind = torch.where(shown > 0, behind, 0.0)
    mean = _summed(chance[..., None] * slopes)
    squares = _summed(chance * slopes.square().sum(-1))
    costs = [one.cost for one in made]
    cost = costs[0] + float(chance[:, 0] @ chance.new_tensor([each - costs[0] for each in costs]))
    return Measured(mean, _summed(shown * behind), squares, cost, len(made), broken)


def _summed(terms: Tensor) -> Tensor:
    """The sum over the outcomes, the same in any order of them: correctly rounded."""
    flat = terms.reshape(len(terms), -1).T.tolist()
    if not terms.isfinite().all():
        return terms.sum(0)
    return terms.new_tensor([math.fsum(column) for column in flat]).view(terms.shape[1:])


def repeats(subject: Subject, problem: Any) -> bool:
    """Whether the same outcome gives the same estimate again, so often that it is no accident: nothing else
    is random, no state is kept.

    Raises NotEnumerable for continuous noise, and for what is drawn from a global generator.
    """
    made = [_quietly(lambda: _watched(lambda: subject.estimate(problem, First())), seed) for seed in _AGAIN]
    return all(_same(one.slope, made[0].slope) and _same(one.paid, made[0].paid) for one in made[1:])


def _watched(make: Callable[[], Estimate]) -> Estimate:
    """Raises NotEnumerable where torch's or NumPy's generator was moved. Python's is left out: whoever checks
    types moves it too."""
    before = _states()
    made = make()
    for name, then, now in zip(("torch", "NumPy"), before, _states(), strict=True):
        if then != now:
            raise NotEnumerable(f"it draws from {name}'s global generator by itself")
    return made


def _states() -> tuple[object, object]:
    numbers: Any = numpy.random.get_state(legacy=False)["state"]
    return torch.get_rng_state().numpy().tobytes(), (numbers["key"].tobytes(), numbers["pos"])


def _same(one: Tensor, other: Tensor) -> bool:
    return one.nan_to_num().equal(other.nan_to_num())


def drawn(
    subject: Subject, problem: Any, row: int, draws: int, seed: int
) -> tuple[Float[Tensor, "n S"], float]:
    """So many independent estimates of a row, by the global generators and one of our own, all seeded; and
    what one costs."""
    if subject.redrawn is not None:
        return subject.redrawn(row, draws, seed)
    choices = Drawn(torch.Generator().manual_seed(derive(seed, "certification")))

    def estimates() -> list[Estimate]:
        return [subject.estimate(problem, choices) for _ in range(draws)]

    made = _quietly(estimates, seed)
    return torch.cat([one.slope[row : row + 1] for one in made]), sum(one.cost for one in made) / draws


def _quietly(make: Callable[[], _Made], seed: int = 0) -> _Made:
    """What is made with the global generators of torch, NumPy and Python at a seed; set back afterwards."""
    numbers, python = numpy.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            numpy.random.seed(seed)
            random.seed(seed)
            return make()
    finally:
        numpy.random.set_state(numbers)
        random.setstate(python)
