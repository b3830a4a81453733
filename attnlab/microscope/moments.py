"""Bias, variance and error of gradient estimates, from estimates that are far fewer than their entries."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

BUDGET = 8
"""Evaluations of the loss at which errors are compared."""


class Moments(NamedTuple):
    """Of estimates against a gradient g, relative to its length; nan where that is 0 but for rounding."""

    relative_bias: float  # |E - g| / |g|, 0 where noise explains the distance
    bias_error: float  # its standard error, where it is not 0; else what it is below, at three of them
    z: float  # |E - g|^2 over its standard error where there is no bias
    cosine: float  # of the mean with g
    relative_variance: float  # trace of the covariance of one estimate / |g|^2

    @property
    def signal_to_noise(self) -> float:
        """|g| over the standard deviation of one estimate; infinite where nothing is random."""
        return self.relative_variance**-0.5 if self.relative_variance > 0 else math.inf

    def squared_error(self, cost: int) -> float:
        """Mean squared error / |g|^2 of what BUDGET evaluations give, at `cost` evaluations an estimate."""
        return self.relative_bias**2 + self.relative_variance * cost / BUDGET


class Products(NamedTuple):
    """Inner products of n estimates, of each with a gradient g, and of g with itself; those of several parts
    of a model add up to those of all of it."""

    among: Float[Tensor, "n n"]
    along: Float[Tensor, " n"]
    squared: Float[Tensor, ""]
    error: float  # squared standard error of g; 0 where it is exact
    seldom: float  # squared length of what may be missing from the mean, since it is hardly ever drawn


def products(
    estimates: Float[Tensor, "n D"], gradient: Float[Tensor, " D"], error: float = 0.0, seldom: float = 0.0
) -> Products:
    """Of estimates with a gradient."""
    return Products(estimates @ estimates.T, estimates @ gradient, gradient @ gradient, error, seldom)


def together(parts: Iterable[Products]) -> Products:
    """Of several parts as one."""
    among, along, squared, error, seldom = zip(*parts, strict=True)
    among, along, squared = (torch.stack(part).sum(0) for part in (among, along, squared))
    return Products(among, along, squared, sum(error), sum(seldom))


def moments(found: Products, copies: int = 1) -> Moments:
    """Moments of n > 1 random estimates, each the mean of so many, against a gradient, itself known up to a
    squared standard error; or of one that is not random.

    |E - g|^2 is estimated without bias by the mean of (x_i - g) . (x_j - g) over i != j: what noise adds to
    the length of a mean lies on the diagonal alone. Its standard error without bias, sqrt(2 tr(C^2) / (n (n -
    1))), takes tr(C^2) from the squares of the same products; with bias it is the jackknife's. What happens
    in fewer than one of N / 3 estimates may not happen in N (with a chance of 5 %), so no bias below 3 / N or
    below what is hardly ever drawn is told from 0, and none at all where that is most of g.
    """
    among, along, squared_length, error, seldom = found
    n, length = len(among), squared_length.item()
    if length < _NONE:
        return Moments(*[math.nan] * 5)
    among, along, error = among / length, along / length, error / length
    of_mean = among.mean().item()
    cosine = along.mean().item() / math.sqrt(of_mean) if of_mean > 0 else 0.0
    away = among - along[:, None] - along + 1
    if n == 1:
        bias = math.sqrt(max(0.0, away.item() - error))
        exact = bias < _ROUNDING
        return Moments(0.0 if exact else bias, 3 * math.sqrt(error), 0.0 if exact else math.inf, cosine, 0.0)
    variance = copies * max(0.0, among.trace().item() - n * of_mean) / (n - 1)
    off = away - away.diag().diag()
    squared = off.sum().item() / (n * (n - 1)) - error
    null = math.sqrt(2 * off.square().sum().item()) / (n * (n - 1)) + error
    z = squared / null if null > 0 else 0.0
    unseen, missing = RARE / (n * copies), math.sqrt(seldom / length)
    if z < 3 or squared < (unseen + missing) ** 2 or missing > 0.5:
        return Moments(0.0, max(math.sqrt(max(squared, 0.0) + 3 * null), unseen), z, cosine, variance)
    without = (off.sum() - 2 * off.sum(1)) / ((n - 1) * (n - 2)) if n > 2 else off.sum(1)
    jackknife = ((n - 1) / n * (without - without.mean()).square().sum()).sqrt().item()
    bias = math.sqrt(squared)
    return Moments(bias, jackknife / (2 * bias), z, cosine, variance)


RARE = 3
"""Of N estimates: what happens in one of N / RARE is not seen with a chance of exp(-RARE)."""
_NONE = 1e-26
"""Squared length of a gradient that is 0 but for rounding, of losses of the size of 1."""
_ROUNDING = 1e-7
"""Of a length; what is no longer is 0."""
