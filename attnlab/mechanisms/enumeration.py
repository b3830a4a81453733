"""Exact hard attention: every source position is tried, nothing is drawn. The upper bound that estimators are
held against."""

import math
from typing import Unpack

import torch

from attnlab.base import AttentionInput, Distribution, Mechanism, Randomness, Selection, Selector
from attnlab.distributions import Softmax
from attnlab.estimators import Marginal, Pathwise
from attnlab.rules import Beta, EvaluateAs
from attnlab.schedules import scheduled


class Enumeration(Selector):
    """K = S alternatives, one for each position: one-hot weights, mass p(s), log_prob log p(s).

    The weights are the same at all steps (size 1 there), so that only what lies behind the read is paid S
    times, unless the mask differs between steps. Where nothing may be attended, all of them read nothing and
    count the same.
    """

    def forward(
        self, inputs: AttentionInput, randomness: Randomness, controls: tuple[str, ...] = ()
    ) -> Selection:
        probs, log_probs = self.distribution(inputs)
        positions = probs.size(-1)
        each = torch.eye(positions, dtype=probs.dtype, device=probs.device)
        nothing = ~inputs.mask.any(-1)  # B #T
        mass = probs.movedim(-1, 0).masked_fill(nothing, 1 / positions)
        log_prob = log_probs.movedim(-1, 0).masked_fill(nothing, -math.log(positions))
        return Selection(each[:, None, None] * ~nothing[..., None], mass, log_prob, probs)


def expected(distribution: Distribution, evaluate_as: str) -> Mechanism:
    """The mechanism of the loss expected under a distribution, enumerated."""
    return Mechanism(distribution, Enumeration(distribution), Pathwise(), "expected", "value", evaluate_as)


def hard_exact(*, evaluate_as: EvaluateAs, **beta: Unpack[Beta]) -> Mechanism:
    """sum_s p(s) loss(s) with p = softmax(beta * scores): the expected loss, enumerated.

    Paper: Xu et al. 2015 (1502.03044).
    Bias: none for the expected loss.
    Cost: S evaluations of the loss.
    """
    return expected(Softmax(scheduled("beta", beta)), evaluate_as)


def hard_marginal(*, evaluate_as: EvaluateAs, **beta: Unpack[Beta]) -> Mechanism:
    """-log sum_s p(s) exp(-loss(s)) with p = softmax(beta * scores): the marginal likelihood of each step,
    enumerated.

    Paper: Deng et al. 2018 (1807.03756); Wu et al. 2018 (1808.10024).
    Bias: none for the marginal likelihood.
    Cost: S evaluations of the loss.
    """
    distribution = Softmax(scheduled("beta", beta))
    return Mechanism(distribution, Enumeration(distribution), Marginal(), "marginal", "value", evaluate_as)
