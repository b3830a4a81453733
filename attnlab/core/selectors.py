"""Selectors that many mechanisms share: a mixture, the most probable position, draws, every position."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from attnlab import functional
from attnlab.core.distributions import most_probable
from attnlab.core.interfaces import AttentionInput, Distribution, Selection, Selector, costless, single
from attnlab.randomness import Randomness, draw, log_prob_of, one_hot


class Mixture(Selector):
    """Each alternative mixes all positions, by the probabilities or what the distribution has for weights."""

    def forward(self, inputs: AttentionInput, randomness: Randomness) -> Selection:
        return single(*self.distribution.mixed(inputs))


class Argmax(Selector):
    """Each alternative takes the most probable position; of equal ones, the first, the last, or all in equal
    shares: leftmost, rightmost and average hard attention in the theory of what Transformers can express
    (Hao et al. 2022, 2204.06618; Merrill et al. 2022, 2106.16213)."""

    def __init__(self, distribution: Distribution, ties: functional.Ties = "first"):
        super().__init__(distribution)
        self.ties: functional.Ties = ties

    def forward(self, inputs: AttentionInput, randomness: Randomness) -> Selection:
        probs = self.distribution(inputs).probs
        return single(most_probable(probs, self.ties), probs)


CONTROLS = {"argmax": most_probable, "soft": Tensor.detach}


def control(returns: Float[Tensor, "K B T"], selection: Selection) -> Float[Tensor, "1 B T"]:
    """The return of the last alternative, which a selector appends for a baseline's `controls`, with mass 0.

    NaN where the selector was not asked for it: the draw itself would stand there, and the estimate would be
    wrong in silence.
    """
    return torch.where(selection.mass[-1:] == 0, returns[-1:], torch.nan)


class Draws(Selector):
    """`samples` independent draws with replacement, mass 1/samples each and one-hot weights; then the
    controls of a baseline, mass 0. Shown that many alternatives, it draws once for each."""

    def __init__(self, distribution: Distribution, samples: int, controls: tuple[str, ...] = ()):
        super().__init__(distribution)
        self.samples = samples
        self.controls = controls

    def forward(self, inputs: AttentionInput, randomness: Randomness) -> Selection:
        probs, log_probs = self.distribution(inputs)
        each = (self.samples + len(self.controls), *probs.shape[1:])
        all_probs, all_log_probs = probs.expand(each), log_probs.expand(each)[: self.samples]
        position = draw(all_log_probs, randomness)  # K B *H T
        chosen = log_prob_of(position, all_log_probs)
        extra = [CONTROLS[name](all_probs[k : k + 1]) for k, name in enumerate(self.controls, self.samples)]
        shares = [1 / self.samples] * self.samples + [0.0] * len(extra)
        mass = chosen.new_tensor(shares)[:, None, None].expand(-1, each[1], 1)
        nothing = torch.zeros_like(chosen[:1]).detach().expand(len(extra), *chosen.shape[1:])
        weights = torch.cat([one_hot(position, probs), *extra])
        return Selection(weights, mass, torch.cat([chosen, nothing]), probs, costless(probs))


def alone(probs: Tensor, what: str) -> Tensor:
    """Probabilities 1 B T S of the only choice there is, as B T S. Raises ValueError for several alternatives
    or heads, which `what`, the selector, cannot go on with."""
    if probs.ndim != 4 or len(probs) != 1:
        raise ValueError(
            f"{what} tries positions step by step and needs one choice a step, on which no later one "
            f"depends; got {len(probs)} alternatives of shape {tuple(probs.shape[1:])}"
        )
    return probs[0]


class Enumeration(Selector):
    """K = S alternatives, one for each position: one-hot weights, mass p(s), log_prob log p(s).

    The weights are the same at all steps (size 1 there), so that only what lies behind the read is paid S
    times, unless the mask differs between steps. Where nothing may be attended, all of them read nothing and
    count the same.
    """

    anywhere = False

    def forward(self, inputs: AttentionInput, randomness: Randomness) -> Selection:
        probs, log_probs = self.distribution(inputs)
        positions = alone(probs, "enumeration").size(-1)
        each = torch.eye(positions, dtype=probs.dtype, device=probs.device)
        nothing = ~inputs.mask[0].any(-1)  # B #T
        mass = probs[0].movedim(-1, 0).masked_fill(nothing, 1 / positions)
        log_prob = log_probs[0].movedim(-1, 0).masked_fill(nothing, -math.log(positions))
        weights = each[:, None, None] * ~nothing[..., None]
        return Selection(weights, mass, log_prob, probs, costless(probs))

    def given(
        self, selection: Selection, earlier: Float[Tensor, "#K B T"], before: Selection | None
    ) -> Selection:
        return self.distribution.given(selection, earlier, before)
