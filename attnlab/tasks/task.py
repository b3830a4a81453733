"""What training asks of a task, and the synthetic kind: sequences made on the fly from explicit
generators."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attnlab.randomness import generator_for
from attnlab.settings import Exam, Sequences
from attnlab.tasks.batch import EOS, PAD, SPECIAL, Batch
from attnlab.tasks.references import References


@runtime_checkable
class Task(Protocol):
    """Batches for training, validation and test; the three never share an example stream."""

    source_symbols: int  # size of the source vocabulary, the special symbols included
    target_symbols: int  # size of the target vocabulary, the special symbols included
    longest_target: int  # with EOS, of training and both exams; free-running decoding stops at twice this
    steps_per_epoch: int  # training batches between two validations

    def train(self, step: int) -> Batch:
        """The training batch of a step: a pure function of the task's seed and the step."""
        ...

    def validation(self) -> Iterator[Batch]:
        """All validation batches, the same at every call."""
        ...

    def test(self) -> Iterator[Batch]:
        """All test batches, the same at every call."""
        ...


@runtime_checkable
class Collected(Task, Protocol):
    """A task over data that somebody collected: what a run keeps of them, and what a person should know."""

    # plain values that a run keeps, and that its evaluation hands to the factory as third argument: whatever
    # the numbers of symbols depend on, since the files may be others by then
    vocabulary: Mapping[str, Any]
    counts: Mapping[str, float]  # figures of the data alone, by tag: val/unknown_examples
    notes: Sequence[str]  # sentences for the person who will read the figures
    references: Mapping[str, References]  # of "val" and "test": the targets that are right for a source


_Generate = Callable[[torch.Generator, int], Batch]
"""A task's examples: generator and number of examples -> a batch."""

# examples made at once for validation and test: a constant, so that batch_size changes no exam
EXAM_BATCH = 250


def _certain(batch: Batch) -> Float[Tensor, "B"]:
    return torch.ones(len(batch.source), dtype=torch.float64)


class Synthetic:
    """Examples without end. Training draws from the stream of the seed; validation and test are the same exam
    for all seeds. `generate_test` makes a test that differs from what is trained; `best` says how probable
    the most probable target of each source is, None where that cannot be computed."""

    def __init__(
        self,
        generate: _Generate,
        seed: int,
        batch_size: int,
        symbols: int,
        longest_target: int,
        exam: Exam,
        generate_test: _Generate | None = None,
        best: Callable[[Batch], Float[Tensor, "B"] | None] = _certain,
    ):
        self.generate, self.generate_test = generate, generate_test or generate
        self.seed = seed
        self.batch_size = batch_size
        self.source_symbols = self.target_symbols = symbols
        self.longest_target = longest_target
        self.steps_per_epoch = exam["steps_per_epoch"]
        self.exam, self.best = exam, best
        for make in (self.generate, self.generate_test):
            make(generator_for(seed, "train", 0), 1)  # settings that no example can meet are refused now

    def train(self, step: int) -> Batch:
        """The training batch of a step."""
        return self.generate(generator_for(self.seed, "train", step), self.batch_size)

    def validation(self) -> Iterator[Batch]:
        """`validation_examples` examples."""
        return self._exam(self.generate, "validation", self.exam["validation_examples"])

    def test(self) -> Iterator[Batch]:
        """`test_examples` examples."""
        return self._exam(self.generate_test, "test", self.exam["test_examples"])

    def bayes_accuracy(self) -> dict[str, float]:
        """The accuracy of whoever says the most probable target of each source of an exam, by its tag."""
        exams = {"val": self.validation, "test": self.test}
        found = {name: [self.best(batch) for batch in exam()] for name, exam in exams.items()}
        return {
            f"{name}/bayes_accuracy": torch.cat(parts).mean().item()  # pyright: ignore
            for name, parts in found.items()
            if all(part is not None for part in parts)
        }

    def _exam(self, generate: _Generate, name: str, examples: int) -> Iterator[Batch]:
        for start in range(0, examples, EXAM_BATCH):
            batch = generate(generator_for(0, name, start), EXAM_BATCH)
            yield Batch(*(tensor[: examples - start] for tensor in batch))


def lengths_between(
    generator: torch.Generator, examples: int, shortest: int, longest: int
) -> Int[Tensor, "B 1"]:
    """Uniform lengths from `shortest` to `longest`. Raises ValueError for shortest above longest."""
    if shortest > longest:
        raise ValueError(f"shortest must not exceed longest, got shortest={shortest} and longest={longest}")
    return torch.randint(shortest, longest + 1, (examples, 1), generator=generator)


def sequences(
    generator: torch.Generator, examples: int, settings: Sequences
) -> tuple[Int[Tensor, "B S"], Int[Tensor, "B 1"]]:
    """Sources of uniform symbols and uniform lengths, padded, and the lengths."""
    longest = settings["longest"]
    length = lengths_between(generator, examples, settings["shortest"], longest)
    drawn = torch.randint(SPECIAL, SPECIAL + settings["symbols"], (examples, longest), generator=generator)
    return drawn.where(torch.arange(longest) < length, PAD), length


def close(symbols: Int[Tensor, "B L"], length: Int[Tensor, "B 1"]) -> Int[Tensor, "B L+1"]:
    """The first `length` symbols of each row, EOS behind them, PAD behind that."""
    position = torch.arange(symbols.size(1) + 1)
    longer = torch.nn.functional.pad(symbols, (0, 1))
    return longer.where(position < length, PAD).where(position != length, EOS)


def aligned(position: Int[Tensor, "B L"], length: Int[Tensor, "B 1"], source: int) -> Bool[Tensor, "B L+1 S"]:
    """Gold mask from one right position for each of the first `length` steps; EOS and padding have none."""
    step = torch.arange(position.size(1) + 1)
    longer = torch.nn.functional.pad(position, (0, 1))
    return (longer[..., None] == torch.arange(source)) & (step < length)[..., None]
