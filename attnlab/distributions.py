"""The categorical distributions that mechanisms choose from."""

import torch
from torch import Tensor

from attnlab import functional
from attnlab.base import AttentionInput, Categorical, Distribution


class Softmax(Distribution):
    """p = softmax(beta * scores). beta is a 0-dim buffer, so that a schedule can move it."""

    beta: Tensor

    def __init__(self, beta: float):
        super().__init__()
        if not beta > 0:
            raise ValueError(f"beta must be positive, got {beta}; beta -> 0 is uniform, beta -> inf is argmax")
        self.register_buffer("beta", torch.tensor(float(beta)))

    def forward(self, inputs: AttentionInput) -> Categorical:
        log_probs = functional.log_softmax(inputs.scores, self.beta)
        return Categorical(log_probs.exp(), log_probs)
