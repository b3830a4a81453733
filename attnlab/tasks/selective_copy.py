"""Selective copy: the target is what stands between blanks. Which positions matter, the source alone says."""

from typing import Unpack

import torch

from attnlab.settings import Length, Sequences
from attnlab.tasks.batch import PAD, SPECIAL, Batch
from attnlab.tasks.task import Synthetic, aligned, close, lengths_between


def selective_copy(seed: int, batch_size: int, *, kept: Length, **settings: Unpack[Sequences]) -> Synthetic:
    """`kept` uniform symbols at random places of a source of `shortest` to `longest`, blanks at all others;
    the target is these symbols in order, each from its place. Gu & Dao 2023 (2312.00752).

    A guess of a symbol is right with probability 1 / symbols, a reader of the source always. Raises
    ValueError for more symbols than a source has places.
    """
    longest, symbols = settings["longest"], settings["symbols"]
    blank = SPECIAL + symbols

    def generate(generator: torch.Generator, examples: int) -> Batch:
        length = lengths_between(generator, examples, settings["shortest"], longest)
        there = torch.arange(longest) < length
        drawn = torch.rand(examples, longest, generator=generator).masked_fill(~there, 2.0)
        place = drawn.argsort(1)[:, :kept].sort(1).values
        symbol = torch.randint(SPECIAL, blank, (examples, kept), generator=generator)
        source = torch.full((examples, longest), blank).scatter(1, place, symbol).where(there, PAD)
        whole = torch.full_like(length, kept)
        return Batch(source, close(symbol, whole), aligned(place, whole, longest))

    if kept > settings["shortest"]:
        raise ValueError(
            f"kept must be at most shortest, got kept={kept} and shortest={settings['shortest']}"
        )
    return Synthetic(generate, seed, batch_size, blank + 1, kept + 1, settings)
