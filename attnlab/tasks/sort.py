"""Sort: the target is the source in ascending order. Equal symbols are all right to attend to."""

from typing import Unpack

import torch

from attnlab.settings import Sequences
from attnlab.tasks.batch import PAD, SPECIAL, Batch
from attnlab.tasks.task import Synthetic, close, sequences


def sort(seed: int, batch_size: int, **settings: Unpack[Sequences]) -> Synthetic:
    """Sequences of `shortest` to `longest` uniform symbols out of `symbols`; every position of a symbol is
    right for it.

    A guess of a symbol is right with probability 1 / symbols, a reader of the source always.
    """

    def generate(generator: torch.Generator, examples: int) -> Batch:
        source, length = sequences(generator, examples, settings)
        # padding sorts behind every symbol
        behind = source.masked_fill(source == PAD, SPECIAL + settings["symbols"])
        target = close(behind.sort(dim=1).values, length)
        return Batch(source, target, (target[..., None] == source[:, None]) & (target >= SPECIAL)[..., None])

    return Synthetic(
        generate, seed, batch_size, SPECIAL + settings["symbols"], settings["longest"] + 1, settings
    )
