"""The other draws."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attnlab.core.interfaces import Baseline, Site


class LeaveOneOut(Baseline):
    """The mean return of the other draws, b_k = (sum_j r_j - r_k) / (n - 1), n >= 2. Kool et al. 2019; Mnih &
    Rezende 2016."""

    draws = 2

    def forward(
        self, returns: Float[Tensor, "K B T"], site: Site, valid: Bool[Tensor, "#B #T"]
    ) -> Float[Tensor, "#K #B #T"]:
        drawn = site.selection.mass > 0  # controls have mass 0
        total = torch.where(drawn, returns, 0.0).sum(0)
        return (total - returns) / (drawn.sum(0) - 1)
