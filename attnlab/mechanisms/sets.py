"""A set of different positions, drawn without replacement. Kool et al. 2020 (2002.06043)."""

from typing import Unpack

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attnlab import functional
from attnlab.core.distributions import Softmax
from attnlab.core.estimators import Reinforce
from attnlab.core.interfaces import (
    AttentionInput,
    Baseline,
    Categorical,
    Distribution,
    Mechanism,
    Selection,
    Selector,
    Site,
    costless,
)
from attnlab.core.schedules import scheduled
from attnlab.core.selectors import alone
from attnlab.facts import Facts
from attnlab.randomness import Randomness, log_prob_of, one_hot
from attnlab.settings import Beta, Size

_LARGEST_SET = 8  # 2^8 subsets a step


def members(position: Int[Tensor, "K B T"], categorical: Categorical) -> tuple[Tensor, Tensor, Tensor]:
    """One-hot weights (K B T S), log_prob (K B T) and presence (K B T) of different positions, those that are
    masked last.

    What the source is too short for is absent: it repeats the first position, with log_prob 0. Where nothing
    may be attended, that is no position.
    """
    log_prob = log_prob_of(position, categorical.log_probs)
    present = (position >= 0) & (log_prob > functional.lowest(log_prob.dtype))
    first = position[:1].masked_fill(~present[:1], -1)
    weights = one_hot(torch.where(present, position, first), categorical.probs)
    return weights, log_prob.masked_fill(~present, 0.0), present


def counted(mass: Float[Tensor, "K B T"], present: Bool[Tensor, "K B T"]) -> Float[Tensor, "K B T"]:
    """The mass of what is present, detached; the first alternative has all of it where nothing is."""
    first = torch.arange(len(mass), device=mass.device)[:, None, None] == 0
    return torch.where(present.any(0), mass.detach() * present, first.to(mass.dtype))


def presence(weights: Float[Tensor, "K B T S"]) -> Bool[Tensor, "K B T"]:
    """Which members do not repeat an earlier one."""
    return ((weights.cumsum(0) - weights) * weights).sum(-1) == 0


class UnorderedSet(Selector):
    """`samples` different positions without replacement, mass p(s) R(S, s): the set's own estimate of the
    expectation.

    R(S, s) is the probability of the set S given that s came first, over that of S.
    """

    anywhere = False

    def __init__(self, distribution: Distribution, samples: int):
        super().__init__(distribution)
        self.samples = samples

    def forward(self, inputs: AttentionInput, randomness: Randomness) -> Selection:
        categorical = self.distribution(inputs)
        probs, log_probs = categorical
        size = min(self.samples, alone(probs, "unordered_set").size(-1))
        drawn = randomness.positions(log_probs.detach(), size)
        there = log_probs > functional.lowest(log_probs.dtype)
        last = 2 * drawn + 1 * (drawn & there)  # those that are masked
        order = last.argsort(dim=-1, descending=True, stable=True)
        position = order[0, ..., :size].movedim(-1, 0)
        weights, log_prob, present = members(position, categorical)
        completion = log_completion(weights, log_prob, probs[0])
        first = completion[2 ** torch.arange(len(position), device=probs.device)]
        mass = counted((log_prob + first - completion[0]).exp(), present)
        return Selection(weights, mass.to(probs.dtype), log_prob, probs, costless(probs))


class SetMean(Baseline):
    """sum_s' p(s') R_s(S, s') loss(s') for member s: the mean loss of the set as it would be were s already
    known."""

    def forward(self, returns: Tensor, site: Site, valid: Tensor) -> Tensor:
        weights, _, log_prob, probs, _ = site.selection
        completion = log_completion(weights, log_prob, probs[0])
        bit = 2 ** torch.arange(len(log_prob), device=probs.device)
        both = completion[bit[:, None] | bit]  # s, s' -> the set without either
        shares = (log_prob + both - completion[bit][:, None]).exp() * presence(weights)  # K K B T
        return (shares.to(returns.dtype) * returns).sum(1)


@torch.no_grad()
def log_completion(
    weights: Float[Tensor, "K B T S"], log_prob: Float[Tensor, "K B T"], probs: Float[Tensor, "B T S"]
) -> Float[Tensor, "N B T"]:
    """log P(the rest of the set is drawn next | a subset of it was drawn already), for all N = 2^K subsets,
    exactly.

    g(A) = sum over s in S - A of p(s) / (1 - p(A)) g(A + s), and g(S) = 1. The complement 1 - p(A) is a sum
    of probabilities. Subset number A holds member k where bit k is set; g(0) = P(S). In float32 at least.
    Kool et al. 2020 (2002.06043) sum over all orders instead.
    """
    dtype = torch.promote_types(log_prob.dtype, torch.float32)
    log_prob, probs = log_prob.to(dtype), probs.to(dtype)
    floor = functional.lowest(dtype)
    outside = (probs * (weights.sum(0) == 0)).sum(-1)
    log_outside = torch.where(outside > 0, outside, 1.0).log().masked_fill(outside <= 0, floor)
    bit = 2 ** torch.arange(len(weights), device=probs.device)
    subset = torch.arange(2 ** len(weights), device=probs.device)
    held = (subset[:, None] & bit) > 0  # N K
    remaining = presence(weights) & ~held[..., None, None]  # N K B T
    log_complement = torch.logaddexp(torch.logsumexp(torch.where(remaining, log_prob, floor), 1), log_outside)
    completion = torch.zeros_like(log_complement)
    # all subsets of a size at once, from those that are one larger
    for size in range(len(weights) - 1, -1, -1):
        some = subset[held.sum(1) == size]
        larger = completion[some[:, None] | bit]
        ways = torch.where(remaining[some], log_prob - log_complement[some][:, None] + larger, floor)
        nothing_left = ~remaining[some].any(1)
        completion[some] = torch.where(nothing_left, 0.0, torch.logsumexp(ways, 1))
    return completion


@Facts(
    paper="Kool et al. 2020 (2002.06043)",
    objective="expected",
    unbiased=True,
    needs="value",
    evaluations="samples",
)
def unordered_set(*, samples: Size, **beta: Unpack[Beta]) -> Mechanism:
    """sum over s in S of p(s) R(S, s) (loss(s) + stop_gradient(loss(s) - b_s) log p(s)), S drawn without
    replacement.

    p = softmax(beta * scores); R by an exact recursion over subsets (theirs is an integral); b_s is the
    built-in baseline. Exact where samples >= the number of positions. Raises ValueError for a single sample,
    where that baseline would be the sample itself, and for more than 8.
    """
    if not 2 <= samples <= _LARGEST_SET:
        raise ValueError(
            f"unordered_set compares the members of a set and needs 2 <= samples <= {_LARGEST_SET} "
            "(the recursion visits "
            f"2^samples subsets), got {samples}; attention=hard_reinforce takes any number"
        )
    distribution = Softmax(scheduled("beta", beta))
    selector = UnorderedSet(distribution, samples)
    return Mechanism(distribution, selector, Reinforce(SetMean))
