"""The verdict where estimates can only be drawn."""

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from attnlab.certification import judging
from attnlab.certification.certificate import Certificate
from attnlab.certification.measuring import drawn
from attnlab.certification.sequential import ALARM, MISSED, settle, together
from attnlab.certification.subject import Subject

_BY_MECHANISM, _BY_FUNCTION = (0.03, 2**16, 2**20), (0.05, 2**10, 2**18)
"""The bias that matters, relative to the gradient; estimates of a problem at first, and at most."""


def sampled(subject: Subject, objective: str, seed: int, reason: str) -> Certificate:
    """By the sequential test on each problem. Raises ValueError where no estimate is finite, for what has no
    row to draw from, and for an objective that asks for every outcome."""
    if not subject.rows:
        raise ValueError(f"{subject.name}: paths of choices are enumerated or not at all, and {reason}")
    if objective == "forward":
        raise ValueError(f"{subject.name} is random in a way that is not enumerated, which forward asks for")
    matters, first, most = _BY_MECHANISM if subject.redrawn is not None else _BY_FUNCTION
    costs: list[float] = []
    settled, exacts = [], []
    for problem, row in itertools.product(subject.problems, subject.rows):

        def more(draws: int, look: int, problem: Any = problem, row: int = row) -> Tensor:
            estimates, cost = drawn(subject, problem, row, draws, 1000 * seed + look)
            costs.append(max(1.0, cost))
            return estimates

        exacts.append(subject.truth(problem, objective).slope[row])
        settled.append(settle(more, exacts[-1], matters, first, most))
    means = [found.mean for found in settled]
    if not torch.cat(means).isfinite().any():
        raise ValueError(f"{subject.name} gives no finite gradient")
    lies = judging.aligned([mean[None] for mean in means], [exact[None] for exact in exacts], 0.0)
    length = sum(float(exact.square().sum()) for exact in exacts)
    noise = sum(found.variance for found in settled)
    distance = sum(float((mean - exact).square().sum()) for mean, exact in zip(means, exacts, strict=True))
    counts = " + ".join(f"{found.draws:,}" for found in settled)
    return judging.stated(
        subject,
        objective,
        lies,
        verdict=together([found.finding for found in settled], lies.scales, matters),
        variance=noise / length,
        cost=costs[0],
        error=math.sqrt((distance + noise * costs[0] / judging.BUDGET) / length),
        enumerated=False,
        how=f"sampled, since {reason}: {counts} estimates of {len(settled)} problems; on each, a bias of "
        f"{matters:.0%} of the gradient is missed with chance {MISSED:g} at most, a false alarm has chance "
        f"{ALARM:g}",
        follows=(),
        behind="",
        notes=(),
    )
