"""Sweeps: checked before they start, not stopped by a job that crashes, and typed again they run only what is
missing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from seldom import seldom

from attnlab.cli import pages
from attnlab.cli.train import train
from attnlab.comparison import load_runs
from attnlab.config.places import CONFIGS
from attnlab.runs import folders, sweeps
from attnlab.runs import identity as provenance
from attnlab.runs.sweeps import plan

ROOT = Path(__file__).parents[2]
SMALL = [
    "model.hidden_size=6",
    "batch_size=8",
    "trainer.max_steps=6",
    "trainer.log_every_n_steps=2",
    "task.validation_examples=10",
    "task.test_examples=10",
    "task.shortest=2",
    "task.longest=4",
]
EIGHT = ["attention=hard_exact,hard_reinforce", "optimizer.lr=0.001,1e36", "seed=0,1"]  # 1e36 diverges


def states(place: Path) -> dict[str, str]:
    """The state of every run below a folder, by its name."""
    return {
        str(path.parent.relative_to(place)): json.loads(path.read_text())["state"]
        for path in place.rglob("status.json")
    }


def starts(place: Path) -> dict[str, int]:
    """How often every run below a folder was started."""
    logs = place.rglob("train.log")
    return {str(log.parent.relative_to(place)): log.read_text().count("starting at step") for log in logs}


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher", [[], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]], ids=["basic", "joblib"]
)
def test_crashing_jobs_stop_no_other_and_are_tried_again(
    launcher: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["-m", *launcher, *SMALL, *EIGHT, f"runs_dir={tmp_path}"]
    assert train(command, None) == 1
    first = states(tmp_path)
    told = capsys.readouterr()
    failed = sorted(name for name, state in first.items() if state == "failed")
    assert len(first) == 8 and 0 < len(failed) <= 4
    for name in failed:
        tree = folders.read_config(tmp_path / name)
        assert tree["optimizer"]["lr"] == 1e36
        assert "NonFiniteLoss" in (tmp_path / name / "train.log").read_text()
    assert f"{8 - len(failed)} done, 0 skipped since done already, {len(failed)} failed" in told.out
    assert "the loss is" in told.out and "train.log" in told.out
    assert f"{8 - len(failed)} done, {len(failed)} failed, 0 left" in told.err
    before = starts(tmp_path)
    assert train(command, None) == 1
    again = {name for name, number in starts(tmp_path).items() if number > before[name]}
    assert again == set(failed)
    assert f"8 runs: {8 - len(failed)} done already, {len(failed)} to do" in capsys.readouterr().err


def test_a_combination_that_cannot_be_is_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "runs"
    wrong = ["attention=soft,hard_reinforce", "attention.samples=1,4", f"runs_dir={place}"]
    assert train(["-m", *SMALL, *wrong], None) == 2
    told = capsys.readouterr().err
    assert "attention.samples is not a setting" in told and "needs samples >= 2, got 1" in " ".join(
        told.split()
    )
    assert told.count("attention=soft") == 2 and told.count("attention=hard_reinforce") == 1
    assert not place.exists()


def test_an_unknown_launcher_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert train(["-m", "hydra/launcher=foo", "seed=0,1"], None) == 2
    told = capsys.readouterr().err
    assert "hydra/launcher=foo does not exist" in told and all(
        name in told for name in ("basic", "joblib", "ray")
    )


def test_damaged_data_is_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("train", "a b\tb a\n"), ("val", "a\tb\n"), ("test", "a no tab\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    files = [f"task.{name}={tmp_path / name}" for name in ("train", "val", "test")]
    assert train(["-m", "task=pairs", *files, "seed=0,1", f"runs_dir={tmp_path / 'runs'}"], None) == 2
    told = capsys.readouterr().err
    # once in the reason, once in each job
    assert told.count(f"{tmp_path / 'test'}") == 3 and told.count("line 1") == 1
    assert not (tmp_path / "runs").exists()


def test_jobs_that_are_the_same_run_are_trained_once_and_have_their_notes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = pair_files(tmp_path, "train", "val", "test", "copy")
    files[0] += f",{tmp_path / 'copy'}"
    small = [text for text in SMALL if not text.startswith("task.")]
    command = ["-m", *small, "task=pairs", *files[:3], "attention.beta=1,1.0"]
    assert train([*command, f"runs_dir={tmp_path / 'runs'}"], None) == 0
    assert len(states(tmp_path / "runs")) == 1
    assert "1 run: val: of 2 examples, 2 were in training too" in capsys.readouterr().out


def pair_files(place: Path, *names: str) -> list[str]:
    """Files of a little data, as overrides of task=pairs."""
    for name in names:
        (place / name).write_text("a b\tb a\nb c\tc b\n", encoding="utf-8")
    return [f"task.{name}={place / name}" for name in names]


LAUNCHERS = [[], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=1"]]


@pytest.mark.parametrize("launcher", seldom(LAUNCHERS, []))
def test_jobs_train_what_was_planned_whatever_is_edited_since(
    launcher: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "experiment").mkdir()
    experiment = tmp_path / "experiment" / "small.yaml"
    experiment.write_text("# @package _global_\ntrainer:\n  max_steps: 3\n", encoding="utf-8")
    data = pair_files(tmp_path, "train", "val", "test")
    original = sweeps.launch

    def edited(*arguments: Any) -> None:
        experiment.write_text("[", encoding="utf-8")
        original(*arguments)

    monkeypatch.setattr(sweeps, "launch", edited)
    small = [text for text in SMALL if not text.startswith(("task.", "trainer.max_steps"))]
    own = [f"--config-dir={tmp_path}", "experiment=small", "task=pairs", *data]
    command = ["-m", *launcher, *small, *own, "seed=0,1", f"runs_dir={tmp_path / 'runs'}"]
    assert train(command, None) == 0
    runs = load_runs(tmp_path / "runs")
    assert [run.config["trainer"]["max_steps"] for run in runs] == [3, 3]
    for run in runs:
        kept = folders.read_sources(run.folder)
        assert run.folder.name.endswith(kept["identity"])
        assert provenance.identity(run.config) == kept["identity"]


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=["basic", "joblib"])
def test_a_job_whose_data_changed_since_it_was_planned_is_refused(
    launcher: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = pair_files(tmp_path, "train", "val", "test")
    original = sweeps.launch

    def edited(*arguments: Any) -> None:
        (tmp_path / "test").write_text("a b\tb b\n", encoding="utf-8")
        original(*arguments)

    small = [text for text in SMALL if not text.startswith("task.")]
    command = ["-m", *launcher, *small, "task=pairs", *data, "seed=0,1", f"runs_dir={tmp_path / 'runs'}"]
    monkeypatch.setattr(sweeps, "launch", edited)
    assert train(command, None) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert told.count(f"task.test ({tmp_path / 'test'}) changed after this run was planned") == 2
    assert set(states(tmp_path / "runs").values()) == {"failed"}


def test_a_sweep_trains_what_single_commands_train(tmp_path: Path) -> None:
    assert train(["-m", *SMALL, "seed=0,1", f"runs_dir={tmp_path / 'sweep'}"], None) == 0
    for seed in (0, 1):
        assert train([*SMALL, f"seed={seed}", "stop_at=null", f"runs_dir={tmp_path / 'single'}"], None) == 0
    sweep, single = (
        {run.folder.name[-8:]: run.results for run in load_runs(tmp_path / name)}  # the same run by its hash
        for name in ("sweep", "single")
    )
    assert sweep == single and len(sweep) == 2


@pytest.mark.slow
def test_two_sweeps_started_in_the_same_second_corrupt_nothing(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "scripts" / "train.py"),
        "-m",
        *SMALL,
        "seed=0,1",
        f"runs_dir={tmp_path}",
    ]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    told = [process.communicate() for process in both]
    assert all("Traceback" not in out + err for out, err in told), told
    assert set(states(tmp_path).values()) == {"done"} and len(states(tmp_path)) == 2
    assert set(starts(tmp_path).values()) == {1}


@pytest.mark.slow
def test_slurm_jobs_run_with_the_local_executor(tmp_path: Path) -> None:
    pytest.importorskip(
        "hydra_plugins.hydra_submitit_launcher", reason='needs the extra: pip install -e ".[slurm]"'
    )
    launcher = ["hydra/launcher=submitit_local", f"hydra.launcher.submitit_folder={tmp_path / 'submitit'}"]
    assert train(["-m", *launcher, *SMALL, "seed=0,1", f"runs_dir={tmp_path / 'runs'}"], None) == 0
    assert set(states(tmp_path / "runs").values()) == {"done"}


@pytest.mark.slow
def test_jobs_of_a_lost_ray_node_go_on_elsewhere_from_their_checkpoints(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason='needs the extra: pip install -e ".[ray]"')
    program = ROOT / "tests" / "helpers" / "ray_cluster.py"
    command = [sys.executable, str(program), str(tmp_path)]
    environment = {**os.environ, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=500, env=environment, check=False
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert set(states(tmp_path).values()) == {"done"} and len(states(tmp_path)) == 4
    logs = [log.read_text() for log in tmp_path.rglob("train.log")]
    assert sum("going on from step" in log for log in logs) >= 1
    assert all(folders.read_status(path.parent)["state"] == "done" for path in tmp_path.rglob("status.json"))


def test_a_progress_line_says_how_much_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(["-m", *SMALL, "seed=0,1", f"runs_dir={tmp_path}"], None) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if " left, about " in line]
    assert [line.split(",")[2].split()[0] for line in lines] == ["1", "0"]


def test_a_sweep_over_a_mechanism_of_ones_own_is_planned(tmp_path: Path) -> None:
    (tmp_path / "attention").mkdir()
    own = (CONFIGS / "attention" / "soft.yaml").read_text(encoding="utf-8") + "beta: 2.5\n"
    (tmp_path / "attention" / "mine.yaml").write_text(own, encoding="utf-8")
    jobs = plan([f"hydra.searchpath=['file://{tmp_path}']", "attention=mine,soft", "seed=0,1"])
    assert [job.composition.tree["attention"]["beta"] for job in jobs] == [2.5, 2.5, 1.0, 1.0]


def test_sentences_that_differ_in_their_figures_alone_are_one_with_the_largest(tmp_path: Path) -> None:
    for number, share in enumerate((0.3, 67.6, 5.0)):
        notes = [f"val: {share:.2f}% of the outputs had not ended", "data: 3 lines are empty"]
        (tmp_path / str(number)).mkdir()
        folders.write_status(tmp_path / str(number), notes=notes)
    places = [tmp_path / str(number) for number in range(3)]
    assert pages._notes(places) == [
        "\n3 runs, the most in one: val: 67.60% of the outputs had not ended",
        "\n3 runs: data: 3 lines are empty",
    ]
