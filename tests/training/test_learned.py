"""A single run ends when its task is learned; the runs of a sweep do the same work."""

import json
from pathlib import Path

import pytest
from running import Killed, folder_in, killed_at, metrics, results
from scipy.stats import binomtest

from attnlab.cli.evaluate import evaluate
from attnlab.cli.train import train
from attnlab.training.callbacks.learned import at_least

EASY = "task.shortest=1 task.longest=1 task.symbols=2 task.steps_per_epoch=4 task.validation_examples=100"
EASY += (
    " task.test_examples=10 model.hidden_size=16 model.embedding_size=8 model.readout_size=8 batch_size=16"
)
EASY += " optimizer.lr=0.02 optimizer.schedule=constant trainer.max_steps=40 trainer.log_every_n_steps=1"
COMMAND = [*EASY.split(), "stop_at=0.95"]


@pytest.mark.parametrize(("right", "number"), [(1000, 1000), (996, 1000), (995, 1000), (20, 20), (0, 7)])
def test_what_a_validation_shows_is_the_end_of_wilsons_interval(right: int, number: int) -> None:
    known = binomtest(right, number, alternative="greater").proportion_ci(0.95, method="wilson").low
    assert at_least(right / number, number) == pytest.approx(known, abs=1e-4)


def test_twenty_right_outputs_of_twenty_show_no_ninety_percent_and_four_wrong_of_a_thousand_do() -> None:
    assert at_least(1.0, 20) < 0.9 < 0.99 < at_least(0.996, 1000)
    assert at_least(0.995, 1000) < 0.99


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("stopped")
    assert train([*COMMAND, f"runs_dir={place}"], None) == 0
    return folder_in(place)


def ended(folder: Path) -> list[object]:
    return json.loads((folder / "status.json").read_text(encoding="utf-8"))["ended"]


def test_a_run_ends_at_the_first_validation_that_shows_it_and_is_until_then_that_of_all_steps(
    stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train([*EASY.split(), "stop_at=null", f"runs_dir={tmp_path}"], None) == 0
    whole = metrics(folder_in(tmp_path))
    shown = [row for row in whole if row["val/sequence_accuracy"]]
    first = next(row for row in shown if at_least(float(row["val/sequence_accuracy"]), 100) > 0.95)
    step, why = ended(stopped)
    assert step == int(first["step"]) < 40 and "stop_at=0.95" in str(why)
    assert metrics(stopped) == whole[: whole.index(first) + 1]
    assert ended(folder_in(tmp_path)) == [40, "trainer.max_steps=40 is reached"]
    capsys.readouterr()
    assert train([*COMMAND, f"runs_dir={stopped.parents[2]}"], None) == 0
    assert f"ended        at step {step}: more than stop_at=0.95" in capsys.readouterr().out


def test_an_interrupted_run_ends_at_the_same_step(stopped: Path, tmp_path: Path) -> None:
    command = [*COMMAND, f"runs_dir={tmp_path}", "checkpoint_every=3"]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_at(int(str(ended(stopped)[0])) - 1, patch)
        train(command, None)
    assert train(command, None) == 0
    assert metrics(folder_in(tmp_path)) == metrics(stopped)
    assert results(folder_in(tmp_path)) == results(stopped) and ended(folder_in(tmp_path)) == ended(stopped)


def test_the_runs_of_a_sweep_do_the_same_work_unless_an_end_is_typed(tmp_path: Path) -> None:
    alone = [*EASY.split(), "trainer.max_steps=4", f"runs_dir={tmp_path}"]
    assert train(["-m", *alone, "seed=0,1"], None) == 0
    tried = {path.parent for path in tmp_path.rglob("status.json")}
    assert all(json.loads((folder / "status.json").read_text())["ended"][0] == 4 for folder in tried)
    for typed in ([], ["stop_at=null"]):
        assert train([*alone, *typed], None) == 0
        assert {path.parent for path in tmp_path.rglob("status.json")} == tried, "the run that is there"
    assert train([*alone, "stop_at=0.99"], None) == 0
    assert len({*tmp_path.rglob("status.json")}) == 3, "one that may end early is another"
    assert train(["-m", *alone, "stop_at=0.5,0.6"], None) == 0
    named = {path.parent.name.rpartition("-")[0] for path in tmp_path.rglob("status.json")}
    assert {"stop_at=0.5", "stop_at=0.6"} <= {name.partition(",")[0] for name in named}


def test_what_keeps_a_run_from_ending_early_is_refused_in_a_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(["-m", *EASY.split(), "trainer.min_steps=9", f"runs_dir={tmp_path / 'runs'}"], None) == 2
    assert "nothing ends this one early" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("value", ["1", "0", "soon"])
def test_what_is_no_share_is_refused(value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train([*COMMAND, f"stop_at={value}", f"runs_dir={tmp_path / 'runs'}"], None) == 2
    said = capsys.readouterr().err
    assert "stop_at" in said and value in said and not (tmp_path / "runs").exists()


def test_it_changes_nothing_that_is_measured(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate([str(stopped), "stop_at=0.5"], None) == 2
    assert "changes nothing that is measured" in " ".join(capsys.readouterr().err.split())
