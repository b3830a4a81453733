"""Local attention: only positions near the target step, or at an offset from it, may be attended. Luong et
al. 2015 (1508.04025), local-m."""

from typing import Annotated, Unpack

import torch
from pydantic import Field

from attnlab.core.distributions import Softmax
from attnlab.core.interfaces import AttentionInput, Categorical, Mechanism
from attnlab.core.schedules import Scheduled, scheduled
from attnlab.facts import Facts
from attnlab.mechanisms.soft import averaged
from attnlab.settings import Beta, Length

Offset = Annotated[int, Field(ge=-(2**14), le=2**14)]


class Local(Softmax):
    """p = softmax(beta * scores) over the positions s with |s - (t + offset)| <= width; over all where none
    of them may be attended."""

    def __init__(self, beta: float | Scheduled, width: int, offset: int):
        super().__init__(beta)
        self.width, self.offset = width, offset

    def forward(self, inputs: AttentionInput) -> Categorical:
        positions = torch.arange(inputs.scores.size(-1), device=inputs.scores.device)
        centre = (inputs.step + self.offset)[:, None]
        near = ((positions - centre).abs() <= self.width) & inputs.mask
        near = near | ~near.any(-1, keepdim=True)
        return super().forward(inputs._replace(scores=inputs.scores.masked_fill(~near, -torch.inf)))


@Facts(
    paper="Luong et al. 2015 (1508.04025)",
    objective="soft",
    unbiased=True,
    needs="mixture",
    evaluations=1,
)
def local(*, width: Length, offset: Offset, **beta: Unpack[Beta]) -> Mechanism:
    """weights = softmax(beta * scores) within `width` positions of the target step t + offset, 0 elsewhere.

    A prior, and a strong one: right where source and target run alongside, hopeless where they do not.
    """
    return averaged(Local(scheduled("beta", beta), width, offset))
