"""What is handed to an estimator: draws that can be forced, and the loss of what is drawn."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from attnlab.certification.outcomes import Choices
from attnlab.certification.problems import OneChoice, loss_of


class Draw:
    """`draw(probs)` is a position drawn from probabilities (S,), and `draw(probs, n)` are n of them, (n,).

    `draw.loss(position)` is the loss of reading that position, `draw.loss(weights)` that of a mixture; whole
    tensors of positions (n,) or weights (n, S) give n losses. What is drawn here is enumerated.
    """

    def __init__(self, choices: Choices, problem: OneChoice, values: Float[Tensor, "S E"]):
        self._choices, self._values = choices, values
        self._scores = problem.scores
        self._asked: list[tuple[object, int, Tensor]] = []  # kept alive: another would be taken for it
        self.evaluations = 0

    def __call__(self, probs: Tensor, times: int | None = None) -> Tensor:
        """Raises ValueError for what are no probabilities of one choice."""
        if not isinstance(probs, Tensor) or probs.ndim != 1 or not probs.is_floating_point():
            got = tuple(probs.shape) if isinstance(probs, Tensor) else type(probs).__name__
            raise ValueError(f"draw takes probabilities, a tensor (S,) of one choice, got {got}")
        shares = probs.detach().double()
        if not bool((shares >= 0).all()) or abs(float(shares.sum()) - 1) > 1e-5:
            raise ValueError(f"draw takes probabilities >= 0 that sum to 1, got {shares.tolist()}")
        shares = shares / shares.sum()
        if times is None:
            return torch.tensor(self._choices.choose(shares))
        return torch.tensor([self._choices.choose(shares) for _ in range(times)])

    def loss(self, choice: Tensor | int) -> Tensor:
        """The same of a tensor that was asked for before, and not paid for again. Raises ValueError for what
        is neither positions nor weights (..., S)."""
        version = choice._version if isinstance(choice, Tensor) else 0
        for asked, then, loss in self._asked:
            if asked is choice and then == version:
                return loss
        loss = self._loss(choice)
        self._asked.append((choice, version, loss))
        return loss

    def _loss(self, choice: Tensor | int) -> Tensor:
        positions = len(self._scores)
        choice = torch.tensor(choice) if isinstance(choice, int) else choice
        if not isinstance(choice, Tensor):
            raise ValueError(f"draw.loss takes positions or weights, tensors, got {type(choice).__name__}")
        if choice.is_floating_point():
            if not choice.ndim or choice.size(-1) != positions:
                raise ValueError(
                    f"draw.loss takes weights (..., {positions}) of positions, got {tuple(choice.shape)}"
                )
            weights = choice.to(self._values.dtype)
        elif choice.dtype == torch.bool or bool(((choice < 0) | (choice >= positions)).any()):
            raise ValueError(f"draw.loss takes positions from 0 to {positions - 1}, got {choice.tolist()}")
        else:
            weights = torch.nn.functional.one_hot(choice.long(), positions).to(self._values.dtype)
        self.evaluations += weights[..., 0].numel()
        return loss_of(weights, self._values)


class _Multinomial(NamedTuple):
    """`torch.multinomial` that takes its positions from choices."""

    choices: Choices

    def __call__(
        self, input: Tensor, num_samples: int, replacement: bool = False, *, generator: object = None
    ) -> Tensor:
        rows = input.detach().double().reshape(-1, input.size(-1)).clone()
        found = [self._row(shares, num_samples, replacement) for shares in rows]
        return torch.tensor(found).view(*input.shape[:-1], num_samples)

    def _row(self, shares: Tensor, times: int, replacement: bool) -> list[int]:
        positions: list[int] = []
        for _ in range(times):
            positions.append(self.choices.choose(shares / shares.sum()))
            if not replacement:
                shares[positions[-1]] = 0.0
        return positions


@contextlib.contextmanager
def forced_multinomial(choices: Choices) -> Iterator[None]:
    """Within it, torch draws categories from choices: `torch.multinomial`, and so `Categorical.sample`."""
    original = torch.multinomial
    torch.multinomial = _Multinomial(choices)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        torch.multinomial = original
