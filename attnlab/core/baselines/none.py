"""No baseline."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attnlab.core.interfaces import Baseline, Site


class NoBaseline(Baseline):
    """Zero: plain REINFORCE. Williams 1992."""

    def forward(
        self, returns: Float[Tensor, "K B T"], site: Site, valid: Bool[Tensor, "#B #T"]
    ) -> Float[Tensor, "#K #B #T"]:
        return torch.zeros_like(returns[:1])
