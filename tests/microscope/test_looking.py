"""`microscope run=RUN`: the weights of a run at its checkpoints, and what to use there."""

import csv
import hashlib
import math
from pathlib import Path

import pytest
import torch
from test_live import probe

from attnlab.cli.microscope import microscope
from attnlab.cli.train import train
from attnlab.microscope.advice import advice, evaluations
from attnlab.microscope.callback import applicable
from attnlab.microscope.live import WEIGHTS, Found, Probe
from attnlab.microscope.moments import Moments
from attnlab.runs import looking
from attnlab.runs.opening import opened

FEW = "trainer.max_steps=4 task.steps_per_epoch=2 task.validation_examples=60 task.test_examples=5".split()
FEW += "model.hidden_size=6 model.embedding_size=5 task.longest=5 attention=hard_reinforce".split()
ASKED = ["attention=hard_reinforce,hard_exact", "--draws", "8"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs")
    assert train([*FEW, f"runs_dir={place}"], None) == 0
    return next(place.rglob("results.json")).parent


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "microscope"]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("checkpoint", ["best", "last", "fresh"])
def test_a_table_a_file_and_a_picture_and_nothing_else_is_touched(
    run: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = digests(run)
    assert microscope([f"run={run}", f"checkpoint={checkpoint}", *ASKED], None) == 0
    assert digests(run) == before
    said = capsys.readouterr().out.splitlines()
    assert said[0].split()[:2] == ["mechanism", "bias"] and all(len(line) <= 80 for line in said[:3])
    assert said[2].split()[:5] == ["hard_exact", "0", "0", "0", "1.0000"]
    with (run / "microscope" / f"{checkpoint}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["place"] for row in rows} == {"scores", "encoder", "attention", "decoder", "weights"}
    assert (run / "microscope" / f"{checkpoint}.png").read_bytes().startswith(b"\x89PNG")


def test_weights_of_other_checkpoints_have_other_gradients(run: Path) -> None:
    for checkpoint in ("last", "fresh"):
        assert microscope([f"run={run}", f"checkpoint={checkpoint}", *ASKED], None) == 0
    one, other = ((run / "microscope" / f"{name}.csv").read_text() for name in ("last", "fresh"))
    assert one != other


def test_looked_at_over_beta_and_over_length_each_has_a_file_and_a_picture(run: Path) -> None:
    typed = [
        f"run={run}",
        "attention=hard_straight_through",
        "--draws",
        "8",
        "--over",
        "beta",
        "--over",
        "length",
    ]
    assert microscope(typed, None) == 0
    seen = {}
    for over in ("beta", "length"):
        path = run / "microscope" / f"best_over_{over}.csv"
        assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        with path.open(newline="") as file:
            seen[over] = {float(row[over]): row for row in csv.DictReader(file) if row["place"] == "scores"}
    assert list(seen["beta"]) == [0.25, 0.5, 1.0, 2.0, 4.0] and set(seen["length"]) == {4.0, 5.0}
    cosines = [row["expected_cosine"] for row in seen["beta"].values()]
    assert len(set(cosines)) == len(cosines)


def test_scores_times_beta_are_the_scores_of_a_mechanism_with_that_beta() -> None:
    made, plain = probe()
    sharper = Probe(made.model, plain.batch, 3.0)
    for words in ("soft", "hard_exact", "hard_reinforce"):
        mechanisms = (dict(applicable(made.model, [w], None, 0))[w] for w in (words, f"{words} beta=3"))
        ours, theirs = (
            where.estimates(mechanism, 8, 0).at["encoder"]
            for where, mechanism in zip((sharper, plain), mechanisms, strict=True)
        )
        torch.testing.assert_close(ours, theirs)
        assert not torch.allclose(
            ours, plain.estimates(dict(applicable(made.model, [words], None, 0))[words], 8, 0).at["encoder"]
        )


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["checkpoint=nothing"], "checkpoint must be best, last, fresh or a file, got nothing"),
        (["attention=sooft"], "sooft"),
        (["attention.samples=2"], "attention=NAME must say"),
        (["--markdown"], "without run=RUN"),
        (["--draws", "7"], "--draws must be at least 8"),
        (["--account"], "--account is asked of runs"),
        (["task=copy"], "task=copy is no setting of attention"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    run: Path, typed: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert microscope([f"run={run}", *typed], None) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert told in said and "Traceback" not in said


def test_advice_without_a_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert microscope(["--advise"], None) == 2
    assert "--advise is asked of a run" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("words", ["hard_reinforce", "rebar", "unordered_set"])
def test_of_a_hundred_looks_at_a_trained_run_no_more_than_five_call_an_unbiased_mechanism_biased(
    words: str, tmp_path: Path
) -> None:
    """Its attention is sharp by then, and what is seldom drawn is much of the gradient."""
    sizes = ["model.hidden_size=32", "model.embedding_size=16", "model.readout_size=16", "optimizer.lr=0.01"]
    sizes += ["task.symbols=5", "task.longest=6", "trainer.max_steps=400", f"runs_dir={tmp_path}"]
    assert train([*sizes, "attention=hard_reinforce"], None) == 0
    folder = next(tmp_path.rglob("results.json")).parent
    seen = looking.look(opened(folder, []), [], "last", [words], 4, 32, 0, print)
    alarms = sum(
        dict(seen._replace(seed=seed).survey())[words].own[WEIGHTS].relative_bias > 0 for seed in range(100)
    )
    assert alarms <= 5


# --- advice ---


def one(bias: float, variance: float, cost: int) -> Found:
    seen = {WEIGHTS: Moments(bias, 0.01, 5.0 if bias else 0.1, 1.0, variance)}
    return Found(seen, seen, cost, 1.0, True)


def test_it_names_the_cheapest_without_bias_and_the_floor_of_the_others() -> None:
    found = {"a": one(0.0, 1.0, 2), "b": one(0.0, 0.25, 4), "c": one(0.3, 0.0, 1), "d": one(0.05, 0.0, 1)}
    assert [evaluations(found[name], 0.1) for name in "abcd"] == [200, 100, math.inf, 1]
    said = advice(found, 0.1)
    assert said.startswith("Use b: it has no bias") and "25 estimates, 100 evaluations" in said
    assert "a needs 200" in said and "d at 0.05, c at 0.3" in said and "all above" not in said
    assert advice({"a": found["a"], "c": found["c"]}, 0.1).endswith("c at 0.3, all above the target.")
    assert advice({"c": found["c"]}, 0.1).startswith("None of what was measured is told")
    with pytest.raises(ValueError, match="relative error > 0"):
        advice(found, 0.0)


# --- what is neither right nor left ---


def test_what_noise_may_hide_is_not_advised() -> None:
    hidden = one(0.0, 0.0, 1)
    hidden.expected[WEIGHTS] = hidden.expected[WEIGHTS]._replace(bias_error=0.9)
    said = advice({"hidden": hidden, "b": one(0.0, 0.25, 4)}, 0.1)
    assert said.startswith("Use b") and "hidden" not in said
    assert "more draws would tell of hidden" in advice({"hidden": hidden}, 0.1)


def test_a_mistake_that_only_the_scores_show_is_not_advised() -> None:
    wrong, right = one(0.0, 0.0, 1), one(0.0, 0.25, 4)
    wrong.expected["scores"] = one(0.5, 0.0, 1).expected[WEIGHTS]
    assert advice({"wrong": wrong, "right": right}, 0.1).startswith("Use right")
