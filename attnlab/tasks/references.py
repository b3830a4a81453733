"""Figures by distinct source, where any of several targets is right: as words with several pronunciations are
counted."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from attnlab.tasks.batch import UNK
from attnlab.tasks.reading import Row

Encoded = tuple[Sequence[int], Sequence[int]]
"""Numbers of a source and of a target."""


class _Word(NamedTuple):
    """A line of an exam as one of the lines of its source."""

    share: float  # 1 / lines of this source, so that those of one source count as one
    references: list[list[int]]  # the different targets of this source, without EOS


References = Mapping[tuple[tuple[int, ...], tuple[int, ...]], list[_Word]]
"""Source and target as a batch holds them -> the lines that look like this; more than one where unknown
symbols make different lines alike, or a line is there twice."""


NO_REFERENCES: References = MappingProxyType({})
"""Of a task in which every source has one target."""


def references_of(rows: Iterable[Row], encoded: Iterable[Encoded]) -> References:
    """The references of every line of an exam."""
    rows, encoded = list(rows), list(encoded)
    sources = [(tuple(row.features), tuple(row.source)) for row in rows]
    lines = Counter(sources)
    targets: dict[object, dict[tuple[str, ...], list[int]]] = defaultdict(dict)
    for source, row, (_, target) in zip(sources, rows, encoded, strict=True):
        targets[source][tuple(row.target)] = list(target[:-1])
    found: dict[tuple[tuple[int, ...], tuple[int, ...]], list[_Word]] = defaultdict(list)
    for source, (numbers, target) in zip(sources, encoded, strict=True):
        word = _Word(1 / lines[source], list(targets[source].values()))
        found[tuple(numbers), tuple(target)].append(word)
    return dict(found)


class Compared(NamedTuple):
    """An output, as one of its source."""

    share: float  # of the source, all of whose outputs count as one
    distances: list[int]  # edits to each target of the source
    rates: list[float]  # the same over the length of that target


def compared(
    references: References, lines: Iterable[tuple[list[int], list[int], list[int]]]
) -> Iterator[Compared]:
    """Outputs against all targets of their sources. lines: source, target (with EOS) and output (without)."""
    for source, target, output in lines:
        alike = references[tuple(source), tuple(target)]
        for word in alike:
            distances = [Levenshtein.distance(output, reference) for reference in word.references]
            each = zip(distances, word.references, strict=True)
            rates = [distance / len(reference) for distance, reference in each]
            yield Compared(word.share / len(alike), distances, rates)


def accuracy_ceiling(encoded: Iterable[Encoded]) -> float:
    """The highest share of lines that any model can get right: one output for each source, and none with an
    unknown symbol."""
    targets: dict[tuple[int, ...], Counter[tuple[int, ...]]] = defaultdict(Counter)
    lines = 0
    for source, target in encoded:
        lines += 1
        targets[tuple(source)][tuple(target)] += UNK not in target
    return sum(max(counts.values()) for counts in targets.values()) / lines
