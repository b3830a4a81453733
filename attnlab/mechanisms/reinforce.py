"""Hard attention by REINFORCE: positions are drawn in training, and the log-probability of a draw is pushed by its return."""

from typing import Literal

import torch
from torch import Tensor

from attnlab import baselines, functional
from attnlab.base import AttentionInput, Categorical, Distribution, Mechanism, Randomness, Selection, Selector
from attnlab.distributions import Softmax
from attnlab.estimators import Reinforce
from attnlab.randomness import draw
from attnlab.rules import Count, EvaluateAs, Positive

BASELINES = {
    "none": baselines.NoBaseline,
    "moving_average": baselines.MovingAverage,
    "leave_one_out": baselines.LeaveOneOut,
    "self_critical": baselines.SelfCritical,
}
CONTROLS = {"argmax": lambda probs: functional.hardmax(probs), "soft": lambda probs: probs.detach()}


class Draws(Selector):
    """`samples` independent draws with replacement, mass 1/samples each and one-hot weights; then the controls, mass 0."""

    def __init__(self, distribution: Distribution, samples: int):
        super().__init__()
        self.distribution = distribution
        self.samples = samples

    def forward(self, inputs: AttentionInput, randomness: Randomness, controls: tuple[str, ...] = ()) -> Selection:
        categorical: Categorical = self.distribution(inputs)
        probs, log_probs = categorical
        position = draw(log_probs, self.samples, randomness)  # K B T
        drawn = one_hot(position, probs)
        chosen = log_probs.expand(self.samples, *log_probs.shape).gather(-1, position[..., None]).squeeze(-1)
        mass = torch.full_like(chosen, 1 / self.samples)
        extra = [CONTROLS[name](probs)[None] for name in controls]
        nothing = torch.zeros_like(chosen[:1]).detach().expand(len(extra), -1, -1)
        return Selection(torch.cat([drawn, *extra]), torch.cat([mass, nothing]), torch.cat([chosen, nothing]), probs)


def one_hot(position: Tensor, like: Tensor) -> Tensor:
    """One-hot vectors (..., S) of positions (...), in the dtype of `like` and as long as its last axis."""
    return (position[..., None] == torch.arange(like.size(-1), device=like.device)).to(like.dtype)


def hard_reinforce(
    *,
    beta: Positive,
    samples: Count,
    baseline: Literal["none", "moving_average", "leave_one_out", "self_critical"],
    evaluate_as: EvaluateAs,
) -> Mechanism:
    """mean_k loss(z_k) + stop_gradient(loss(z_k) - baseline) log p(z_k), z_k ~ p. Williams 1992; Xu et al. 2015 (1502.03044).

    Unbiased for the expected loss; `samples` evaluations of the loss, one more for `self_critical`. beta: inverse temperature;
    evaluate_as: how it is read at evaluation. Raises ValueError for `leave_one_out` with a single sample.
    """
    if baseline == "leave_one_out" and samples < 2:
        raise ValueError(f"baseline=leave_one_out compares each draw with the others and needs samples >= 2, got {samples}")
    distribution = Softmax(beta)
    estimator = Reinforce(BASELINES[baseline]())
    return Mechanism(distribution, Draws(distribution, samples), estimator, "expected", "value", evaluate_as)
