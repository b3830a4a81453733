"""The records and interfaces that everything hangs on.

Letters for shapes: K alternatives, whole passes that differ in their choices (always first; 1 when nothing
branched), B batch, H heads of a site (further axes, or none), T target steps, S source positions, D width, V
vocabulary, Q width of a query. Every `forward` is a function of its inputs: it writes no buffer, and
randomness comes from what is handed in.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attnlab.core.readout import Readout
from attnlab.facts import Facts
from attnlab.randomness import Randomness

Reach = Literal["step", "later", "all"]
"""Which losses a choice may change: its own step's, its own and all later ones, or all of the row."""


class AttentionInput(NamedTuple):
    """What a selector chooses from."""

    scores: Float[Tensor, "#K B *H T S"]  # -inf where the mask is False
    mask: Bool[Tensor, "#K B *H #T S"]  # True = may be attended
    # right positions where the task knows them, else all False; only a control may look
    gold: Bool[Tensor, "1 B *H #T S"]
    # which target step each is, from 0; a choice that depends on it must be the same for one step alone
    step: Int[Tensor, "#T"] = torch.zeros(1, dtype=torch.int64)
    # scores that have seen the target, of an inference network; None where there is none, as in decoding
    informed: Float[Tensor, "#K B *H T S"] | None = None
    # the scores of further maps, where a distribution compares several
    beside: tuple[Float[Tensor, "#K B *H T S"], ...] = ()

    @property
    def number(self) -> Float[Tensor, "#K B *H #T 1"]:
        """How many positions may be attended, and 1 where there is none."""
        return self.mask.sum(-1, keepdim=True).clamp_min(1).to(self.scores.dtype)


class Categorical(NamedTuple):
    """A distribution over source positions; masked positions have probs 0 and the finite log_probs
    `functional.lowest`."""

    probs: Float[Tensor, "#K B *H T S"]
    log_probs: Float[Tensor, "#K B *H T S"]


class Selection(NamedTuple):
    """A choice of source positions: K alternatives, how they weigh the values and how much each counts.

    Either `mass` carries the gradient (enumeration) or `log_prob` does (draws), never both.
    """

    weights: Float[Tensor, "K B *H #T S"]  # what multiplies the values; carries the pathwise gradient, if any
    # how much each alternative counts; sums to 1 over K; 0 for controls, negative allowed; one of a mixture
    mass: Float[Tensor, "#K B #T"]
    log_prob: Float[Tensor, "K B *H T"]  # log p(alternative) under probs; 0 for mixtures and controls
    probs: Float[Tensor, "#K B *H T S"]  # the distribution behind it: entropy, alignment, plots
    cost: Float[Tensor, "#K #B *H #T"]  # what choosing costs beside the losses, such as a KL; 0 where nothing


def single(weights: Float[Tensor, "K B *H T S"], probs: Float[Tensor, "#K B *H T S"]) -> Selection:
    """The selection that goes on with each alternative as it is: log_prob 0, and mass 1, which branches
    nothing."""
    mass = probs.new_ones(1, probs.size(1), 1)
    return Selection(weights, mass, torch.zeros_like(probs[..., 0]), probs, costless(probs))


def costless(probs: Float[Tensor, "#K B *H T S"]) -> Float[Tensor, "..."]:
    """The cost of a choice that costs nothing."""
    return probs.new_zeros((1,) * (probs.ndim - 1))


class Site(NamedTuple):
    """Where a pass chose."""

    selection: Selection
    query: Float[Tensor, "#K B T Q"]  # what asked, before the choice
    reach: Reach
    # which of its steps count, where they are not those of the target (a reach of `all`)
    valid: Bool[Tensor, "#B #T"] = torch.ones(1, 1, dtype=torch.bool)


class Pass(NamedTuple):
    """What a model says about a batch, and where it chose on the way."""

    readout: Float[Tensor, "K B T V"] | Readout  # of the target symbol, for every alternative
    sites: Mapping[str, Site]

    @property
    def logits(self) -> Float[Tensor, "K B T V"]:
        """Of the target symbol, for every alternative: all in one."""
        return self.readout.logits() if isinstance(self.readout, Readout) else self.readout

    def whole(self) -> "Pass":
        """The same with its logits read, once for all who ask for them."""
        return self._replace(readout=self.logits)

    @property
    def mass(self) -> Float[Tensor, "#K B #T"]:
        """How much each alternative counts: as the site says that branched; 1 where none did."""
        masses = [site.selection.mass for site in self.sites.values()]
        return max(masses, key=len) if masses else self.logits.new_ones(1, self.logits.size(1), 1)


class Placement(NamedTuple):
    """What a model tells of a site beforehand."""

    query_size: int
    reach: Reach = "step"
    heads: int = 1
    # whether its steps are those of the target and its positions those of the source, as gold alignments are
    aligned: bool = True


Choose = Callable[[str, AttentionInput], Selection]
"""How a model asks: the name of a site, and what there is to choose from."""


class Surrogate(NamedTuple):
    """Per-step losses to minimise; `auxiliary` trains a baseline and is kept out of the reported
    surrogate."""

    loss: Float[Tensor, "B T"]
    auxiliary: Float[Tensor, "B T"]


class Distribution(nn.Module):
    """Scores -> the categorical distribution behind a choice."""

    def forward(self, inputs: AttentionInput) -> Categorical:
        raise NotImplementedError

    def mixed(
        self, inputs: AttentionInput
    ) -> tuple[Float[Tensor, "#K B *H T S"], Float[Tensor, "#K B *H T S"]]:
        """What a mixture multiplies the values with, and the probabilities behind it: the same, but where
        weights need not sum to one."""
        probs = self(inputs).probs
        return probs, probs

    def untruncated(self) -> "Distribution":
        """The distribution over all positions of which this one keeps a part; itself where it keeps all."""
        return self

    maps = 1
    """Of how many scores it is made: query and key are cut into so many parts, each scored by itself."""

    apart = True
    """Whether each step chooses by itself; if not, only a rule that tries every position can follow it."""

    def given(
        self, selection: Selection, earlier: Float[Tensor, "#K B T"], before: Selection | None
    ) -> Selection:
        """Every position as an alternative, as `Selector.given`; the same where each step chooses by
        itself."""
        return selection


class Selector(nn.Module):
    """Scores -> a choice from a distribution. Shown one alternative, it may branch into several; shown
    several, it goes on with each."""

    anywhere = True
    """Whether it may stand at a site whose choices reach on, with heads, and beside other sites."""

    def __init__(self, distribution: Distribution):
        super().__init__()
        self.distribution = distribution

    def prepare(self, inference: Callable[[int], nn.Module]) -> None:
        """Make what sees the target; called once, before training. `inference(size)` is a network of that
        width, as models/inference.py says."""

    def forward(self, inputs: AttentionInput, randomness: Randomness) -> Selection:
        raise NotImplementedError

    def informed(
        self, source: Int[Tensor, "B S"], target: Int[Tensor, "B T"]
    ) -> Mapping[str, Float[Tensor, "1 B *H T S"]]:
        """Scores of sites, by name, that have seen the target; none but of an inference network."""
        return {}

    def given(
        self, selection: Selection, earlier: Float[Tensor, "#K B T"], before: Selection | None
    ) -> Selection:
        """The choices of some steps, each given what came before it: the loss of the symbol before, under
        every alternative (`earlier`), and the choice of the step before, of the first `before`, None at the
        start. The same for all but chains."""
        return selection


class Baseline(nn.Module):
    """What REINFORCE subtracts from the returns. It owns its state; `forward` only reads it."""

    controls: tuple[str, ...] = ()
    """Alternatives of mass 0 that it reads, "argmax" or "soft": the selector appends them."""
    draws: int = 1
    """How many draws it needs at least."""

    def prepare(self, query_size: int) -> None:
        """Make parameters that read queries of this width; called once, before training."""

    def forward(
        self, returns: Float[Tensor, "K B T"], site: Site, valid: Bool[Tensor, "#B #T"]
    ) -> Float[Tensor, "#K #B #T"]:
        """Baseline for each alternative; detached, and never a function of the alternative's own draw."""
        raise NotImplementedError

    def loss(
        self, returns: Float[Tensor, "K B T"], site: Site, valid: Bool[Tensor, "#B #T"]
    ) -> Float[Tensor, "B T"]:
        """Regression loss of a learned baseline; zero for all others."""
        return torch.zeros_like(returns[0])

    def update(self, returns: Float[Tensor, "K B T"], valid: Bool[Tensor, "B T"]) -> None:
        """Take in the returns of a finished step; called by training after the step, never in `forward`."""


class Estimator(nn.Module):
    """Per-step losses and a pass -> a surrogate whose gradient is wanted. Sees no model, no attention, no
    task."""

    anywhere = True
    """As of a selector."""

    def prepare(self, sites: Mapping[str, Placement]) -> None:
        """Make what is kept for each site; called once, before training."""

    def forward(self, losses: Float[Tensor, "K B T"], taken: Pass, valid: Bool[Tensor, "B T"]) -> Surrogate:
        """Steps where `valid` is False get 0 and no gradient."""
        raise NotImplementedError

    def update(self, losses: Float[Tensor, "K B T"], valid: Bool[Tensor, "B T"]) -> None:
        """Take in the losses of a finished step; called by training after the step, never in `forward`."""


class Mechanism(NamedTuple):
    """What `attention=NAME` picks: the distribution, how to choose from it, and the surrogate that trains it.

    facts: put there by the @Facts above the factory.
    """

    distribution: Distribution
    selector: Selector
    estimator: Estimator
    facts: Facts = cast(Facts, None)
