"""Whether a mean of gradient estimates may be that of an unbiased estimator."""

import math

import torch
from scipy.special import fdtrc
from torch import Tensor

SIGNIFICANT = 1e-4  # what is less likely than this without bias is called bias


def chance_of(
    difference: Tensor, covariance: Tensor, draws: int, missed: float = -math.log(SIGNIFICANT)
) -> float:
    """Chance that the mean of so many estimates is as far from the truth, by Hotelling's T^2 and its F law.

    Estimates are not normal: few draws show no noise where a rare position makes all of it. So each direction
    is granted, of the whole variance, the share `missed` / draws: an event of that probability does not occur
    in so many draws with chance exp(-missed). Without any noise, the difference must be 0 to rounding. With
    no more draws than positions there is no such law, and nothing is told: 1.
    """
    positions, total = len(difference), covariance.trace()
    if draws <= positions:
        return 1.0
    if total <= 1e-18 * (1 + difference.square().sum()):
        return float(difference.norm() <= 1e-9 * (1 + difference.norm()))
    values, directions = torch.linalg.eigh(covariance)
    granted = values.clamp_min(0.0) + missed / draws * total
    squared = draws * ((difference @ directions).square() / granted).sum().item()
    freedom = draws - positions
    return float(fdtrc(positions, freedom, squared * freedom / (positions * (draws - 1))))
