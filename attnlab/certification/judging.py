"""From means over every outcome to a verdict."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from attnlab.certification.certificate import Certificate
from attnlab.certification.measuring import Measured
from attnlab.certification.subject import Subject, Truth

TOLERANCE = 1e-6
"""What a mean may be off, relative to the exact gradient: estimators add small numbers to denominators."""
BUDGET = 100
"""Evaluations of the loss at which errors are compared."""


class Alignment(NamedTuple):
    """How means lie beside exact gradients, over all rows of all problems."""

    scale: float
    """sum of mean . exact / sum of |exact|^2."""
    scales: tuple[float, float]
    """The smallest and the largest of a row."""
    cosine: float
    """The smallest of a row."""
    foreign: float
    """The largest share of a mean that is at right angles to the exact gradient."""
    relation: str
    """exact, scaled, biased, or none: the mean is zero."""


def aligned(means: Sequence[Tensor], exacts: Sequence[Tensor], tolerance: float = TOLERANCE) -> Alignment:
    """Rows (R S) of each problem against theirs; rows without a gradient must have none."""
    rows = [
        (m, e) for mean, exact in zip(means, exacts, strict=True) for m, e in zip(mean, exact, strict=True)
    ]
    unit = max(float(e.norm()) for _, e in rows)
    there = [(m, e) for m, e in rows if e.norm() > 1e-9 * unit]
    if all(float(m.norm()) <= tolerance * max(unit, 1e-300) for m, _ in rows):
        return Alignment(0.0, (0.0, 0.0), 0.0, 0.0, "none")
    if unit == 0:
        return Alignment(float("nan"), (float("nan"), float("nan")), 0.0, 1.0, "biased")
    scales = [float(m @ e / e.square().sum()) for m, e in there]
    cosines = [float(m @ e / (m.norm() * e.norm()).clamp_min(1e-300)) for m, e in there]
    scale = sum(float(m @ e) for m, e in there) / sum(float(e.square().sum()) for _, e in there)
    foreign = [
        float((m - c * e).norm() / m.norm().clamp_min(1e-300))
        for (m, e), c in zip(there, scales, strict=True)
    ]
    relation = "biased"
    if all(_near(m, e, unit, tolerance) for m, e in rows):
        relation = "exact"
    elif all(_near(m, scale * e, abs(scale) * unit, tolerance) for m, e in rows):
        relation = "scaled"
    return Alignment(scale, (min(scales), max(scales)), min(cosines), max(foreign), relation)


def _near(mean: Tensor, exact: Tensor, unit: float, tolerance: float) -> bool:
    """Up to rounding, beside its own length or, where it has almost none, beside that of the others."""
    return float((mean - exact).norm()) <= tolerance * max(float(exact.norm()), 1e-3 * unit)


def spread(measured: Sequence[Measured], truths: Sequence[Truth]) -> tuple[float, float, float]:
    """The variance of one estimate and the error of the mean of as many as BUDGET evaluations pay for, both
    relative to |exact|; and the evaluations for one."""
    variance = error = unit = 0.0
    for one, truth in zip(measured, truths, strict=True):
        noise = float((one.squares - one.mean.square().sum(-1)).clamp_min(0.0).sum())
        variance += noise
        error += float((one.mean - truth.slope).square().sum()) + noise * max(1.0, one.cost) / BUDGET
        unit += float(truth.slope.square().sum())
    cost = max(1.0, sum(one.cost for one in measured) / len(measured))
    if unit == 0:
        return float("nan"), float("nan"), cost
    return variance / unit, (error / unit) ** 0.5, cost


def explodes(squares: Sequence[Float[Tensor, "R"]]) -> bool:
    """Whether mean squares, at scores that make rare outcomes ever rarer, grow without an end in sight."""
    sizes = [float(each.sum()) for each in squares]
    return all(later > 10 * max(earlier, 1e-300) for earlier, later in zip(sizes, sizes[1:], strict=False))


def same(mean: Tensor, other: Tensor) -> bool:
    """Whether two means of one problem agree."""
    return float((mean - other).norm()) <= TOLERANCE * max(float(mean.norm()), float(other.norm()), 1e-300)


def summed(
    means: Sequence[Tensor], one: Sequence[Tensor], other: Sequence[Tensor]
) -> tuple[float, float] | None:
    """The shares a and b with means = a * one + b * other on all problems, if there are any."""
    flat, *sides = (torch.cat([each.flatten() for each in side]) for side in (means, one, other))
    if not flat.isfinite().all():
        return None
    shares = torch.linalg.lstsq(torch.stack(sides, -1), flat[:, None], driver="gelsd").solution[:, 0]
    left = flat - torch.stack(sides, -1) @ shares
    near = float(left.norm()) <= TOLERANCE * float(flat.norm())
    return (float(shares[0]), float(shares[1])) if near and shares.abs().min() > TOLERANCE else None


def stated(subject: Subject, objective: str, lies: Alignment, **found: Any) -> Certificate:
    """A certificate of what was found beside an estimand."""
    return Certificate(
        name=subject.name,
        kind=subject.kind,
        objective=objective,
        estimand=subject.words[objective],
        scale=lies.scale,
        scales=lies.scales,
        cosine=lies.cosine,
        foreign=lies.foreign,
        **found,
    )
