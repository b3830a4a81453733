"""How well a query matches a key. Every score maps queries (... B T Q) and keys (B S D) to scores
(... B T S), in any units; alternatives and heads are further axes, which broadcast.

The factories at the end are what `score=NAME` picks; the model tells them the widths.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

_Query = Float[Tensor, "*K T Q"]
Keys = Float[Tensor, "*B S D"]
Scores = Float[Tensor, "*C T S"]


class Score(nn.Module):
    """Interface: queries and keys -> one number for each pair of a target step and a source position."""

    def forward(self, query: _Query, keys: Keys) -> Scores:
        raise NotImplementedError


class Dot(Score):
    """q . k * scale: 1 in Luong et al. 2015 (1508.04025, eq. 8), 1/sqrt(D) in Vaswani et al. 2017
    (1706.03762, eq. 1)."""

    def __init__(self, scale: float):
        super().__init__()
        self.scale = scale

    def forward(self, query: _Query, keys: Keys) -> Scores:
        return self.scale * query @ keys.transpose(-1, -2)


class General(Score):
    """q . W k. Luong et al. 2015 (1508.04025, eq. 8)."""

    def __init__(self, query_size: int, key_size: int):
        super().__init__()
        self.project = nn.Linear(key_size, query_size, bias=False)

    def forward(self, query: _Query, keys: Keys) -> Scores:
        return query @ self.project(keys).transpose(-1, -2)


class Additive(Score):
    """v . tanh(W_q q + W_k k). Bahdanau et al. 2015 (1409.0473, appendix A.1.2)."""

    def __init__(self, query_size: int, key_size: int):
        super().__init__()
        self.query = nn.Linear(query_size, query_size)
        self.key = nn.Linear(key_size, query_size, bias=False)
        self.combine = nn.Linear(query_size, 1, bias=False)

    def forward(self, query: _Query, keys: Keys) -> Scores:
        pairs = self.query(query).unsqueeze(-2) + self.key(keys).unsqueeze(-3)  # ... T S Q
        return self.combine(torch.tanh(pairs)).squeeze(-1)


class _Cosine(Score):
    """q . k / (|q| |k|), between -1 and 1; Graves et al. 2014 (1410.5401, eq. 6). Choose beta of 5 or more
    with it."""

    def forward(self, query: _Query, keys: Keys) -> Scores:
        unit = nn.functional.normalize
        return unit(query, dim=-1) @ unit(keys, dim=-1).transpose(-1, -2)


def dot(query_size: int, key_size: int) -> Score:
    """The inner product of query and key, which have one width."""
    _same_width("dot", query_size, key_size)
    return Dot(1.0)


def scaled_dot(query_size: int, key_size: int) -> Score:
    """The inner product divided by the square root of the width."""
    _same_width("scaled_dot", query_size, key_size)
    return Dot(key_size**-0.5)


def general(query_size: int, key_size: int) -> Score:
    """The inner product through a learned matrix."""
    return General(query_size, key_size)


def additive(query_size: int, key_size: int) -> Score:
    """A network with one hidden layer of the query's width."""
    return Additive(query_size, key_size)


def cosine(query_size: int, key_size: int) -> Score:
    """The cosine of the angle between query and key, which have one width."""
    _same_width("cosine", query_size, key_size)
    return _Cosine()


def _same_width(name: str, query_size: int, key_size: int) -> None:
    if query_size != key_size:
        raise ValueError(
            f"score={name} compares vectors of one width, got queries of {query_size} and keys of "
            f"{key_size}; use general"
        )
