"""The most probable positions summed, and one more drawn from the rest. Liu et al. 2019 (1810.04777)."""

from typing import Unpack

import torch
from torch import Tensor

from attnlab import functional
from attnlab.core.distributions import Softmax
from attnlab.core.estimators import Reinforce
from attnlab.core.interfaces import (
    AttentionInput,
    Baseline,
    Distribution,
    Mechanism,
    Selection,
    Selector,
    Site,
    costless,
)
from attnlab.core.schedules import scheduled
from attnlab.core.selectors import alone
from attnlab.facts import Facts
from attnlab.mechanisms.sets import counted, members
from attnlab.randomness import Randomness, draw
from attnlab.settings import Beta, Size


class SumAndSample(Selector):
    """The samples - 1 most probable positions, mass p(s) each, and one drawn outside them, which carries all
    other mass."""

    anywhere = False

    def __init__(self, distribution: Distribution, samples: int):
        super().__init__(distribution)
        self.samples = samples

    def forward(self, inputs: AttentionInput, randomness: Randomness) -> Selection:
        categorical = self.distribution(inputs)
        probs, log_probs = (alone(x, "sum_and_sample") for x in categorical)
        size = min(self.samples - 1, probs.size(-1) - 1)
        best = log_probs.detach().argsort(dim=-1, descending=True, stable=True)[..., :size]
        summed = torch.zeros_like(probs, dtype=torch.bool).scatter(-1, best, True)
        # behind what is masked
        outside = log_probs.masked_fill(summed, 2 * functional.lowest(log_probs.dtype))
        drawn = draw(outside[None], randomness)
        weights, log_prob, present = members(torch.cat([best.movedim(-1, 0), drawn]), categorical)
        # a sum, not 1 - p: 0 in float32 where the truth is 3e-9
        rest = probs.masked_fill(summed, 0.0).sum(-1)[None]
        mass = counted(torch.cat([probs.gather(-1, best).movedim(-1, 0), rest]), present)
        return Selection(weights, mass, log_prob, categorical.probs, costless(categorical.probs))


class _SummedMean(Baseline):
    """The mean loss of the summed positions under p, which does not know the one that is drawn (the last)."""

    def forward(self, returns: Tensor, site: Site, valid: Tensor) -> Tensor:
        mass = site.selection.mass[:-1]
        return ((mass * returns[:-1]).sum(0) / mass.sum(0).clamp_min(torch.finfo(mass.dtype).tiny))[None]


@Facts(
    paper="Liu et al. 2019 (1810.04777)",
    objective="expected",
    unbiased=True,
    needs="value",
    evaluations="samples",
)
def sum_and_sample(*, samples: Size, **beta: Unpack[Beta]) -> Mechanism:
    """sum over the samples - 1 most probable s of p(s) term(s), + (rest of p) term(z) with z drawn from the
    rest.

    term(s) = loss(s) + stop_gradient(loss(s) - b) log p(s), p = softmax(beta * scores), and b the mean loss
    of the summed positions. Exact where samples >= S. Raises ValueError for a single sample.
    """
    if samples < 2:
        raise ValueError(
            "sum_and_sample sums samples - 1 positions and draws one more, and needs samples >= 2, "
            f"got {samples}; "
            "one draw alone is attention=hard_reinforce attention.samples=1 attention.baseline=none"
        )
    distribution = Softmax(scheduled("beta", beta))
    selector = SumAndSample(distribution, samples)
    return Mechanism(distribution, selector, Reinforce(_SummedMean))
