"""The most probable position."""

from jaxtyping import Bool, Float
from torch import Tensor

from attnlab.core.interfaces import Baseline, Site
from attnlab.core.selectors import control


class SelfCritical(Baseline):
    """The return of the most probable position: b = r(argmax p), one more evaluation. Rennie et al. 2017
    (1612.00563)."""

    controls = ("argmax",)

    def forward(
        self, returns: Float[Tensor, "K B T"], site: Site, valid: Bool[Tensor, "#B #T"]
    ) -> Float[Tensor, "#K #B #T"]:
        return control(returns, site.selection)
