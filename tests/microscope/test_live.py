"""The microscope on a model's own weights: what it holds estimates against is right, what it says of bias is
true, and a run is the same with it and without it."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from running import Killed, folder_in, killed_at, same
from test_resuming import ends_alike
from torch import Tensor, nn

from attnlab.building import assemble
from attnlab.cli.train import train
from attnlab.config.composing import compose
from attnlab.core.interfaces import AttentionInput, Estimator, Mechanism, Selection, single
from attnlab.core.selectors import Enumeration
from attnlab.microscope.bounds import Seldom
from attnlab.microscope.callback import applicable, figures, probe_batch
from attnlab.microscope.files import COLUMNS, keep
from attnlab.microscope.live import SCORES, WEIGHTS, Found, Probe, survey
from attnlab.microscope.moments import moments, products, together
from attnlab.randomness import Randomness
from attnlab.tasks.batch import PAD
from attnlab.training.lightning_module import Training

TINY = "model.hidden_size=5 model.embedding_size=4 model.readout_size=5 task.longest=5 batch_size=4".split()
FEW = "trainer.max_steps=6 task.steps_per_epoch=3 task.validation_examples=7 task.test_examples=5".split()
FEW += TINY


def probe(*overrides: str, examples: int = 4, sizes: Sequence[str] = TINY) -> tuple[Any, Probe]:
    built = assemble(compose([*sizes, *overrides]).tree)
    built.training.move(0)
    for parameter in built.model.parameters():
        nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(parameter.numel()))
    return built, Probe(built.model, probe_batch(built.training, examples))


def found(made: Any, seen: Probe, names: list[str], draws: int = 8, seed: int = 0) -> dict[str, Found]:
    return dict(survey(seen, dict(applicable(made.model, names, made.mechanism, 0)), draws, seed))


# --- what estimates are held against ---


def by_hand(seen: Probe, kind: str) -> Tensor:
    """The gradient of an objective at all weights: every position is forced at all steps at once, which may
    be as a step's loss does not depend on the choices of others."""
    model, batch = seen.model, seen.batch
    losses, probs = [], []
    for position in range(batch.source.size(1)):

        def choose(site: str, inputs: AttentionInput, position: int = position) -> Selection:
            probs.append(inputs.scores[0].softmax(-1)[..., position])
            weights = torch.zeros_like(inputs.scores)
            weights[..., position] = 1.0
            return single(weights, weights)

        logits = model(batch, choose, Randomness(None)).logits[0]
        losses.append(-logits.log_softmax(-1).gather(-1, batch.target[..., None]).squeeze(-1))
    p, loss = torch.stack(probs), torch.stack(losses)
    if kind == "bound of two draws":
        pairs = [(i, j) for i in range(len(p)) for j in range(len(p))]
        each = sum(-p[i] * p[j] * ((torch.exp(-loss[i]) + torch.exp(-loss[j])) / 2).log() for i, j in pairs)
    else:
        each = (p * loss).sum(0) if kind == "expected" else -(p * torch.exp(-loss)).sum(0).log()
    valid = batch.target != PAD
    assert isinstance(each, Tensor)
    value = torch.where(valid, each, 0.0).sum() / valid.sum()
    leaves = list(model.parameters())
    gradients = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
    return torch.cat([gradient.flatten() for gradient in gradients])


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("hard_reinforce samples=2", "expected"),
        ("gumbel_rao", "expected"),
        ("hard_marginal", "marginal"),
        ("vimco samples=2", "bound of two draws"),
        ("unordered_set", "expected"),
    ],
)
def test_a_mechanism_is_held_against_the_gradient_of_its_own_objective(words: str, kind: str) -> None:
    made, seen = probe("attention=hard_reinforce")
    ((_, mechanism),) = applicable(made.model, [words], None, 0)
    held = seen.reference(mechanism, 4, 0)
    assert held is not None and not any(held.error.values())
    names = [name for name, _ in seen.model.named_children()]
    ours = torch.cat([held.mean[name] for name in names])
    right = by_hand(seen, kind)
    assert right.norm() > 1e-3
    torch.testing.assert_close(ours, right, rtol=1e-9, atol=1e-11)


def test_what_is_enumerated_has_no_bias_and_no_variance_and_what_follows_another_loss_is_told_so() -> None:
    made, seen = probe()
    shown = found(made, seen, ["hard_exact", "hard_marginal", "soft", "sparsemax_expected", "hard_chain"])
    for name, one in shown.items():
        assert one.own[WEIGHTS].relative_bias == one.own[WEIGHTS].relative_variance == 0, name
        assert one.own[SCORES].cosine == pytest.approx(1)
        assert (one.expected[WEIGHTS].relative_bias > 0.05) == (name != "hard_exact"), name


def test_the_controls_look_at_no_scores_and_are_left_out() -> None:
    made, seen = probe()
    assert list(found(made, seen, ["uniform", "oracle", "soft"])) == ["soft"]


def test_where_there_is_nothing_to_choose_from_rounding_is_no_bias() -> None:
    made, seen = probe("task.shortest=1", "task.longest=1")
    assert found(made, seen, ["soft", "hard_reinforce", "rebar", "hard_marginal"]) == {}


class Misled(Estimator):
    """An estimator with a mistake of a known size: its surrogate counts twice."""

    def __init__(self, right: Estimator):
        super().__init__()
        self.right = right

    def forward(self, *given: Any) -> Any:
        made = self.right(*given)
        return made._replace(loss=2 * made.loss)


def test_bias_is_found_where_it_is_and_of_the_size_that_it_has() -> None:
    made, seen = probe()
    ((name, right),) = applicable(made.model, ["hard_reinforce samples=8"], None, 0)
    wrong = Mechanism(right.distribution, right.selector, Misled(right.estimator), right.facts)
    shown = dict(survey(seen, {name: right, "wrong": wrong}, 64, 1))
    assert shown[name].own[WEIGHTS].relative_bias == 0 and shown[name].own[WEIGHTS].z < 3
    told = shown["wrong"].own[WEIGHTS]
    assert told.z > 3 and abs(told.relative_bias - 1) < 3 * told.bias_error


@pytest.mark.slow
def test_of_a_hundred_looks_no_more_than_five_call_an_unbiased_mechanism_biased() -> None:
    made, seen = probe()
    for words in ["hard_reinforce", "rebar", "unordered_set", "sum_and_sample", "vimco"]:
        alarms = sum(found(made, seen, [words], 16, seed)[words].own[WEIGHTS].z > 3 for seed in range(100))
        assert alarms <= 5, words


@pytest.mark.slow
def test_where_choices_reach_on_the_reference_is_sampled_and_its_error_stated() -> None:
    made, seen = probe("model.input_feeding=true", "attention=hard_reinforce")
    assert not seen.alone
    shown = found(made, seen, ["soft", "hard_marginal", "hard_reinforce", "argmax_straight_through"], 24)
    assert list(shown) == ["soft", "hard_reinforce", "argmax_straight_through"]
    assert shown["soft"].exact and not shown["hard_reinforce"].exact
    assert shown["hard_reinforce"].own[WEIGHTS].z < 3
    assert shown["argmax_straight_through"].own[WEIGHTS].relative_bias > 0.1


# --- moments ---


def test_moments_are_those_of_normal_estimates_and_alarms_are_rare() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(40, generator=generator, dtype=torch.float64)
    scale = torch.linspace(0.1, 3, 40, dtype=torch.float64)
    alarms, biases = 0, []
    for _ in range(400):
        noise = torch.randn(16, 40, generator=generator, dtype=torch.float64) * scale
        alarms += moments(products(truth + noise, truth)).z > 3
        biases.append(moments(products(1.5 * truth + noise * 0.2, truth)))
    assert alarms <= 0.03 * 400
    assert sum(one.relative_bias for one in biases) / 400 == pytest.approx(0.5, abs=0.01)
    spread = torch.tensor([one.relative_bias for one in biases]).std().item()
    assert sum(one.bias_error for one in biases) / 400 == pytest.approx(spread, rel=0.2)
    variance = 0.04 * scale.square().sum() / truth.square().sum()
    assert sum(one.relative_variance for one in biases) / 400 == pytest.approx(variance.item(), rel=0.02)
    budgeted = biases[0].squared_error(16)
    assert budgeted == pytest.approx(biases[0].relative_bias ** 2 + 2 * biases[0].relative_variance)


def test_what_is_hardly_ever_drawn_is_told_apart_from_a_bias() -> None:
    truth = torch.linspace(1, 2, 7, dtype=torch.float64)
    off = (0.7 * truth).expand(8, -1)
    assert moments(products(off, truth)).relative_bias == 0  # below 3 / 8
    told = moments(products(off, truth), copies=20)
    assert told.relative_bias == pytest.approx(0.3) and told.z > 3
    for share in (0.29, 0.6):
        seldom = (share * truth).square().sum().item()
        hidden = moments(products(off, truth, seldom=seldom), copies=20)
        assert hidden.relative_bias == 0 and hidden.bias_error >= 0.3
    assert moments(products(off[:1], truth)).relative_bias == pytest.approx(0.3)  # one that is not random


def test_what_is_hardly_ever_drawn_is_found_by_enumeration() -> None:
    made, plain = probe(examples=2)
    seen = Probe(made.model, plain.batch, beta=50.0)
    ((_, mechanism),) = applicable(made.model, ["hard_reinforce"], None, 0)
    exact = seen.expected(mechanism.distribution, 8, 0).mean[SCORES]

    def seldom(below: float) -> Tensor:
        choices = Enumeration(mechanism.distribution)
        return seen.gradients(choices, Seldom(below), Randomness(None))[0][SCORES]

    torch.testing.assert_close(seldom(1.1), exact)  # at the scores a constant taken away changes nothing
    lengths = [seldom(below).norm().item() for below in (0.5, 0.01, 1e-300)]
    assert lengths[0] > lengths[1] > lengths[2] == 0


def test_parts_of_a_model_add_up_to_all_of_it() -> None:
    generator = torch.Generator().manual_seed(1)
    estimates, truth = (
        torch.randn(6, 30, generator=generator).double(),
        torch.randn(30, generator=generator).double(),
    )
    whole = moments(products(estimates, truth))
    parts = [products(estimates[:, at], truth[at]) for at in (slice(0, 7), slice(7, 30))]
    assert moments(together(parts)) == pytest.approx(whole)
    away = estimates - truth
    plain = sum(float(away[i] @ away[j]) for i in range(6) for j in range(6) if i != j) / 30
    shown = moments(products(estimates, truth)).relative_bias ** 2 if whole.z >= 3 else None
    assert shown is None or shown == pytest.approx(plain / float(truth @ truth))
    right = torch.nn.functional.cosine_similarity(estimates.mean(0), truth, 0).item()
    assert whole.cosine == pytest.approx(right)
    spread = (estimates - estimates.mean(0)).square().sum() / 5 / (truth @ truth)
    assert whole.relative_variance == pytest.approx(spread.item())


# --- in a run ---


LOOKS = ["callbacks=microscope", "callbacks.microscope.every=2", "callbacks.microscope.draws=8"]
LOOKS += ["callbacks.microscope.examples=2", "callbacks.microscope.mechanisms=[hard_reinforce,gumbel_rao]"]
LEARNS = ["attention=hard_reinforce", "attention.baseline=moving_average", "model.dropout=0.3"]


def random_states(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[int, Tensor]]:
    """The state of torch's generator at each step from now on: before it, where what hooks drew would show,
    and behind it."""
    states: dict[str, dict[int, Tensor]] = {"before": {}, "behind": {}}
    original = Training.training_step

    def watching(self: Training, batch: Any, batch_idx: int) -> Any:
        step = self.trainer.global_step
        states["before"][step] = torch.get_rng_state()
        found = original(self, batch, batch_idx)
        states["behind"][step] = torch.get_rng_state()
        return found

    monkeypatch.setattr(Training, "training_step", watching)
    return states


def looked_at(folder: Path) -> list[dict[str, str]]:
    """The rows of microscope.csv without clock times."""
    with (folder / "microscope.csv").open(newline="") as file:
        return [{key: row[key] for key in row if key != "milliseconds"} for row in csv.DictReader(file)]


@pytest.mark.parametrize("model", ["recurrent", pytest.param("input feeding", marks=pytest.mark.slow)])
def test_a_run_is_the_same_with_it_and_without_it_and_after_an_interruption(
    model: str, tmp_path: Path
) -> None:
    more = {"recurrent": [], "input feeding": ["model.input_feeding=true"]}[model]
    command = [*FEW, *LEARNS, *more, "checkpoint_every=3", "trainer.log_every_n_steps=1"]
    states = {}
    for name, looks in {"without": [], "with": LOOKS, "resumed": LOOKS}.items():
        typed = [*command, *looks, f"runs_dir={tmp_path / name}"]
        with pytest.MonkeyPatch.context() as patch:
            states[name] = random_states(patch)
            if name == "resumed":
                with pytest.MonkeyPatch.context() as deadly, pytest.raises(Killed):
                    killed_at(5, deadly)
                    train(typed, None)
            assert train(typed, None) == 0
    without, with_, resumed = (folder_in(tmp_path / name) for name in states)
    ends_alike(without, with_)
    ends_alike(with_, resumed)
    assert same(states["without"], states["with"])
    assert same(states["with"]["behind"], states["resumed"]["behind"]) and len(states["with"]["behind"]) == 6
    rows = looked_at(with_)
    assert rows == looked_at(resumed)
    each = 2 * len({row["place"] for row in rows})
    assert [row["step"] for row in rows] == ["2"] * each + ["4"] * each + ["6"] * each
    assert {row["mechanism"] for row in rows} == {"hard_reinforce", "gumbel_rao"}
    assert {row["place"] for row in rows} - {SCORES} == {"encoder", "attention", "decoder", WEIGHTS}
    assert without.name != with_.name and "attnlab" not in with_.name
    (events,) = with_.glob("events.out.tfevents.*")
    for tag in ("what_to_use", "bias_against_variance", "gumbel_rao/relative_bias"):
        assert f"microscope/{tag}".encode() in events.read_bytes()


def test_a_run_that_is_shorter_than_the_interval_is_looked_at_when_it_ends(tmp_path: Path) -> None:
    looks = [LOOKS[0], "callbacks.microscope.every=100", *LOOKS[2:]]
    assert train([*FEW, *looks, f"runs_dir={tmp_path}"], None) == 0
    assert {row["step"] for row in looked_at(folder_in(tmp_path))} == {"6"}


def test_rows_of_steps_that_are_taken_again_are_written_once(tmp_path: Path) -> None:
    made, seen = probe()
    shown = found(made, seen, ["soft"])
    for step in (2, 4, 6, 4):
        keep(tmp_path / "microscope.csv", step, shown)
    with (tmp_path / "microscope.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == COLUMNS and [row[0] for row in rows[1:]] == ["2"] * 5 + ["4"] * 5


def test_what_is_wrong_with_its_settings_is_told_before_a_folder_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong, told in {
        "draws=1": "draws must be at least 8",
        "mechanisms=[sooft]": "sooft",
        "mechanisms=['hard_reinforce samples=0']": "attention.samples",
    }.items():
        command = [
            *FEW,
            "callbacks=microscope",
            f"callbacks.microscope.{wrong}",
            f"runs_dir={tmp_path / 'x'}",
        ]
        assert train(command, None) == 2 and not (tmp_path / "x").exists(), wrong
        said = " ".join(capsys.readouterr().err.split())
        assert told in said and "Traceback" not in said


def test_figures_have_the_names_that_tensorboard_shows() -> None:
    made, seen = probe()
    shown = figures(found(made, seen, ["hard_exact"])["hard_exact"])
    assert {"relative_bias", "cosine", "relative_variance", "cost"} <= set(shown)
    assert shown["cost"] == seen.batch.source.size(1)
