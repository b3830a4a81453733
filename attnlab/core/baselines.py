"""Baselines for REINFORCE: numbers independent of the own draw change the variance of the gradient, not its
mean."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attnlab.core.interfaces import Baseline, Selection, Site

Returns = Float[Tensor, "K B T"]
Valid = Bool[Tensor, "#B #T"]


class NoBaseline(Baseline):
    """Zero: plain REINFORCE. Williams 1992."""

    def forward(self, returns: Returns, site: Site, valid: Valid) -> Float[Tensor, "#K #B #T"]:
        return torch.zeros_like(returns[:1])


class MovingAverage(Baseline):
    """Exponential average of the mean return of past steps, bias-corrected as in Adam; 0 before the first.

    m <- decay * m + (1 - decay) * mean return over valid steps; the baseline is m / (1 - decay^n) after n
    updates.
    """

    average: Tensor
    correction: Tensor

    def __init__(self, decay: float = 0.95):
        super().__init__()
        self.decay = decay
        self.register_buffer("average", torch.zeros((), dtype=torch.float64))
        self.register_buffer("correction", torch.zeros((), dtype=torch.float64))

    def forward(self, returns: Returns, site: Site, valid: Valid) -> Float[Tensor, "#K #B #T"]:
        fresh = self.correction == 0
        baseline = torch.where(fresh, 0.0, self.average / torch.where(fresh, 1.0, self.correction))
        return baseline.to(returns.dtype).view(1, 1, 1)

    @torch.no_grad()
    def update(self, returns: Returns, valid: Valid) -> None:
        mean = (returns.mean(0) * valid).sum() / valid.sum()
        self.average.lerp_(mean.to(self.average), 1 - self.decay)
        self.correction.lerp_(torch.ones_like(self.correction), 1 - self.decay)


class LeaveOneOut(Baseline):
    """The mean return of the other draws, b_k = (sum_j r_j - r_k) / (n - 1), n >= 2. Kool et al. 2019; Mnih &
    Rezende 2016."""

    def forward(self, returns: Returns, site: Site, valid: Valid) -> Float[Tensor, "#K #B #T"]:
        drawn = site.selection.mass > 0  # controls have mass 0
        total = torch.where(drawn, returns, 0.0).sum(0)
        return (total - returns) / (drawn.sum(0) - 1)


def control(returns: Returns, selection: Selection) -> Float[Tensor, "1 B T"]:
    """The return of the last alternative, which a selector appends for a baseline's `controls`, with mass 0.

    NaN where the selector was not asked for it: the draw itself would stand there, and the estimate would be
    wrong in silence.
    """
    return torch.where(selection.mass[-1:] == 0, returns[-1:], torch.nan)


class SelfCritical(Baseline):
    """The return of the most probable position: b = r(argmax p), one more evaluation. Rennie et al. 2017
    (1612.00563)."""

    controls = ("argmax",)

    def forward(self, returns: Returns, site: Site, valid: Valid) -> Float[Tensor, "#K #B #T"]:
        return control(returns, site.selection)


class SoftValue(Baseline):
    """The return at the averaged value: b = r(p), one more evaluation, at a mixture. Deng et al. 2018
    (1807.03756)."""

    controls = ("soft",)

    def forward(self, returns: Returns, site: Site, valid: Valid) -> Float[Tensor, "#K #B #T"]:
        return control(returns, site.selection)


class Learned(Baseline):
    """b = v . tanh(W q + c) + d of the query q, the decoder state before the choice, trained by regression on
    the return, or its mean over draws that share a state.

    It is 0 at the start. The regression reaches neither the query nor the scores. Mnih & Gregor 2014
    (1402.0030).
    """

    def prepare(self, query_size: int) -> None:
        last = nn.Linear(query_size, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(nn.Linear(query_size, query_size), nn.Tanh(), last)

    def forward(self, returns: Returns, site: Site, valid: Valid) -> Float[Tensor, "#K #B #T"]:
        return self._of(site).detach()

    def loss(self, returns: Returns, site: Site, valid: Valid) -> Float[Tensor, "B T"]:
        value = self._of(site)
        wanted = returns.detach() if len(value) > 1 else returns.detach().mean(0, keepdim=True)
        return nn.functional.smooth_l1_loss(value, wanted, reduction="none").mean(0)

    def _of(self, site: Site) -> Float[Tensor, "#K B T"]:
        value = self.network(site.query.detach()).squeeze(-1)
        if site.reach != "all":
            return value
        counts = site.valid.expand_as(value)
        return (value * counts).sum(-1, keepdim=True) / counts.sum(-1, keepdim=True).clamp_min(1)
