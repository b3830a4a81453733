"""Figures against a slow computation, example by example and without padding, and against the size of
batches."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from attnlab.building import Built, assemble, build
from attnlab.config.composing import compose
from attnlab.models.decoding import greedy
from attnlab.models.model import taken_by
from attnlab.randomness import Randomness
from attnlab.tasks.batch import EOS, PAD, Batch
from attnlab.training.exams import NUMBERS, Tally, divided, free_running, teacher_forced

TINY = [
    "task=sort",
    "model.hidden_size=6",
    "model.embedding_size=5",
    "task.symbols=5",
    "batch_size=11",
    "trainer.precision=64-true",
]
RULES = ["soft", "argmax", "marginal"]


def built(rule: str) -> Built:
    return assemble(compose([*TINY, f"evaluate_as={rule}", "attention.beta=3"]).tree)


def figures(model: Built, batches: Iterable[Batch]) -> dict[str, float]:
    tally = Tally()
    for batch in batches:
        tally.add(teacher_forced(model.model, batch, model.training.rule))
        tally.add(free_running(model.model, batch, model.training.rule, 9))
    return tally.figures("val")


def in_parts(batch: Batch, size: int) -> Iterator[Batch]:
    """So many examples at a time, cut to the longest of them."""
    for source, target, gold in zip(*(tensor.split(size) for tensor in batch), strict=True):
        s, t = (int((tensor != PAD).sum(1).max()) for tensor in (source, target))
        yield Batch(source[:, :s], target[:, :t], gold[:, :t, :s])


def distance(one: Sequence[object], other: Sequence[object]) -> int:
    """Edit distance by its recursion."""
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        above, row = row, [i]
        for j, right in enumerate(other, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (left != right)))
    return row[-1]


@pytest.mark.parametrize("rule", RULES)
def test_figures_are_those_of_a_slow_computation_without_padding(rule: str) -> None:
    subject = built(rule)
    model: Any = subject.model.double()
    batch = subject.task.train(0)
    nll, right, entropy, tokens, hits, mass, known, exact, edits, length = ([] for _ in range(10))
    unfinished: list[float] = []
    for alone in in_parts(batch, 1):
        states = model.encoder(alone.source, alone.source != PAD, torch.Generator())
        keys, values = model.attention.project(states)[0], model.decoder.from_context(states)[0]
        prefix = torch.cat((torch.tensor([[1]]), alone.target[:, :-1]), 1)
        hidden = model.decoder(model.decoder.embedding(prefix), (), torch.Generator())[0][0]
        for step, symbol in enumerate(alone.target[0].tolist()):
            p = torch.softmax(3 * (keys @ hidden[step]) / keys.size(1) ** 0.5, 0)
            head = model.decoder.from_state(hidden[step])
            each = torch.softmax(model.decoder.output(torch.tanh(head + values)), -1)
            if rule == "soft":
                q = torch.softmax(model.decoder.output(torch.tanh(head + p @ values)), -1)
            else:
                q = each[p.argmax()] if rule == "argmax" else p @ each
            nll.append(-q[symbol].log().item())
            right.append(float(q.argmax() == symbol))
            entropy.append(-(p * p.log()).sum().item())
            tokens.append(1.0)
            if symbol != EOS:
                gold = (alone.source[0] == symbol).double()
                hits.append(gold[p.argmax()].item())
                mass.append((p * gold).sum().item())
                known.append(1.0)
        guess = greedy(model, alone, subject.training.rule, 9)[0].tolist()
        unfinished.append(float(EOS not in guess))
        guess = guess[: guess.index(EOS)] if EOS in guess else guess
        reference = alone.target[0, :-1].tolist()
        exact.append(float(guess == reference))
        edits.append(distance(guess, reference))
        length.append(len(reference))
    expected = {
        "nll": sum(nll) / sum(tokens),
        "token_accuracy": sum(right) / sum(tokens),
        "attention_entropy": sum(entropy) / sum(tokens),
        "alignment_accuracy": sum(hits) / sum(known),
        "alignment_mass": sum(mass) / sum(known),
        "sequence_accuracy": sum(exact) / len(exact),
        "error_rate": sum(edits) / sum(length),
        "unfinished": sum(unfinished) / len(unfinished),
    }
    assert figures(subject, [batch]) == pytest.approx(
        {f"val/{name}": value for name, value in expected.items()}, abs=1e-10
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [1, 4, 7])
def test_no_figure_depends_on_the_size_of_batches(rule: str, size: int) -> None:
    subject = built(rule)
    subject.model.double()
    batch = subject.task.train(3)
    assert figures(subject, in_parts(batch, size)) == pytest.approx(figures(subject, [batch]), abs=1e-12)


class Largest(TorchDispatchMode):
    """How many numbers the largest tensor held that any operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, list | tuple) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.untyped_storage().nbytes() // tensor.element_size())
        return result


def measured(subject: Built, rule: Any, batch: Batch) -> tuple[dict[str, float], int]:
    """The figures that training takes of a batch, and the size of the largest tensor on the way."""
    training = subject.training
    training.evaluate_as = rule
    training.tally = Tally()
    with Largest() as largest:
        training.eval().validation_step(batch, 0)
    return training.tally.figures("val"), largest.numbers


@pytest.mark.parametrize("rule", RULES)
def test_a_batch_is_divided_as_memory_asks_and_its_figures_are_the_same(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = built(rule)
    subject.model.double()
    batch = subject.task.train(3)
    whole, largest = measured(subject, rule, batch)
    budget = largest // 4
    monkeypatch.setattr("attnlab.training.exams.NUMBERS", budget)
    monkeypatch.setattr("attnlab.core.readout.TOGETHER", 1)
    assert [len(part.source) for part in divided(subject.model, batch, subject.training.rule)] != [11]
    divided_figures, divided_largest = measured(subject, rule, batch)
    assert divided_figures == pytest.approx(whole, abs=1e-12) and divided_largest <= budget


@pytest.mark.slow
def test_an_exam_of_long_sources_fits_where_every_position_is_enumerated() -> None:
    """512 positions, 64 examples, teacher-forced: over 4 GB of values alone in one piece."""
    overrides = ["task=copy", "task.shortest=512", "task.longest=512", "batch_size=64"]
    subject = build([*overrides, "attention=hard_marginal"])
    batch, rule, tally = subject.task.train(0), subject.training.rule, Tally()
    with Largest() as largest:
        for part in divided(subject.model.eval(), batch, rule):
            tally.add(teacher_forced(subject.model, part, rule))
    assert largest.numbers <= NUMBERS and 0 < tally.figures("val")["val/nll"] < 10
    model: Any = subject.model
    assert 4 * 64 * 512 * 512 * model.decoder.from_context.out_features > 4e9


def test_alignment_is_absent_where_no_gold_is_known() -> None:
    subject = built("soft")
    batch = subject.task.train(0)
    found = figures(subject, [batch._replace(gold=torch.zeros_like(batch.gold))])
    assert "val/nll" in found and not any("alignment" in tag for tag in found)


@pytest.mark.parametrize(
    "attention, rule", [("soft", "soft"), ("hard_reinforce", "argmax"), ("hard_marginal", "marginal")]
)
def test_same_follows_the_objective(attention: str, rule: str) -> None:
    one, other = (
        assemble(compose([*TINY, f"attention={attention}", f"evaluate_as={name}"]).tree)
        for name in ("same", rule)
    )
    batch = one.task.train(0)
    randomness = Randomness(torch.Generator())
    outputs = [taken_by(b.model, batch, b.training.rule, randomness) for b in (one, other)]
    assert torch.equal(outputs[0].logits, outputs[1].logits)
