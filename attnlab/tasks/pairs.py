"""Pairs: a person's own sources and targets, from tab-separated files; with features, as inflection needs
them."""

import logging
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from attnlab.base import EOS, PAD, SPECIAL, UNK, Batch
from attnlab.randomness import generator_for
from attnlab.rules import DataFile
from attnlab.tasks.reading import Row, read_rows
from attnlab.tasks.task import EXAM_BATCH

SPECIAL_NAMES = ("<pad>", "<bos>", "<eos>", "<unk>")  # in the order of attnlab.base
POOL = 100  # batches' worth of shuffled examples that are sorted by size together


def pairs(
    seed: int,
    batch_size: int,
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
    counts as wrong with a high nll. Raises ValueError for files that cannot be read or have malformed lines.
    """
    rows = [
        read_rows(path, source_separator, target_separator, features_column) for path in (train, val, test)
    ]
    task = Pairs(seed, batch_size, *rows)
    for path, exam in zip((val, test), task.exams, strict=True):
        _report_unknown(path, exam)
    return task


class Ragged(NamedTuple):
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

    source: Ragged
    target: Ragged

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
        return self.source.length * (self.target.length.max() + 1) + self.target.length


class Pairs:
    """A task over rows in memory. An epoch is every training row once, in an order given by seed and
    epoch."""

    def __init__(self, seed: int, batch_size: int, train: list[Row], validation: list[Row], test: list[Row]):
        features = _symbols(row.features for row in train)
        source = _symbols(row.source for row in train)
        target = _symbols(row.target for row in train)
        self.source_vocabulary = (*SPECIAL_NAMES, *(f"[{feature}]" for feature in features), *source)
        self.target_vocabulary = (*SPECIAL_NAMES, *target)
        # a table each: a feature V and a letter V are different symbols
        feature_ids = {symbol: index for index, symbol in enumerate(features, SPECIAL)}
        source_ids = {symbol: index for index, symbol in enumerate(source, SPECIAL + len(features))}
        target_ids = {symbol: index for index, symbol in enumerate(target, SPECIAL)}

        def encode(rows: list[Row]) -> Examples:
            sources = [_ids(row.features, feature_ids) + _ids(row.source, source_ids) for row in rows]
            return Examples(_ragged(sources), _ragged([[*_ids(row.target, target_ids), EOS] for row in rows]))

        self.seed, self.batch_size = seed, batch_size
        self.examples, self.exams = encode(train), (encode(validation), encode(test))
        self.sizes = self.examples.sizes()
        self.source_symbols = len(self.source_vocabulary)
        self.target_symbols = len(self.target_vocabulary)
        self.longest_target = int(self.examples.target.length.max())
        self.steps_per_epoch = -(-len(train) // batch_size)
        # an epoch and its plan, so that a step costs little
        self._cache: tuple[int, list[list[int]]] = -1, []

    def train(self, step: int) -> Batch:
        """The training batch of a step: a pure function of seed and step."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if self._cache[0] != epoch:
            generator = generator_for(self.seed, "train", epoch)
            self._cache = epoch, epoch_plan(self.sizes, self.batch_size, generator)
        return self.examples.batch(self._cache[1][index])

    def validation(self) -> Iterator[Batch]:
        """All validation batches, the same at every call."""
        return self.exams[0].by_size()

    def test(self) -> Iterator[Batch]:
        """All test batches, the same at every call."""
        return self.exams[1].by_size()


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


def _symbols(sequences: Iterable[list[str]]) -> list[str]:
    """The different symbols, in the order of their code points."""
    return sorted({symbol for sequence in sequences for symbol in sequence})


def _ids(symbols: list[str], table: dict[str, int]) -> list[int]:
    return [table.get(symbol, UNK) for symbol in symbols]


def _ragged(sequences: list[list[int]]) -> Ragged:
    length = torch.tensor([len(sequence) for sequence in sequences])
    return Ragged(torch.tensor(list(chain.from_iterable(sequences))), length.cumsum(0) - length, length)


def _report_unknown(path: str, exam: Examples) -> None:
    """Say so where most rows hold what training never saw: probably the separator or the file is a wrong
    one."""
    for side in ("source", "target"):
        share = (
            torch.cat([(getattr(batch, side) == UNK).any(1) for batch in exam.by_size()])
            .double()
            .mean()
            .item()
        )
        if share > 0.5:
            fact = f"{share:.0%} of the {side}s hold symbols that are not in the training file"
            logging.getLogger(__name__).warning(f"{path}: {fact}; does task.{side}_separator fit?")
