"""A finished run answers new sources in its own format and with its own vocabulary; nothing in it changes."""

import io
import itertools
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from running import LITTLE, folder_in, results

import attnlab
from attnlab.cli.evaluate import evaluate
from attnlab.cli.predict import predict
from attnlab.cli.train import train
from attnlab.runs.predicting import Trained
from attnlab.tasks.batch import EOS, Batch
from attnlab.training.answers import predictions

WORDS = "ba\tP-Q\tX\nab\tQ-P\t\naab\tQ-Q-P\tX;Y\nbb\tP-P\tY\na\tQ\t\nbaa\tP-Q-Q\tX\nabé\tQ-P-É\tY\n"
SOURCES = [line.split("\t")[0] + "\t" + line.split("\t")[2] for line in WORDS.splitlines()]
TARGETS = [line.split("\t")[1] for line in WORDS.splitlines()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a person's own data, whose files are gone by now, and one of made data."""
    place = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for name in ("train", "val", "test"):
            (place / f"{name}.tsv").write_text(WORDS, encoding="utf-8")
        files = [f"task.{name}={name}.tsv" for name in ("train", "val", "test")]
        form = ["task.source_separator=''", "task.target_separator='-'", "task.features_column=3"]
        small = ["model.hidden_size=9", "model.embedding_size=8", "batch_size=3", "trainer.max_steps=40"]
        assert train(["task=pairs", *files, *form, *small, "optimizer.lr=0.02"], None) == 0
        [(place / f"{name}.tsv").unlink() for name in ("train", "val", "test")]
        made = ["model=transformer", "model.heads=1", "model.hidden_size=8", "model.longest=11"]
        little = [setting for setting in LITTLE if not setting.startswith("model.")]
        assert train([*made, *little, "attention=hard_chain", "trainer.max_steps=3"], None) == 0
    return place / "runs"


def pairs(runs: Path) -> str:
    return str(folder_in(runs / "pairs"))


def made(runs: Path) -> str:
    return str(folder_in(runs / "reverse"))


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, str]]:
    """The rows that come out."""
    capsys.readouterr()
    assert predict(list(arguments), None) == 0
    heading, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    return [dict(zip(heading, row, strict=True)) for row in rows]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is said, where nothing comes out."""
    capsys.readouterr()
    assert predict(list(arguments), None) == 2
    told = capsys.readouterr()
    assert told.out == "" and "Traceback" not in told.err
    return " ".join(told.err.split()).partition("error: ")[2]


def file(place: Path, lines: Sequence[str], name: str = "new.tsv") -> str:
    (place / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(place / name)


def test_the_share_of_right_outputs_is_the_accuracy_of_the_exam(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = asked(capsys, pairs(runs), file(tmp_path, SOURCES))
    assert [row["source"] + "\t" + row["features"] for row in rows] == SOURCES
    right = [row["prediction"] == target for row, target in zip(rows, TARGETS, strict=True)]
    accuracy = results(Path(pairs(runs)))["test/sequence_accuracy"]
    assert sum(right) / len(right) == pytest.approx(accuracy) and 0 < accuracy
    assert attnlab.load(pairs(runs)).predict(SOURCES) == [row["prediction"] for row in rows]


def test_nothing_in_the_run_changes(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def seen() -> dict[str, tuple[int, bytes]]:
        files = [path for path in Path(pairs(runs)).rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = seen()
    asked(capsys, pairs(runs), file(tmp_path, SOURCES), "--beam", "3", "--alignments", "evaluate_as=argmax")
    assert seen() == before


def held(model: Trained, source: str, row: dict[str, str]) -> None:
    """Hold probability and places of an output to a teacher-forced pass of it alone."""
    (read,) = model.read([source.encode()])
    names = list(model.lines.target_names)
    symbols = [names.index(name) for name in row["prediction"].split(model.lines.separator) if name]
    ended = [] if row["note"] else [EOS]
    target = torch.tensor([[*symbols, *ended]])
    sources = torch.tensor([read.symbols])
    batch = Batch(sources, target, torch.zeros(1, 1, sources.size(1), dtype=torch.bool))
    with torch.no_grad():
        forced = predictions(model.model, batch, model.rule)
    log_prob = forced.log_probs.gather(-1, target[..., None]).sum()
    assert float(row["log_prob"]) == pytest.approx(float(log_prob), abs=2e-4)
    weights, place = forced.probs[0, 0, : len(symbols)].max(-1)
    shown = [f"{at + 1}:{much:.2f}" for at, much in zip(place.tolist(), weights.tolist(), strict=True)]
    assert row["alignment"].split() == shown


def test_beams_are_ranked_with_their_probability_and_where_each_symbol_came_from(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, sources in (pairs(runs), SOURCES), (made(runs), ["4 5 6", "9", "20 4 8 8"]):
        rows = asked(capsys, folder, file(tmp_path, sources), "--beam", "3", "--alignments")
        assert [row["rank"] for row in rows] == ["1", "2", "3"] * len(sources)
        model = attnlab.load(folder)
        for number, source in enumerate(sources):
            three = rows[3 * number : 3 * number + 3]
            log_probs = [float(row["log_prob"]) for row in three]
            assert log_probs == sorted(log_probs, reverse=True)
            assert len({row["prediction"] for row in three}) == 3
            for row in three:
                held(model, source, row)


def test_by_symbol_the_order_is_that_of_the_mean(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = asked(capsys, pairs(runs), file(tmp_path, SOURCES), "--beam", "4", "--length-normalised")
    values = [float(row["log_prob"]) / (len(row["prediction"].split("-")) + 1) for row in rows]
    for start in range(0, len(rows), 4):
        assert all(one >= two - 1e-4 for one, two in itertools.pairwise(values[start : start + 4]))


def test_unknown_symbols_are_marked(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known, strange = asked(capsys, pairs(runs), file(tmp_path, ["ab\tX", "azbq\tX;W"]))
    assert known["note"] == "" and strange["note"] == "unknown W z q"


BAD = {
    b"ab": "expected 2 columns (source, features), got 1: 'ab'",
    b"ab\tQ\tX": "expected 2 columns (source, features), got 3: 'ab\\tQ\\tX'; the target is",
    b"\tX": "expected at least one symbol of source, got an empty column",
    b"": "expected 2 columns (source, features), got an empty line",
    b"ab\tX;": "expected one separator ';' between two symbols of features",
    b"a\xff\tX": "expected UTF-8, got the byte 0xff at position 2",
    b"a\x00b\tX": "expected no NUL",
}


def test_every_line_that_cannot_be_is_named(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad").write_bytes(b"ab\tX\r\n" + b"\n".join(BAD) + b"\n")
    said = refused(capsys, pairs(runs), str(tmp_path / "bad"))
    for number, sentence in list(enumerate(BAD.values(), 2))[:5]:
        assert f"bad, line {number}: {sentence}" in said
    assert said.endswith("and 2 more lines that cannot be")
    for line, sentence in BAD.items():
        with pytest.raises(ValueError) as error:
            attnlab.load(pairs(runs)).read([line])
        assert str(error.value).startswith(f"line 1: {sentence}")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("4 x 5", "expected numbers from 4 to 20, a blank between two, got 'x'"),
        ("4 21", "got '21'"),
        ("3", "got '3'"),
        ("", "got an empty line"),
        ("5 " * 12, "expected at most 11 symbols, which the model can read (model.longest), got 12"),
    ],
)
def test_sources_of_made_tasks_are_their_numbers(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, sentence: str
) -> None:
    said = refused(capsys, made(runs), file(tmp_path, ["4 5 20", line]))
    assert "line 2: " in said and sentence in said
    (row,) = asked(capsys, made(runs), file(tmp_path, ["5 " * 11]))
    assert row["source"] == "5 5 5 5 5 5 5 5 5 5 5" and set(row["prediction"].split()) <= set(
        map(str, range(4, 21))
    )


class Torn(io.BytesIO):
    """A stream that gives a few bytes at a time, wherever letters and lines end."""

    def read1(self, size: int | None = -1, /) -> bytes:
        return self.read(7)


def typed(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    stream: Any = io.TextIOWrapper(Torn(content), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stream)


def test_the_standard_input_is_answered_as_it_comes_up_to_what_cannot_be(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = "".join(f"{source}\n" for source in SOURCES)
    from_file = asked(capsys, pairs(runs), file(tmp_path, SOURCES))
    for content in (whole, "\ufeff" + whole, whole.removesuffix("\n"), whole.replace("\n", "\r\n")):
        typed(content.encode(), monkeypatch)
        found = asked(capsys, pairs(runs), "-")
        assert [row["prediction"] for row in found] == [row["prediction"] for row in from_file]
    typed(f"{SOURCES[0]}\n{SOURCES[1]}\nab\n{SOURCES[2]}\n".encode(), monkeypatch)
    capsys.readouterr()
    assert predict([pairs(runs)], None) == 2
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 3 and "line 3: expected 2 columns" in told.err


def test_an_empty_file_has_no_predictions(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(capsys, pairs(runs), file(tmp_path, [])) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--beam", "0"], "--beam must be a number of outputs from 1 to 1,000, got 0"),
        (["--length-normalised"], "it needs --beam"),
        (["other"], "one FILE is read"),
        (["attention.beta=3"], "attention.beta cannot be changed here, only evaluate_as"),
        (["task.val=x"], "task.val cannot be changed here"),
        (["evaluate_as=best"], "evaluate_as: must be 'same', 'soft'"),
        (["evaluate_as=soft"], "a choice of this attention depends on the step before"),
    ],
)
def test_what_cannot_be_is_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert sentence in refused(capsys, made(runs), file(tmp_path, ["4 5"]), *arguments)


def test_what_is_no_run_or_no_file_is_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "the folder of a run must be given" in refused(capsys)
    assert "is not the folder of a run" in refused(capsys, str(tmp_path))
    assert "expected a file of one source a line" in refused(capsys, pairs(runs), str(tmp_path / "none"))
    assert "expected a file of one source a line" in refused(capsys, pairs(runs), str(tmp_path))


def test_a_rule_changes_what_is_read(runs: Path) -> None:
    soft, hard = (attnlab.load(pairs(runs), evaluate_as=rule) for rule in ("soft", "argmax"))
    one, other = (model.search(model.read(map(str.encode, SOURCES))) for model in (soft, hard))
    assert [best.log_prob for (best,) in one] != [best.log_prob for (best,) in other]


def test_a_measurement_needs_the_files_that_predicting_does_not(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate([pairs(runs)], None) == 2
    assert "val.tsv" in capsys.readouterr().err


@pytest.mark.slow
def test_what_was_told_the_right_positions_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*LITTLE, "attention=oracle", "trainer.max_steps=1", f"runs_dir={tmp_path / 'runs'}"]
    assert train(command, None) == 0
    said = refused(capsys, str(folder_in(tmp_path / "runs")), file(tmp_path, ["4 5"]))
    assert said.startswith("attention=oracle is told the right positions")


def test_a_run_whose_vocabulary_is_damaged_is_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(pairs(runs), tmp_path / "run")
    (tmp_path / "run" / "vocabulary.json").write_text('{"source": ["a"', encoding="utf-8")
    assert "vocabulary.json is damaged" in refused(capsys, str(tmp_path / "run"), file(tmp_path, SOURCES))
