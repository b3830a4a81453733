"""Soft attention over the k best positions."""

from typing import Unpack

from attnlab.core.distributions import TopK
from attnlab.core.interfaces import Mechanism
from attnlab.core.schedules import scheduled
from attnlab.facts import Facts
from attnlab.mechanisms.soft import averaged
from attnlab.settings import Beta, Size


@Facts(
    paper="Gupta et al. 2021 (2106.06899)", objective="soft", unbiased=True, needs="mixture", evaluations=1
)
def topk(*, k: Size, **beta: Unpack[Beta]) -> Mechanism:
    """weights = softmax(beta * scores) over the k best scores, 0 elsewhere; the loss at the averaged value.

    evaluate_as=soft reads all positions, topk (which same follows) the k best.
    """
    return averaged(TopK(k, scheduled("beta", beta)))
