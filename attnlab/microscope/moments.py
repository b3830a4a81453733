"""Bias, variance and error of gradient estimates, from estimates that are far fewer than their entries."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

BUDGET = 8
"""Evaluations of the loss at which errors are compared."""


class Moments(NamedTuple):
    """Of estimates against a gradient g, relative to its length; nan where that is 0."""

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


def moments(
    estimates: Float[Tensor, "n D"], gradient: Float[Tensor, " D"], squared_error: float = 0.0
) -> Moments:
    """Moments of n estimates against a gradient, itself known up to a squared standard error.

    |E - g|^2 is estimated without bias by the mean of (x_i - g) . (x_j - g) over i != j: what noise adds to
    the length of a mean lies on the diagonal alone. Its standard error without bias, sqrt(2 tr(C^2) / (n (n -
    1))), takes tr(C^2) from the squares of the same products; with bias it is the jackknife's.
    """
    length = gradient.norm().item()
    if length == 0:
        return Moments(*[math.nan] * 5)
    away, n = estimates - gradient, len(estimates)
    mean = estimates.mean(0)
    cosine = torch.nn.functional.cosine_similarity(mean, gradient, 0).item()
    if n < 2 or (away - away[0]).norm() <= 1e-9 * length:
        distance = away[0].norm().item() / length
        bias = math.sqrt(max(0.0, distance**2 - squared_error / length**2))
        exact = distance < 1e-7 or bias == 0
        limit = 3 * math.sqrt(squared_error) / length
        z = 0.0 if exact else math.inf
        return Moments(0.0 if exact else bias, limit, z, cosine, 0.0)
    products = (away @ away.T) / length**2
    off = products - products.diag().diag()
    squared = off.sum().item() / (n * (n - 1)) - squared_error / length**2
    null = math.sqrt(2 * off.square().sum().item()) / (n * (n - 1)) + squared_error / length**2
    z = squared / null if null > 0 else 0.0
    without = (off.sum() - 2 * off.sum(1)) / ((n - 1) * (n - 2)) if n > 2 else off.sum(1)
    jackknife = ((n - 1) / n * (without - without.mean()).square().sum()).sqrt().item()
    variance = (estimates - mean).square().sum().item() / (n - 1) / length**2
    if z < 3:
        return Moments(0.0, math.sqrt(max(squared, 0.0) + 3 * null), z, cosine, variance)
    bias = math.sqrt(squared)
    return Moments(bias, jackknife / (2 * bias), z, cosine, variance)
