"""Soft attention: the expected value under the distribution, differentiable throughout. Bahdanau et al. 2015 (1409.0473)."""

import torch

from attnlab.base import AttentionInput, Distribution, Mechanism, Randomness, Selection, Selector
from attnlab.distributions import Softmax
from attnlab.estimators import Pathwise
from attnlab.rules import EvaluateAs, Positive


class Mixture(Selector):
    """One alternative, which mixes all positions: weights = probs."""

    def __init__(self, distribution: Distribution):
        super().__init__()
        self.distribution = distribution

    def forward(self, inputs: AttentionInput, randomness: Randomness, controls: tuple[str, ...] = ()) -> Selection:
        probs = self.distribution(inputs).probs
        neutral = torch.ones_like(probs[None, ..., 0])  # 1 B T
        return Selection(probs[None], neutral, torch.zeros_like(neutral), probs)


def soft(*, beta: Positive, evaluate_as: EvaluateAs) -> Mechanism:
    """weights = softmax(beta * scores); the loss at the averaged value. Exact for its own objective; 1 evaluation of the loss.

    beta: inverse temperature; evaluate_as: how it is read at evaluation.
    """
    distribution = Softmax(beta)
    return Mechanism(distribution, Mixture(distribution), Pathwise(), "soft", "mixture", evaluate_as)
