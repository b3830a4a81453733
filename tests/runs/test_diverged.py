"""A loss that explodes without a NaN: the run ends, and everything that shows its figures says so."""

import re
from pathlib import Path

import pytest

from attnlab.cli.compare import compare
from attnlab.cli.train import train

SMALL = "model.hidden_size=6 model.embedding_size=5 model.readout_size=7 batch_size=8 trainer.max_steps=6"
EXAMS = "task.steps_per_epoch=3 task.validation_examples=20 task.test_examples=20"
WILD = "optimizer=sgd optimizer.lr=1e7 optimizer.schedule=constant trainer.gradient_clip_val=null"


@pytest.mark.slow
def test_a_sweep_and_a_comparison_say_which_seeds_diverged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    command = ["-m", *SMALL.split(), *EXAMS.split(), "seed=0,1", f"runs_dir={runs}"]
    assert train([*command, *WILD.split()], None) == 0
    table = " ".join(capsys.readouterr().out.split())
    assert "diverged" in table and "a uniform guess among" in table
    assert train(command, None) == 0
    assert "diverged" not in capsys.readouterr().out
    assert compare([str(runs), "--out", str(tmp_path / "out")], None) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert re.search(r"seeds? 0,? (and |diverged, seed )?1 diverged", told)
