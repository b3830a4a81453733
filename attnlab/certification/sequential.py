"""A sequential test of a mean gradient: it goes on drawing until bias is found, or a bias that matters is
ruled out."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from scipy.stats import chi2
from torch import Tensor

from attnlab.microscope.hotelling import chance_of

ALARM, MISSED = 1e-6, 1e-3
"""Chance to call an unbiased estimator biased, and to miss a bias that matters; over all looks."""
_HEAVY = 0.1  # of the variance, made by a single one of all estimates

Finding = Literal["exact", "scaled", "biased", "no gradient", "variance unbounded", "undecided"]


class Settled(NamedTuple):
    """What the test found, after how many estimates."""

    finding: Finding
    mean: Float[Tensor, "S"]
    variance: float
    draws: int


def settle(
    more: Callable[[int, int], Float[Tensor, "n S"]],
    exact: Float[Tensor, "S"],
    matters: float,
    first: int,
    most: int,
) -> Settled:
    """Looks at `first`, twice as many, ... estimates, `most` at last, as `more(draws, seed)` makes them.

    biased: Hotelling's T^2 says so, with chance ALARM at most if there is no bias. exact: the mean and all
    its noise lie within `matters` * |exact|, which a larger bias gets past with chance MISSED at most.
    scaled: the same for what is not along the exact gradient.
    """
    looks = int(math.log2(most / first)) + 1
    seen = exact.new_empty(0, len(exact))
    for look in range(looks):
        seen = torch.cat([seen, more(max(first, len(seen)), look)])
        finding = _look(seen, exact, matters, looks)
        if finding != "undecided":
            break
    squares = (seen - seen.mean(0)).square().sum(-1)
    if finding == "undecided" and squares.max() > _HEAVY * squares.sum():
        finding = "variance unbounded"
    return Settled(finding, seen.mean(0), float(squares.mean()), len(seen))


def together(findings: Sequence[Finding], scales: tuple[float, float], matters: float) -> Finding:
    """One finding of several problems: the gravest; one scale must hold for all."""
    for grave in ("variance unbounded", "biased", "undecided"):
        if grave in findings:
            return grave
    if len(set(findings)) == 1 and findings[0] != "scaled":
        return findings[0]
    return "scaled" if scales[1] - scales[0] <= 4 * matters * max(map(abs, scales)) else "biased"


def _look(seen: Tensor, exact: Tensor, matters: float, looks: int) -> Finding:
    if not seen.isfinite().all():
        return "variance unbounded"
    if not seen.any():
        return "no gradient"
    draws, length = len(seen), exact.norm()
    mean, covariance = seen.mean(0), torch.cov(seen.T)
    radius = _radius(covariance, draws, looks)
    if mean.norm() + radius < matters * length:
        return "no gradient"
    if _probable(mean - exact, covariance, draws, looks):
        return "exact" if (mean - exact).norm() + radius <= matters * length else "undecided"
    along = exact / length.clamp_min(1e-300)
    across = torch.eye(len(exact), dtype=exact.dtype) - torch.outer(along, along)
    foreign, spread = across @ mean, across @ covariance @ across
    if not _probable(foreign, spread, draws, looks):
        return "biased"
    inside = foreign.norm() + _radius(spread, draws, looks) <= matters * mean.norm()
    return "scaled" if inside else "undecided"


def _probable(difference: Tensor, covariance: Tensor, draws: int, looks: int) -> bool:
    level = ALARM / looks
    return chance_of(difference, covariance, draws, missed=-math.log(level)) >= level


def _radius(covariance: Tensor, draws: int, looks: int) -> float:
    """What the noise of a mean stays within, but for a chance of MISSED over all looks."""
    widest = float(torch.linalg.eigvalsh(covariance)[-1].clamp_min(0.0))
    return math.sqrt(float(chi2.isf(MISSED / looks, len(covariance))) * widest / draws)
