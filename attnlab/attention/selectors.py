"""Selectors that many mechanisms share: a mixture, the most probable position, draws, every position."""

import math

import torch
from torch import Tensor

from attnlab.attention.distributions import most_probable
from attnlab.attention.interfaces import AttentionInput, Distribution, Selection, Selector, single
from attnlab.randomness import Randomness, draw, log_prob_of, one_hot


class Mixture(Selector):
    """One alternative, which mixes all positions: weights = probs."""

    def forward(
        self, inputs: AttentionInput, randomness: Randomness, controls: tuple[str, ...] = ()
    ) -> Selection:
        probs = self.distribution(inputs).probs
        return single(probs[None], probs)


class Argmax(Selector):
    """One alternative: the most probable position."""

    def forward(
        self, inputs: AttentionInput, randomness: Randomness, controls: tuple[str, ...] = ()
    ) -> Selection:
        probs = self.distribution(inputs).probs
        return single(most_probable(probs)[None], probs)


CONTROLS = {"argmax": most_probable, "soft": Tensor.detach}


class Draws(Selector):
    """`samples` independent draws with replacement, mass 1/samples each and one-hot weights; then the
    controls, mass 0."""

    def __init__(self, distribution: Distribution, samples: int):
        super().__init__(distribution)
        self.samples = samples

    def forward(
        self, inputs: AttentionInput, randomness: Randomness, controls: tuple[str, ...] = ()
    ) -> Selection:
        probs, log_probs = self.distribution(inputs)
        position = draw(log_probs, self.samples, randomness)  # K B T
        chosen = log_prob_of(position, log_probs)
        mass = torch.full_like(chosen, 1 / self.samples)
        extra = [CONTROLS[name](probs)[None] for name in controls]
        nothing = torch.zeros_like(chosen[:1]).detach().expand(len(extra), -1, -1)
        weights = torch.cat([one_hot(position, probs), *extra])
        return Selection(weights, torch.cat([mass, nothing]), torch.cat([chosen, nothing]), probs)


class Enumeration(Selector):
    """K = S alternatives, one for each position: one-hot weights, mass p(s), log_prob log p(s).

    The weights are the same at all steps (size 1 there), so that only what lies behind the read is paid S
    times, unless the mask differs between steps. Where nothing may be attended, all of them read nothing and
    count the same.
    """

    def forward(
        self, inputs: AttentionInput, randomness: Randomness, controls: tuple[str, ...] = ()
    ) -> Selection:
        probs, log_probs = self.distribution(inputs)
        positions = probs.size(-1)
        each = torch.eye(positions, dtype=probs.dtype, device=probs.device)
        nothing = ~inputs.mask.any(-1)  # B #T
        mass = probs.movedim(-1, 0).masked_fill(nothing, 1 / positions)
        log_prob = log_probs.movedim(-1, 0).masked_fill(nothing, -math.log(positions))
        return Selection(each[:, None, None] * ~nothing[..., None], mass, log_prob, probs)
