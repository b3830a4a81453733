"""Every mechanism trains the default task with the shared defaults: what the README says of them, half a minute each."""

from pathlib import Path

import pytest
from enumeration import names
from test_golden_path import sequence_accuracy

from attnlab.commands import train

LESS = {"argmax_straight_through": 0.98}  # whose bias is strong
BASELINES = ["none", "moving_average", "self_critical", "soft", "learned"]


@pytest.mark.slow
@pytest.mark.parametrize("attention", [name for name in names("attention") if name != "uniform"])
def test_every_mechanism_trains_the_default_task(attention: str, tmp_path: Path) -> None:
    assert train([f"attention={attention}", f"runs_dir={tmp_path}"], None) == 0
    assert sequence_accuracy(tmp_path, "val") >= LESS.get(attention, 0.99)


@pytest.mark.slow
def test_uniform_attention_is_the_floor(tmp_path: Path) -> None:
    assert train(["attention=uniform", f"runs_dir={tmp_path}"], None) == 0
    assert sequence_accuracy(tmp_path, "val") < 0.8


@pytest.mark.slow
@pytest.mark.parametrize("baseline", BASELINES)
def test_every_baseline_trains_the_default_task(baseline: str, tmp_path: Path) -> None:
    settings = ["attention=hard_reinforce", f"attention.baseline={baseline}", f"runs_dir={tmp_path}"]
    assert train(settings, None) == 0
    assert sequence_accuracy(tmp_path, "val") >= 0.95
