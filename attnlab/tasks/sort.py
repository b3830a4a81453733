"""Sort: the target is the source in ascending order. Equal symbols are all right to attend to."""

import torch

from attnlab.base import PAD, SPECIAL, Batch
from attnlab.rules import Count
from attnlab.tasks.task import Synthetic, close, sequences


def sort(
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
    """Sequences of `shortest` to `longest` uniform symbols out of `symbols`; every position of a symbol is right for it."""

    def generate(generator: torch.Generator, examples: int) -> Batch:
        source, length = sequences(generator, examples, shortest, longest, symbols)
        behind = source.masked_fill(source == PAD, SPECIAL + symbols)  # padding sorts behind every symbol
        target = close(behind.sort(dim=1).values, length)
        return Batch(source, target, (target[..., None] == source[:, None]) & (target >= SPECIAL)[..., None])

    exam = steps_per_epoch, validation_examples, test_examples
    return Synthetic(generate, seed, batch_size, SPECIAL + symbols, longest + 1, *exam)
