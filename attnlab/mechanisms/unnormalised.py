"""Attention that may read less than one whole value, or more: positions compete with a sink, with those
behind them, or not at all.

The figures of attention and the rules argmax and marginal speak of the shares of the weights, which sum to
one; how much is read in all is not among them.
"""

from typing import Unpack

from torch import Tensor
from torch.nn import functional

from attnlab.core.distributions import Unnormalised
from attnlab.core.interfaces import AttentionInput, Mechanism
from attnlab.core.schedules import Scheduled, scheduled
from attnlab.facts import Facts
from attnlab.functional import log_softmax
from attnlab.mechanisms.soft import averaged
from attnlab.settings import Beta


class _OfLogits(Unnormalised):
    """Weights that are a function of beta * scores."""

    def __init__(self, beta: Scheduled):
        super().__init__()
        self.beta = beta

    def logits(self, inputs: AttentionInput) -> Tensor:
        """beta * scores."""
        return self.beta().to(inputs.scores.dtype) * inputs.scores


class Sigmoid(_OfLogits):
    """w = sigmoid(beta * scores), or with a bias of -log n, n the positions that may be attended."""

    def __init__(self, beta: Scheduled, bias: bool):
        super().__init__(beta)
        self.bias = bias

    def log_weights(self, inputs: AttentionInput) -> Tensor:
        return functional.logsigmoid(self.logits(inputs) - self.bias * inputs.number.log())


class Sink(_OfLogits):
    """w_s = exp(beta * score_s) / (1 + sum_r exp(beta * score_r))."""

    def log_weights(self, inputs: AttentionInput) -> Tensor:
        beside = functional.pad(self.logits(inputs), (0, 1))  # a logit of 0, at which nothing is read
        return log_softmax(beside)[..., :-1]


class StickBreaking(_OfLogits):
    """w_s = sigmoid(z_s) prod_{r > s} (1 - sigmoid(z_r)) with z = beta * scores, over the positions r that
    may be attended."""

    def log_weights(self, inputs: AttentionInput) -> Tensor:
        logits = self.logits(inputs)
        behind = functional.pad(functional.logsigmoid(-logits)[..., 1:], (0, 1))
        return functional.logsigmoid(logits) + behind.flip(-1).cumsum(-1).flip(-1)


@Facts(
    paper="Ramapuram et al. 2024 (2409.04431)",
    objective="soft",
    unbiased=True,
    needs="mixture",
    evaluations=1,
)
def sigmoid(*, bias: bool, **beta: Unpack[Beta]) -> Mechanism:
    """weights = sigmoid(beta * scores - log n), or sigmoid(beta * scores) without bias: no position takes
    weight from another.

    Nothing normalises them: at equal scores of 0 their sum is about 1 with the bias, and n / 2 without.
    """
    return averaged(Sigmoid(scheduled("beta", beta), bias))


@Facts(
    paper="Xiao et al. 2024 (2309.17453); Miller 2023, Attention is off by one",
    objective="soft",
    unbiased=True,
    needs="mixture",
    evaluations=1,
)
def sink(**beta: Unpack[Beta]) -> Mechanism:
    """weights_s = exp(beta * score_s) / (1 + sum_r exp(beta * score_r)): softmax with one more score, of 0,
    that takes weight and gives nothing. Where all scores are far below 0, nothing is read.

    A position that leads by a gap g spreads out over n positions as in softmax.
    """
    return averaged(Sink(scheduled("beta", beta)))


@Facts(
    paper="Tan et al. 2025 (2410.17980); Csordas et al. 2022 (2110.07732)",
    objective="soft",
    unbiased=True,
    needs="mixture",
    evaluations=1,
)
def stick_breaking(**beta: Unpack[Beta]) -> Mechanism:
    """weights_s = sigmoid(z_s) prod_{r > s} (1 - sigmoid(z_r)), z = beta * scores: from the last position on
    backwards, each takes its part of what those behind it have left, and what is left in the end is not read.

    What stands before a position cannot take weight from it, however much that is.
    """
    return averaged(StickBreaking(scheduled("beta", beta)))
