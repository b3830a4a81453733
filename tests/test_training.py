"""What a training step is: several batches as one, layers that draw by themselves, losses that explode."""

from pathlib import Path

import pytest
import torch
from running import LITTLE, Killed, captured, folder_in, killed_at, metrics, results, same
from torch import Tensor
from torch.nn.utils import get_total_norm

from attnlab import runs
from attnlab.base import PAD
from attnlab.building import Built, assemble
from attnlab.commands import train
from attnlab.config import compose
from attnlab.evaluation import teacher_forced
from attnlab.randomness import drawing, generator_for
from attnlab.training import token_losses

UNEQUAL = [*LITTLE, "task=copy", "task.shortest=1", "task.longest=9", "task.steps_per_epoch=5"]


def weighted(built: Built, positions: range) -> tuple[Tensor, dict[str, Tensor], list[Tensor]]:
    """The surrogate and its gradient, summed over all tokens of some batches and divided by their number
    once; and the mean return of each token."""
    total, tokens, returns = torch.zeros(()), 0, []
    for position in positions:
        batch = built.task.train(position)
        generator = drawing(generator_for(0, "draws", position))
        output = built.model(batch, generator, built.mechanism.estimator.controls)
        losses, valid = token_losses(output.logits, batch.target), batch.target != PAD
        surrogate = built.mechanism.estimator(
            losses, losses.detach(), output.selection, valid, output.state.detach()
        )
        total, tokens = total + surrogate.loss.sum(), tokens + int(valid.sum())
        returns.append(losses.detach().mean(0)[valid])
    named = dict(built.model.named_parameters())
    gradients = torch.autograd.grad(total / tokens, list(named.values()), materialize_grads=True)
    return total / tokens, dict(zip(named, gradients, strict=True)), returns


@pytest.mark.parametrize("attention", ["soft", "hard_reinforce", "hard_marginal"])
def test_the_batches_of_a_step_weigh_by_their_tokens(
    attention: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five batches of three as steps of two, two and one: gradient, parameters, and every logged figure."""
    command = [
        *UNEQUAL,
        f"attention={attention}",
        *(["attention.baseline=moving_average"] if attention == "hard_reinforce" else []),
        "trainer.accumulate_grad_batches=2",
        "trainer.max_steps=4",
        "trainer.log_every_n_steps=1",
        "trainer.gradient_clip_val=null",
        "optimizer=sgd",
        "optimizer.schedule=constant",
        "optimizer.momentum=0",
        "optimizer.lr=0.1",
        f"runs_dir={tmp_path}",
    ]
    states = captured(monkeypatch)  # before the last batch of each step, where parameters have not moved
    assert train(command, None) == 0
    folder = folder_in(tmp_path)
    states[4] = runs.load(folder / "checkpoints" / "last.ckpt")["state_dict"]
    rows = metrics(folder)
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    built, average, correction = assemble(compose(command).tree), 0.0, 0.0
    for step, positions in enumerate([range(0, 2), range(2, 4), range(4, 5), range(5, 7)]):
        built.training.load_state_dict(states[step])
        if attention == "hard_reinforce":
            state = states[step]
            assert state["estimator.baseline.average"].item() == pytest.approx(average, rel=1e-6)
        surrogate, gradients, returns = weighted(built, positions)
        mean = torch.cat(returns).double().mean().item()
        average, correction = 0.95 * average + 0.05 * mean, 0.95 * correction + 0.05
        assert float(rows[step]["train/surrogate"]) == pytest.approx(surrogate.item(), rel=1e-5)
        total = get_total_norm(list(gradients.values())).item()
        assert float(rows[step]["grad_norm/total"]) == pytest.approx(total, rel=1e-5)
        for name, gradient in gradients.items():
            moved = states[step][f"model.{name}"] - states[step + 1][f"model.{name}"]
            assert torch.allclose(moved, 0.1 * gradient, rtol=1e-3, atol=2e-7), name
        built.training.load_state_dict(states[step + 1])
        built.model.eval()
        sums = [
            teacher_forced(built.model, built.task.train(position), built.training.rule)["nll"]
            for position in positions
        ]
        nll = sum(above for above, _ in sums) / sum(below for _, below in sums)
        assert float(rows[step]["train/nll"]) == pytest.approx(nll, rel=1e-5)


FOREIGN = """
from torch import nn
from attnlab.models.seq2seq import lstm

def dropping(source_symbols, target_symbols, attention, *, rate: float):
    sizes = {"embedding_size": 5, "hidden_size": 6, "readout_size": 7, "layers": 1, "dropout": 0.0}
    model = lstm(source_symbols, target_symbols, attention, **sizes)
    model.decoder.embedding = nn.Sequential(model.decoder.embedding, nn.Dropout(rate))
    return model
"""
"""A person's own model with a layer that draws from torch's global generator."""


def test_layers_that_draw_from_the_global_generator_repeat_and_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs" / "model").mkdir(parents=True)
    (tmp_path / "foreign_dropout.py").write_text(FOREIGN, encoding="utf-8")
    (tmp_path / "configs" / "model" / "mine.yaml").write_text(
        "_target_: foreign_dropout.dropping\nrate: 0.5\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    small = [setting for setting in LITTLE if not setting.startswith("model.")]
    command = ["--config-dir", str(tmp_path / "configs"), "model=mine", *small]
    command += ["trainer.max_steps=9", "checkpoint_every=4"]
    for number, place in enumerate(("one", "two", "cut")):
        torch.manual_seed(number)  # whatever the state of the process
        if place == "cut":
            with monkeypatch.context() as patch, pytest.raises(Killed):
                killed_at(6, patch)
                train([*command, "runs_dir=" + str(tmp_path / place)], None)
            torch.randn(7)
        assert train([*command, "runs_dir=" + str(tmp_path / place)], None) == 0
    whole, *others = (folder_in(tmp_path / place) for place in ("one", "two", "cut"))
    for other in others:
        assert metrics(whole) == metrics(other)
        assert results(whole) == results(other)
        one, two = (runs.load(run / "checkpoints" / "last.ckpt")["state_dict"] for run in (whole, other))
        assert same(one, two)
