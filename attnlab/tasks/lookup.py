"""Lookup: key-value pairs, then queries; the target is the value of each query. Content-based retrieval."""

from typing import Unpack

import torch

from attnlab.settings import Sequences, Size
from attnlab.tasks.batch import PAD, SPECIAL, Batch
from attnlab.tasks.task import Synthetic, aligned, close, lengths_between


def lookup(seed: int, batch_size: int, *, pairs: Size, **settings: Unpack[Sequences]) -> Synthetic:
    """`pairs` pairs k1 v1 k2 v2 ... of distinct keys and uniform values, then `shortest` to `longest` queries
    among the keys.

    Keys and values are `symbols` symbols each, with no symbol in common. Target t is the value of query t,
    and comes from the position of that value. Raises ValueError for more pairs than there are keys.
    """
    longest, symbols = settings["longest"], settings["symbols"]
    if pairs > symbols:
        raise ValueError(
            f"lookup needs distinct keys: pairs must be at most symbols, got pairs={pairs} and "
            f"symbols={symbols}"
        )
    first_value = SPECIAL + symbols

    def generate(generator: torch.Generator, examples: int) -> Batch:
        length = lengths_between(generator, examples, settings["shortest"], longest)
        keys = SPECIAL + torch.rand(examples, symbols, generator=generator).argsort(1)[:, :pairs]
        values = torch.randint(first_value, first_value + symbols, (examples, pairs), generator=generator)
        asked = torch.randint(pairs, (examples, longest), generator=generator)
        query = keys.gather(1, asked).where(torch.arange(longest) < length, PAD)
        source = torch.cat((torch.stack((keys, values), -1).flatten(1), query), 1)
        target = close(values.gather(1, asked), length)
        return Batch(source, target, aligned(2 * asked + 1, length, source.size(1)))

    return Synthetic(generate, seed, batch_size, first_value + symbols, longest + 1, settings)
