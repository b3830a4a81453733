"""Flip-flop: the target is what was written last, however much came after it that is to be ignored."""

from collections.abc import Callable
from typing import Annotated, Unpack

import torch
from pydantic import Field

from attnlab.settings import Sequences
from attnlab.tasks.batch import PAD, SPECIAL, Batch
from attnlab.tasks.task import Synthetic, aligned, close, lengths_between

Share = Annotated[float, Field(ge=0, le=1)]
"""A real number from 0 to 1."""
WRITE, IGNORE = SPECIAL, SPECIAL + 1
"""Instructions; the values follow them in the vocabulary."""


def flip_flop(
    seed: int, batch_size: int, *, writes: Share, test_writes: Share, **settings: Unpack[Sequences]
) -> Synthetic:
    """`shortest` to `longest` instructions, each followed by a uniform value out of `symbols`: the first is
    to write it, every other with probability `writes`, in the test `test_writes`, and else to ignore it. The
    target is the value that was written last, and comes from its position. Liu et al. 2023 (2306.00946), with
    one read, at the end.

    A guess is right with probability 1 / symbols; the last of several values, written or not, with
    probability w + (1 - w) / symbols, where w is that of a write; a reader of the source always.
    """
    longest, symbols = settings["longest"], settings["symbols"]

    def generating(share: float) -> Callable[[torch.Generator, int], Batch]:
        def generate(generator: torch.Generator, examples: int) -> Batch:
            length = lengths_between(generator, examples, settings["shortest"], longest)
            number = torch.arange(longest)
            written = (torch.rand(examples, longest, generator=generator) < share) | (number == 0)
            value = torch.randint(symbols, (examples, longest), generator=generator) + IGNORE + 1
            last = number.where(written & (number < length), 0).amax(1, keepdim=True)
            told = torch.stack((torch.where(written, WRITE, IGNORE), value), -1).flatten(1)
            source = told.where(torch.arange(2 * longest) < 2 * length, PAD)
            one = torch.ones_like(length)
            return Batch(source, close(value.gather(1, last), one), aligned(2 * last + 1, one, 2 * longest))

        return generate

    return Synthetic(
        generating(writes), seed, batch_size, IGNORE + 1 + symbols, 2, settings, generating(test_writes)
    )
