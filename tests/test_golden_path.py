"""Real training to high accuracy, through the command that people type."""

import json
from pathlib import Path

import pytest
from seldom import seldom

from attnlab.cli.train import train

EASY = [
    "task.shortest=2",
    "task.longest=3",
    "task.symbols=4",
    "task.validation_examples=100",
    "task.test_examples=200",
    "model.hidden_size=32",
    "trainer.max_steps=150",
]


def sequence_accuracy(runs: Path, split: str) -> float:
    """The accuracy of the only run in a folder."""
    (results,) = runs.glob("*/*/*/results.json")
    return json.loads(results.read_text())[f"{split}/sequence_accuracy"]


@pytest.mark.parametrize("attention", seldom(["soft", "hard_reinforce"], "soft"))
def test_an_easy_task_is_learned_in_seconds(attention: str, tmp_path: Path) -> None:
    settings = [f"attention={attention}", "task=reverse", *EASY, "optimizer.lr=0.01", f"runs_dir={tmp_path}"]
    assert train(settings, None) == 0
    assert sequence_accuracy(tmp_path, "test") >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["soft", "hard_reinforce", "hard_exact"])
def test_the_default_run_reaches_its_accuracy(attention: str, tmp_path: Path) -> None:
    assert train([f"attention={attention}", f"runs_dir={tmp_path}"], None) == 0
    assert sequence_accuracy(tmp_path, "val") >= 0.99
