"""Straight-through: one position forward, the gradient of soft weights backward. Bengio et al. 2013
(1308.3432)."""

from typing import Unpack

from torch import Tensor

from attnlab import functional
from attnlab.base import AttentionInput, Categorical, Mechanism, Randomness, Selection, Selector, single
from attnlab.distributions import Softmax
from attnlab.estimators import Pathwise
from attnlab.randomness import draw, one_hot
from attnlab.rules import Beta, EvaluateAs
from attnlab.schedules import scheduled


class StraightThrough(Selector):
    """One one-hot alternative whose weights carry the gradient of probs; `choose` says which position."""

    def choose(self, categorical: Categorical, randomness: Randomness) -> Tensor:
        """The position taken forward, 1 B T: a draw from the distribution."""
        return draw(categorical.log_probs, 1, randomness)

    def forward(
        self, inputs: AttentionInput, randomness: Randomness, controls: tuple[str, ...] = ()
    ) -> Selection:
        categorical = self.distribution(inputs)
        probs = categorical.probs
        position = self.choose(categorical, randomness)
        return single(functional.straight_through(one_hot(position, probs), probs[None]), probs)


class ArgmaxStraightThrough(StraightThrough):
    """As StraightThrough, with the most probable position instead of a draw."""

    def choose(self, categorical: Categorical, randomness: Randomness) -> Tensor:
        """The position taken forward, 1 B T: the argmax."""
        return functional.argmax(categorical.probs)[None]


def hard_straight_through(*, evaluate_as: EvaluateAs, **beta: Unpack[Beta]) -> Mechanism:
    """weights = one-hot(z) + p - stop_gradient(p) with z ~ p = softmax(beta * scores).

    Paper: Bengio et al. 2013 (1308.3432).
    Bias: yes for the expected loss, except where the loss is affine in the weights.
    Cost: 1 evaluation of the loss.
    """
    distribution = Softmax(scheduled("beta", beta))
    return Mechanism(
        distribution, StraightThrough(distribution), Pathwise(), "expected", "gradient", evaluate_as
    )


def argmax_straight_through(*, evaluate_as: EvaluateAs, **beta: Unpack[Beta]) -> Mechanism:
    """weights = hardmax(p) + p - stop_gradient(p), p = softmax(beta * scores): nothing is drawn.

    Paper: a common variant of Bengio et al. 2013 (1308.3432).
    Bias: strong for the expected loss, except where the loss is affine in the weights.
    Cost: 1 evaluation of the loss.
    """
    distribution = Softmax(scheduled("beta", beta))
    return Mechanism(
        distribution, ArgmaxStraightThrough(distribution), Pathwise(), "expected", "gradient", evaluate_as
    )
