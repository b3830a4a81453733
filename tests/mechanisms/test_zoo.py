"""Every mechanism trains the default task with the shared defaults, and real data: what docs/ say,
minutes each."""

import re
import shlex
from pathlib import Path

import pytest
from enumeration import names
from readme import ROOT, prepare, run
from test_golden_path import sequence_accuracy

from attnlab.cli.train import train

SHARED = ROOT.parent / "shared"
PAGE = ROOT / "docs" / "data.md"
LESS = {"argmax_straight_through": 0.98, "local": 0.85}  # strong bias; a window that reverse leaves
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


@pytest.mark.slow
@pytest.mark.skipif(
    not SHARED.is_dir(), reason="the NETtalk data lie beside the project, where they are there at all"
)
@pytest.mark.parametrize("attention", ["soft", "hard_reinforce", "hard_marginal"])
def test_the_accuracies_on_real_data_are_those_of_the_page(attention: str, tmp_path: Path):
    """Within 3 points, the first seed."""
    data = next(SHARED.rglob("nettalk*train*"), None)
    assert data is not None
    names = {
        split: next(data.parent.glob(f"*{word}*"))
        for split, word in (("train", "train"), ("val", "dev"), ("test", "test"))
    }
    files = " ".join(f"task.{split}={shlex.quote(str(path))}" for split, path in names.items())
    prepare(tmp_path, PAGE)
    printed = run(
        f"python scripts/train.py experiment=published_small attention={attention} {files}", tmp_path
    )
    found = re.search(r"sequence_accuracy +(\S+) +(\S+)", printed)
    row = re.search(rf"\| `{attention}` \| (\S+) %, \S+ % \| (\S+) %", PAGE.read_text(encoding="utf-8"))
    assert found and row
    for reached, written in zip(found.groups(), row.groups(), strict=True):
        assert 100 * float(reached) == pytest.approx(float(written), abs=3)
