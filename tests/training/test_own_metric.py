"""A metric is one function: in attnlab's own folder by being there, in a package of one's own by its path."""

import json
import re
from pathlib import Path

import pytest
import yaml

from attnlab.cli.compare import compare
from attnlab.cli.evaluate import evaluate
from attnlab.cli.train import train
from attnlab.comparison.metrics import facts
from attnlab.comparison.reading import load_runs
from attnlab.config.composing import compose
from attnlab.runs import folders
from attnlab.runs.identity import identity
from attnlab.training.exams import OURS
from attnlab.training.metrics import metrics_of

METRICS = '''
from attnlab.metric import SHARE, Metric
from attnlab.training.answers import Outputs, Predictions


@Metric(better="lower", unit="symbols a sequence")
def said_in_vain(said: Outputs):
    """Symbols an output is longer than its target."""
    pairs = zip(said.guesses, said.targets, strict=True)
    return float(sum(max(0, len(guess) - len(target)) for guess, target in pairs)), float(len(said.guesses))


@Metric(better="higher", unit="share", bounds=SHARE)
def first_symbol(seen: Predictions):
    """Share of sequences whose first symbol is predicted rightly."""
    return seen.log_probs[:, 0].argmax(-1) == seen.batch.target[:, 0], seen.valid[:, 0]


@Metric(better="lower", unit="none")
def nll(seen: Predictions):
    return 1.0, 1.0


@Metric(better="lower", unit="none")
def of_nothing(seen):
    return 1.0, 1.0


@Metric(better="lower", unit="none")
def single(seen: Predictions):
    return 1.0


@Metric(better="lower", unit="none")
def raises(seen: Predictions):
    return seen.nothing


def plain(seen: Predictions):
    return 1.0, 1.0
'''
ASTRAY = """
from attnlab.metric import Metric


@Metric(better="sideways", unit="none")
def astray(seen: Predictions):
    return 1.0, 1.0
"""
TOY: list[str] = [
    *(
        "attention=soft model.hidden_size=4 model.embedding_size=3 model.readout_size=4 batch_size=4 "
        "trainer.max_steps=4 trainer.log_every_n_steps=2 task.steps_per_epoch=2 task.validation_examples=4 "
        "task.test_examples=4"
    ).split()
]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The module of metrics of one's own."""
    package = re.sub(r"\W", "_", request.node.name)[:40] + str(abs(hash(request.node.name)))
    (tmp_path / package).mkdir()
    (tmp_path / package / "figures.py").write_text(METRICS, encoding="utf-8")
    (tmp_path / package / "astray.py").write_text(ASTRAY, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return f"{package}.figures"


def test_it_is_taken_in_every_exam_and_compared_the_way_it_says(
    mine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = f"metrics=[{mine}.said_in_vain,{mine}.first_symbol]"
    assert (
        train(["-m", *TOY, own, "attention=soft,uniform", "seed=0,1", f"runs_dir={tmp_path / 'runs'}"], None)
        == 0
    )
    run = load_runs(tmp_path / "runs")[0]
    tags = {f"{exam}/{name}" for exam in ("val", "test") for name in ("said_in_vain", "first_symbol")}
    assert tags < run.results.keys() and 0 <= run.results["test/first_symbol"] <= 1
    assert "val/said_in_vain" in run.tags
    stored = yaml.safe_load((run.folder / "config.yaml").read_text(encoding="utf-8"))
    assert stored["metrics"] == ["said_in_vain", "first_symbol"]
    assert run.config["metrics"] == [f"{mine}.said_in_vain", f"{mine}.first_symbol"]
    assert f"{mine.replace('.', '/')}.py" in run.sources["code"]
    assert facts("test/first_symbol").bounds == (0, 1) and facts("val/said_in_vain").better == "lower"
    capsys.readouterr()
    assert compare([str(tmp_path / "runs"), "--metric", "test/said_in_vain"], None) == 0
    assert evaluate([str(run.folder)], None) == 2
    assert f"--trust {mine.partition('.')[0]}" in " ".join(capsys.readouterr().err.split())
    assert evaluate([str(run.folder), "--trust", mine.partition(".")[0]], None) == 0
    assert f"{run.results['test/said_in_vain']:.4f}" in capsys.readouterr().out


def test_a_run_without_it_is_another_run_with_the_same_numbers(mine: str, tmp_path: Path) -> None:
    found = []
    for own in ([], [f"metrics=[{mine}.first_symbol]"]):
        assert train([*TOY, *own, f"runs_dir={tmp_path}"], None) == 0
        composition = compose([*TOY, *own, f"runs_dir={tmp_path}"])
        found.append((identity(composition.tree), folders.read_results(folders.folder_of(composition))))
    (one, before), (other, after) = found
    assert one != other and before == {tag: after[tag] for tag in before}
    assert after.keys() - before.keys() == {"val/first_symbol", "test/first_symbol"}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nll", "there is a metric nll already"),
        ("astray.astray", "states facts that cannot be; better: Input should be"),
        ("of_nothing", "must be a function of Predictions or Outputs with @Metric"),
        ("plain", "states nothing; above it stands @Metric(better=..., unit=...)"),
        ("single", "must give a numerator and a denominator, got 1.0"),
        ("raises", "fails with AttributeError"),
        ("nowhere", "is no function defined in"),
        ("Metric", "is no function defined in"),
    ],
)
def test_what_is_no_metric_is_told_before_anything_is_made(
    name: str, told: str, mine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"{mine}.{name}" if "." not in name else f"{mine.partition('.')[0]}.{name}"
    assert train([*TOY, f"metrics=[{path}]", f"runs_dir={tmp_path / 'runs'}"], None) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert told in error and "Traceback" not in error and not (tmp_path / "runs").exists()


def test_every_metric_of_ours_says_what_it_is() -> None:
    names = [measure.__name__ for measure in OURS]
    assert len(names) == len(set(names)) >= 11
    assert all(measure.__doc__ and facts(f"val/{measure.__name__}").unit for measure in OURS)
    assert metrics_of(()) == OURS
    json.dumps([facts(name).model_dump() for name in names])
