"""`microscope run=RUN`: the weights of a run at its checkpoints, and what to use there."""

import csv
import hashlib
import math
from pathlib import Path

import pytest

from attnlab.cli.microscope import microscope
from attnlab.cli.train import train
from attnlab.microscope.advice import advice, evaluations
from attnlab.microscope.live import WEIGHTS, Found
from attnlab.microscope.moments import Moments

FEW = "trainer.max_steps=4 task.steps_per_epoch=2 task.validation_examples=9 task.test_examples=5".split()
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
    assert said[2].split()[:3] == ["hard_exact", "0", "1.0000"]
    with (run / "microscope" / f"{checkpoint}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["place"] for row in rows} == {"scores", "encoder", "attention", "decoder", "weights"}
    assert (run / "microscope" / f"{checkpoint}.png").read_bytes().startswith(b"\x89PNG")


def test_weights_of_other_checkpoints_have_other_gradients(run: Path) -> None:
    for checkpoint in ("last", "fresh"):
        assert microscope([f"run={run}", f"checkpoint={checkpoint}", *ASKED], None) == 0
    one, other = ((run / "microscope" / f"{name}.csv").read_text() for name in ("last", "fresh"))
    assert one != other


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["checkpoint=nothing"], "checkpoint must be best, last, fresh or a file, got nothing"),
        (["attention=sooft"], "sooft"),
        (["attention.samples=2"], "attention=NAME must say"),
        (["--markdown"], "without run=RUN"),
        (["--draws", "7"], "--draws must be at least 8"),
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
    assert advice({"c": found["c"]}, 0.1).startswith("None of what was measured")
    with pytest.raises(ValueError, match="relative error > 0"):
        advice(found, 0.0)
