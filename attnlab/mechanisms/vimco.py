"""VIMCO: a tighter bound on the marginal likelihood from several draws. Mnih & Rezende 2016 (1602.06725)."""

import math
from typing import Unpack

import torch

from attnlab.core.distributions import Softmax
from attnlab.core.estimators import Losses, Valid, masked
from attnlab.core.interfaces import Estimator, Mechanism, Pass, Surrogate
from attnlab.core.schedules import scheduled
from attnlab.core.selectors import Draws
from attnlab.facts import Facts
from attnlab.settings import Beta, Size


class Vimco(Estimator):
    """-(L + sum_k stop_gradient(L - L_k) log_prob_k), L = log mean_k exp(-loss_k).

    L_k is L with the k-th log-likelihood replaced by the mean of the others: it does not know the k-th draw.
    """

    anywhere = False

    def forward(self, losses: Losses, taken: Pass, valid: Valid) -> Surrogate:
        (site,) = taken.sites.values()
        samples = len(losses)
        bound = torch.logsumexp(-losses, 0) - math.log(samples)
        log_weights = -losses.detach()
        others = (log_weights.sum(0) - log_weights) / (samples - 1)
        own = torch.eye(samples, dtype=torch.bool, device=losses.device)[..., None, None]  # K K B T below
        without = torch.logsumexp(torch.where(own, others[:, None], log_weights[None]), 1) - math.log(samples)
        signal = (bound.detach() - without) * site.selection.log_prob
        return masked(-(bound + signal.sum(0)), valid)


@Facts(
    paper="Mnih & Rezende 2016 (1602.06725)",
    objective="marginal",
    unbiased=True,
    needs="value",
    evaluations="samples",
    bound="samples",
)
def vimco(*, samples: Size, **beta: Unpack[Beta]) -> Mechanism:
    """-E log mean_k exp(-loss(z_k)) with z_k ~ p = softmax(beta * scores), which falls to the marginal as
    `samples` grows.

    Raises ValueError for a single sample.

    Unbiased for its own bound, which is loose by an amount that falls with `samples`.
    """
    if samples < 2:
        raise ValueError(
            f"vimco compares each draw with the others and needs samples >= 2, got {samples}; "
            "its bound with one draw is the expected loss: use attention=hard_reinforce"
        )
    distribution = Softmax(scheduled("beta", beta))
    return Mechanism(distribution, Draws(distribution, samples), Vimco())
