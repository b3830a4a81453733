"""A function of the query, learned beside."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from attnlab.core.interfaces import Baseline, Site


class Learned(Baseline):
    """b = v . tanh(W q + c) + d of the query q, the decoder state before the choice, trained by regression on
    the return, or its mean over draws that share a state.

    It is 0 at the start. The regression reaches neither the query nor the scores. Raises ValueError for
    queries of another width than it was prepared for. Mnih & Gregor 2014 (1402.0030).
    """

    def prepare(self, query_size: int) -> None:
        self.width = query_size
        last = nn.Linear(query_size, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(nn.Linear(query_size, query_size), nn.Tanh(), last)

    def forward(
        self, returns: Float[Tensor, "K B T"], site: Site, valid: Bool[Tensor, "#B #T"]
    ) -> Float[Tensor, "#K #B #T"]:
        return self._of(site).detach()

    def loss(
        self, returns: Float[Tensor, "K B T"], site: Site, valid: Bool[Tensor, "#B #T"]
    ) -> Float[Tensor, "B T"]:
        value = self._of(site)
        wanted = returns.detach() if len(value) > 1 else returns.detach().mean(0, keepdim=True)
        return nn.functional.smooth_l1_loss(value, wanted, reduction="none").mean(0)

    def _of(self, site: Site) -> Float[Tensor, "#K B T"]:
        query = site.query.detach()
        if query.size(-1) != self.width:
            raise ValueError(
                f"the learned baseline reads queries of width {self.width}, got {query.size(-1)}; "
                f"attnlab.mechanism(..., query_size={query.size(-1)}) makes one for these"
            )
        value = self.network(query.to(next(self.network.parameters()).dtype)).to(query.dtype).squeeze(-1)
        if site.reach != "all":
            return value
        counts = site.valid.expand_as(value)
        return (value * counts).sum(-1, keepdim=True) / counts.sum(-1, keepdim=True).clamp_min(1)
