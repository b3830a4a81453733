"""What a person should know before believing the figures of a run, in sentences: shown with them, and kept in
its status."""

from collections.abc import Iterator, Mapping

from attnlab.building import Built
from attnlab.tasks.batch import Batch
from attnlab.tasks.overlap import MOST, seen
from attnlab.tasks.task import Collected, Task

_WORTH_SAYING = 0.05  # share of made examples that may be in training too without a word


def notes(task: Task, results: Mapping[str, float]) -> Iterator[str]:
    """Sentences about data and figures; none where there is nothing to say."""
    if isinstance(task, Collected):
        yield from task.notes
    for exam, batches in ("val", task.validation()), ("test", task.test()):
        unfinished = results.get(f"{exam}/unfinished", 0.0)
        if unfinished:
            yield (
                f"{exam}: {unfinished:.2%} of the outputs had not ended after {2 * task.longest_target} "
                "symbols, twice the longest target of all data; they count as wrong"
            )
        examples, sources = (results.get(f"{exam}/seen_{what}", 0) for what in ("examples", "sources"))
        if examples or sources:
            size = sum(len(batch.source) for batch in batches)
            if isinstance(task, Collected) or examples >= _WORTH_SAYING * size:
                yield (
                    f"{exam}: of {size:,} examples, {examples:,.0f} were in training too, source and target "
                    f"alike, and {sources:,.0f} by their source (among the first {MOST:,} of training)"
                )


def seen_in_training(built: Built, steps: int) -> dict[str, float]:
    """How much of the exams was in a training of so many steps."""
    return seen(_trained_on(built, steps), {"val": built.task.validation(), "test": built.task.test()})


def _trained_on(built: Built, steps: int) -> Iterator[Batch]:
    """The batches of so many optimizer steps."""
    task, trainer = built.task, built.config["trainer"]
    limit, together = trainer["limit_train_batches"], trainer["accumulate_grad_batches"]
    whole = task.steps_per_epoch
    batches = min(whole, limit) if isinstance(limit, int) else int(whole * (1.0 if limit is None else limit))
    epochs, rest = divmod(steps, -(-batches // together))
    for number in range(epochs * batches + rest * together):
        epoch, index = divmod(number, batches)
        yield task.train(epoch * whole + index)
