"""Differential attention: a second map, of another part of queries and keys, is subtracted from the first.
Ye et al. 2025 (2410.05258)."""

import math
from typing import Unpack

import torch
from torch import Tensor, nn

from attnlab.core.distributions import Softmax, categorical
from attnlab.core.interfaces import AttentionInput, Categorical, Distribution, Mechanism
from attnlab.core.schedules import Scheduled, scheduled
from attnlab.facts import Facts
from attnlab.mechanisms.soft import averaged
from attnlab.settings import Beta, Between


class Differential(Distribution):
    """w = p - c q, p and q the softmax of the first and the second map. The probabilities are the shares of
    what is positive in w."""

    maps = 2

    def __init__(self, beta: Scheduled, cancelled: float, learned: bool):
        super().__init__()
        self.each = Softmax(beta)
        logit = torch.tensor(math.log(cancelled / (1 - cancelled)))
        self.logit: Tensor
        if learned:
            self.logit = nn.Parameter(logit)
        else:
            self.register_buffer("logit", logit, persistent=False)

    def forward(self, inputs: AttentionInput) -> Categorical:
        return categorical(self.mixed(inputs)[1])

    def mixed(self, inputs: AttentionInput) -> tuple[Tensor, Tensor]:
        first, *others = (
            self.each(inputs._replace(scores=scores)).probs for scores in (inputs.scores, *inputs.beside)
        )
        weights = first - self.logit.sigmoid().to(first.dtype) * sum(others)
        positive = weights.clamp_min(0.0)
        return weights, positive / positive.sum(-1, keepdim=True).clamp_min(torch.finfo(first.dtype).tiny)


@Facts(paper="Ye et al. 2025 (2410.05258)", objective="soft", unbiased=True, needs="mixture", evaluations=1)
def differential(*, cancelled: Between, learned: bool, **beta: Unpack[Beta]) -> Mechanism:
    """weights = softmax(beta * scores) - c softmax(beta * other scores): the halves of query and key are
    scored apart, and what both maps attend to cancels. c starts at `cancelled`, and stays or is learned,
    between 0 and 1.

    Weights may be negative, and sum to 1 - c. The norm that the paper puts behind its heads belongs to the
    model, and is not here. Where scores are given in place of queries and keys, nothing is subtracted.
    """
    return averaged(Differential(scheduled("beta", beta), cancelled, learned))
