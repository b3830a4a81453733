"""What is enumerated beside objectives: the bound that several draws follow, Burda et al. 2016 (1509.00519),
and what is hardly ever drawn."""

import itertools
import math

import torch
from torch import Tensor

from attnlab.core.estimators import Losses, Valid, masked
from attnlab.core.interfaces import Estimator, Pass, Surrogate

TERMS = 10**6
"""Of an exact bound, at most."""


class Bound(Estimator):
    """-E log mean_k exp(-loss(z_k)) of so many draws at each step, over every multiset of them."""

    anywhere = False

    def __init__(self, draws: int):
        super().__init__()
        self.draws = draws

    def forward(self, losses: Losses, taken: Pass, valid: Valid) -> Surrogate:
        (site,) = taken.sites.values()
        return masked(bound(site.selection.log_prob, losses, self.draws), valid)


class Seldom(Estimator):
    """What choices below a probability add to the expected loss, less its mean, over every position."""

    anywhere = False

    def __init__(self, below: float):
        super().__init__()
        self.below = below

    def forward(self, losses: Losses, taken: Pass, valid: Valid) -> Surrogate:
        (site,) = taken.sites.values()
        mass = site.selection.mass
        more = losses - (mass * losses).sum(0).detach()
        return masked(torch.where(mass < self.below, mass * more, 0.0).sum(0), valid)


def bound(log_prob: Tensor, losses: Tensor, draws: int) -> Tensor:
    """Of log-probabilities and losses of positions (S, ...). Each multiset counts with the number of orders
    it can come in. Raises ValueError for more terms than can be added up."""
    positions = len(losses)
    terms = math.comb(positions + draws - 1, draws)
    if terms > TERMS:
        raise ValueError(
            f"the exact bound of {draws} draws over {positions} positions has {terms:,} terms, and at most "
            f"{TERMS:,} are added up; take fewer samples"
        )
    every = itertools.combinations_with_replacement(range(positions), draws)
    drawn = torch.tensor(list(every), device=losses.device)
    times = (drawn[..., None] == torch.arange(positions, device=losses.device)).sum(1).to(losses)
    log_orders = math.lgamma(draws + 1) - torch.lgamma(times + 1).sum(1)
    log_chance = torch.tensordot(times, log_prob, 1) + log_orders.view(-1, *(1,) * (losses.ndim - 1))
    return (log_chance.exp() * (math.log(draws) - torch.logsumexp(-losses[drawn], 1))).sum(0)
