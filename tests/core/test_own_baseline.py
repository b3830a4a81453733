"""A baseline is one file: in attnlab by its name, in a package of one's own by the path of its class."""

import re
from pathlib import Path

import pytest
import yaml

import attnlab
from attnlab.cli.compare import compare
from attnlab.cli.evaluate import evaluate
from attnlab.cli.train import train
from attnlab.config.composing import compose
from attnlab.core.baselines import baseline_class
from attnlab.runs import folders
from attnlab.runs.identity import identity

BASELINE = '''
import torch
from attnlab.core.interfaces import Baseline


class Halfway(Baseline):
    """Half of the return of the most probable position."""

    controls = ("argmax",)

    def forward(self, returns, site, valid):
        return torch.where(site.selection.mass[-1:] == 0, returns[-1:], torch.nan) / 2


class Greedy(Halfway):
    draws = 3


def function(): ...
'''
TOY: list[str] = [
    *(
        "attention=hard_reinforce model.hidden_size=4 model.embedding_size=3 model.readout_size=4 "
        "batch_size=4 trainer.max_steps=2 task.steps_per_epoch=2 task.validation_examples=4 "
        "task.test_examples=4"
    ).split()
]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The module of a baseline of one's own."""
    package = re.sub(r"\W", "_", request.node.name)
    (tmp_path / package).mkdir()
    (tmp_path / package / "halfway.py").write_text(BASELINE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return f"{package}.halfway"


def test_it_trains_is_stored_by_its_name_and_is_evaluated_where_it_is_trusted(
    mine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*TOY, f"attention.baseline={mine}.Halfway,none", f"runs_dir={tmp_path / 'runs'}"]
    assert train(["-m", *command], None) == 0
    one = [*TOY, f"attention.baseline={mine}.Halfway", "stop_at=null", f"runs_dir={tmp_path / 'runs'}"]
    composition = compose(one)
    folder = folders.folder_of(composition)
    stored = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    assert stored["attention"]["baseline"] == "Halfway"
    sources = folders.read_sources(folder)
    assert sources["own"] == {"attention.baseline.Halfway": f"{mine}.Halfway"}
    assert f"{mine.replace('.', '/')}.py" in sources["code"]
    assert folders.read_config(folder)["attention"] == composition.tree["attention"]
    capsys.readouterr()
    assert evaluate([str(folder)], None) == 2
    assert f"--trust {mine.partition('.')[0]}" in " ".join(capsys.readouterr().err.split())
    assert evaluate([str(folder), "--trust", mine.partition(".")[0]], None) == 0
    assert compare([str(tmp_path / "runs")], None) == 0
    assert "Halfway" in capsys.readouterr().out


def test_a_file_that_moves_is_no_other_run(mine: str) -> None:
    tree = compose([*TOY, f"attention.baseline={mine}.Halfway"]).tree
    moved = {**tree, "attention": {**tree["attention"], "baseline": "elsewhere.Halfway"}}
    assert identity(tree) == identity(moved) != identity(compose(TOY).tree)


@pytest.mark.parametrize("name", ["none", "self_critical", "soft"])
def test_what_it_costs_and_needs_follows_from_the_controls_that_it_reads(name: str) -> None:
    controls = baseline_class(name, 1).controls
    facts = attnlab.mechanism("hard_reinforce", baseline=name).facts
    assert facts.evaluations == ("samples + 1" if controls else "samples")
    assert facts.needs == ("mixture" if controls == ("soft",) else "value")


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (".halfway.Halfwey", "is no class defined in"),
        (".halfway.function", "is no class defined in"),
        (".nowhere.Halfway", "lies in no module that Python finds"),
        (".halfway.Greedy", "needs samples >= 3, got 1"),
        (".halfway.torch", "is no class defined in"),
    ],
)
def test_what_is_no_baseline_is_told_before_anything_is_made(
    last: str, told: str, mine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = f"attention.baseline={mine.partition('.')[0]}{last}"
    assert train([*TOY, "attention.samples=1", typed, f"runs_dir={tmp_path / 'runs'}"], None) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert told in error and "Traceback" not in error and not (tmp_path / "runs").exists()


def test_a_class_that_is_none_is_told(mine: str) -> None:
    with pytest.raises(ValueError, match="must be a Baseline of attnlab.core.interfaces"):
        baseline_class("torch.nn.Linear", 1)
