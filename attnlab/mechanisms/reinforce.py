"""Hard attention by REINFORCE: positions are drawn in training, and the log-probability of a draw is pushed
by its return."""

from typing import Literal, Unpack

import torch
from torch import Tensor

from attnlab import baselines
from attnlab.base import AttentionInput, Distribution, Mechanism, Randomness, Selection, Selector
from attnlab.distributions import Softmax, most_probable
from attnlab.estimators import Reinforce
from attnlab.randomness import draw, log_prob_of, one_hot
from attnlab.rules import Beta, EvaluateAs, Size
from attnlab.schedules import scheduled

BASELINES = {
    "none": baselines.NoBaseline,
    "moving_average": baselines.MovingAverage,
    "leave_one_out": baselines.LeaveOneOut,
    "self_critical": baselines.SelfCritical,
    "soft": baselines.SoftValue,
    "learned": baselines.Learned,
}
CONTROLS = {"argmax": most_probable, "soft": Tensor.detach}


class Draws(Selector):
    """`samples` independent draws with replacement, mass 1/samples each and one-hot weights; then the
    controls, mass 0."""

    def __init__(self, distribution: Distribution, samples: int):
        super().__init__(distribution)
        self.samples = samples

    def forward(
        self, inputs: AttentionInput, randomness: Randomness, controls: tuple[str, ...] = ()
    ) -> Selection:
        probs, log_probs = self.distribution(inputs)
        position = draw(log_probs, self.samples, randomness)  # K B T
        chosen = log_prob_of(position, log_probs)
        mass = torch.full_like(chosen, 1 / self.samples)
        extra = [CONTROLS[name](probs)[None] for name in controls]
        nothing = torch.zeros_like(chosen[:1]).detach().expand(len(extra), -1, -1)
        weights = torch.cat([one_hot(position, probs), *extra])
        return Selection(weights, torch.cat([mass, nothing]), torch.cat([chosen, nothing]), probs)


def hard_reinforce(
    *,
    samples: Size,
    baseline: Literal["none", "moving_average", "leave_one_out", "self_critical", "soft", "learned"],
    evaluate_as: EvaluateAs,
    **beta: Unpack[Beta],
) -> Mechanism:
    """mean_k loss(z_k) + stop_gradient(loss(z_k) - baseline) log p(z_k) with z_k ~ p = softmax(beta *
    scores).

    Raises ValueError for `leave_one_out` with a single sample.

    Paper: Williams 1992; Xu et al. 2015 (1502.03044).
    Bias: none for the expected loss, under every baseline.
    Cost: `samples` evaluations of the loss; one more for the baselines self_critical and soft.
    """
    if baseline == "leave_one_out" and samples < 2:
        raise ValueError(
            "baseline=leave_one_out compares each draw with the others and needs samples >= 2, got "
            f"{samples}; "
            "with one sample use none, moving_average, self_critical, soft or learned"
        )
    distribution = Softmax(scheduled("beta", beta))
    estimator = Reinforce(BASELINES[baseline]())
    needs = "mixture" if baseline == "soft" else "value"
    return Mechanism(distribution, Draws(distribution, samples), estimator, "expected", needs, evaluate_as)
