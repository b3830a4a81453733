"""Every outcome of an estimator's draws in turn: what is drawn through one object is forced, and weighed."""

from collections.abc import Callable
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attnlab.randomness import Randomness

_Made = TypeVar("_Made")


class NotEnumerable(Exception):
    """There are too many outcomes, or one does not lie in what is drawn."""


class Choices:
    """Where positions come from. Rows of probabilities are asked together and get one answer."""

    def choose(self, probs: Float[Tensor, "*rows S"]) -> int:
        """A position, the same for all rows."""
        raise NotImplementedError


class Drawn(Choices):
    """Positions drawn by a generator: those of one row alone."""

    def __init__(self, generator: torch.Generator):
        self.generator = generator

    def choose(self, probs: Float[Tensor, "*rows S"]) -> int:
        there = probs.detach().nonzero()[:, 0]
        at = torch.rand((), generator=self.generator, dtype=torch.float64) * probs.sum()
        behind = int((probs.cumsum(-1)[there] <= at).sum())
        return int(there[min(behind, len(there) - 1)])


class First(Choices):
    """The position that is most probable in a row, always."""

    def choose(self, probs: Float[Tensor, "*rows S"]) -> int:
        return int(probs.reshape(-1, probs.size(-1)).amax(0).argmax())


class _Forced(Choices):
    """The positions of a path; behind its end the first that can occur, while what else could is kept."""

    def __init__(self, path: tuple[int, ...]):
        self.path = path
        self.taken: list[int] = []
        self.others: list[tuple[int, ...]] = []
        self.chance: Tensor = torch.ones((), dtype=torch.float64)

    def choose(self, probs: Float[Tensor, "*rows S"]) -> int:
        shares = probs.detach()
        if len(self.taken) < len(self.path):
            position = self.path[len(self.taken)]
        else:
            position, *rest = (shares.reshape(-1, shares.size(-1)) > 0).any(0).nonzero().flatten().tolist()
            self.others += [(*self.taken, other) for other in rest]
        self.chance = self.chance * shares[..., position]
        self.taken.append(position)
        return position


def enumerated(make: Callable[[Choices], _Made], most: int) -> list[tuple[_Made, Tensor]]:
    """What is made of every outcome, with its probability: sum of chances 1.

    Raises NotEnumerable for more than `most` outcomes.
    """
    waiting: list[tuple[int, ...]] = [()]
    found = []
    while waiting:
        forced = _Forced(waiting.pop())
        made = make(forced)
        found.append((made, forced.chance))
        waiting += forced.others
        if len(found) + len(waiting) > most:
            raise NotEnumerable(f"there are more than {most:,} outcomes")
    return found


class ForcedRandomness(Randomness):
    """What a mechanism draws, taken from choices: each alternative by itself, all rows and steps alike, or
    the first `steps` each by itself, and what is padding as the first. Noise cannot be: raises
    NotEnumerable."""

    def __init__(self, choices: Choices, steps: int = 0):
        super().__init__(None)
        self.choices = choices
        self.steps = steps

    def noise(self, like: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        raise NotEnumerable("its noise is continuous")

    def position(self, log_probs: Float[Tensor, "*shape S"]) -> Int[Tensor, "*shape"]:
        return torch.stack([self._drawn(_probs(each)) for each in log_probs])

    def _drawn(self, probs: Float[Tensor, "*rows T S"]) -> Int[Tensor, "*rows T"]:
        drawn = torch.empty(probs.shape[:-1], dtype=torch.int64)
        if not self.steps:
            return drawn.fill_(self.choices.choose(probs))
        for step in range(self.steps):
            drawn[..., step] = self.choices.choose(probs[..., step : step + 1, :].expand_as(probs))
        drawn[..., self.steps :] = drawn[..., :1]
        return drawn

    def positions(self, log_probs: Float[Tensor, "*shape S"], size: int) -> Bool[Tensor, "*shape S"]:
        """One after the other, each from what is left."""
        found = torch.zeros_like(log_probs, dtype=torch.bool)
        for chosen, each in zip(found, log_probs, strict=True):
            for _ in range(size):
                left = torch.where(chosen, 0.0, _probs(each))
                total = left.sum(-1, keepdim=True)
                # a row with nothing left takes whatever comes
                rest = torch.where(total > 0, left / total.clamp_min(1e-300), (~chosen).double())
                chosen[..., self.choices.choose(rest / rest.sum(-1, keepdim=True))] = True
        return found


def _probs(log_probs: Tensor) -> Tensor:
    return log_probs.softmax(-1)
