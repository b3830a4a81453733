"""Majority: the target is the symbol that more than half of the source is. A negative control: all positions
matter, and no single one decides."""

from typing import Unpack

import torch

from attnlab.settings import Sequences
from attnlab.tasks.batch import PAD, SPECIAL, Batch
from attnlab.tasks.task import Synthetic, close, lengths_between


def majority(seed: int, batch_size: int, **settings: Unpack[Sequences]) -> Synthetic:
    """`shortest` to `longest` symbols, of which floor(n / 2) + 1, at random places, are the target and the
    others uniform among the other symbols. No position is marked as right.

    A guess is right with probability 1 / symbols, the symbol of any one position with probability
    (floor(n / 2) + 1) / n, a reader of all of them always. Raises ValueError for a single symbol, of which
    nothing is a minority.
    """
    longest, symbols = settings["longest"], settings["symbols"]
    if symbols < 2:
        raise ValueError(f"majority needs symbols >= 2, got {symbols}")

    def generate(generator: torch.Generator, examples: int) -> Batch:
        length = lengths_between(generator, examples, settings["shortest"], longest)
        winner = torch.randint(symbols, (examples, 1), generator=generator)
        other = torch.randint(1, symbols, (examples, longest), generator=generator)
        there = torch.arange(longest) < length
        drawn = torch.rand(examples, longest, generator=generator).masked_fill(~there, 2.0)
        order = drawn.argsort(1).argsort(1)  # a random number from 0 for every place
        source = torch.where(order <= length // 2, winner, (winner + other) % symbols) + SPECIAL
        one = torch.ones_like(length)
        gold = torch.zeros(examples, 1, longest, dtype=torch.bool)
        return Batch(source.where(there, PAD), close(winner + SPECIAL, one), gold)

    return Synthetic(generate, seed, batch_size, SPECIAL + symbols, 2, settings)
