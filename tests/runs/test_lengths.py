"""A run at other lengths and by every rule: the law of the leader's share, and what is measured beside it."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from attnlab.cli.compare import compare
from attnlab.cli.evaluate import evaluate
from attnlab.cli.train import train
from attnlab.comparison import load_runs
from attnlab.comparison.comparing import make
from attnlab.comparison.lengths import breaks, by_length, verdict
from attnlab.functional import softmax
from attnlab.microscope.gradients import mechanism_of
from attnlab.runs.law import AtLength, keep, kept, measured_break, predicted_break, predicted_share
from attnlab.runs.lengths import break_of, largest_weight, lead, own_law
from attnlab.tasks.batch import Batch
from attnlab.training.answers import Predictions

FEW = "trainer.max_steps=4 task.steps_per_epoch=2 task.validation_examples=9 task.test_examples=5".split()
FEW += "model.hidden_size=6 model.embedding_size=5 task.longest=5".split()


@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("length", [2, 9, 300])
def test_the_law_is_the_share_of_a_position_that_leads_by_a_gap(beta: float, length: int) -> None:
    gap = 1.5
    scores = torch.zeros(length, dtype=torch.float64)
    scores[length // 2] = gap
    share = softmax(scores, beta)[length // 2].item()
    assert predicted_share(beta * gap, length) == pytest.approx(share, rel=1e-12)
    half = predicted_break(beta * gap)
    assert predicted_share(beta * gap, 1) == 1 and (share > 0.5) == (length < half)


def seen(
    probs: list[list[float]], gold: list[list[int]], source: list[int], valid: list[bool]
) -> Predictions:
    batch = Batch(
        torch.tensor([source]), torch.ones(1, len(probs), dtype=torch.int64), torch.tensor([gold]).bool()
    )
    shown = torch.tensor([[probs]], dtype=torch.float64)
    return Predictions(batch, torch.zeros(1, len(probs), 3), shown, torch.tensor([valid]))


def test_the_lead_is_told_where_one_position_is_right_and_the_largest_weight_everywhere() -> None:
    """Three steps count: one with a right position, one with two, one without; a fourth is padding. The last
    position is padding."""
    probs = [[0.5, 0.3, 0.2, 0.0], [0.6, 0.2, 0.2, 0.0], [0.1, 0.1, 0.8, 0.0], [1.0, 0.0, 0.0, 0.0]]
    gold = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    shown = seen(probs, gold, [5, 6, 7, 0], [True, True, True, False])
    above, below = (torch.as_tensor(part).sum().item() for part in lead(shown))
    assert below == 1 and above == pytest.approx(math.log(0.5) - math.log(0.25))
    above, below = (torch.as_tensor(part).sum().item() for part in largest_weight(shown))
    assert below == 3 and above == pytest.approx(0.5 + 0.6 + 0.8)


def test_where_it_breaks_lies_on_the_line_between_two_lengths() -> None:
    found = [
        AtLength(n, {"alignment_mass": mass}) for n, mass in ((4, 0.9), (16, 0.7), (64, 0.3), (256, 0.1))
    ]
    assert measured_break(found) == pytest.approx(32)
    assert measured_break(found[:2]) is None and measured_break(found[2:]) == 64


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs")
    assert train([*FEW, f"runs_dir={place}"], None) == 0
    return next(place.rglob("results.json")).parent


def test_lengths_are_measured_in_order_with_that_of_training_and_kept_beside_the_run(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run / "results.json").read_bytes()
    assert evaluate([str(run), "--lengths", "9,3"], None) == 0
    said = capsys.readouterr().out
    with (run / "lengths" / "lengths.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["length"] for row in rows] == ["3", "5", "9"], "that of training, 5, is the base of the law"
    base = float(rows[1]["lead"])
    shares = [float(row["predicted_mass"]) for row in rows]
    assert shares == sorted(shares, reverse=True) and shares[0] > shares[-1]
    assert shares[1] == pytest.approx(float(rows[1]["alignment_mass"]), abs=2e-3), (
        "at 5, the weight that it has"
    )
    assert f"leads by {base:.2f} nats" in " ".join(said.split())
    assert (run / "lengths" / "lengths.png").read_bytes().startswith(b"\x89PNG")
    assert (run / "results.json").read_bytes() == before


def test_a_run_that_is_to_be_measured_at_other_lengths_says_what_evaluate_says(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train([*FEW, "evaluate_lengths=[9,3]", f"runs_dir={tmp_path}"], None) == 0
    other = next(tmp_path.rglob("results.json")).parent
    assert evaluate([str(run), "--lengths", "3,9"], None) == 0
    files = [(folder / "lengths" / "lengths.csv").read_text() for folder in (run, other)]
    assert files[0] == files[1]
    assert (run / "results.json").read_text() == (other / "results.json").read_text()
    assert run.name[-8:] != other.name[-8:]
    events = EventAccumulator(str(other)).Reload()
    masses = {event.step: event.value for event in events.Scalars("length/alignment_mass")}
    assert masses == {
        one.length: pytest.approx(one.figures["alignment_mass"], rel=1e-4) for one in kept(other)
    }
    assert set(masses) == {3, 5, 9}


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("evaluate_lengths=[0]", "evaluate_lengths: must be greater than or equal to 1"),
        ("evaluate_lengths=9", "evaluate_lengths: must be"),
        ("evaluate_lengths=[600] model=transformer", "the model knows 512 positions"),
    ],
)
def test_lengths_that_a_run_cannot_have_are_told_before_it_begins(
    typed: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [word for word in FEW if not word.startswith("model.")]
    assert train([*few, *typed.split(), f"runs_dir={tmp_path / 'runs'}"], None) == 2
    assert told in " ".join(capsys.readouterr().err.split()) and not (tmp_path / "runs").exists()


def test_every_rule_that_the_attention_allows_has_a_row_and_the_runs_own_is_that_of_its_results(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate([str(run), "--rules"], None) == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("rule "))
    rows = {line[:14].strip(): line[14:].split() for line in lines[start + 1 :] if line}
    assert list(rows) == [
        "soft",
        "argmax",
        "marginal",
        *(f"soft beta*{x}" for x in ("0.25", "4", "16", "64")),
    ]
    results = json.loads((run / "results.json").read_text())
    names = (
        "sequence_accuracy",
        "token_accuracy",
        "alignment_accuracy",
        "alignment_mass",
        "attention_entropy",
    )
    assert rows["soft"][:5] == [f"{results[f'test/{name}']:.4f}" for name in names]
    assert rows["soft beta*64"][4] < rows["soft"][4], "sharper"


@pytest.mark.parametrize(
    ("choice", "allowed"),
    [
        ("model=transformer model.layers=1 model.hidden_size=8", {"soft", "argmax"}),
        ("model=gru model.input_feeding=true model.hidden_size=6 model.embedding_size=5", {"soft", "argmax"}),
    ],
)
def test_rules_that_read_every_position_are_left_out_where_choices_reach_on_or_have_heads(
    choice: str, allowed: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [word for word in FEW if not word.startswith("model.")]
    assert train(["attention=soft", *few, *choice.split(), f"runs_dir={tmp_path}"], None) == 0
    run = next(tmp_path.glob("*/*/*/results.json")).parent
    capsys.readouterr()
    assert evaluate([str(run), "--rules"], None) == 0
    _, _, rows = capsys.readouterr().out.partition("\nrule ")
    names = {line[:14].strip() for line in rows.splitlines()[1:] if line}
    assert {name for name in names if "*" not in name} == allowed


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["--lengths", "0"], "--lengths takes whole numbers from 1 to 16,384"),
        (["--lengths", "a,b"], "got 'a,b'"),
        (["--lengths"], "got ''"),
    ],
)
def test_lengths_that_cannot_be_are_one_sentence(
    run: Path, typed: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate([str(run), *typed], None) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert told in said and "Traceback" not in said


def test_a_model_that_knows_fewer_positions_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [word for word in FEW if "embedding" not in word]
    model = ["model=transformer", "model.heads=2", "model.longest=16"]
    assert train([*few, *model, f"runs_dir={tmp_path}"], None) == 0
    (results,) = tmp_path.rglob("results.json")
    assert evaluate([str(results.parent), "--lengths", "6,20"], None) == 2
    assert "length 20: decoding may take 42 steps, and the model knows 16 positions" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.mark.parametrize("beta", [0.5, 3.0])
def test_the_law_of_softmax_is_the_closed_form_at_any_beta(beta: float) -> None:
    distribution = mechanism_of(["attention=soft", f"attention.beta={beta}"], torch.float32).distribution
    with torch.no_grad():
        law = own_law(distribution, torch.tensor([4.0]).double(), 16)
    assert [law(n) for n in (2, 16, 500)] == pytest.approx(
        [predicted_share(4.0, n) for n in (2, 16, 500)], 1e-3
    )
    assert abs(break_of(law) - predicted_break(4.0)) <= 1


@pytest.mark.parametrize("name", ["soft", "sparsemax", "differential", "sink"])
def test_the_law_of_several_leads_is_the_mean_of_their_laws(name: str) -> None:
    """Leads of a wrong position too, which are below 0."""
    distribution = mechanism_of([f"attention={name}"], torch.float32).distribution
    leads = torch.tensor([-2.0, 0.5, 3.0, 9.0], dtype=torch.float64)
    with torch.no_grad():
        together = own_law(distribution, leads, 16)
        alone = [own_law(distribution, lead[None], 16) for lead in leads]
        for n in (2, 16, 300):
            assert together(n) == pytest.approx(sum(one(n) for one in alone) / 4, rel=1e-6)
        assert name != "soft" or together(300) == pytest.approx(
            sum(predicted_share(lead, 300) for lead in leads.tolist()) / 4, rel=1e-3
        )


def test_a_distribution_that_is_scaled_by_log_n_keeps_the_leader_by_its_closed_form() -> None:
    """beta * log(16) * g = 4 at 16 positions, so at n the gap is 4 log n / log 16."""
    distribution = mechanism_of(["attention=log_length"], torch.float32).distribution
    with torch.no_grad():
        law = own_law(distribution, torch.tensor([4.0]).double(), 16)
    for n in (4, 64, 1000):
        assert law(n) == pytest.approx(predicted_share(4.0 * math.log(n) / math.log(16), n), rel=1e-3)
    assert break_of(law) == math.inf


def test_a_break_is_the_first_length_below_a_half() -> None:
    assert break_of(lambda n: 10 / (9 + n)) == 12
    assert break_of(lambda n: 0.6) == math.inf and break_of(lambda n: 0.4) == 1


def test_a_comparison_shows_where_attention_was_predicted_to_break_and_where_it_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures are put in place of those measured: the first group breaks at 32 as predicted, the second at 9
    and was to hold for ever."""
    monkeypatch.chdir(tmp_path)
    command = [*FEW, "evaluate_lengths=[3,9]", "attention=soft,sink", "seed=0,1", "runs_dir=runs"]
    assert train(["-m", *command], None) == 0
    for path in tmp_path.rglob("lengths.csv"):
        soft = path.parents[2].name == "soft"
        masses, end = ((0.9, 0.8, 0.2), 32.0) if soft else ((0.9, 0.5, 0.1), math.inf)
        law = {"predicted_mass": 0.5, "predicted_break": end}
        found = [
            AtLength(n, {"alignment_mass": mass, "sequence_accuracy": mass} | law)
            for n, mass in zip((3, 16, 64), masses, strict=True)
        ]
        keep(found, path.parents[1])
    capsys.readouterr()
    assert compare(["runs", "--out", "out"], None) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line}
    assert rows["soft"] != [] and (tmp_path / "out" / "lengths.png").exists()
    table = by_length(make(load_runs("runs")).rows, "student")
    assert [(one.label, one.predicted, pytest.approx(one.measured)) for one in breaks(table)] == [
        ("sink", math.inf, 16.0),
        ("soft", 32.0, 32.0),
    ]
    assert [one.agrees(3, 64) for one in breaks(table)] == [False, True]
    assert "in 1 of 2 groups" in verdict(table)
    assert "in 1 of 2 groups" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
