"""Sources as a person writes them, one a line, and symbols as they are shown: in the format of a run's data,
or as the numbers of a made task."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from attnlab.tasks.batch import EOS, PAD, SPECIAL
from attnlab.tasks.names import names_of
from attnlab.tasks.pairs import Pairs
from attnlab.tasks.reading import decoded, source_reader
from attnlab.tasks.task import Task
from attnlab.tasks.vocabulary import Vocabulary


class Source(NamedTuple):
    """One line."""

    columns: list[str]  # as typed
    symbols: list[int]
    unknown: list[str]  # symbols that training never saw, as typed


class Lines(NamedTuple):
    """How sources are written and symbols are shown."""

    columns: Sequence[str]  # what a line holds, between tabs
    read: Callable[[bytes], Source]  # raises ValueError
    target_names: Sequence[str]  # by number
    separator: str  # between the symbols of an output

    def target(self, symbols: Sequence[int]) -> list[str]:
        """The names of an output, without EOS and padding."""
        return [self.target_names[symbol] for symbol in symbols if symbol not in (EOS, PAD)]


def lines_of(task: Task, settings: Mapping[str, Any]) -> Lines:
    """How the sources of a task are written: those of task=pairs with its separators and features, all others
    as the numbers that batches hold, a blank between two."""
    if not isinstance(task, Pairs):
        return _numbers(task)
    vocabulary = Vocabulary(task.vocabulary)
    columns, parse = source_reader(settings["source_separator"], settings["features_column"])

    def read(line: bytes) -> Source:
        row = parse(line)
        numbers, _ = vocabulary.encode(row)
        return Source(decoded(line).split("\t"), numbers, [symbol for _, symbol in vocabulary.unknown(row)])

    return Lines(columns, read, vocabulary.target, settings["target_separator"])


def _numbers(task: Task) -> Lines:
    """Symbols as numbers; what is none of the task's is refused, as there is nothing for unknown symbols."""

    def read(line: bytes) -> Source:
        text = decoded(line)
        words = text.split()
        known = [word.isdecimal() and SPECIAL <= int(word) < task.source_symbols for word in words]
        if not words or not all(known):
            raise ValueError(
                f"expected numbers from {SPECIAL} to {task.source_symbols - 1}, a blank between two, got "
                + (repr(words[known.index(False)]) if words else "an empty line")
            )
        return Source([" ".join(words)], list(map(int, words)), [])

    return Lines(["source"], read, names_of(task).target, " ")
