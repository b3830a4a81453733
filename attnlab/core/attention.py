"""Attention: score every source position, mask once, choose, and read the values."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attnlab.core.interfaces import AttentionInput, Choose, Selection, Selector
from attnlab.core.scores import Score


class Memory(NamedTuple):
    """What is attended to."""

    keys: Float[Tensor, "*B S D"]  # matched with queries
    values: Float[Tensor, "*B S R"]  # read
    mask: Bool[Tensor, "*B #T S"]  # True = may be attended


class Attention(nn.Module):
    """score(query, key) -> choice -> context = weights . values.

    `selector` is what training chooses by; a model is handed what to choose by at each pass. `project` maps
    encoder states to keys (for instance to the queries' width); by default they are the same.
    """

    def __init__(self, score: Score, selector: Selector, project: nn.Module | None = None):
        super().__init__()
        self.score = score
        self.selector = selector
        self.project = nn.Identity() if project is None else project

    def memory(
        self, states: Float[Tensor, "*B S E"], values: Float[Tensor, "*B S R"], mask: Bool[Tensor, "*B #T S"]
    ) -> Memory:
        """Keys, values and mask of a source, made once and read at every step."""
        return Memory(self.project(states), values, mask)

    def forward(
        self,
        query: Float[Tensor, "#K B *H T Q"],
        memory: Memory,
        choose: Choose,
        site: str = "attention",
        first: int = 0,
    ) -> tuple[Float[Tensor, "K B *H #T R"], Selection]:
        """Context vectors and the selection behind them, of T target steps from the `first` on."""
        maps = self.selector.distribution.maps
        parts = zip(query.chunk(maps, -1), memory.keys.chunk(maps, -1), strict=True)
        scores, *beside = (self.score(*part).masked_fill(~memory.mask, -torch.inf) for part in parts)
        mask = memory.mask.expand(1, *memory.mask.shape) if memory.mask.ndim < scores.ndim else memory.mask
        step = torch.arange(first, first + query.size(-2), device=query.device)
        gold = torch.zeros_like(mask[:1])
        selection = choose(site, AttentionInput(scores, mask, gold, step, beside=tuple(beside)))
        return attend(selection.weights, memory.values), selection


def attend(weights: Float[Tensor, "*K T S"], values: Float[Tensor, "*B S R"]) -> Float[Tensor, "*K T R"]:
    """sum_s weights_s * values_s, for every alternative and step."""
    weights = weights.to(values.dtype)
    if values.ndim == weights.ndim and len(values) == len(weights):
        return weights @ values
    # the same values for every alternative: as further steps, since matmul would copy the values for each
    values = values[0] if values.ndim == weights.ndim else values
    alternatives = weights.movedim(0, -3)  # *B K T S
    return (alternatives.flatten(-3, -2) @ values).unflatten(-2, alternatives.shape[-3:-1]).movedim(-3, 0)
