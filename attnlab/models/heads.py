"""What a Transformer is made of: attention of several heads, and the rest of its encoder and decoder."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attnlab.core.attention import Attention, Memory
from attnlab.core.interfaces import Choose

States = Float[Tensor, "#K B N D"]
Split = Float[Tensor, "#K B H N d"]
Keys = Float[Tensor, "#K B H S d"]
Pair = tuple[Keys, Keys]
"""Keys and values, of each head its part."""


class Heads(nn.Module):
    """Attention of several heads: torch's own mixture, or, where `attention` is given, a choice by it."""

    def __init__(self, width: int, heads: int, attention: Attention | None = None):
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.heads = heads
        self.attention = attention

    def split(self, x: States) -> Split:
        """Each head its part of the width."""
        return x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)

    def read(
        self, query: Split, keys: Keys, values: Keys, mask: Tensor, choose: Choose, name: str, first: int
    ) -> tuple[States, Any]:
        """What is read for each query, and the choice behind it; None of a mixture. mask: B #T S."""
        if self.attention is None:
            read = nn.functional.scaled_dot_product_attention(query, keys, values, mask[:, None])
            return self.output(self._joined(read)), None
        everywhere = mask[None, :, None].expand(1, -1, self.heads, query.size(-2), -1)
        if self.heads == 1:  # a choice without an axis of heads, which enumeration takes as well
            query, keys, values, everywhere = (x.squeeze(2) for x in (query, keys, values, everywhere))
        memory = Memory(keys, values, everywhere)
        read, chosen = self.attention(query, memory, choose, name, first)
        return self.output(self._joined(read if self.heads > 1 else read.unsqueeze(2))), chosen

    def _joined(self, x: Split) -> States:
        return x.transpose(-2, -3).flatten(-2)


class Side(nn.Module):
    """Encoder or decoder without the attentions that choose: embedding, positions, soft attentions, norms and
    the two linear maps of each layer, with a GELU between them."""

    def __init__(self, symbols: int, width: int, table: int, layers: int, norms: int, soft: dict[str, Heads]):
        super().__init__()
        self.embedding, self.places = (nn.Embedding(size, width) for size in (symbols, table))
        for table_ in (self.embedding, self.places):
            nn.init.normal_(table_.weight, std=width**-0.5)
        self.soft = nn.ModuleDict(soft)
        self.norms = nn.ModuleList(
            nn.ModuleList(nn.LayerNorm(width) for _ in range(norms)) for _ in range(layers)
        )
        self.feeds = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            for _ in range(layers)
        )
        self.last = nn.LayerNorm(width)
        self.output: nn.Module = nn.Identity()

    def embed(self, symbols: Int[Tensor, "B N"], first: int) -> Float[Tensor, "1 B N D"]:
        """Symbols, with their positions from `first` on where these are learned. Raises ValueError behind the
        last position that is there."""
        x = self.embedding(symbols)
        if size := self.places.num_embeddings:
            if (end := first + symbols.size(1)) > size:
                raise ValueError(
                    f"model.longest={size} positions were learned, and a sequence has {end}; "
                    "model.positions=rotary has no limit"
                )
            x = x + self.places(torch.arange(first, end, device=x.device))
        return x[None]


def turned(x: Split, first: int) -> Split:
    """Rotary positions: each pair of numbers of a head turned by position / 10000^(2i / d). Su et al. 2021
    (2104.09864)."""
    half = x.size(-1) // 2
    rates = 10_000 ** -(torch.arange(half, device=x.device, dtype=x.dtype) / half)
    angles = torch.arange(first, first + x.size(-2), device=x.device, dtype=x.dtype)[:, None] * rates
    one, other = x.split(half, -1)
    return torch.cat(
        [one * angles.cos() - other * angles.sin(), one * angles.sin() + other * angles.cos()], -1
    )
