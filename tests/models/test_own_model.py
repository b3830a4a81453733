"""The model of docs/models.md, in a package of a person's own: trained, swept, gone on with, evaluated."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from readme import ROOT, blocks
from running import LITTLE, Killed, folder_in, killed_at, metrics, results, same
from seldom import seldom

from attnlab.cli.evaluate import evaluate
from attnlab.cli.predict import predict
from attnlab.cli.train import train
from attnlab.training.resuming import load

PAGE = ROOT / "docs" / "models.md"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The files that the page writes out, and what is typed to choose the model."""
    for kind in ("python", "yaml"):
        for block in blocks(kind, PAGE):
            name = re.match(r"# (\S+)\n", block)
            assert name
            (tmp_path / name[1]).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name[1]).write_text(block, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    small = [setting for setting in LITTLE if not setting.startswith("model.")]
    yield [f"--config-dir={tmp_path / 'mine' / 'configs'}", "model=convolution", "model.width=6", *small]
    for module in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[module]


@pytest.mark.parametrize("attention", seldom(["soft", "hard_reinforce", "hard_marginal"], "hard_reinforce"))
def test_it_trains_and_is_evaluated_to_the_same_figures(
    mine: list[str], attention: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    command = [*mine, f"attention={attention}", "trainer.max_steps=10", f"runs_dir={runs}"]
    assert train(command, None) == 0
    folder = folder_in(runs)
    assert {"grad_norm/attention", "grad_norm/convolve"} <= metrics(folder)[0].keys()
    capsys.readouterr()
    assert evaluate([str(folder), mine[0]], None) == 0
    (line,) = (line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("nll"))
    assert line[1:] == [f"{results(folder)[f'{exam}/nll']:.4f}" for exam in ("val", "test")]
    config = (folder / "config.yaml").read_text(encoding="utf-8")
    assert "_choice_: convolution" in config and "mine" not in config
    kept = json.loads((folder / "sources.json").read_text(encoding="utf-8"))
    assert kept["own"] == {"model": "mine.convolution.convolution"} and "mine/convolution.py" in kept["code"]
    assert evaluate([str(folder)], None) == 2  # nobody's code runs unasked
    (tmp_path / "new").write_text("4 5 6\n7\n", encoding="utf-8")
    capsys.readouterr()
    assert predict([str(folder), str(tmp_path / "new"), mine[0], "--beam", "2"], None) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 2 * 2
    assert predict([str(folder), str(tmp_path / "new")], None) == 2 and capsys.readouterr().out == ""


def test_it_sweeps(mine: list[str], tmp_path: Path) -> None:
    command = ["-m", *mine, "attention=soft,hard_reinforce", "trainer.max_steps=3", f"runs_dir={tmp_path}"]
    assert train(command, None) == 0
    assert len(list(tmp_path.glob("reverse/*/*/results.json"))) == 2


def test_it_goes_on_bit_for_bit(mine: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [*mine, "attention=hard_reinforce", "trainer.max_steps=12", "checkpoint_every=4"]
    assert train([*command, f"runs_dir={tmp_path / 'whole'}"], None) == 0
    with monkeypatch.context() as patch:
        killed_at(7, patch)
        with pytest.raises(Killed):
            train([*command, f"runs_dir={tmp_path / 'cut'}"], None)
    assert train([*command, f"runs_dir={tmp_path / 'cut'}"], None) == 0
    whole, cut = (folder_in(tmp_path / name) for name in ("whole", "cut"))
    assert metrics(whole) == metrics(cut) and results(whole) == results(cut)
    one, other = (load(run / "checkpoints" / "last.ckpt")["state_dict"] for run in (whole, cut))
    assert same(one, other) and torch.is_tensor(next(iter(one.values())))
