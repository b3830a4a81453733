"""Softmax that stays sharp over many positions: beta follows their number, or the entropy of the weights."""

import math
from typing import Unpack

import torch
from torch import Tensor, nn

from attnlab import functional
from attnlab.core.distributions import Softmax
from attnlab.core.interfaces import AttentionInput, Categorical, Distribution, Mechanism
from attnlab.core.schedules import scheduled
from attnlab.facts import Facts
from attnlab.mechanisms.soft import averaged
from attnlab.settings import Beta

COEFFICIENTS = (-0.037, 0.481, -2.3, 4.917, -1.791)
"""Of the polynomial of the entropy in nats, the highest power first."""
_SHARP = 0.5  # nats; weights of less entropy are sharp enough


class LogLength(Distribution):
    """A distribution of factor * log n * scores, n the positions that may be attended."""

    def __init__(self, scaled: Distribution, learned: bool):
        super().__init__()
        self.scaled = scaled
        one = torch.ones(())
        self.factor: Tensor
        if learned:
            self.factor = nn.Parameter(one)
        else:
            self.register_buffer("factor", one, persistent=False)

    def forward(self, inputs: AttentionInput) -> Categorical:
        scale = self.factor * inputs.number.log()
        return self.scaled(inputs._replace(scores=_scaled(inputs.scores, scale)))


class AdaptiveTemperature(Softmax):
    """p = softmax(b(H) * beta * scores), H the entropy of softmax(beta * scores) and b its polynomial, at
    least 1, and 1 where H is at most 0.5 nats."""

    def forward(self, inputs: AttentionInput) -> Categorical:
        spread = functional.entropy(super().forward(inputs).probs)[..., None]
        powers = [spread**power for power in range(len(COEFFICIENTS) - 1, -1, -1)]
        found = sum(number * power for number, power in zip(COEFFICIENTS, powers, strict=True))
        assert isinstance(found, Tensor)
        scale = torch.where(spread > _SHARP, found.clamp_min(1.0), 1.0)
        return super().forward(inputs._replace(scores=_scaled(inputs.scores, scale)))


def _scaled(scores: Tensor, scale: Tensor) -> Tensor:
    """scale * scores, where -inf stays whatever the scale."""
    absent = scores.isneginf()
    return (scale * scores.masked_fill(absent, 0.0)).masked_fill(absent, -math.inf)


@Facts(
    paper="Nakanishi 2025 (2501.19399); Chiang & Cholak 2022 (2202.12172)",
    objective="soft",
    unbiased=True,
    needs="mixture",
    evaluations=1,
)
def log_length(*, learned: bool, **beta: Unpack[Beta]) -> Mechanism:
    """weights = softmax(beta * s * log n * scores) over n positions, s learned from 1 or fixed there.

    A position that leads by a gap g keeps its share at any n as long as beta * s * g > 1: (n - 1) others at
    n^(-beta s g) each.
    """
    return averaged(LogLength(Softmax(scheduled("beta", beta)), learned))


@Facts(
    paper="Velickovic et al. 2024 (2410.01104)",
    objective="soft",
    unbiased=True,
    needs="mixture",
    evaluations=1,
)
def adaptive_temperature(**beta: Unpack[Beta]) -> Mechanism:
    """weights = softmax(b(H) * beta * scores), b a polynomial of degree 4 of the entropy H of softmax(beta *
    scores), fitted by the paper and at least 1: it sharpens between 0.85 and 5.94 nats, and no longer where
    more than some 380 positions share the weight evenly.
    """
    return averaged(AdaptiveTemperature(scheduled("beta", beta)))
