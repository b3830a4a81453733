"""A run that an earlier version stored, with the paths of modules as they lay then, is the run it was."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from attnlab.cli.compare import compare
from attnlab.cli.evaluate import evaluate
from attnlab.cli.train import train
from attnlab.comparison import load_runs
from attnlab.comparison.grouping import group_runs
from attnlab.config.choices import named, own, resolved
from attnlab.config.composing import compose
from attnlab.runs import folders
from attnlab.runs.identity import identity

KEPT = Path(__file__).with_name("made_before")
COMMAND = [
    "attention=hard_reinforce",
    "attention.baseline=moving_average",
    "model.hidden_size=3",
    "model.embedding_size=2",
    "model.readout_size=3",
    "batch_size=4",
    "task.symbols=3",
    "task.shortest=2",
    "task.longest=3",
    "task.steps_per_epoch=3",
    "task.validation_examples=8",
    "task.test_examples=8",
    "trainer.max_steps=6",
    "trainer.log_every_n_steps=3",
]


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """A copy of the run, in a folder of runs."""
    shutil.copytree(KEPT, tmp_path / "runs")
    ((run,),) = (list((tmp_path / "runs").glob("*/*/*")),)
    assert "attnlab.scores" in (run / "config.yaml").read_text(encoding="utf-8")
    return run


def test_the_same_command_finds_it(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finds(before, capsys, "differ from what it was made by")  # its code has changed since


def finds(before: Path, capsys: pytest.CaptureFixture[str], caution: str) -> None:
    assert train([*COMMAND, f"runs_dir={before.parents[2]}"], None) == 0
    said = capsys.readouterr().out
    assert "this run was done already" in said and str(before) in said.replace("\n", "")
    assert caution in " ".join(said.split())
    assert list(before.parent.iterdir()) == [before]
    other = compose([*COMMAND, f"runs_dir={before.parents[2]}", "seed=1"])
    assert folders.folder_of(other) != before


def test_it_is_evaluated_to_the_same_figures(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate([str(before)], None) == 0
    said = capsys.readouterr().out
    results = json.loads((before / "results.json").read_text(encoding="utf-8"))
    for tag in ("nll", "error_rate", "attention_entropy"):
        (line,) = (line.split() for line in said.splitlines() if line.startswith(tag))
        assert line[1:] == [f"{results[f'{exam}/{tag}']:.4f}" for exam in ("val", "test")]


def test_it_is_one_group_with_a_run_of_today(before: Path) -> None:
    assert train([*COMMAND, f"runs_dir={before.parents[2]}", "seed=1", "stop_at=null"], None) == 0
    old, new = sorted(load_runs(before.parents[2]), key=lambda run: run.seed or 0)
    assert (old.folder, old.seed, new.seed) == (before, 0, 1)
    assert [len(group.runs) for group in group_runs([old, new])] == [2]
    assert old.identity == identity(compose([*COMMAND, "stop_at=null"]).tree, {}) != new.identity


@pytest.fixture
def long_before(before: Path) -> Path:
    """The same, as it was when a run kept nothing of its sources and symbols."""
    (before / "sources.json").unlink()
    assert not (before / "vocabulary.json").exists()
    assert "_target_: attnlab." in (before / "config.yaml").read_text(encoding="utf-8")
    return before


def test_a_run_that_keeps_no_sources_is_found_and_reported(
    long_before: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finds(long_before, capsys, "its code was revision")
    assert not (long_before / "sources.json").exists()  # nothing is made up of what is not known


def test_a_run_that_keeps_no_sources_is_evaluated_to_the_same_figures(
    long_before: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test_it_is_evaluated_to_the_same_figures(long_before, capsys)


def test_a_run_that_keeps_no_sources_is_compared_with_runs_of_today(long_before: Path) -> None:
    assert train([*COMMAND, f"runs_dir={long_before.parents[2]}", "seed=1", "stop_at=null"], None) == 0
    old, new = sorted(load_runs(long_before.parents[2]), key=lambda run: run.seed or 0)
    assert (old.state, old.seed, old.problem, old.sources) == ("done", 0, "", {})
    assert [len(group.runs) for group in group_runs([old, new])] == [2]
    assert (
        compare([str(long_before.parents[2]), "--out", str(long_before.parents[2] / "compared")], None) == 0
    )


def test_a_stored_configuration_names_choices_and_no_module(tmp_path: Path) -> None:
    tree = compose([*COMMAND, "stop_at=null"]).tree
    folders.write_config(tmp_path, tree)
    text = (tmp_path / "config.yaml").read_text(encoding="utf-8")
    assert "_target_" not in text and "attnlab." not in text
    assert yaml.safe_load(text)["attention"]["_choice_"] == "hard_reinforce"
    assert folders.read_config(tmp_path) == tree


def test_a_choice_of_ones_own_that_moves_keeps_its_identity() -> None:
    tree = compose([*COMMAND, "stop_at=null"]).tree
    mine, moved = (
        {**tree, "attention": {**tree["attention"], "_target_": target}}
        for target in ("mine.explore.wander", "elsewhere.wander")
    )
    assert identity(mine, {}) == identity(moved, {}) != identity(tree, {})
    assert own(tree) == {} and own(mine) == {"attention": "mine.explore.wander"}
    assert resolved(named(mine), own(mine)) == mine and resolved(named(tree), {}) == tree
    with pytest.raises(ValueError, match="attention is 'wander', which attnlab does not offer"):
        resolved(named(mine), {})
