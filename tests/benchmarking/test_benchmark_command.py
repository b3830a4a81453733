"""The command: wrong input is refused in a sentence, lines come as they are measured, and docs/speed.md is
what it printed."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib.image
import pytest

from attnlab.benchmarking import SECTIONS, page
from attnlab.benchmarking.gauge import Gauge
from attnlab.benchmarking.machine import machine
from attnlab.benchmarking.sections import start, trainer
from attnlab.cli.benchmark import benchmark
from attnlab.config.composing import choices

ROOT = Path(__file__).parents[2]
SPEED = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
FIRST = Gauge("soft", 1.0625, 1.0, 1.125, "plain loop", 12.5, "ms a step")
SECOND = Gauge("hard_exact", 250.0, 2.5, 1000.0, "plain loop", 1234.5, "ms a step")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder to write to, and a section that measures in no time."""

    def gauges(rounds: int) -> Iterator[Gauge]:
        assert rounds == 2
        yield from (FIRST, SECOND)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trainer, "gauges", gauges)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "trainr"], "--only takes trainer, plain,"),
        (["--only", "trainer,"], "got ''"),
        (["--threads", "0"], "--threads must be at least 1, got 0"),
        (["--json", "--markdown"], "two forms of the same figures"),
        (["--out", "file"], "file is a file"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence_before_anything_is_measured(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert benchmark(arguments, "words") == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("error: ") and said in " ".join(told.err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_table_a_file_and_a_picture_say_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark(["--only", "trainer", "--quick"], "words") == 0
    told = capsys.readouterr()
    assert told.err.startswith("processor: ") and "threads: 1" in told.err
    lines = told.out.splitlines()
    assert all(len(line) <= 80 for line in lines) and lines[1].startswith("trainer: A training step")
    assert lines[-3].split() == ["what", "ratio", "quartiles", "1", "is"]
    assert re.split(r" {2,}", lines[-2]) == ["soft", "1.06", "1.00 to 1.12", "plain loop, 12.50 ms a step"]
    assert re.split(r" {2,}", lines[-1])[1:3] == ["250", "2.50 to 1,000"]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "benchmark/speed.csv").read_text(encoding="utf-8"))))
    assert [row["section"] for row in rows] == ["trainer", "trainer"]
    assert [float(row["ratio"]) for row in rows] == [FIRST.ratio, SECOND.ratio]
    assert matplotlib.image.imread(tmp_path / "benchmark" / "speed.png").std() > 0.05


def test_a_line_is_shown_before_the_next_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def gauges(rounds: int) -> Iterator[Gauge]:
        for one in (FIRST, SECOND):
            measured.append(one)
            yield one

    monkeypatch.setattr(trainer, "gauges", gauges)
    lines = page.lines(page.measured(["trainer"], 1))
    assert "trainer" in next(lines) and "ratio" in next(lines) and measured == []
    assert "soft" in next(lines) and measured == [FIRST]


def test_json_is_one_object_with_machine_and_every_digit(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark(["--only", "trainer", "--quick", "--json"], "words") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["machine"] == dict(machine(1)) and found["machine"]["processor"]
    assert found["sections"] == {"trainer": [FIRST._asdict(), SECOND._asdict()]}


def test_a_program_that_fails_ends_the_command_with_its_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(start, "_IMPORTS", "raise SystemExit('no such thing')")
    monkeypatch.setattr(start, "attnlab", lambda *words: ["-c", "print('trained to step 1')"])
    assert benchmark(["--only", "start", "--quick"], "words") == 1
    assert "no such thing" in capsys.readouterr().err and not (tmp_path / "benchmark").exists()


def test_the_page_is_what_was_measured_once() -> None:
    """Every number on it is one of speed.csv, as the command writes it."""
    rows = csv.DictReader(io.StringIO((ROOT / "docs" / "speed.csv").read_text(encoding="utf-8")))
    found: page.Found = {}
    for row in rows:
        ratio, low, high, size = (float(row[key]) for key in ("ratio", "low", "high", "size"))
        one = Gauge(row["what"], ratio, low, high, row["against"], size, row["unit"])
        found.setdefault(row["section"], []).append(one)
    on = dict(re.findall(r"^- (\w+): (.*)$", SPEED, re.MULTILINE))
    assert list(on) == list(machine(1)) and list(found) == list(SECTIONS)
    written = page.markdown(on, iter([(name, iter(gauges)) for name, gauges in found.items()]))
    assert "\n".join(written) + "\n" == SPEED
    assert {one.what for one in found["mechanisms"]} == set(choices("attention")) - {"soft"}
