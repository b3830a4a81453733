"""Max retrieval: the target is the largest symbol of the source. One position decides, and how many others
there are says how sharp attention must be."""

from typing import Unpack

import torch

from attnlab.settings import Sequences, Size
from attnlab.tasks.batch import PAD, SPECIAL, Batch
from attnlab.tasks.task import Synthetic, aligned, close, lengths_between


def max_retrieval(seed: int, batch_size: int, *, gap: Size, **settings: Unpack[Sequences]) -> Synthetic:
    """`shortest` to `longest` symbols, each a rank from 0 to `symbols` - 1; the target is the largest, which
    leads the second by at least `gap` ranks, and comes from its position. Velickovic et al. 2024
    (2410.01104).

    The largest is uniform over the ranks from m = max(gap, symbols // 2) on, so that a guess is right with
    probability 1 / (symbols - m); a reader of the source is always right. Raises ValueError for a gap that
    leaves no rank.
    """
    longest, symbols = settings["longest"], settings["symbols"]
    if gap >= symbols:
        raise ValueError(f"gap must be less than symbols, got gap={gap} and symbols={symbols}")

    def generate(generator: torch.Generator, examples: int) -> Batch:
        length = lengths_between(generator, examples, settings["shortest"], longest)
        top = torch.randint(max(gap, symbols // 2), symbols, (examples, 1), generator=generator)
        below = (torch.rand(examples, longest, generator=generator) * (top - gap + 1)).long()
        place = (torch.rand(examples, 1, generator=generator) * length).long()
        position = torch.arange(longest)
        source = torch.where(position == place, top, below) + SPECIAL
        one = torch.ones_like(length)
        gold = aligned(place, one, longest)
        return Batch(source.where(position < length, PAD), close(top + SPECIAL, one), gold)

    return Synthetic(generate, seed, batch_size, SPECIAL + symbols, 2, settings)
