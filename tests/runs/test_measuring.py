"""A finished run is read with its own vocabulary, whatever has become of the files it was trained on."""

import json
import shutil
from pathlib import Path

import pytest

from attnlab.cli.evaluate import evaluate
from attnlab.cli.train import train
from attnlab.runs import folders

EXAMS = "trainer.check_val_every_n_epoch=40"
WORDS = "b a b\tP Q P\na b\tQ P\na a b\tQ Q P\nb b\tP P\na\tQ\nb a\tP Q\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data files and, in runs/, a run trained on them."""
    place = tmp_path_factory.mktemp("made")
    for name in ("train", "val", "test"):
        (place / f"{name}.tsv").write_text(WORDS, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        files = [f"task.{name}={name}.tsv" for name in ("train", "val", "test")]
        small = ["model.hidden_size=8", "model.embedding_size=8", "batch_size=2", "trainer.max_steps=120"]
        assert train(["task=pairs", *files, *small, EXAMS, "optimizer.lr=0.02"], None) == 0
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to work in."""
    shutil.copytree(made, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


def run_in(place: Path) -> Path:
    (folder,) = (place / "runs" / "pairs" / "soft").iterdir()
    return folder


def told(folder: Path, *overrides: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """The figures of a measurement, and what is said about them."""
    assert evaluate([str(folder), *overrides], None) == 0
    table, _, said = capsys.readouterr().out.partition("\n\n")
    return table, " ".join(said.split())


def test_a_training_file_that_changed_or_is_gone_changes_nothing(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_in(place)
    before = told(folder, capsys=capsys)
    (place / "train.tsv").write_text(WORDS.replace("a", "z"), encoding="utf-8")
    assert told(folder, capsys=capsys) == before
    (place / "train.tsv").unlink()
    assert told(folder, capsys=capsys) == before
    assert "contents differ" not in before[1] and "word_error_rate" in before[0]
    assert evaluate([str(folder), "task.train=val.tsv"], None) == 2
    assert "task.train changes nothing that is measured" in " ".join(capsys.readouterr().err.split())


def test_files_that_are_not_those_of_the_run_are_named(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_in(place)
    (place / "test.tsv").write_text("x b\tP\n", encoding="utf-8")
    said = told(folder, capsys=capsys)[1]
    assert "task.test=test.tsv is not the file this run was measured on: its contents differ" in said
    assert "task.val" not in said and "test.tsv: 1 of 1 lines hold symbols that training never saw" in said
    (place / "other.tsv").write_text("b-a\tP Q\n", encoding="utf-8")
    said = told(
        folder, "task.test=other.tsv", "task.val=other.tsv", "task.source_separator=-", capsys=capsys
    )[1]
    assert "contents differ" not in said and "task.source_separator is another than in training" in said
    assert "never saw" not in said


def test_a_damaged_vocabulary_is_refused_by_name(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_in(place)
    for content in (
        "[]",
        '{"source": ["a"',
        '{"source": [1], "target": [], "features": [], "longest_target": 3}',
    ):
        (folder / "vocabulary.json").write_text(content, encoding="utf-8")
        assert evaluate([str(folder)], None) == 2
        assert "vocabulary" in capsys.readouterr().err


def test_a_run_without_vocabulary_is_read_anew_and_that_is_said(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_in(place)
    figures = told(folder, capsys=capsys)[0]
    (folder / "vocabulary.json").unlink()
    (folder / "sources.json").unlink()
    again, said = told(folder, capsys=capsys)
    assert again == figures and "its symbols are made anew from task.train=train.tsv" in said


def test_what_to_know_is_kept_with_the_run(place: Path) -> None:
    folder = run_in(place)
    status = folders.read_status(folder)
    assert status["seen"]["val/seen_examples"] == status["seen"]["test/seen_sources"] == 6
    assert any("of 6 examples, 6 were in training too" in note for note in status["notes"])
    results = json.loads((folder / "results.json").read_text())
    assert results["val/unknown_examples"] == 0 and results["val/accuracy_ceiling"] == 1
    assert not any(tag.endswith("regret") for tag in results), (
        "nobody knows what is best for a person's own data"
    )
