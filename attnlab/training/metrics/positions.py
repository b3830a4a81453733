"""Where attention looks, the right prefix given: over all sites and heads between source and target."""

import torch
from torch import Tensor

from attnlab import functional
from attnlab.core.distributions import most_probable
from attnlab.metric import POSITIVE, SHARE, Metric
from attnlab.training.answers import Predictions
from attnlab.training.metrics import Ratio


@Metric(better="", unit="nats", bounds=POSITIVE)
def attention_entropy(seen: Predictions) -> Ratio:
    """Entropy of the attention, a valid step."""
    everywhere = seen.valid.expand(seen.probs.shape[:-1])
    return torch.where(seen.valid, functional.entropy(seen.probs.double()), 0.0), everywhere


@Metric(better="higher", unit="share, 0 to 1", bounds=SHARE)
def alignment_accuracy(seen: Predictions) -> Ratio:
    """Share of steps with gold whose most probable position is right."""
    known = _known(seen)
    return torch.where(known, (most_probable(seen.probs) * _gold(seen)).sum(-1), 0.0), known


@Metric(better="higher", unit="share, 0 to 1", bounds=SHARE)
def alignment_mass(seen: Predictions) -> Ratio:
    """Probability of the right positions, a step with gold."""
    known = _known(seen)
    return torch.where(known, (seen.probs.double() * _gold(seen)).sum(-1), 0.0), known


def _gold(seen: Predictions) -> Tensor:
    return seen.batch.gold.expand_as(seen.probs)


def _known(seen: Predictions) -> Tensor:
    return _gold(seen).any(-1) & seen.valid
