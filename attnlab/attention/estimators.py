"""Surrogates to minimise: their gradient is the wanted estimate, for the scores and for everything behind the
choice."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attnlab.attention.interfaces import Baseline, Estimator, Selection, Surrogate

Losses = Float[Tensor, "K B T"]
Valid = Bool[Tensor, "B T"]
State = Float[Tensor, "B T Q"]


class Pathwise(Estimator):
    """sum_K mass * loss. The gradient runs through the weights (mixtures, straight-through) or the mass
    (enumeration)."""

    def forward(
        self, losses: Losses, returns: Losses, selection: Selection, valid: Valid, state: State
    ) -> Surrogate:
        # an infinite loss that has no share has no say
        counted = torch.where(selection.mass != 0, losses, 0.0)
        return masked((selection.mass * counted).sum(0), valid)


class Reinforce(Estimator):
    """sum_K mass * (loss + stop_gradient(return - baseline) * log_prob). Williams 1992; Xu et al. 2015
    (1502.03044)."""

    def __init__(self, baseline: Baseline):
        super().__init__()
        self.baseline = baseline
        self.controls = baseline.controls

    def forward(
        self, losses: Losses, returns: Losses, selection: Selection, valid: Valid, state: State
    ) -> Surrogate:
        advantage = (returns - self.baseline(returns, selection, valid, state)).detach()
        loss = (selection.mass * (losses + advantage * selection.log_prob)).sum(0)
        return masked(loss, valid, self.baseline.loss(returns, valid, state))

    def prepare(self, state_size: int) -> None:
        self.baseline.prepare(state_size)

    def update(self, returns: Losses, valid: Valid) -> None:
        self.baseline.update(returns, valid)


class Marginal(Estimator):
    """-log sum_K exp(log_prob - loss), minus the log of the expected probability. Deng et al. 2018
    (1807.03756)."""

    def forward(
        self, losses: Losses, returns: Losses, selection: Selection, valid: Valid, state: State
    ) -> Surrogate:
        return masked(-torch.logsumexp(selection.log_prob - losses, 0), valid)


def masked(loss: Tensor, valid: Tensor, auxiliary: Tensor | None = None) -> Surrogate:
    """The surrogate of per-step losses: padding counts nowhere, has no loss and no gradient."""
    auxiliary = torch.zeros_like(loss) if auxiliary is None else auxiliary
    return Surrogate(torch.where(valid, loss, 0.0), torch.where(valid, auxiliary, 0.0))
