"""The average return of past steps."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attnlab.core.interfaces import Baseline, Site


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

    def forward(
        self, returns: Float[Tensor, "K B T"], site: Site, valid: Bool[Tensor, "#B #T"]
    ) -> Float[Tensor, "#K #B #T"]:
        fresh = self.correction == 0
        baseline = torch.where(fresh, 0.0, self.average / torch.where(fresh, 1.0, self.correction))
        return baseline.to(returns.dtype).view(1, 1, 1)

    @torch.no_grad()
    def update(self, returns: Float[Tensor, "K B T"], valid: Bool[Tensor, "#B #T"]) -> None:
        mean = (returns.mean(0) * valid).sum() / valid.sum()
        self.average.lerp_(mean.to(self.average), 1 - self.decay)
        self.correction.lerp_(torch.ones_like(self.correction), 1 - self.decay)
