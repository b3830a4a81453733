"""Straight-through: one position forward, the gradient of soft weights backward. Bengio et al. 2013
(1308.3432)."""

from typing import Unpack

from torch import Tensor

from attnlab import functional
from attnlab.core.distributions import Softmax, most_probable
from attnlab.core.estimators import Pathwise
from attnlab.core.interfaces import AttentionInput, Categorical, Mechanism, Selection, Selector, single
from attnlab.core.schedules import scheduled
from attnlab.facts import Facts
from attnlab.randomness import Randomness, draw, one_hot
from attnlab.settings import Beta


class _StraightThrough(Selector):
    """One one-hot alternative whose weights carry the gradient of probs; `choose` says which."""

    def choose(self, categorical: Categorical, randomness: Randomness) -> Tensor:
        """The one-hot vector taken forward, for each alternative: a draw from the distribution."""
        return one_hot(draw(categorical.log_probs, randomness), categorical.probs)

    def forward(self, inputs: AttentionInput, randomness: Randomness) -> Selection:
        categorical = self.distribution(inputs)
        hard, probs = self.choose(categorical, randomness), categorical.probs
        return single(functional.straight_through(hard, probs), probs)


class ArgmaxStraightThrough(_StraightThrough):
    """As _StraightThrough, with the most probable position instead of a draw."""

    def choose(self, categorical: Categorical, randomness: Randomness) -> Tensor:
        """The one-hot vector taken forward, for each alternative: the argmax."""
        return most_probable(categorical.probs)


@Facts(
    paper="Bengio et al. 2013 (1308.3432)",
    objective="expected",
    unbiased=False,
    needs="gradient",
    evaluations=1,
)
def hard_straight_through(**beta: Unpack[Beta]) -> Mechanism:
    """weights = one-hot(z) + p - stop_gradient(p) with z ~ p = softmax(beta * scores).

    Biased except where the loss is affine in the weights.
    """
    distribution = Softmax(scheduled("beta", beta))
    return Mechanism(distribution, _StraightThrough(distribution), Pathwise())


@Facts(
    paper="a common variant of Bengio et al. 2013 (1308.3432)",
    objective="expected",
    unbiased=False,
    needs="gradient",
    evaluations=1,
)
def argmax_straight_through(**beta: Unpack[Beta]) -> Mechanism:
    """weights = hardmax(p) + p - stop_gradient(p), p = softmax(beta * scores): nothing is drawn.

    Strongly biased except where the loss is affine in the weights.
    """
    distribution = Softmax(scheduled("beta", beta))
    return Mechanism(distribution, ArgmaxStraightThrough(distribution), Pathwise())
