"""Exact hard attention: every source position is tried, nothing is drawn. The upper bound that estimators are held against."""

import torch

from attnlab.base import AttentionInput, Distribution, Mechanism, Randomness, Selection, Selector
from attnlab.distributions import Softmax
from attnlab.estimators import Marginal, Pathwise
from attnlab.rules import EvaluateAs, Positive


class Enumeration(Selector):
    """K = S alternatives, one for each position: one-hot weights, mass p(s), log_prob log p(s).

    The weights are the same at all steps (size 1 there), so that only what lies behind the read is paid S times.
    """

    def __init__(self, distribution: Distribution):
        super().__init__()
        self.distribution = distribution

    def forward(self, inputs: AttentionInput, randomness: Randomness, controls: tuple[str, ...] = ()) -> Selection:
        probs, log_probs = self.distribution(inputs)
        batch, _, positions = probs.shape
        each = torch.eye(positions, dtype=probs.dtype, device=probs.device)
        weights = each[:, None, None].expand(positions, batch, 1, positions)
        return Selection(weights, probs.movedim(-1, 0), log_probs.movedim(-1, 0), probs)


def hard_exact(*, beta: Positive, evaluate_as: EvaluateAs) -> Mechanism:
    """sum_s p(s) loss(s): the expected loss of Xu et al. 2015 (1502.03044), enumerated.

    No bias, no variance; S evaluations of the loss. beta: inverse temperature; evaluate_as: how it is read at evaluation.
    """
    distribution = Softmax(beta)
    return Mechanism(distribution, Enumeration(distribution), Pathwise(), "expected", "value", evaluate_as)


def hard_marginal(*, beta: Positive, evaluate_as: EvaluateAs) -> Mechanism:
    """-log sum_s p(s) exp(-loss(s)): the marginal likelihood of each step, enumerated.

    Deng et al. 2018 (1807.03756); Wu et al. 2018. Exact for its own objective; S evaluations of the loss. beta: inverse
    temperature; evaluate_as: how it is read at evaluation.
    """
    distribution = Softmax(beta)
    return Mechanism(distribution, Enumeration(distribution), Marginal(), "marginal", "value", evaluate_as)
