"""Every score on disk against a loop over pairs of a query and a key."""

import math

import pytest
import torch
from enumeration import names, read
from torch import Tensor

from attnlab.core.scores import Additive, General, Score

B, T, S, Q, D = 2, 3, 5, 7, 11


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(name: str, query_size: int, key_size: int) -> Score:
    torch.manual_seed(0)
    factory, settings = read("score", name)
    return factory(query_size, key_size, **settings).double()


def pair(name: str, score: Score, query: list[float], key: list[float]) -> float:
    """The definition, in Python's own arithmetic."""
    inner = sum(q * k for q, k in zip(query, key, strict=False))
    if name == "dot":
        return inner
    if name == "scaled_dot":
        return inner / math.sqrt(len(key))
    if name == "cosine":
        return inner / (math.hypot(*query) * math.hypot(*key))
    if name == "general":
        assert isinstance(score, General)
        rows = score.project.weight.tolist()
        return sum(
            q * sum(w * k for w, k in zip(row, key, strict=True)) for q, row in zip(query, rows, strict=True)
        )
    if name == "additive":
        assert isinstance(score, Additive)
        parts = score.query.weight, score.query.bias, score.key.weight, score.combine.weight[0]
        rows = zip(*(part.tolist() for part in parts), strict=True)
        return sum(
            v
            * math.tanh(
                sum(a * q for a, q in zip(by_query, query, strict=True))
                + bias
                + sum(map(float.__mul__, by_key, key))
            )
            for by_query, bias, by_key, v in rows
        )
    return pytest.fail(f"score={name} has no definition here")


WIDTHS = [(name, Q, Q) for name in names("score")] + [
    ("general", Q, D),
    ("additive", Q, D),
    ("general", D, Q),
]


@pytest.mark.parametrize(("name", "query_size", "key_size"), WIDTHS)
def test_a_score_is_its_definition_for_every_pair(name: str, query_size: int, key_size: int):
    score = make(name, query_size, key_size)
    query, keys = normal(B, T, query_size, seed=1), normal(B, S, key_size, seed=2)
    scores = score(query, keys)
    by_hand = [
        [[pair(name, score, q, k) for k in keys[b].tolist()] for q in query[b].tolist()] for b in range(B)
    ]
    torch.testing.assert_close(scores, torch.tensor(by_hand, dtype=torch.float64), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["cosine", "dot", "scaled_dot"])
def test_a_score_of_vectors_of_one_width_refuses_two(name: str):
    with pytest.raises(ValueError, match=f"score={name} .*queries of {Q} and keys of {D}; use general"):
        make(name, Q, D)


@pytest.mark.parametrize("name", names("score"))
def test_all_parameters_of_a_score_are_trained_and_so_are_queries_and_keys(name: str):
    score = make(name, Q, Q)
    query, keys = normal(B, T, Q, seed=1).requires_grad_(), normal(B, S, Q, seed=2).requires_grad_()
    (score(query, keys) * normal(B, T, S, seed=3)).sum().backward()
    for leaf in (query, keys, *score.parameters()):
        assert leaf.grad is not None and (leaf.grad != 0).all()


def test_cosine_is_between_minus_one_and_one_and_finite_at_zero():
    score = make("cosine", Q, Q)
    query, keys = 100 * normal(B, T, Q, seed=1), 1e-3 * normal(B, S, Q, seed=2)
    assert score(query, keys).abs().max() <= 1 + 1e-12
    keys = torch.cat(
        (keys, query[:, :1], -query[:, :1], torch.zeros(B, 1, Q, dtype=torch.float64)), 1
    ).requires_grad_()
    scores = score(query, keys)
    torch.testing.assert_close(
        scores[:, 0, -3:], torch.tensor([[1.0, -1, 0]], dtype=torch.float64).expand(B, -1)
    )
    scores.sum().backward()
    assert keys.grad is not None and keys.grad.isfinite().all()
