"""Surrogates to minimise: their gradient is the wanted estimate, for the scores and for everything behind the
choice."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attnlab.core.interfaces import Baseline, Estimator, Pass, Placement, Reach, Site, Surrogate

Losses = Float[Tensor, "K B T"]
Valid = Bool[Tensor, "B T"]


class Pathwise(Estimator):
    """sum_K mass * (loss + cost). The gradient runs through the weights (mixtures, straight-through) or the
    mass (enumeration)."""

    def forward(self, losses: Losses, taken: Pass, valid: Valid) -> Surrogate:
        return masked(weighed(paid(losses, taken), taken.mass), valid)


class Reinforce(Estimator):
    """sum_K mass * (loss + cost + sum over sites of stop_gradient(return - baseline) * log_prob).

    The returns of a site are the losses that its choices may change, and each site has a baseline of its own,
    made by `baseline`. `credit` takes other losses in their place, to show what that does. Raises ValueError
    for a baseline that is made already. Williams 1992; Xu et al. 2015 (1502.03044).
    """

    def __init__(self, baseline: Callable[[], Baseline], credit: Reach | None = None):
        super().__init__()
        if isinstance(baseline, Baseline):
            name = type(baseline).__name__
            raise ValueError(
                f"Reinforce makes a baseline for each site and takes the class or function that makes it, "
                f"Reinforce({name}), got {name}()"
            )
        self.baseline = baseline
        self.credit: Reach | None = credit
        self.reaches: dict[str, Reach] = {}
        self.baselines = nn.ModuleDict()

    def prepare(self, sites: Mapping[str, Placement]) -> None:
        for name, placement in sites.items():
            self.reaches[name] = self.credit or placement.reach
            baseline = self.baselines[_key(name)] = self.baseline()
            baseline.prepare(placement.query_size)

    def forward(self, losses: Losses, taken: Pass, valid: Valid) -> Surrogate:
        pushed = all_paid = paid(losses, taken)
        auxiliary = torch.zeros_like(losses[0])
        for name, site in taken.sites.items():
            if self.credit is not None and site.reach != "all":
                site = site._replace(reach=self.credit, valid=valid)
            returns, counts = returns_of(all_paid.detach(), valid, site.reach), _steps_of(site, valid)
            baseline: Baseline = self.baselines[_key(name)]  # pyright: ignore[reportAssignmentType]
            told = counts if site.reach != "all" else counts.any(-1, keepdim=True)
            advantage = (returns - baseline(returns, site, told)).detach()
            push = advantage * over_heads(site.selection.log_prob)
            pushed = pushed + beside(push, site, counts, losses)
            regression = baseline.loss(returns, site, told)[None]
            auxiliary = auxiliary + beside(regression, site, counts, losses)[0]
        return masked(weighed(pushed, taken.mass), valid, auxiliary)

    def update(self, losses: Losses, valid: Valid) -> None:
        for name, reach in self.reaches.items():
            baseline: Baseline = self.baselines[_key(name)]  # pyright: ignore[reportAssignmentType]
            every = valid if reach != "all" else valid.any(-1, keepdim=True)
            baseline.update(returns_of(losses, valid, reach), every)


class Marginal(Estimator):
    """-log sum_K exp(log_prob - loss), minus the log of the expected probability. Deng et al. 2018
    (1807.03756)."""

    anywhere = False

    def forward(self, losses: Losses, taken: Pass, valid: Valid) -> Surrogate:
        (site,) = taken.sites.values()
        return masked(-torch.logsumexp(site.selection.log_prob - losses, 0), valid)


def returns_of(losses: Losses, valid: Valid, reach: Reach) -> Float[Tensor, "K B #T"]:
    """The losses that a choice may change: of its step, the sum of those from it on, or of the row."""
    if reach == "step":
        return losses
    counted = torch.where(valid, losses, 0.0)
    return counted.flip(-1).cumsum(-1).flip(-1) if reach == "later" else counted.sum(-1, keepdim=True)


def paid(losses: Losses, taken: Pass) -> Losses:
    """The losses with what the choices cost, each at its step, or all at the first where they have steps of
    their own."""
    for site in taken.sites.values():
        cost = over_heads(site.selection.cost)
        losses = losses + (cost if site.reach != "all" else beside(cost, site, site.valid, losses))
    return losses


def over_heads(numbers: Float[Tensor, "K B *H T"]) -> Float[Tensor, "K B T"]:
    """The sum over further axes of a site."""
    return numbers.sum(tuple(range(2, numbers.ndim - 1))) if numbers.ndim > 3 else numbers


def _steps_of(site: Site, valid: Valid) -> Bool[Tensor, "#B #N"]:
    """Which steps of a site count: those of the target, or its own."""
    return site.valid if site.reach == "all" else valid


def beside(numbers: Tensor, site: Site, counts: Tensor, losses: Losses) -> Tensor:
    """Numbers of a site's steps as numbers of the target's: what has steps of its own counts at the first."""
    if site.reach != "all":
        return numbers
    total = torch.where(counts, numbers, 0.0).sum(-1, keepdim=True)
    return nn.functional.pad(total, (0, losses.size(-1) - 1))


def weighed(losses: Losses, mass: Float[Tensor, "#K B #T"]) -> Float[Tensor, "B T"]:
    """sum_K mass * loss; an infinite loss that has no share has no say."""
    return (mass * torch.where(mass != 0, losses, 0.0)).sum(0)


def masked(loss: Tensor, valid: Tensor, auxiliary: Tensor | None = None) -> Surrogate:
    """The surrogate of per-step losses: padding counts nowhere, has no loss and no gradient."""
    auxiliary = torch.zeros_like(loss) if auxiliary is None else auxiliary
    return Surrogate(torch.where(valid, loss, 0.0), torch.where(valid, auxiliary, 0.0))


def _key(site: str) -> str:
    """A site's name as a module may have it."""
    return site.replace(".", "_")
