"""Copy: the target is the source. The simplest alignment there is, a diagonal."""

import torch

from attnlab.base import SPECIAL, Batch
from attnlab.rules import Count
from attnlab.tasks.task import Synthetic, aligned, close, sequences


def copy(
    seed: int,
    batch_size: int,
    *,
    shortest: Count,
    longest: Count,
    symbols: Count,
    steps_per_epoch: Count,
    validation_examples: Count,
    test_examples: Count,
) -> Synthetic:
    """Sequences of `shortest` to `longest` uniform symbols out of `symbols`; target t comes from source t."""

    def generate(generator: torch.Generator, examples: int) -> Batch:
        source, length = sequences(generator, examples, shortest, longest, symbols)
        position = torch.arange(longest).expand(examples, longest)
        return Batch(source, close(source, length), aligned(position, length, longest))

    exam = steps_per_epoch, validation_examples, test_examples
    return Synthetic(generate, seed, batch_size, SPECIAL + symbols, longest + 1, *exam)
