"""Pairs: a person's own sources and targets, from tab-separated files; with features, as inflection needs
them."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from attnlab.randomness import generator_for
from attnlab.settings import DataFile
from attnlab.tasks.batch import PAD, Batch
from attnlab.tasks.reading import Row, read_rows
from attnlab.tasks.references import Encoded, accuracy_ceiling, references_of
from attnlab.tasks.remarks import remarks, unknown_examples, unsplit
from attnlab.tasks.task import EXAM_BATCH
from attnlab.tasks.vocabulary import Vocabulary, vocabulary_of

POOL = 100  # batches' worth of shuffled examples that are sorted by size together


def pairs(
    seed: int,
    batch_size: int,
    vocabulary: Mapping[str, Any] | None = None,
    /,
    *,
    train: DataFile,
    val: DataFile,
    test: DataFile,
    source_separator: str,
    target_separator: str,
    features_column: Literal[1, 2, 3] | None,
) -> "Pairs":
    """Sequences from UTF-8 lines of source, tab, target; nothing is known about their alignment (gold is all
    False).

    source_separator, target_separator: what stands between symbols; '' splits into characters (code points;
    text is taken as it is, neither composed nor decomposed). features_column: which of three columns holds
    features such as V;IND;PRS; of the other two, source comes before target. Features precede the source, as
    symbols of their own.

    The vocabulary is that of the training file; whatever else occurs in val and test becomes UNK. No training
    target holds UNK, so a trained model gives it next to no probability, and a target with an unknown symbol
    counts as wrong with a high nll. Where a run's vocabulary is handed in, the training file is not read, and
    the task has no training examples: it is for measuring that run. Raises ValueError for files that cannot
    be read or have malformed lines, and for separators that end columns or lines.
    """
    for side, separator in ("source", source_separator), ("target", target_separator):
        if set(separator) & set("\t\r\n"):
            raise ValueError(
                f"task.{side}_separator must hold no tab and no line end, which end columns and lines; "
                f"got {separator!r}"
            )
    settings = source_separator, target_separator, features_column
    training = [] if vocabulary is not None else read_rows(train, *settings)
    known = vocabulary_of(training) if vocabulary is None else Vocabulary(vocabulary)
    exams = {"val": read_rows(val, *settings), "test": read_rows(test, *settings)}
    task = Pairs(seed, batch_size, known, training, exams)
    task.notes += unsplit(train, training, settings[:2])
    for path, (name, rows) in zip((val, test), exams.items(), strict=True):
        task.notes += remarks(path, known, rows, task.counts[f"{name}/accuracy_ceiling"])
    for note in task.notes if training else ():  # before hours of training, not only after them
        logging.getLogger(__name__).warning(note)
    return task


class _Ragged(NamedTuple):
    """N sequences of unequal length, one behind the other."""

    symbols: Int[Tensor, " M"]
    start: Int[Tensor, " N"]
    length: Int[Tensor, " N"]

    def padded(self, rows: Int[Tensor, " B"]) -> Int[Tensor, "B L"]:
        """These sequences, with PAD behind all but the longest."""
        length = self.length[rows, None]
        position = torch.arange(int(length.max()))
        index = self.start[rows, None] + position.minimum(length - 1)
        return self.symbols[index].where(position < length, PAD)


class Examples(NamedTuple):
    """Encoded lines: features first in the source, EOS last in the target."""

    source: _Ragged
    target: _Ragged

    def batch(self, rows: list[int]) -> Batch:
        """These rows, padded to the longest of them."""
        index = torch.tensor(rows)
        source = self.source.padded(index)
        return Batch(source, self.target.padded(index), torch.zeros_like(source[:, None], dtype=torch.bool))

    def by_size(self) -> Iterator[Batch]:
        """All rows once, in the same batches at every call, whatever the seed and the batch size of
        training."""
        for rows in self.sizes().argsort(stable=True).split(EXAM_BATCH):
            yield self.batch(rows.tolist())

    def sizes(self) -> Int[Tensor, " N"]:
        """What to sort by for little padding: the length of the source, then that of the target."""
        widest = max(self.target.length.tolist(), default=0)
        return self.source.length * (widest + 1) + self.target.length


class Pairs:
    """A task over rows in memory. An epoch is every training row once, in an order given by seed and
    epoch."""

    def __init__(
        self, seed: int, batch_size: int, known: Vocabulary, train: list[Row], exams: Mapping[str, list[Row]]
    ):
        encoded = {name: list(map(known.encode, rows)) for name, rows in exams.items()}
        self.seed, self.batch_size = seed, batch_size
        self.examples = _examples(list(map(known.encode, train)))
        self.exams = {name: _examples(lines) for name, lines in encoded.items()}
        self.references = {name: references_of(rows, encoded[name]) for name, rows in exams.items()}
        self.vocabulary = known.kept
        self.source_vocabulary, self.target_vocabulary = known.source, known.target
        self.source_symbols, self.target_symbols = len(known.source), len(known.target)
        targets = [int(exam.target.length.max()) for exam in self.exams.values()]
        self.longest_target = max([known.longest_target, *targets])
        self.counts: dict[str, float] = {}
        for name, rows in exams.items():
            self.counts[f"{name}/unknown_examples"] = float(unknown_examples(known, rows))
            self.counts[f"{name}/accuracy_ceiling"] = accuracy_ceiling(encoded[name])
        self.notes: list[str] = []
        self.sizes = self.examples.sizes()
        self.steps_per_epoch = max(1, -(-len(train) // batch_size))
        # an epoch and its plan, so that a step costs little
        self._cache: tuple[int, list[list[int]]] = -1, []

    def train(self, step: int) -> Batch:
        """The training batch of a step: a pure function of seed and step."""
        assert len(self.sizes), "built for measuring a run: the training file was not read"
        epoch, index = divmod(step, self.steps_per_epoch)
        if self._cache[0] != epoch:
            generator = generator_for(self.seed, "train", epoch)
            self._cache = epoch, epoch_plan(self.sizes, self.batch_size, generator)
        return self.examples.batch(self._cache[1][index])

    def validation(self) -> Iterator[Batch]:
        """All validation batches, the same at every call."""
        return self.exams["val"].by_size()

    def test(self) -> Iterator[Batch]:
        """All test batches, the same at every call."""
        return self.exams["test"].by_size()


def epoch_plan(sizes: Int[Tensor, " N"], batch_size: int, generator: torch.Generator) -> list[list[int]]:
    """Rows 0 to N - 1 once each, in batches of similar sizes and random order.

    The shuffled rows are sorted by size within pools of POOL batches, cut into batches, and the batches
    shuffled. The N mod batch_size rows that fill no batch are set apart before sorting: else it would always
    be the longest.
    """
    order = torch.randperm(len(sizes), generator=generator)
    rest = len(order) % batch_size
    pools = [pool[sizes[pool].argsort(stable=True)] for pool in order[rest:].split(POOL * batch_size)]
    batches = [*torch.cat(pools).split(batch_size), order[:rest]]
    batches = [batch.tolist() for batch in batches if len(batch)]
    return [batches[index] for index in torch.randperm(len(batches), generator=generator).tolist()]


def _examples(encoded: Sequence[Encoded]) -> Examples:
    return Examples(*(_ragged([pair[side] for pair in encoded]) for side in (0, 1)))


def _ragged(sequences: Sequence[Sequence[int]]) -> _Ragged:
    length = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.int64)
    symbols = torch.tensor(list(chain.from_iterable(sequences)), dtype=torch.int64)
    return _Ragged(symbols, length.cumsum(0) - length, length)
