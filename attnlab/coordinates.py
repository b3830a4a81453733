"""Where the entries along an axis lie, and the mean and the deviation of a position that has shares of 1."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from attnlab.rows import Dims, along, axes, positions_along

Positions = Literal["normalised"] | Tensor | Sequence[Tensor] | None
"""At 0, 1, 2, ...; evenly from -1 to 1; or where a tensor, one for each of several axes, says."""
Shares = Float[Tensor, "..."]


def expected(
    shares: Shares, dim: Dims, positions: Positions, period: float | int | None, keepdim: bool
) -> Float[Tensor, "..."]:
    """sum_i p_i x_i along each dim, of several in a last axis; on a circle the direction of
    sum_i p_i exp(2 pi i x_i / period), in [0, period). Raises ValueError for positions that do not fit."""
    places = _places(shares, dim, positions)
    if period is None:
        return _means(shares, places, dim, keepdim)
    east, north = _direction(shares, places, dim, period, keepdim)
    return (torch.atan2(north, east) * (period / (2 * math.pi))).remainder(period)


def deviation(
    shares: Shares, dim: Dims, positions: Positions, period: float | int | None, keepdim: bool
) -> Float[Tensor, "..."]:
    """The standard deviation of x_i along each dim; on a circle period / (2 pi) sqrt(-2 log R), R the length
    of the mean direction. Raises ValueError as `expected` does."""
    places = _places(shares, dim, positions)
    if period is None:
        means = [(shares * place).sum(dim, keepdim=True) for place in places]
        squares = [(place - mean).square() for place, mean in zip(places, means, strict=True)]
        return _root(_means(shares, squares, dim, keepdim))
    east, north = _direction(shares, places, dim, period, keepdim)
    squared = (east.square() + north.square()).clamp(torch.finfo(east.dtype).tiny, 1.0)
    return _root(-squared.log()) * (period / (2 * math.pi))


def _places(shares: Shares, dim: Dims, positions: Positions) -> list[Tensor]:
    """Positions along each dim, shaped to broadcast against the shares."""
    if positions is None:
        return [positions_along(shares, axis) for axis in axes(dim)]
    sizes = [(shares.size(axis),) for axis in axes(dim)]
    if isinstance(positions, str):
        if positions != "normalised":
            raise ValueError(f"positions must be 'normalised', tensors or None, got {positions!r}")
        given = [torch.linspace(-1, 1, *size, dtype=shares.dtype, device=shares.device) for size in sizes]
    else:
        given = [positions] if isinstance(positions, Tensor) else list(positions)
    if (shapes := [tuple(one.shape) for one in given]) != sizes:
        raise ValueError(f"positions along dim={dim} must have the shapes {sizes}, got {shapes}")
    return [along(one.to(shares), shares, axis) for one, axis in zip(given, axes(dim), strict=True)]


def _means(shares: Shares, values: Sequence[Tensor], dim: Dims, keepdim: bool) -> Tensor:
    """sum_i p_i v_i, of several dims one beside the other in a last axis."""
    means = [(shares * value).sum(dim, keepdim=keepdim) for value in values]
    return means[0] if isinstance(dim, int) else torch.stack(means, -1)


def _direction(
    shares: Shares, places: Sequence[Tensor], dim: Dims, period: float | int, keepdim: bool
) -> tuple[Tensor, Tensor]:
    """The mean of the points of the unit circle at which the positions lie. Raises ValueError for a period
    that is not positive."""
    if not period > 0:
        raise ValueError(f"period must be positive, the length of the way round, got {period}")
    angles = [place.to(shares.dtype) * (2 * math.pi / period) for place in places]
    return tuple(_means(shares, [f(angle) for angle in angles], dim, keepdim) for f in (torch.cos, torch.sin))  # pyright: ignore


def _root(squared: Tensor) -> Tensor:
    """The square root, with gradient 0 at 0."""
    there = squared > 0
    return torch.where(there, torch.where(there, squared, 1.0).sqrt(), squared.clamp_min(0.0))
