"""The records and interfaces that everything hangs on.

Letters for shapes: K alternatives drawn or enumerated (always first; 1 when nothing was drawn), B batch, T
target steps, S source positions, D width, V vocabulary, Q width of a decoder state. Every `forward` is a
function of its inputs: it writes no buffer, and randomness comes from what is handed in.
"""

from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attnlab.facts import Facts
from attnlab.randomness import Randomness


class AttentionInput(NamedTuple):
    """What a selector chooses from."""

    scores: Float[Tensor, "B T S"]  # -inf where the mask is False
    mask: Bool[Tensor, "B #T S"]  # True = may be attended
    # right positions where the task knows them, else all False; only a control may look
    gold: Bool[Tensor, "B #T S"]
    # which target step each is, from 0; a choice that depends on it must be the same for one step alone
    step: Int[Tensor, "#T"] = torch.zeros(1, dtype=torch.int64)


class Categorical(NamedTuple):
    """A distribution over source positions; masked positions have probs 0 and the finite log_probs
    `functional.lowest`."""

    probs: Float[Tensor, "B T S"]
    log_probs: Float[Tensor, "B T S"]


class Selection(NamedTuple):
    """A choice of source positions: K alternatives, how they weigh the values and how much each counts.

    Either `mass` carries the gradient (enumeration) or `log_prob` does (draws), never both.
    """

    weights: Float[Tensor, "K B #T S"]  # what multiplies the values; carries the pathwise gradient, if any
    # how much each alternative counts; sums to 1 over K; 0 for controls, negative allowed
    mass: Float[Tensor, "K B T"]
    log_prob: Float[Tensor, "K B T"]  # log p(alternative) under probs; 0 for mixtures and controls
    probs: Float[Tensor, "B T S"]  # the distribution behind it: entropy, alignment, plots


def single(weights: Float[Tensor, "1 B T S"], probs: Float[Tensor, "B T S"]) -> Selection:
    """The selection of one alternative: mass 1 and log_prob 0."""
    neutral = torch.ones_like(probs[None, ..., 0])
    return Selection(weights, neutral, torch.zeros_like(neutral), probs)


class Surrogate(NamedTuple):
    """Per-step losses to minimise; `auxiliary` trains a baseline and is kept out of the reported
    surrogate."""

    loss: Float[Tensor, "B T"]
    auxiliary: Float[Tensor, "B T"]


class Distribution(nn.Module):
    """Scores -> the categorical distribution behind a choice."""

    def forward(self, inputs: AttentionInput) -> Categorical:
        raise NotImplementedError

    def untruncated(self) -> "Distribution":
        """The distribution over all positions of which this one keeps a part; itself where it keeps all."""
        return self


class Selector(nn.Module):
    """Scores -> a choice from a distribution. `controls` names alternatives ("argmax", "soft") to append with
    mass 0."""

    def __init__(self, distribution: Distribution):
        super().__init__()
        self.distribution = distribution

    def forward(
        self, inputs: AttentionInput, randomness: Randomness, controls: tuple[str, ...] = ()
    ) -> Selection:
        raise NotImplementedError


class Baseline(nn.Module):
    """What REINFORCE subtracts from the returns. It owns its state; `forward` only reads it."""

    controls: tuple[str, ...] = ()

    def prepare(self, state_size: int) -> None:
        """Make parameters that read decoder states of this width; called once, before training."""

    def forward(
        self,
        returns: Float[Tensor, "K B T"],
        selection: Selection,
        valid: Bool[Tensor, "B T"],
        state: Float[Tensor, "B T Q"],
    ) -> Float[Tensor, "#K #B #T"]:
        """Baseline for each alternative; detached, and never a function of the alternative's own draw."""
        raise NotImplementedError

    def loss(
        self, returns: Float[Tensor, "K B T"], valid: Bool[Tensor, "B T"], state: Float[Tensor, "B T Q"]
    ) -> Float[Tensor, "B T"]:
        """Regression loss of a learned baseline; zero for all others."""
        return torch.zeros_like(returns[0])

    def update(self, returns: Float[Tensor, "K B T"], valid: Bool[Tensor, "B T"]) -> None:
        """Take in the returns of a finished step; called by training after the step, never in `forward`."""


class Estimator(nn.Module):
    """Per-step losses and a selection -> a surrogate whose gradient is wanted. Sees no model, no attention,
    no task."""

    controls: tuple[str, ...] = ()

    def prepare(self, state_size: int) -> None:
        """Make parameters that read decoder states of this width; called once, before training."""

    def forward(
        self,
        losses: Float[Tensor, "K B T"],
        returns: Float[Tensor, "K B T"],
        selection: Selection,
        valid: Bool[Tensor, "B T"],
        state: Float[Tensor, "B T Q"],
    ) -> Surrogate:
        """`returns` are detached costs of each choice; steps where `valid` is False get 0 and no gradient."""
        raise NotImplementedError

    def update(self, returns: Float[Tensor, "K B T"], valid: Bool[Tensor, "B T"]) -> None:
        """Take in the returns of a finished step; called by training after the step, never in `forward`."""


class Mechanism(NamedTuple):
    """What `attention=NAME` picks: the distribution, how to choose from it, and the surrogate that trains it.

    evaluate_as: how it is read at evaluation; `same` follows the objective.
    facts: put there by the @Facts above the factory.
    """

    distribution: Distribution
    selector: Selector
    estimator: Estimator
    evaluate_as: str
    facts: Facts = cast(Facts, None)
