"""Lookup: key-value pairs, then queries; the target is the value of each query. Content-based retrieval."""

from typing import Unpack

import torch

from attnlab.settings import Extent, Length, Sequences, Size
from attnlab.tasks.batch import PAD, SPECIAL, Batch
from attnlab.tasks.task import Synthetic, aligned, close, lengths_between


def lookup(
    seed: int,
    batch_size: int,
    *,
    pairs: Size,
    key_length: Length,
    shared: Extent,
    **settings: Unpack[Sequences],
) -> Synthetic:
    """`pairs` pairs k1 v1 k2 v2 ... of distinct keys and uniform values, then `shortest` to `longest` queries
    among the keys.

    A key has `key_length` symbols. At `shared` of its places, which each source draws anew, all keys are the
    same, and at every other place no two: with all places but one shared, each key is a near-duplicate of all
    others. Keys and values are out of `symbols` each, with no symbol in common. Target t is the value of
    query t, and comes from the position of that value.

    A guess is right with probability 1 / symbols, a value of the source taken without its key with
    probability 1 / pairs + (1 - 1 / pairs) / symbols, a reader of both always. Raises ValueError for more
    pairs than there are keys, and for keys that share all symbols.
    """
    longest, symbols = settings["longest"], settings["symbols"]
    if pairs > symbols:
        raise ValueError(
            f"lookup needs distinct keys: pairs must be at most symbols, got pairs={pairs} and "
            f"symbols={symbols}"
        )
    if shared >= key_length:
        raise ValueError(
            f"lookup needs distinct keys: shared must be less than key_length, got shared={shared} and "
            f"key_length={key_length}"
        )
    first_value = SPECIAL + symbols

    def generate(generator: torch.Generator, examples: int) -> Batch:
        length = lengths_between(generator, examples, settings["shortest"], longest)
        drawn = torch.rand(examples, key_length, symbols, generator=generator)
        keys = SPECIAL + drawn.argsort(2)[..., :pairs].transpose(1, 2)  # B pairs key_length
        values = torch.randint(first_value, first_value + symbols, (examples, pairs), generator=generator)
        asked = torch.randint(pairs, (examples, longest), generator=generator)
        alike = torch.rand(examples, key_length, generator=generator).argsort(1) < shared
        keys = torch.where(alike[:, None], keys[:, :1], keys)
        query = keys.gather(1, asked[..., None].expand(-1, -1, key_length)).flatten(1)
        query = query.where(torch.arange(longest * key_length) < length * key_length, PAD)
        source = torch.cat((torch.cat((keys, values[..., None]), -1).flatten(1), query), 1)
        place = (key_length + 1) * asked + key_length
        return Batch(source, close(values.gather(1, asked), length), aligned(place, length, source.size(1)))

    return Synthetic(generate, seed, batch_size, first_value + symbols, longest + 1, settings)
