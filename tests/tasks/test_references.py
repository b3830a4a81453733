"""Figures by distinct source against a plain loop, and how much of an exam was in training against a plain
count."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from test_evaluation import distance

from attnlab.building import build
from attnlab.core.interfaces import Choose, Distribution, Pass, Selector
from attnlab.models.model import Encoded, Model
from attnlab.randomness import Randomness
from attnlab.tasks.batch import EOS, PAD, UNK, Batch
from attnlab.tasks.overlap import seen
from attnlab.tasks.pairs import Pairs, pairs
from attnlab.training.exams import Tally, free_running

DATA = Path(__file__).parents[3] / "shared" / "data"


class Answers(Model):
    """Stands for a model: to each source as the task encodes it, one output that is now right, now nearly."""

    def __init__(self, task: Pairs):
        super(Model, self).__init__()
        self.sites = {}
        self.known: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for source, target in sorted(task.references["val"]):
            self.known.setdefault(source, []).append(target)

    def output(self, source: tuple[int, ...]) -> list[int]:
        draw = random.Random(str(source))
        right = [symbol for symbol in draw.choice(self.known[source])[:-1] if symbol != UNK]
        return right[: draw.choice([len(right), 1])] + [4] * draw.choice([0, 0, 1, 2])

    def encode(self, source: torch.Tensor, choose: Choose, randomness: Randomness) -> Encoded:
        return Encoded(self.answers(source), {})

    def start(self, memory: torch.Tensor) -> int:
        return 0

    def step(self, previous: torch.Tensor, state: int, memory: torch.Tensor, *_: Any) -> tuple[Pass, int]:
        logits = torch.nn.functional.one_hot(memory[:, state], int(memory.max()) + 1)
        return Pass(logits[None, :, None].double(), {}), state + 1

    def answers(self, source: torch.Tensor) -> torch.Tensor:
        rows = [self.output(tuple(s for s in row if s != PAD)) + [EOS] for row in source.tolist()]
        width = max(map(len, rows))
        return torch.tensor([row + [PAD] * (width - len(row)) for row in rows])


RULE = Selector(Distribution())


def figures(task: Pairs, batches: Iterator[Batch]) -> dict[str, float]:
    tally, model = Tally(), Answers(task)
    for batch in batches:
        tally.add(free_running(model, batch, RULE, 99, task.references["val"]))
    return tally.figures("val")


def by_source(task: Pairs, lines: list[list[str]], separator: str, column: int | None) -> dict[str, float]:
    """The definitions of the published tables, over lines of text."""
    references: dict[str, list[list[str]]] = {}
    for line in lines:
        source = "\t".join(part for i, part in enumerate(line) if i != 1)
        references.setdefault(source, []).append(line[1].split(separator) if separator else list(line[1]))
    ids = {symbol: i for i, symbol in enumerate(task.source_vocabulary)}
    wrong, rate, edits, model = [], [], [], Answers(task)
    for source, targets in references.items():
        word, *features = source.split("\t")
        names = [f"[{feature}]" for feature in features[0].split(";")] if column else []
        names += word.split(separator) if separator else list(word)
        output = model.output(tuple(ids.get(name, UNK) for name in names))
        spoken = [task.target_vocabulary[symbol] for symbol in output]
        distances = [distance(spoken, target) for target in targets]
        wrong.append(spoken not in targets)
        rate.append(min(d / len(target) for d, target in zip(distances, targets, strict=True)))
        edits.append(min(distances))
    means = [sum(values) / len(references) for values in (wrong, rate, edits)]
    return dict(
        zip(("val/word_error_rate", "val/symbol_error_rate", "val/edit_distance"), means, strict=True)
    )


def task_of(train: Path, val: Path, separator: str = " ", column: Any = None) -> Pairs:
    settings = {"source_separator": separator, "target_separator": separator, "features_column": column}
    return pairs(0, 4, train=str(train), val=str(val), test=str(val), **settings)


def test_each_source_counts_once_by_the_best_of_its_references(tmp_path: Path) -> None:
    train, val = tmp_path / "train.tsv", tmp_path / "val.tsv"
    train.write_text("a b c\tP Q R\nb c d\tS P Q\n", encoding="utf-8")
    draw = random.Random(3)
    lines = []
    for _ in range(150):  # of 4 + 16 + 64 sources, some with symbols that training never saw
        source = " ".join(draw.choice("abxy") for _ in range(draw.choice([1, 2, 3])))
        lines.append([source, " ".join(draw.choice("PQRZ") for _ in range(draw.choice([1, 2, 5])))])
    lines += lines[:20]  # and lines that are there twice
    val.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    task = task_of(train, val)
    found = figures(task, task.validation())
    expected = by_source(task, lines, " ", None)
    assert {tag: found[tag] for tag in expected} == pytest.approx(expected, abs=1e-12)
    assert 0.1 < expected["val/word_error_rate"] < 0.9
    # lines are another matter
    assert abs(1 - found["val/sequence_accuracy"] - expected["val/word_error_rate"]) > 0.05
    single = (task.exams["val"].batch([row]) for row in range(len(lines)))
    assert figures(task, single) == pytest.approx(found, abs=1e-12)


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data sets are not here (../shared/data)")
@pytest.mark.parametrize(
    "train, val, separator, column",
    [
        ("g2p/nettalk.train", "g2p/nettalk.test", " ", None),
        ("inflection/latin.train.medium", "inflection/latin.dev", "", 3),
    ],
)
def test_published_figures_of_real_data_are_those_of_a_plain_loop(
    train: str, val: str, separator: str, column: int | None, tmp_path: Path
) -> None:
    lines = (DATA / f"{val}.tsv").read_text(encoding="utf-8").splitlines()[:150]
    lines += lines[:10]
    (tmp_path / "val.tsv").write_text("\n".join(lines), encoding="utf-8")
    task = task_of(DATA / f"{train}.tsv", tmp_path / "val.tsv", separator, column)
    expected = by_source(task, [line.split("\t") for line in lines], separator, column)
    found = figures(task, task.validation())
    assert {tag: found[tag] for tag in expected} == pytest.approx(expected, abs=1e-12)


def test_outputs_that_do_not_end_are_counted() -> None:
    class Endless(Answers):
        def __init__(self) -> None:
            super(Model, self).__init__()
            self.sites = {}

        def answers(self, source: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[4, EOS, PAD], [4, 5, 6], [EOS, PAD, PAD]])

    target = torch.tensor([[4, EOS, PAD], [4, 5, EOS], [4, EOS, PAD]])
    batch = Batch(torch.full((3, 1), 4), target, torch.zeros(3, 1, 1, dtype=torch.bool))
    found = free_running(Endless(), batch, RULE, 3)
    assert found["unfinished"] == (1, 3) and found["sequence_accuracy"] == (1, 3)


@pytest.mark.parametrize("task", ["copy", "sort"])
def test_examples_of_an_exam_that_were_in_training_are_counted_exactly(task: str) -> None:
    settings = ["task.shortest=1", "task.longest=4", "task.symbols=3", "task.validation_examples=370"]
    built = build([f"task={task}", *settings, "task.test_examples=20", "batch_size=7"])
    steps = range(3, 40)

    def rows(batches: Iterator[Batch]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        return [
            (tuple(s for s in source if s), tuple(s for s in target if s))
            for batch in batches
            for source, target in zip(batch.source.tolist(), batch.target.tolist(), strict=True)
        ]

    trained = rows(map(built.task.train, steps))
    sources, examples = {source for source, _ in trained}, set(trained)
    exam = rows(built.task.validation())
    found = seen(map(built.task.train, steps), {"val": built.task.validation()})
    assert found["val/seen_examples"] == sum(row in examples for row in exam)
    assert found["val/seen_sources"] == sum(source in sources for source, _ in exam)
    assert 0 < found["val/seen_examples"] < 370


def test_lines_of_an_exam_that_were_trained_on_are_counted(tmp_path: Path) -> None:
    train, val = tmp_path / "train.tsv", tmp_path / "val.tsv"
    train.write_text("a b\tP\nb a\tQ\na\tP Q\n", encoding="utf-8")
    val.write_text("a b\tP\na b\tQ\nb\tP\na b x\tP\na\tP Q\n", encoding="utf-8")
    task = task_of(train, val)
    found = seen(map(task.train, range(task.steps_per_epoch)), {"val": task.validation()})
    assert found == {"val/seen_examples": 2, "val/seen_sources": 3}
