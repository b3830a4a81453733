"""What symbols are called where a person sees them."""

from collections.abc import Sequence
from typing import NamedTuple

from attnlab.tasks.batch import SPECIAL
from attnlab.tasks.task import Collected, Task
from attnlab.tasks.vocabulary import SPECIAL_NAMES, Vocabulary


class Names(NamedTuple):
    """By the numbers of the symbols."""

    source: Sequence[str]
    target: Sequence[str]


def names_of(task: Task) -> Names:
    """Symbols of data as they stand there; of a made task, the numbers that its batches hold."""
    if isinstance(task, Collected) and set(task.vocabulary) >= {"source", "target"}:
        vocabulary = Vocabulary(task.vocabulary)
        return Names(vocabulary.source, vocabulary.target)
    sizes = task.source_symbols, task.target_symbols
    source, target = ([*SPECIAL_NAMES, *map(str, range(SPECIAL, size))] for size in sizes)
    return Names(source, target)
