"""Sparse attention with an alpha of its own, anywhere between softmax and sparsemax. Correia et al. 2019
(1909.00015)."""

import math
from typing import Annotated, Unpack

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from attnlab.core.distributions import Sparse
from attnlab.core.interfaces import Mechanism
from attnlab.core.schedules import scheduled
from attnlab.facts import Facts
from attnlab.mechanisms.sharpened import LogLength
from attnlab.mechanisms.soft import averaged
from attnlab.settings import Beta

Alpha = Annotated[float, Field(gt=1, le=2)]
"""A real number above 1, which would be softmax, and at most 2, which is sparsemax."""
_HALVINGS = 50


def entmax(scores: Float[Tensor, "*shape S"], excess: Float[Tensor, ""]) -> Float[Tensor, "*shape S"]:
    """argmax_p p . s + H(p), H the Tsallis entropy of alpha = 1 + excess, excess above 0 and at most 1. Its
    gradient is exact in both.

    The solution is p_i = max(0, 1 + excess (s_i - u))^(1 / excess) with u such that p sums to 1, found by
    bisection between those of a single score and of n equal ones. Blondel et al. 2020 (1901.02324).
    """
    z = scores.to(torch.promote_types(scores.dtype, torch.float32))
    excess = excess.to(z.dtype)
    there = ~z.isneginf()
    z = z.masked_fill(~there, 0.0)
    top = z.detach().masked_fill(~there, -torch.inf).amax(-1, keepdim=True)
    z = z - top.masked_fill(top.isneginf(), 0.0)
    with torch.no_grad():
        low, high = torch.zeros_like(top), -torch.expm1(-excess * _number(there, z).log()) / excess
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            above = _shares(z, middle, excess, there).sum(-1, keepdim=True) >= 1
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        found = _shares(z, low, excess, there)
        slope = torch.where(found > 0, found ** (1 - excess), 0.0).sum(-1, keepdim=True)
    # a step of Newton's, through which u has the gradient of the root
    missing = _shares(z, low, excess, there).sum(-1, keepdim=True) - 1
    return _shares(z, low + missing / slope.masked_fill(slope == 0, 1.0), excess, there).to(scores.dtype)


def _shares(z: Tensor, u: Tensor, excess: Tensor, there: Tensor) -> Tensor:
    """max(0, 1 + excess (z - u))^(1 / excess), also where the excess is next to nothing."""
    base = excess * (z - u)
    inside = there & ~(base <= -1)  # nan is not covered up
    return torch.where(inside, (torch.log1p(torch.where(inside, base, 0.0)) / excess).exp(), 0.0)


def _number(there: Tensor, like: Tensor) -> Tensor:
    return there.sum(-1, keepdim=True).clamp_min(1).to(like.dtype)


class Entmax(nn.Module):
    """entmax of alpha, or of 1 + sigmoid(a) with a learned, from alpha on."""

    def __init__(self, alpha: float, learned: bool):
        super().__init__()
        self.learned = learned
        self.excess: Tensor
        if learned:
            self.logit = nn.Parameter(torch.tensor(math.log((alpha - 1) / (2 - alpha))))
        else:
            self.register_buffer("excess", torch.tensor(alpha - 1), persistent=False)

    def forward(self, scores: Float[Tensor, "*shape S"]) -> Float[Tensor, "*shape S"]:
        return entmax(scores, self.logit.sigmoid() if self.learned else self.excess)


@Facts(
    paper="Correia et al. 2019 (1909.00015); Vasylenko et al. 2025 (2506.16640)",
    objective="soft",
    unbiased=True,
    needs="mixture",
    evaluations=1,
)
def entmax_alpha(*, alpha: Alpha, learned: bool, log_length: bool, **beta: Unpack[Beta]) -> Mechanism:
    """weights = argmax_p p . (beta * scores) + H(p), H the Tsallis entropy of alpha, fixed or learned from
    there on; with log_length, of beta * log n * scores over n positions.

    A position that leads all others by a gap g takes all of the weight at any n once beta * g >= 1 / (alpha -
    1). Raises ValueError for a learned alpha that starts at 2, which it can only tend to.
    """
    if learned and alpha == 2:
        raise ValueError("a learned alpha lies between 1 and 2, and must start below 2, got alpha=2")
    distribution = Sparse(Entmax(alpha, learned), scheduled("beta", beta))
    return averaged(LogLength(distribution, learned=False) if log_length else distribution)
