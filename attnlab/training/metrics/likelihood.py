"""How probable the right symbols are, the right prefix given."""

import torch

from attnlab.metric import POSITIVE, SHARE, Metric
from attnlab.training.answers import Predictions
from attnlab.training.metrics import Ratio


@Metric(better="lower", unit="nats a token", bounds=POSITIVE)
def nll(seen: Predictions) -> Ratio:
    """-log p(right symbol), a valid token."""
    losses = -seen.log_probs.gather(-1, seen.batch.target[..., None]).squeeze(-1).double()
    return torch.where(seen.valid, losses, 0.0), seen.valid


@Metric(better="higher", unit="share, 0 to 1", bounds=SHARE)
def token_accuracy(seen: Predictions) -> Ratio:
    """Share of valid tokens whose most probable symbol is right."""
    return (seen.log_probs.argmax(-1) == seen.batch.target) & seen.valid, seen.valid
