"""Beam search against every output there is, and against a plain loop that keeps a list of prefixes."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.building import Built, assemble
from attnlab.config.composing import compose
from attnlab.core.attention import Memory
from attnlab.models.beam import beam_search
from attnlab.models.decoding import greedy
from attnlab.models.model import Model
from attnlab.tasks.batch import EOS, PAD, SPECIAL, Batch
from attnlab.training.answers import predictions

SOURCE = torch.tensor([[4, 5, 4], [5, PAD, PAD], [5, 4, PAD], [4, 4, 5], [4, PAD, PAD]])
LIMIT, SYMBOLS = 4, (4, 5)
MODELS = {
    "lstm": ["model=lstm", "model.layers=2", "model.hidden_size=5"],
    "gru fed": ["model=gru", "model.input_feeding=true", "model.hidden_size=5"],
    "lstm fed": ["model=lstm", "model.input_feeding=true", "model.hidden_size=5"],
    "transformer": ["model=transformer", "model.heads=1", "model.hidden_size=6", "model.longest=64"],
    "rotary": [
        "model=transformer",
        "model.heads=2",
        "model.choose=all",
        "model.positions=rotary",
        "model.hidden_size=8",
    ],
}
STEPWISE = ("hard_marginal", "hard_chain")
CASES = [
    (model, attention)
    for model in MODELS
    for attention in ("soft", "hard_reinforce", *STEPWISE)
    if model in ("lstm", "transformer") or attention not in STEPWISE
]
FAST = [
    ("lstm", "hard_chain"),
    ("gru fed", "soft"),
    ("transformer", "hard_marginal"),
    ("rotary", "hard_reinforce"),
]
marked = [pytest.param(*case, marks=[] if case in FAST else pytest.mark.slow) for case in CASES]
every_case = pytest.mark.parametrize(("model", "attention"), marked)


@functools.cache
def built(model: str, attention: str) -> Built:
    """In double precision, with weights large enough that outputs differ in probability and depend on the
    source, and a chain's jumps away from 0."""
    small = ["task=copy", "task.symbols=2", "task.longest=4", *MODELS[model]]
    made = assemble(compose([*small, f"attention={attention}"]).tree)
    seeded = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in made.training.double().named_parameters():
            noise = torch.randn(parameter.shape, generator=seeded, dtype=torch.float64)
            parameter.add_(0 if "norm" in name else 0.6 * noise)
    made.training.move(0)
    made.training.eval()
    return made


def batch_of(source: Tensor, target: Tensor) -> Batch:
    return Batch(source, target, torch.zeros(len(source), 1, source.size(1), dtype=torch.bool))


def scored(made: Built, source: Tensor, outputs: Sequence[tuple[int, ...]]) -> list[float]:
    """log p of some outputs of one source, each by a teacher-forced pass of its own length."""
    found: dict[tuple[int, ...], float] = {}
    for length in {len(output) for output in outputs}:
        alike = [output for output in outputs if len(output) == length]
        batch = batch_of(source[source != PAD].expand(len(alike), -1), torch.tensor(alike))
        seen = predictions(made.model, batch, made.training.rule).log_probs
        each = seen.gather(-1, batch.target[..., None])[..., 0].sum(-1)
        found |= dict(zip(alike, each.tolist(), strict=True))
    return [found[output] for output in outputs]


def every_output() -> list[tuple[int, ...]]:
    """What ends within LIMIT symbols, and what has not."""
    ended = [(*said, EOS) for length in range(LIMIT) for said in itertools.product(SYMBOLS, repeat=length)]
    return [*ended, *itertools.product(SYMBOLS, repeat=LIMIT)]


def value(log_prob: float, output: tuple[int, ...], normalised: bool) -> float:
    return log_prob / len(output) if normalised else log_prob


def search(
    made: Built, beams: int, normalised: bool = False, source: Tensor = SOURCE
) -> list[list[tuple[tuple[int, ...], float]]]:
    """What is found for each row: outputs with their log p."""
    batch = batch_of(source, source[:, :1])
    found = beam_search(made.model, batch, made.training.rule, LIMIT, beams, normalised)
    return [
        [
            (tuple(symbol for symbol in output if symbol != PAD), log_prob)
            for output, log_prob in zip(outputs, log_probs, strict=True)
            if log_prob > -torch.inf
        ]
        for outputs, log_probs in zip(found.symbols.tolist(), found.log_probs.tolist(), strict=True)
    ]


def agree(found: list[tuple[tuple[int, ...], float]], right: list[tuple[tuple[int, ...], float]]) -> None:
    assert [output for output, _ in found] == [output for output, _ in right]
    ours, theirs = ([log_prob for _, log_prob in pairs] for pairs in (found, right))
    assert ours == pytest.approx(theirs, abs=1e-10)


@pytest.mark.parametrize("normalised", [False, True], ids=["sum", "mean"])
@every_case
def test_as_wide_as_can_be_it_is_the_list_of_every_output(
    model: str, attention: str, normalised: bool
) -> None:
    made, outputs = built(model, attention), every_output()
    for source, found in zip(SOURCE, search(made, 100, normalised), strict=True):
        right = list(zip(outputs, scored(made, source, outputs), strict=True))
        right.sort(key=lambda pair: -value(pair[1], pair[0], normalised))
        agree(found, right)
        assert right[0][1] - min(log_prob for _, log_prob in right) > 3  # outputs that differ


def by_hand(made: Built, source: Tensor, beams: int, normalised: bool) -> list[tuple[tuple[int, ...], float]]:
    """The best prefixes of each length, ended ones among them, of one source."""
    kept: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    for _ in range(LIMIT):
        ended = [pair for pair in kept if pair[0][-1:] == (EOS,)]
        longer = [(*said, symbol) for said, _ in kept if said[-1:] != (EOS,) for symbol in (EOS, *SYMBOLS)]
        kept = ended + list(zip(longer, scored(made, source, longer), strict=True))
        kept.sort(key=lambda pair: -value(pair[1], pair[0], normalised))
        kept = kept[:beams]
    return kept


@pytest.mark.parametrize(("beams", "normalised"), [(2, False), (3, True)], ids=["two", "three"])
@every_case
def test_it_keeps_what_a_plain_loop_keeps(model: str, attention: str, beams: int, normalised: bool) -> None:
    made = built(model, attention)
    for source, found in zip(SOURCE, search(made, beams, normalised), strict=True):
        agree(found, by_hand(made, source, beams, normalised))


@every_case
def test_a_single_beam_is_greedy(model: str, attention: str) -> None:
    made = built(model, attention)
    said = greedy(made.model, batch_of(SOURCE, SOURCE[:, :1]), made.training.rule, LIMIT)
    found = beam_search(made.model, batch_of(SOURCE, SOURCE[:, :1]), made.training.rule, LIMIT, 1)
    assert torch.equal(found.symbols[:, 0], said)


def test_a_row_does_not_feel_the_others() -> None:
    made = built("lstm", "hard_chain")
    together = search(made, 3)
    for row, found in zip(SOURCE, together, strict=True):
        (apart,) = search(made, 3, source=row[row != PAD][None])
        agree(found, apart)


def test_a_row_whose_outputs_have_ended_takes_no_more_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is paid is counted in rows of steps, not in seconds: of a batch, what its rows cost apart."""
    made, paid = built("lstm fed", "soft"), []
    original = type(made.model).step

    def counting(self: Model, previous: Tensor, *rest: Any) -> Any:
        paid.append(len(previous))
        return original(self, previous, *rest)  # pyright: ignore

    monkeypatch.setattr(type(made.model), "step", counting)

    def cost(source: Tensor, beams: int) -> int:
        paid.clear()
        search(made, beams, source=source)
        return sum(paid)

    for beams in (1, 2, 3):
        apart = [cost(row[row != PAD][None], beams) for row in SOURCE]
        assert len(set(apart)) > 1 and max(apart) <= 1 + (LIMIT - 1) * beams
        assert cost(SOURCE, beams) == sum(apart)


def test_what_is_no_symbol_of_a_target_is_never_said() -> None:
    made = built.__wrapped__("lstm", "soft")
    with torch.no_grad():
        made.model.decoder.output.bias[:SPECIAL] += 9.0  # pyright: ignore
        made.model.decoder.output.bias[EOS] -= 20.0  # pyright: ignore
    for found in search(made, 100):
        assert {symbol for output, _ in found for symbol in output} == {EOS, *SYMBOLS}


def test_of_a_memory_and_a_state_the_rows_are_taken_wherever_they_stand() -> None:
    model, chosen = Model(), torch.tensor([2, 0, 0])
    keys, carried = torch.arange(30.0).view(3, 2, 5), torch.arange(6.0).view(1, 3, 2)
    memory = Memory(keys, 2 * keys, keys[:, :1] > 3)
    state = {"layers": [(carried, carried + 1)], "taken": 4}
    found = model.rows((memory, state), chosen, 3)
    assert isinstance(found[0], Memory) and torch.equal(found[0].values, 2 * keys[chosen])
    (layer,) = found[1]["layers"]
    assert torch.equal(layer[1], carried[:, chosen] + 1) and found[1]["taken"] == 4
    with pytest.raises(ValueError, match=r"must be tensors K B \.\.\. of 3 rows.*shape \(3, 2\)"):
        model.rows({"state": torch.zeros(3, 2)}, chosen, 3)
