"""Soft attention: the expected value under the distribution, differentiable throughout. Bahdanau et al. 2015
(1409.0473)."""

from typing import Unpack

from attnlab.core.distributions import Softmax
from attnlab.core.estimators import Pathwise
from attnlab.core.interfaces import Distribution, Mechanism
from attnlab.core.schedules import scheduled
from attnlab.core.selectors import Mixture
from attnlab.facts import Facts
from attnlab.settings import Beta


def averaged(distribution: Distribution) -> Mechanism:
    """The mechanism of the loss at the value averaged under a distribution."""
    return Mechanism(distribution, Mixture(distribution), Pathwise())


@Facts(
    paper="Bahdanau et al. 2015 (1409.0473)", objective="soft", unbiased=True, needs="mixture", evaluations=1
)
def soft(**beta: Unpack[Beta]) -> Mechanism:
    """weights = softmax(beta * scores); the loss at the averaged value.

    Also exact for the expected loss where the loss is affine in the weights.
    """
    return averaged(Softmax(scheduled("beta", beta)))
