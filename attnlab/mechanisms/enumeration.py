"""Exact hard attention: every source position is tried, nothing is drawn. The upper bound that estimators are
held against."""

from typing import Unpack

from attnlab.core.distributions import Softmax
from attnlab.core.estimators import Marginal, Pathwise
from attnlab.core.interfaces import Distribution, Mechanism
from attnlab.core.schedules import scheduled
from attnlab.core.selectors import Enumeration
from attnlab.facts import Facts
from attnlab.settings import Beta


def expected(distribution: Distribution) -> Mechanism:
    """The mechanism of the loss expected under a distribution, enumerated."""
    return Mechanism(distribution, Enumeration(distribution), Pathwise())


@Facts(
    paper="Xu et al. 2015 (1502.03044)", objective="expected", unbiased=True, needs="value", evaluations="S"
)
def hard_exact(**beta: Unpack[Beta]) -> Mechanism:
    """sum_s p(s) loss(s) with p = softmax(beta * scores): the expected loss, enumerated."""
    return expected(Softmax(scheduled("beta", beta)))


@Facts(
    paper="Deng et al. 2018 (1807.03756); Wu et al. 2018 (1808.10024)",
    objective="marginal",
    unbiased=True,
    needs="value",
    evaluations="S",
)
def hard_marginal(**beta: Unpack[Beta]) -> Mechanism:
    """-log sum_s p(s) exp(-loss(s)) with p = softmax(beta * scores): the marginal likelihood of each step,
    enumerated."""
    distribution = Softmax(scheduled("beta", beta))
    return Mechanism(distribution, Enumeration(distribution), Marginal())
