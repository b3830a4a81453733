"""Attention: score every source position, mask once, select, and read the values."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attnlab.attention.interfaces import AttentionInput, Selection, Selector
from attnlab.attention.scores import Score
from attnlab.randomness import Randomness


class Memory(NamedTuple):
    """What is attended to."""

    keys: Float[Tensor, "B S D"]  # matched with queries
    values: Float[Tensor, "B S R"]  # read
    mask: Bool[Tensor, "B #T S"]  # True = may be attended
    gold: Bool[Tensor, "B #T S"]  # right positions where they are known, else all False


class Attention(nn.Module):
    """score(query, key) -> selection -> context = weights . values.

    `project` maps encoder states to keys (for instance to the queries' width); by default they are the same.
    """

    def __init__(self, score: Score, selector: Selector, project: nn.Module | None = None):
        super().__init__()
        self.score = score
        self.selector = selector
        self.project = nn.Identity() if project is None else project

    def memory(
        self,
        states: Float[Tensor, "B S E"],
        values: Float[Tensor, "B S R"],
        mask: Bool[Tensor, "B #T S"],
        gold: Bool[Tensor, "B #T S"] | None = None,
    ) -> Memory:
        """Keys, values and masks of a source, made once and read at every step."""
        return Memory(self.project(states), values, mask, torch.zeros_like(mask) if gold is None else gold)

    def forward(
        self,
        query: Float[Tensor, "B T Q"],
        memory: Memory,
        randomness: Randomness,
        controls: tuple[str, ...] = (),
        selector: Selector | None = None,
        first: int = 0,
    ) -> tuple[Float[Tensor, "K B #T R"], Selection]:
        """Context vectors and the selection behind them, of T target steps from the `first` on; `selector`
        replaces the trained one (an evaluation rule)."""
        scores = self.score(query, memory.keys).masked_fill(~memory.mask, -torch.inf)
        step = torch.arange(first, first + query.size(1), device=query.device)
        inputs = AttentionInput(scores, memory.mask, memory.gold, step)
        selection = (self.selector if selector is None else selector)(inputs, randomness, controls)
        return attend(selection.weights, memory.values), selection


def attend(weights: Float[Tensor, "K B T S"], values: Float[Tensor, "B S R"]) -> Float[Tensor, "K B T R"]:
    """sum_s weights_s * values_s, for every alternative and step."""
    return weights.to(values.dtype) @ values
