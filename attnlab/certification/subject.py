"""What is certified, of any kind, as one record: problems, one estimate, and the exact gradient."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from attnlab.certification.outcomes import Choices


class Estimate(NamedTuple):
    """What came of one outcome of the draws, for R rows of problems that were met at once (1 but for
    mechanisms)."""

    slope: Float[Tensor, "R S"]
    """The gradient in the scores."""
    behind: Float[Tensor, "R ..."]
    """The gradient in what lies behind the choice; empty where there is nothing."""
    paid: Float[Tensor, "R"]
    """The loss that the forward pass showed."""
    cost: float
    """Evaluations of the loss, or answers."""


class Truth(NamedTuple):
    """The exact gradient of an estimand."""

    slope: Float[Tensor, "R S"]
    behind: Float[Tensor, "R ..."]


class Subject(NamedTuple):
    """An estimator and what it is held to."""

    name: str
    kind: str
    words: Mapping[str, str]
    """The estimands that there are, in words."""
    objective: str
    """The one that is followed unless another is asked for."""
    problems: Sequence[Any]
    estimate: Callable[[Any, Choices], Estimate]
    truth: Callable[[Any, str], Truth]
    sharpened: Callable[[Any, float], list[Any]]
    """Problems that go to an extreme with a factor: rare outcomes become rarer."""
    companions: Callable[[Any], Any] = lambda problem: None
    """The same problem in another batch; None where it is alone."""
    redrawn: Callable[[int, int, int], tuple[Tensor, float]] | None = None
    """So many estimates (n S) of a row, by a seed, as a mechanism draws by itself; and what one costs."""
    rows: tuple[int, ...] = (0,)
    """The rows of a problem that are sampled where they cannot be enumerated; none where they cannot be."""


def nothing() -> Float[Tensor, "1 0"]:
    """No gradient behind the choice."""
    return torch.zeros(1, 0, dtype=torch.float64)
