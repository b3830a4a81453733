"""Hard attention by REINFORCE: positions are drawn in training, and the log-probability of a draw is pushed
by its return."""

from typing import Literal, Unpack

from attnlab.core import baselines
from attnlab.core.distributions import Softmax
from attnlab.core.estimators import Reinforce
from attnlab.core.interfaces import Mechanism
from attnlab.core.schedules import scheduled
from attnlab.core.selectors import Draws
from attnlab.facts import Facts
from attnlab.settings import Beta, Size

BASELINES = {
    "none": baselines.NoBaseline,
    "moving_average": baselines.MovingAverage,
    "leave_one_out": baselines.LeaveOneOut,
    "self_critical": baselines.SelfCritical,
    "soft": baselines.SoftValue,
    "learned": baselines.Learned,
}


@Facts(
    paper="Williams 1992; Xu et al. 2015 (1502.03044)",
    objective="expected",
    unbiased=True,
    needs="value",
    evaluations="samples",
    where={
        "baseline=self_critical": {"evaluations": "samples + 1"},
        "baseline=soft": {"evaluations": "samples + 1", "needs": "mixture"},
    },
)
def hard_reinforce(
    *,
    samples: Size,
    baseline: Literal["none", "moving_average", "leave_one_out", "self_critical", "soft", "learned"],
    **beta: Unpack[Beta],
) -> Mechanism:
    """mean_k loss(z_k) + stop_gradient(loss(z_k) - baseline) log p(z_k) with z_k ~ p = softmax(beta *
    scores).

    Raises ValueError for `leave_one_out` with a single sample.
    """
    if baseline == "leave_one_out" and samples < 2:
        raise ValueError(
            "baseline=leave_one_out compares each draw with the others and needs samples >= 2, got "
            f"{samples}; "
            "with one sample use none, moving_average, self_critical, soft or learned"
        )
    distribution = Softmax(scheduled("beta", beta))
    make = BASELINES[baseline]
    selector = Draws(distribution, samples, make.controls)
    return Mechanism(distribution, selector, Reinforce(make))
