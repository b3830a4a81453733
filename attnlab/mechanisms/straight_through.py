"""Straight-through: one position forward, the gradient of the soft weights backward. Bengio et al. 2013 (1308.3432)."""

import torch
from torch import Tensor

from attnlab import functional
from attnlab.base import AttentionInput, Categorical, Distribution, Mechanism, Randomness, Selection, Selector
from attnlab.distributions import Softmax
from attnlab.estimators import Pathwise
from attnlab.mechanisms.reinforce import one_hot
from attnlab.randomness import draw
from attnlab.rules import EvaluateAs, Positive


class StraightThrough(Selector):
    """One one-hot alternative whose weights carry the gradient of probs; `choose` says which position."""

    def __init__(self, distribution: Distribution):
        super().__init__()
        self.distribution = distribution

    def choose(self, categorical: Categorical, randomness: Randomness) -> Tensor:
        """The position taken forward, 1 B T: a draw from the distribution."""
        return draw(categorical.log_probs, 1, randomness)

    def forward(self, inputs: AttentionInput, randomness: Randomness, controls: tuple[str, ...] = ()) -> Selection:
        categorical = self.distribution(inputs)
        probs = categorical.probs
        position = self.choose(categorical, randomness)
        weights = functional.straight_through(one_hot(position, probs), probs[None])
        neutral = torch.ones_like(probs[None, ..., 0])
        return Selection(weights, neutral, torch.zeros_like(neutral), probs)


class ArgmaxStraightThrough(StraightThrough):
    """As StraightThrough, with the most probable position instead of a draw."""

    def choose(self, categorical: Categorical, randomness: Randomness) -> Tensor:
        """The position taken forward, 1 B T: the argmax."""
        return functional.argmax(categorical.probs)[None]


def hard_straight_through(*, beta: Positive, evaluate_as: EvaluateAs) -> Mechanism:
    """weights = one-hot(z) + p - stop_gradient(p) with z ~ p. Bengio et al. 2013 (1308.3432).

    Biased for the expected loss, exact where the loss is affine in the weights; 1 evaluation of the loss. beta: inverse
    temperature; evaluate_as: how it is read at evaluation.
    """
    distribution = Softmax(beta)
    return Mechanism(distribution, StraightThrough(distribution), Pathwise(), "expected", "gradient", evaluate_as)


def argmax_straight_through(*, beta: Positive, evaluate_as: EvaluateAs) -> Mechanism:
    """weights = hardmax(p) + p - stop_gradient(p): nothing is drawn, and the position is that of evaluation.

    Strongly biased for the expected loss, exact where the loss is affine in the weights; 1 evaluation of the loss. beta:
    inverse temperature; evaluate_as: how it is read at evaluation.
    """
    distribution = Softmax(beta)
    return Mechanism(distribution, ArgmaxStraightThrough(distribution), Pathwise(), "expected", "gradient", evaluate_as)
