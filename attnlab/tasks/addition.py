"""Addition: the target is the sum of two numbers. A negative control: every digit needs two positions and a
carry, and one position tells nothing."""

from typing import Unpack

import torch

from attnlab.settings import Sequences
from attnlab.tasks.batch import PAD, SPECIAL, Batch
from attnlab.tasks.task import Synthetic, aligned, close, lengths_between


def addition(seed: int, batch_size: int, **settings: Unpack[Sequences]) -> Synthetic:
    """Two numbers of `shortest` to `longest` uniform digits each, in base `symbols`, the highest digit first
    and a plus between them; the target is their sum, of one digit more, the lowest first. A digit comes from
    those of its place in both numbers, of which gold marks both, and the last from the carry alone.

    A guess of a digit is right with probability 1 / symbols, and whoever knows one of its two digits does no
    better; a reader of both, with the carry, is always right. Raises ValueError for a single symbol, which is
    no base.
    """
    longest, base = settings["longest"], settings["symbols"]
    if base < 2:
        raise ValueError(f"addition needs symbols >= 2, got {base}")

    def generate(generator: torch.Generator, examples: int) -> Batch:
        length = lengths_between(generator, examples, settings["shortest"], longest)
        drawn = torch.randint(base, (2, examples, longest), generator=generator)  # the lowest digit first
        one, other = drawn.where(torch.arange(longest) < length, 0)
        total = torch.nn.functional.pad(one + other, (1, 1))
        # a carry comes from the last place that does not hand on the one before it
        deciding = torch.arange(longest + 2).where(total != base - 1, 0).cummax(1).values
        carry = total.gather(1, deciding) >= base
        target = (total[:, 1:] + carry[:, :-1]) % base + SPECIAL
        place = torch.arange(2 * longest + 1)
        first, second = ((end - place).clamp(0, longest - 1) for end in (length - 1, 2 * length))
        source = torch.where(place < length, one.gather(1, first), other.gather(1, second)) + SPECIAL
        source = source.where(place != length, SPECIAL + base).where(place <= 2 * length, PAD)
        gold = [aligned(end - torch.arange(longest), length, len(place)) for end in (length - 1, 2 * length)]
        ended = torch.nn.functional.pad(gold[0] | gold[1], (0, 0, 0, 1))
        return Batch(source, close(target, length + 1), ended)

    return Synthetic(generate, seed, batch_size, SPECIAL + base + 1, longest + 2, settings)
