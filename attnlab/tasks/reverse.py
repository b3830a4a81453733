"""Reverse: the target is the source read from its end."""

import torch

from attnlab.base import SPECIAL, Batch
from attnlab.rules import Count
from attnlab.tasks.task import Synthetic, aligned, close, sequences


def reverse(
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
    """Sequences of `shortest` to `longest` uniform symbols out of `symbols`; target t comes from source n - 1 - t of n."""

    def generate(generator: torch.Generator, examples: int) -> Batch:
        source, length = sequences(generator, examples, shortest, longest, symbols)
        mirror = (length - 1 - torch.arange(longest)).clamp_min(0)
        return Batch(source, close(source.gather(1, mirror), length), aligned(mirror, length, longest))

    exam = steps_per_epoch, validation_examples, test_examples
    return Synthetic(generate, seed, batch_size, SPECIAL + symbols, longest + 1, *exam)
