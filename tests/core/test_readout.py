"""Enumeration that reads some alternatives at a time reads what it would all at once."""

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import attnlab
from attnlab.core import readout
from attnlab.core.readout import Readout
from attnlab.models.model import predict, taken_by, token_losses
from attnlab.randomness import Randomness
from attnlab.tasks.batch import PAD

SMALL = "model.hidden_size=7 model.embedding_size=5 model.readout_size=6 batch_size=4 task.longest=6".split()


def everything(monkeypatch: pytest.MonkeyPatch, together: int, held: int, attention: str) -> list[Tensor]:
    """Losses, predictions and the gradient of every parameter, in double precision, with padding."""
    monkeypatch.setattr(readout, "TOGETHER", together)
    monkeypatch.setattr(readout, "HELD", held)
    built = attnlab.build([*SMALL, f"attention={attention}", "trainer.precision=64-true"])
    model, batch = built.model.double(), built.task.train(0)
    assert (batch.source == PAD).any() and isinstance(built.training.estimator, nn.Module)
    taken = taken_by(model, batch, built.mechanism.selector, Randomness(torch.Generator().manual_seed(0)))
    assert isinstance(taken.readout, Readout)
    losses = token_losses(taken.readout, batch.target)
    built.training.estimator(losses, taken, batch.target != PAD).loss.sum().backward()
    mixed = predict(taken.readout, taken.mass)
    return [losses, mixed, *(value.grad for value in model.parameters() if value.grad is not None)]


@pytest.mark.parametrize("attention", ["hard_exact", "hard_marginal"])
@pytest.mark.parametrize(("together", "held"), [(1, 2**40), (700, 2**40), (1, 1), (700, 1)])
def test_parts_and_reading_again_change_nothing(
    together: int, held: int, attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = everything(monkeypatch, 2**40, 2**40, attention)
    parts = everything(monkeypatch, together, held, attention)
    assert len(whole) == len(parts) > 10
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


def test_reading_again_goes_through_the_same_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the backward pass too, which runs outside of autocast."""
    monkeypatch.setattr(readout, "TOGETHER", 1)
    found = []
    for held in (2**40, 1):
        monkeypatch.setattr(readout, "HELD", held)
        leaves = [x.requires_grad_() for x in normal((5, 3, 1, 8), (1, 3, 4, 8), (6, 8))]
        with torch.autocast("cpu", torch.bfloat16):
            losses = _linear(*leaves).of_each(lambda logits: logits.square().sum(-1))
        found.append([losses, *torch.autograd.grad(losses.sum(), leaves)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-2)
    with pytest.raises(AssertionError):  # bfloat16 it is
        exact = _linear(*leaves).of_each(lambda logits: logits.square().sum(-1))
        torch.testing.assert_close(
            found[1][1], torch.autograd.grad(exact.sum(), leaves)[0], rtol=1e-5, atol=1e-5
        )


def test_what_is_not_handed_in_is_not_left_without_its_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readout, "HELD", 1)
    contexts, state, weight = (x.requires_grad_() for x in normal((5, 3, 1, 8), (1, 3, 4, 8), (6, 8)))
    reads = Readout(lambda some, states: (some + states) @ weight.T, contexts, (state,), 12)
    with pytest.raises(RuntimeError, match=r"must be handed in as `shared`, and a tensor of shape \(6, 8\)"):
        reads.logits().sum().backward()


def normal(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def _linear(contexts: Tensor, state: Tensor, weight: Tensor) -> Readout:
    return Readout(lambda some, states, w: (some + states) @ w.T, contexts, (state, weight), 12)


_STEP = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (4 * 10**9,) * 2)
import torch, attnlab
from attnlab.models.model import taken_by, token_losses
from attnlab.randomness import Randomness
from attnlab.tasks.batch import PAD
from attnlab.training.exams import divided, teacher_forced
torch.set_num_threads(1)
sizes = ["task=copy", "task.shortest=512", "task.longest=512", f"batch_size={sys.argv[2]}"]
built = attnlab.build([*sizes, "attention=hard_marginal"])
model, batch = built.model, built.task.train(0)
if sys.argv[1] == "training":
    taken = taken_by(model, batch, built.mechanism.selector, Randomness(torch.Generator()))
    losses, valid = token_losses(taken.readout, batch.target), batch.target != PAD
    built.training.estimator(losses, taken, valid).loss.sum().backward()
    assert all(value.grad.isfinite().all() for value in model.decoder.parameters())
else:
    part = next(divided(model.eval(), batch, built.training.rule))
    assert len(part.source) > 20
    teacher_forced(model, part, built.training.rule)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_long_sources_are_trained_on_in_4_gb_and_examined_in_no_more() -> None:
    """512 positions, 64 examples of training and 250 of an exam: 4.3 and 17 GB for one tensor K B T R."""
    peaks = []
    for what, rows in (("training", "64"), ("exam", "250")):
        command = [sys.executable, "-c", _STEP, what, rows]
        ran = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        assert ran.returncode == 0, ran.stderr[-2000:]
        peaks.append(int(ran.stdout))
    training, exam = peaks
    assert exam < training < 4e9


def test_it_is_the_readout_that_decoding_uses() -> None:
    """tanh, and an affine map of the sigmoid of twice as much."""
    built = attnlab.build([*SMALL, "attention=hard_marginal"])
    decoder: Any = built.model.decoder.double()
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(1, 4, 3, 7, generator=generator, dtype=torch.float64)
    contexts = torch.randn(5, 4, 1, 6, generator=generator, dtype=torch.float64)
    found = decoder.readout(states, contexts).logits()
    decoder.output = nn.Sequential(decoder.output)  # of a person's own, which is called as it is
    assert isinstance(decoder.readout(states, contexts), Tensor)
    torch.testing.assert_close(found, decoder.read(states, contexts), rtol=1e-12, atol=1e-12)
