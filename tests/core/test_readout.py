"""Enumeration that reads some alternatives at a time reads what it would all at once."""

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


def test_it_is_the_readout_that_decoding_uses() -> None:
    """tanh, and an affine map of the sigmoid of twice as much."""
    built = attnlab.build([*SMALL, "attention=hard_marginal"])
    decoder: Any = built.model.decoder.double()
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(1, 4, 3, 7, generator=generator, dtype=torch.float64)
    contexts = torch.randn(5, 4, 1, 6, generator=generator, dtype=torch.float64)
    found = decoder.readout(states, contexts).logits()
    torch.testing.assert_close(found, decoder.read(states, contexts), rtol=1e-12, atol=1e-12)
