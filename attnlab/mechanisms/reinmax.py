"""ReinMax: a straight-through estimator that is exact to second order. Liu et al. 2023 (2304.08612)."""

from typing import Unpack

import torch

from attnlab import functional
from attnlab.core.distributions import Softmax
from attnlab.core.estimators import Pathwise
from attnlab.core.interfaces import AttentionInput, Distribution, Mechanism, Selection, Selector, single
from attnlab.core.schedules import Scheduled, scheduled
from attnlab.facts import Facts
from attnlab.randomness import Randomness, draw, one_hot
from attnlab.settings import BetaAndTemperature


class ReinMax(Selector):
    """A one-hot draw D; its weights carry the gradient 2 J(q) - J(p) / 2, q = (D + p_temperature) / 2, J(q) =
    diag q - q q'."""

    def __init__(self, distribution: Distribution, temperature: Scheduled):
        super().__init__(distribution)
        self.temperature = temperature

    def forward(self, inputs: AttentionInput, randomness: Randomness) -> Selection:
        probs, log_probs = self.distribution(inputs)
        hard = one_hot(draw(log_probs, randomness), probs)
        middle = (hard + torch.softmax(log_probs / self.temperature(), -1).to(probs.dtype)).detach() / 2
        present = middle > 0
        log_middle = (
            torch.where(present, middle, 1.0).log().masked_fill(~present, functional.lowest(probs.dtype))
        )
        # a softmax with the value of `middle`, so that its gradient in log p is J(middle)
        second = torch.softmax(log_probs + (log_middle - log_probs).detach(), -1)
        return single(functional.straight_through(hard, 2 * second - probs / 2), probs)


@Facts(
    paper="Liu et al. 2023 (2304.08612)",
    objective="expected",
    unbiased=False,
    needs="gradient",
    evaluations=1,
)
def reinmax(**settings: Unpack[BetaAndTemperature]) -> Mechanism:
    """weights = one-hot(D) + w - stop_gradient(w), where dw/dscores = 2 J(q) - J(p) / 2, J(q) = diag q - q
    q'.

    q = (one-hot(D) + p_temperature) / 2, D ~ p = softmax(beta * scores), p_temperature = softmax(beta *
    scores / temperature). Raises ValueError for a temperature below 1.

    Biased except where the loss is at most quadratic in the weights and the temperature is 1.
    """
    lowest = min(
        value for value in (settings["temperature"], settings["temperature_end"]) if value is not None
    )
    if lowest < 1:
        raise ValueError(
            f"reinmax needs temperature >= 1, got {lowest}; a colder choice is attention.beta > 1"
        )
    distribution = Softmax(scheduled("beta", settings))
    selector = ReinMax(distribution, scheduled("temperature", settings))
    return Mechanism(distribution, selector, Pathwise())
