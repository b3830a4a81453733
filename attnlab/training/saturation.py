"""How much of a gradient a softmax lets through."""

import torch

from attnlab import functional
from attnlab.metric import POSITIVE, Metric
from attnlab.training.answers import Predictions
from attnlab.training.metrics import Ratio


@Metric(better="", unit="", bounds=POSITIVE)
def softmax_jacobian(seen: Predictions) -> Ratio:
    """The Frobenius norm of diag(p) - p p', a valid step; times beta it is that of the derivative of
    p = softmax(beta * scores) in the scores.

    Its square is sum_i p_i^2 (1 - p_i)^2 + sum_{i != j} p_i^2 p_j^2: 0 where one position has everything.
    """
    probs = seen.probs.double()
    top = probs.amax(-1)
    rest = probs * (1 - functional.hardmax(probs))  # without the largest, which all others are lost beside
    squares = rest.square().sum(-1)
    alone = (top * rest.sum(-1)).square() + (rest * (1 - rest)).square().sum(-1)
    pairs = 2 * top.square() * squares + squares.square() - rest.pow(4).sum(-1)
    norm = (alone + pairs).sqrt()
    return torch.where(seen.valid, norm, 0.0), seen.valid.expand(norm.shape)
