"""Reverse: the target is the source read from its end."""

from typing import Unpack

import torch

from attnlab.settings import Sequences
from attnlab.tasks.batch import SPECIAL, Batch
from attnlab.tasks.task import Synthetic, aligned, close, sequences


def reverse(seed: int, batch_size: int, **settings: Unpack[Sequences]) -> Synthetic:
    """Sequences of `shortest` to `longest` uniform symbols out of `symbols`; target t comes from source n - 1
    - t of n.

    A guess of a symbol is right with probability 1 / symbols, a reader of the source always.
    """

    def generate(generator: torch.Generator, examples: int) -> Batch:
        source, length = sequences(generator, examples, settings)
        mirror = (length - 1 - torch.arange(source.size(1))).clamp_min(0)
        return Batch(source, close(source.gather(1, mirror), length), aligned(mirror, length, source.size(1)))

    return Synthetic(
        generate, seed, batch_size, SPECIAL + settings["symbols"], settings["longest"] + 1, settings
    )
