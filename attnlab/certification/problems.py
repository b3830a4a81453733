"""Small random problems in double precision, on which the exact gradient is known."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from attnlab.randomness import generator_for

_Real = float | int
POSITIONS = (3, 4, 5)
"""Positions of three problems of one choice."""


class OneChoice(NamedTuple):
    """One of S positions is chosen, and what is read there is paid for: loss(w) = -log softmax(w . values)_0.

    The loss is no polynomial, so that no estimator is right by luck, and takes one-hot and mixed weights.
    """

    scores: Float[Tensor, "S"]
    values: Float[Tensor, "S E"]
    """What lies behind the choice: parameters of their own, which the loss trains."""
    reference: Float[Tensor, "S"]
    """Log-probabilities of a second distribution over the positions."""


def loss_of(weights: Float[Tensor, "*rows S"], values: Float[Tensor, "#*rows S E"]) -> Float[Tensor, "*rows"]:
    """-log softmax(weights . values)_0."""
    return -torch.einsum("...s,...se->...e", weights, values).log_softmax(-1)[..., 0]


class Answers(NamedTuple):
    """Groups of sampled answers: `size` answers to each of G questions, from a softmax over A possible ones.

    The gradient is that of the first question's scores; the others are its batch.
    """

    scores: Float[Tensor, "G A"]
    rewards: Float[Tensor, "G A"]
    lengths: Float[Tensor, "G A"]
    reference: Float[Tensor, "G A"]
    """Log-probabilities of the possible answers under a second policy."""
    size: int


def answers(
    scores: Sequence[_Real], rewards: Sequence[_Real], lengths: Sequence[_Real], size: int
) -> Answers:
    """One question with possible answers of given scores, rewards and lengths; the second policy is uniform.

    Raises ValueError where they are not of one length, or a group has no answers.
    """
    if not len(scores) == len(rewards) == len(lengths) or not scores or size < 1:
        raise ValueError(
            "answers are given by as many scores as rewards and lengths, and groups have at least one, got "
            f"{len(scores)}, {len(rewards)}, {len(lengths)} and size {size}"
        )
    x, r, n = (torch.tensor([list(row)], dtype=torch.float64) for row in (scores, rewards, lengths))
    return Answers(x, r, n, torch.zeros_like(x).log_softmax(-1), size)


def choice_problems(seed: int) -> list[OneChoice]:
    """Problems of one choice."""
    made = []
    for number, positions in enumerate(POSITIONS):
        generator = generator_for(seed, "certification", number)
        scores, other = torch.randn(2, positions, generator=generator, dtype=torch.float64)
        values = torch.randn(positions, 3, generator=generator, dtype=torch.float64) * 3
        made.append(OneChoice(scores, values, other.log_softmax(-1)))
    return made


def answer_problems(seed: int) -> list[Answers]:
    """Groups of four: one question; then a batch of two, with any rewards, and with rewards that are 0 or 1.

    The second question of a batch has one possible answer less.
    """
    made = []
    for number, (questions, possible) in enumerate([(1, 4), (2, 3), (2, 3)]):
        generator = generator_for(seed, "certification of answers", number)
        shape = (questions, possible)
        scores, rewards, other = torch.randn(3, *shape, generator=generator, dtype=torch.float64)
        scores[1:, -1] = -torch.inf
        lengths = torch.randint(1, 9, shape, generator=generator).double()
        if number == 2:
            rewards = (torch.arange(possible) != torch.arange(questions)[:, None]).double()
        made.append(Answers(scores, rewards, lengths, other.log_softmax(-1), 4))
    return made


class Rows(NamedTuple):
    """Problems of one choice that a mechanism meets at once: rows and steps of a batch, some masked, and
    steps of padding, which count nowhere."""

    scores: Float[Tensor, "B T S"]
    values: Float[Tensor, "B T S E"]
    valid: Tensor


def row_problem(seed: int, steps: int = 2, positions: int = 5) -> Rows:
    """Three rows of so many steps and one of padding more; the second row has one position less."""
    generator = generator_for(seed, "certification of mechanisms")
    scores = torch.randn(3, steps + 1, positions, generator=generator, dtype=torch.float64)
    scores[1, :, -1] = -torch.inf
    values = torch.randn(3, steps + 1, positions, 3, generator=generator, dtype=torch.float64) * 3
    valid = torch.arange(steps + 1).expand(3, -1) < steps
    return Rows(scores, values, valid)
