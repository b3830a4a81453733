"""Figures by distinct source, where any of several targets is right: as words with several pronunciations are
counted."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from attnlab.tasks.batch import UNK
from attnlab.tasks.reading import Row

Encoded = tuple[Sequence[int], Sequence[int]]
"""Numbers of a source and of a target."""


class Word(NamedTuple):
    """A line of an exam as one of the lines of its source."""

    share: float  # 1 / lines of this source, so that those of one source count as one
    references: list[list[int]]  # the different targets of this source, without EOS


References = Mapping[tuple[tuple[int, ...], tuple[int, ...]], list[Word]]
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
    found: dict[tuple[tuple[int, ...], tuple[int, ...]], list[Word]] = defaultdict(list)
    for source, (numbers, target) in zip(sources, encoded, strict=True):
        word = Word(1 / lines[source], list(targets[source].values()))
        found[tuple(numbers), tuple(target)].append(word)
    return dict(found)


def word_figures(
    references: References, lines: Iterable[tuple[list[int], list[int], list[int]]]
) -> dict[str, tuple[float, float]]:
    """Numerators and denominators of figures over distinct sources; the best of a source's references counts.

    lines: source, target (with EOS) and output (without) of each line. word_error_rate (WER) is the share of
    sources whose output is none of their references; symbol_error_rate (PER, where symbols are phonemes) the
    mean over sources of the smallest edit distance / length of the reference; edit_distance the mean over
    sources of the smallest edit distance.
    """
    above, sources = Counter[str](), 0.0
    for source, target, output in lines:
        alike = references[tuple(source), tuple(target)]
        for word in alike:
            distances = [Levenshtein.distance(output, reference) for reference in word.references]
            each = zip(distances, word.references, strict=True)
            share = word.share / len(alike)
            sources += share
            above["word_error_rate"] += share * (min(distances) > 0)  # pyright: ignore[reportArgumentType]
            rate = min(distance / len(reference) for distance, reference in each)
            above["symbol_error_rate"] += share * rate  # pyright: ignore[reportArgumentType]
            above["edit_distance"] += share * min(distances)  # pyright: ignore[reportArgumentType]
    return {
        name: (float(above[name]), sources)
        for name in ("word_error_rate", "symbol_error_rate", "edit_distance")
    }


def accuracy_ceiling(encoded: Iterable[Encoded]) -> float:
    """The highest share of lines that any model can get right: one output for each source, and none with an
    unknown symbol."""
    targets: dict[tuple[int, ...], Counter[tuple[int, ...]]] = defaultdict(Counter)
    lines = 0
    for source, target in encoded:
        lines += 1
        targets[tuple(source)][tuple(target)] += UNK not in target
    return sum(max(counts.values()) for counts in targets.values()) / lines
