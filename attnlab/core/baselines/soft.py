"""The averaged value."""

from jaxtyping import Bool, Float
from torch import Tensor

from attnlab.core.interfaces import Baseline, Site
from attnlab.core.selectors import control


class _SoftValue(Baseline):
    """The return at the averaged value: b = r(p), one more evaluation, at a mixture. Deng et al. 2018
    (1807.03756)."""

    controls = ("soft",)

    def forward(
        self, returns: Float[Tensor, "K B T"], site: Site, valid: Bool[Tensor, "#B #T"]
    ) -> Float[Tensor, "#K #B #T"]:
        return control(returns, site.selection)
