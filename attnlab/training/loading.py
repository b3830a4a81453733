"""Data loaders as Lightning wants them: of training, from where its epoch stands, and of exams, made once."""

from collections.abc import Callable, Iterable, Iterator

from attnlab.tasks.batch import Batch
from attnlab.tasks.task import Task


class Batches:
    """Something with a length to iterate over more than once; each time it starts where `start` says."""

    def __init__(self, start: Callable[[], Iterator[Batch]], length: int):
        self.start = start
        self.length = length

    def __iter__(self) -> Iterator[Batch]:
        return self.start()

    def __len__(self) -> int:
        return self.length


def resumable(task: Task, reached: Callable[[], tuple[int, int]], between: Callable[[], object]) -> Batches:
    """The batches of an epoch of training. `reached` gives the epoch and how many of its batches were taken;
    it is asked when the first one is wanted, as Lightning makes iterators before it restores a checkpoint's
    progress. `between` is called before each batch."""

    def remaining() -> Iterator[Batch]:
        epoch, taken = reached()
        first = epoch * task.steps_per_epoch
        for position in range(first + taken, first + task.steps_per_epoch):
            between()
            yield task.train(position)

    return Batches(remaining, task.steps_per_epoch)


def held(batches: Iterable[Batch]) -> Batches:
    """An exam: all batches in memory. A list would be many loaders to Lightning."""
    kept = list(batches)
    return Batches(lambda: iter(kept), len(kept))
