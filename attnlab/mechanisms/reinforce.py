"""Hard attention by REINFORCE: positions are drawn in training, and the log-probability of a draw is pushed
by its return."""

from typing import Unpack

from attnlab.core.baselines import baseline_class
from attnlab.core.distributions import Softmax
from attnlab.core.estimators import Reinforce
from attnlab.core.interfaces import Mechanism
from attnlab.core.schedules import scheduled
from attnlab.core.selectors import Draws
from attnlab.facts import Facts
from attnlab.settings import BaselineName, Beta, Credit, Size


@Facts(
    paper="Williams 1992; Xu et al. 2015 (1502.03044)",
    objective="expected",
    unbiased=True,
    needs="value",
    evaluations="samples",
)
def hard_reinforce(
    *, samples: Size, baseline: BaselineName, credit: Credit | None, **beta: Unpack[Beta]
) -> Mechanism:
    """mean_k loss(z_k) + stop_gradient(loss(z_k) - baseline) log p(z_k) with z_k ~ p = softmax(beta *
    scores).

    Each control that a baseline reads is one more evaluation of the loss. Raises ValueError for fewer samples
    than the baseline needs, as a single one for `leave_one_out`.
    """
    make = baseline_class(baseline, samples)
    distribution = Softmax(scheduled("beta", beta))
    selector = Draws(distribution, samples, make.controls)
    return Mechanism(distribution, selector, Reinforce(make, credit))
