"""Leftmost, rightmost and average hard attention: what equal scores can tell apart, on tasks for which theory
says which of them can.

A query asks for a symbol, keys know symbols alone, so every place of the symbol scores the same; values know
where they stand. The first place is read by the leftmost rule and by no other, the last by the rightmost, and
the share of a symbol by the average, which unique hard attention cannot count (Hao et al. 2022, 2204.06618).
"""

import pytest
import torch
from torch import Tensor

from attnlab.core.attention import attend
from attnlab.core.evaluation import alike, rule_of
from attnlab.core.interfaces import AttentionInput
from attnlab.mechanisms.soft import soft
from attnlab.microscope.gradients import mechanism_of
from attnlab.randomness import Randomness
from attnlab.settings import EvaluateAs

ROWS, LENGTH, SYMBOLS = 200, 9, 3
LENGTHS = torch.arange(ROWS) % (LENGTH - 2) + 3  # padded rows too
SOURCE = torch.randint(SYMBOLS, (ROWS, LENGTH), generator=torch.Generator().manual_seed(0))
SOURCE[:, 0] = torch.arange(ROWS) % SYMBOLS
THERE = torch.arange(LENGTH) < LENGTHS[:, None]
ASKED = SOURCE[:, 0]


def read(rule: EvaluateAs, values: Tensor) -> Tensor:
    """What a rule reads of values (B S), of keys that are embeddings of symbols."""
    beta = {"beta": 1.0, "beta_schedule": "constant", "beta_end": None, "beta_steps": None}
    embedding = torch.randn(SYMBOLS, 4, generator=torch.Generator().manual_seed(1))
    embedding = embedding / embedding.norm(dim=-1, keepdim=True)
    keys = embedding[SOURCE]
    scores = (keys * embedding[ASKED][:, None]).sum(-1)[None, :, None]
    mask = THERE[None, :, None]
    inputs = AttentionInput(scores.masked_fill(~mask, -torch.inf), mask, ~mask)
    selection = rule_of(soft(**beta), rule)(inputs, Randomness(None))  # pyright: ignore[reportArgumentType]
    return attend(selection.weights, values[..., None])[0, :, 0, 0]


def places(row: int) -> list[int]:
    length, asked = int(LENGTHS[row]), int(ASKED[row])
    return [s for s, symbol in enumerate(SOURCE[row, :length].tolist()) if symbol == asked]


@pytest.mark.parametrize(("rule", "which"), [("argmax", min), ("argmax_last", max)])
def test_the_first_and_the_last_place_are_each_read_by_one_rule_alone(rule: EvaluateAs, which: type) -> None:
    positions = torch.arange(float(LENGTH)).expand(ROWS, LENGTH)
    right = torch.tensor([float(which(places(row))) for row in range(ROWS)])
    rules: list[EvaluateAs] = ["argmax", "argmax_last", "argmax_average", "soft"]
    shares = {name: (read(name, positions) == right).float().mean().item() for name in rules}
    single = sum(len(places(row)) == 1 for row in range(ROWS)) / ROWS  # where there is no tie
    assert shares.pop(rule) == 1.0
    assert 0 < single < 0.8 and all(share <= single for share in shares.values())


def test_the_average_counts_what_a_single_position_cannot() -> None:
    """Of all places of the symbol, how many lie in the first third."""
    early = (torch.arange(LENGTH) < 3).float().expand(ROWS, LENGTH)
    right = torch.tensor([sum(s < 3 for s in places(row)) / len(places(row)) for row in range(ROWS)])
    torch.testing.assert_close(read("argmax_average", early), right)
    for rule in ("argmax", "argmax_last"):
        assert ((read(rule, early) - right).abs() < 1e-3).float().mean() < 0.8


RULES: tuple[EvaluateAs, ...] = (
    "same",
    "soft",
    "argmax",
    "argmax_last",
    "argmax_average",
    "marginal",
    "topk",
)


@pytest.mark.parametrize(
    ("attention", "groups"),
    [
        ("soft", [{"same", "soft"}]),
        ("hard_reinforce", [{"same", "argmax"}]),
        ("hard_marginal", [{"same", "marginal"}]),
        ("topk", [{"same", "topk"}]),
    ],
)
def test_rules_are_alike_where_they_read_alike(attention: str, groups: list[set[EvaluateAs]]) -> None:
    mechanism = mechanism_of([f"attention={attention}"])
    rules = {name: rule_of(mechanism, name) for name in RULES if name != "topk" or attention == "topk"}
    for one in rules:
        for other in rules:
            together = one == other or any({one, other} <= group for group in groups)
            assert alike(rules[one], rules[other]) == together, (one, other)
