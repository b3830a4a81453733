"""Soft attention over the k best positions."""

from typing import Literal, Unpack

from attnlab.base import Mechanism
from attnlab.distributions import TopK
from attnlab.mechanisms.soft import averaged
from attnlab.rules import Beta, Size
from attnlab.schedules import scheduled


def topk(
    *, k: Size, evaluate_as: Literal["same", "soft", "argmax", "marginal", "topk"], **beta: Unpack[Beta]
) -> Mechanism:
    """weights = softmax(beta * scores) over the k best scores, 0 elsewhere; the loss at the averaged value.

    evaluate_as=soft reads all positions, topk (which same follows) the k best.

    Paper: Gupta et al. 2021 (2106.06899).
    Bias: none for its own objective.
    Cost: 1 evaluation of the loss.
    """
    return averaged(TopK(k, scheduled("beta", beta)), evaluate_as)
