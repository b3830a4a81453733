"""Soft attention: the expected value under the distribution, differentiable throughout. Bahdanau et al. 2015
(1409.0473)."""

from typing import Unpack

from attnlab.attention.distributions import Softmax
from attnlab.attention.estimators import Pathwise
from attnlab.attention.interfaces import Distribution, Mechanism
from attnlab.attention.schedules import scheduled
from attnlab.attention.selectors import Mixture
from attnlab.settings import Beta, EvaluateAs


def averaged(distribution: Distribution, evaluate_as: str) -> Mechanism:
    """The mechanism of the loss at the value averaged under a distribution."""
    return Mechanism(distribution, Mixture(distribution), Pathwise(), "soft", "mixture", evaluate_as)


def soft(*, evaluate_as: EvaluateAs, **beta: Unpack[Beta]) -> Mechanism:
    """weights = softmax(beta * scores); the loss at the averaged value.

    Paper: Bahdanau et al. 2015 (1409.0473).
    Bias: none for its own objective; exact for the expected loss where the loss is affine in the weights.
    Cost: 1 evaluation of the loss.
    """
    return averaged(Softmax(scheduled("beta", beta)), evaluate_as)
