"""Copy: the target is the source. The simplest alignment there is, a diagonal."""

from typing import Unpack

import torch

from attnlab.settings import Sequences
from attnlab.tasks.batch import SPECIAL, Batch
from attnlab.tasks.task import Synthetic, aligned, close, sequences


def copy(seed: int, batch_size: int, **settings: Unpack[Sequences]) -> Synthetic:
    """Sequences of `shortest` to `longest` uniform symbols out of `symbols`; target t comes from source t.

    A guess of a symbol is right with probability 1 / symbols, a reader of the source always.
    """

    def generate(generator: torch.Generator, examples: int) -> Batch:
        source, length = sequences(generator, examples, settings)
        position = torch.arange(source.size(1)).expand_as(source)
        return Batch(source, close(source, length), aligned(position, length, source.size(1)))

    return Synthetic(
        generate, seed, batch_size, SPECIAL + settings["symbols"], settings["longest"] + 1, settings
    )
