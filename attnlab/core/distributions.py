"""The categorical distributions that mechanisms choose from."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from attnlab import functional
from attnlab.core.interfaces import AttentionInput, Categorical, Distribution
from attnlab.core.schedules import Scheduled


class Softmax(Distribution):
    """p = softmax(beta * scores)."""

    def __init__(self, beta: float | Scheduled):
        super().__init__()
        self.beta = beta if isinstance(beta, Scheduled) else Scheduled(beta, name="beta")

    def forward(self, inputs: AttentionInput) -> Categorical:
        log_probs = functional.log_softmax(inputs.scores, self.beta())
        return Categorical(log_probs.exp(), log_probs)


class Sparse(Distribution):
    """p = project(beta * scores), where project (`functional.sparsemax` or `entmax15`) gives low scores
    exactly 0."""

    def __init__(self, project: Callable[[Tensor], Tensor], beta: Scheduled):
        super().__init__()
        self.project = project
        self.beta = beta

    def forward(self, inputs: AttentionInput) -> Categorical:
        top = inputs.scores.detach().amax(-1, keepdim=True)
        below = inputs.scores - top.masked_fill(
            top.isinf(), 0.0
        )  # never above 0, where beta could overflow it
        return categorical(self.project(self.beta().to(below.dtype) * below))


class TopK(Distribution):
    """p = softmax(beta * scores) over the k best scores (of equal ones, the first), 0 elsewhere; all where
    there are fewer."""

    def __init__(self, k: int, beta: Scheduled):
        super().__init__()
        self.k = k
        self.all = Softmax(beta)

    def forward(self, inputs: AttentionInput) -> Categorical:
        best = inputs.scores.argsort(dim=-1, descending=True, stable=True)[..., : self.k]
        kept = torch.zeros_like(inputs.scores, dtype=torch.bool).scatter(-1, best, True)
        return self.all(inputs._replace(scores=inputs.scores.masked_fill(~kept, -torch.inf)))

    def untruncated(self) -> Distribution:
        return self.all


class Unnormalised(Distribution):
    """Weights of a mixture that need not sum to one. The probabilities are their shares, and say where
    attention looks; how much it reads there, the weights alone say."""

    def log_weights(self, inputs: AttentionInput) -> Float[Tensor, "#K B *H T S"]:
        """log w of the positions that may be attended; what it is elsewhere does not matter."""
        raise NotImplementedError

    def forward(self, inputs: AttentionInput) -> Categorical:
        log_probs = functional.log_softmax(self._there(inputs))
        return Categorical(log_probs.exp(), log_probs)

    def mixed(self, inputs: AttentionInput) -> tuple[Tensor, Tensor]:
        log_weights = self._there(inputs)
        return log_weights.exp(), functional.softmax(log_weights)

    def _there(self, inputs: AttentionInput) -> Tensor:
        return self.log_weights(inputs).masked_fill(inputs.scores.isneginf(), -torch.inf)


class Uniform(Distribution):
    """The same probability for every position that may be attended; the scores do not matter."""

    def forward(self, inputs: AttentionInput) -> Categorical:
        return _even(inputs.mask.expand_as(inputs.scores), inputs.scores)


class Oracle(Distribution):
    """Uniform over the gold positions; over all that may be attended where none is known. The scores do not
    matter."""

    def forward(self, inputs: AttentionInput) -> Categorical:
        mask = inputs.mask.expand_as(inputs.scores)
        gold = inputs.gold & mask
        return _even(torch.where(gold.any(-1, keepdim=True), gold, mask), inputs.scores)


def _even(chosen: Tensor, like: Tensor) -> Categorical:
    share = chosen.to(like.dtype)
    return categorical(share / share.sum(-1, keepdim=True).clamp_min(1))


def most_probable(
    probs: Float[Tensor, "*shape S"], ties: functional.Ties = "first"
) -> Float[Tensor, "*shape S"]:
    """One-hot vectors of the most probable position, of equal ones by `ties`; zeros where nothing may be
    attended."""
    return functional.hardmax(probs.masked_fill(probs == 0, -torch.inf), ties=ties)


def categorical(probs: Float[Tensor, "*shape S"]) -> Categorical:
    """The distribution of given probabilities, with the large finite `functional.lowest` for log 0."""
    present = probs > 0
    log_probs = torch.where(present, probs, 1.0).log()
    return Categorical(probs, log_probs.masked_fill(~present, functional.lowest(probs.dtype)))
