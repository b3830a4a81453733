"""What a training step is: several batches as one, layers that draw by themselves, losses that explode."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from running import LITTLE, Killed, captured, folder_in, killed_at, metrics, results, same
from seldom import seldom
from torch import Tensor
from torch.nn.utils import get_total_norm

from attnlab.building import Built, assemble
from attnlab.cli.train import train
from attnlab.config.composing import compose
from attnlab.models.model import taken_by, token_losses
from attnlab.randomness import Randomness, generator_for
from attnlab.runs import folders, limits
from attnlab.runs import run as runs
from attnlab.tasks.batch import PAD
from attnlab.training.exams import teacher_forced

PLAIN = ["optimizer=sgd", "optimizer.momentum=0", "trainer.gradient_clip_val=null"]
UNEQUAL = [*LITTLE, "task=copy", "task.shortest=1", "task.longest=9", "task.steps_per_epoch=5"]


def weighted(built: Built, positions: range) -> tuple[Tensor, dict[str, Tensor], list[Tensor]]:
    """The surrogate and its gradient, summed over all tokens of some batches and divided by their number
    once; and the mean return of each token."""
    total, tokens, returns = torch.zeros(()), 0, []
    for position in positions:
        batch = built.task.train(position)
        randomness = Randomness(generator_for(0, "draws", position))
        taken = taken_by(built.model, batch, built.mechanism.selector, randomness)
        losses, valid = token_losses(taken.logits, batch.target), batch.target != PAD
        surrogate = built.mechanism.estimator(losses, taken, valid)
        total, tokens = total + surrogate.loss.sum(), tokens + int(valid.sum())
        returns.append(losses.detach().mean(0)[valid])
    named = dict(built.model.named_parameters())
    gradients = torch.autograd.grad(total / tokens, list(named.values()), materialize_grads=True)
    return total / tokens, dict(zip(named, gradients, strict=True)), returns


@pytest.mark.parametrize("attention", seldom(["soft", "hard_reinforce", "hard_marginal"], "hard_reinforce"))
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
        *PLAIN,
        "optimizer.schedule=constant",
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
            assert state["estimator.baselines.attention.average"].item() == pytest.approx(average, rel=1e-6)
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
from attnlab.models.recurrent import lstm

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


def test_a_run_that_ends_far_from_a_guess_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Against ln V computed here: a loss that explodes and stays finite is done, and is no result."""
    exploding = [
        "optimizer=sgd",
        "optimizer.lr=1e30",
        "optimizer.momentum=0",
        "trainer.gradient_clip_val=null",
    ]
    told = {}
    for name, changes in (("exploded", exploding), ("sane", [])):
        place = tmp_path / name
        assert train([*LITTLE, "trainer.max_steps=4", *changes, f"runs_dir={place}"], None) == 0
        told[name] = " ".join(capsys.readouterr().out.split())
        folder = folder_in(place)
        caution = folders.read_status(folder)["caution"]
        worse = results(folder)["val/nll"] > 1.1 * math.log(21)
        assert worse == (name == "exploded") == bool(caution)
    assert "diverged: the nll is" in told["exploded"] and "diverged" not in told["sane"]


class Fragile(torch.nn.Module):
    """A layer that raises where a number is not finite, with words that nobody understands."""

    def forward(self, x: Tensor) -> Tensor:
        if not x.isfinite().all():
            raise IndexError("index -1 is out of bounds for dimension 2 with size 10")
        return x


def test_a_model_that_breaks_on_nan_is_told_as_a_loss_that_is_nan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = limits.assemble

    def assembled(*arguments: Any) -> Built:
        built = made(*arguments)
        decoder: Any = built.model.decoder
        symbols = built.task.target_symbols
        decoder.output = torch.nn.Sequential(decoder.output, torch.nn.Linear(symbols, symbols), Fragile())
        return built

    monkeypatch.setattr(limits, "assemble", assembled)
    exploding = [
        "optimizer=sgd",
        "optimizer.lr=1e38",
        "optimizer.momentum=0",
        "trainer.gradient_clip_val=null",
    ]
    command = [*LITTLE, "attention=hard_exact", "trainer.max_steps=9", *exploding, f"runs_dir={tmp_path}"]
    assert train(command, None) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert re.search(r"the loss is nan at step \d, [\w.]+ not being finite", told)


def test_a_sanity_check_leaves_no_figures_and_no_best_checkpoint(tmp_path: Path) -> None:
    command = [*LITTLE, "trainer.num_sanity_val_steps=2", "trainer.max_steps=6", "task.steps_per_epoch=3"]
    assert train([*command, f"runs_dir={tmp_path / 'checked'}"], None) == 0
    assert train([*LITTLE, *command[-2:], f"runs_dir={tmp_path / 'plain'}"], None) == 0
    checked, plain = folder_in(tmp_path / "checked"), folder_in(tmp_path / "plain")
    assert [row["step"] for row in metrics(checked)] == ["3", "5", "6"]
    assert metrics(checked) == metrics(plain) and results(checked) == results(plain)
    best = runs.load(checked / "checkpoints" / "best.ckpt")
    assert best["global_step"] in (3, 6)


@pytest.mark.parametrize("every", ["2", "null"])
def test_a_plateau_is_judged_by_each_validation_once(every: str, tmp_path: Path) -> None:
    command = [*LITTLE, "task.steps_per_epoch=4", "trainer.max_steps=32", "trainer.log_every_n_steps=1"]
    command += ["optimizer.lr=0.4", "optimizer.schedule=halve_on_plateau", f"runs_dir={tmp_path}"]
    command += [f"trainer.check_val_every_n_epoch={every}"]
    command += ["trainer.val_check_interval=6"] if every == "null" else []
    assert train(command, None) == 0
    rate, lowest, halved = 0.4, math.inf, 0
    for row in metrics(folder_in(tmp_path)):
        assert float(row["schedule/lr"]) == pytest.approx(rate), row["step"]
        if row["val/nll"]:
            worse = float(row["val/nll"]) >= lowest
            rate, lowest, halved = rate / (1 + worse), min(lowest, float(row["val/nll"])), halved + worse
    assert halved


def test_rows_hold_the_values_that_their_step_used(tmp_path: Path) -> None:
    beta = ["attention.beta_schedule=linear", "attention.beta_end=2", "attention.beta_steps=4"]
    command = [*LITTLE, *beta, "trainer.max_steps=4", "trainer.log_every_n_steps=1", "optimizer.lr=0.1"]
    assert train([*command, f"runs_dir={tmp_path}"], None) == 0
    rows = metrics(folder_in(tmp_path))
    for tag, expected in (
        ("schedule/lr", [0.1, 0.075, 0.05, 0.025]),
        ("schedule/beta", [1, 1.25, 1.5, 1.75]),
    ):
        assert [float(row[tag]) for row in rows] == pytest.approx(expected)
