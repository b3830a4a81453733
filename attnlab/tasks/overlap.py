"""How much of an exam was in training: examples that a model may know by heart."""

from collections.abc import Iterable, Iterator, Mapping

import torch
from jaxtyping import Int
from torch import Tensor

from attnlab.tasks.batch import PAD, Batch

MOST = 500_000  # training examples that are looked at: seconds, where training takes hours


def seen(training: Iterable[Batch], exams: Mapping[str, Iterable[Batch]]) -> dict[str, float]:
    """Examples of each exam that are among the first MOST of training: by `NAME/seen_examples` those with the
    same source and target, by `NAME/seen_sources` those with the same source.

    Sequences are compared by hashes of 63 bits.
    """
    sources, examples = map(torch.cat, zip(*_keys(_first(training)), strict=True))
    found: dict[str, float] = {}
    for name, batches in exams.items():
        own_sources, own_examples = map(torch.cat, zip(*_keys(batches), strict=True))
        found[f"{name}/seen_examples"] = float(torch.isin(own_examples, examples).sum())
        found[f"{name}/seen_sources"] = float(torch.isin(own_sources, sources).sum())
    return found


def _first(batches: Iterable[Batch]) -> Iterator[Batch]:
    left = MOST
    for batch in batches:
        yield batch
        left -= len(batch.source)
        if left <= 0:
            return


def _keys(batches: Iterable[Batch]) -> Iterator[tuple[Int[Tensor, " B"], Int[Tensor, " B"]]]:
    """Of every example: a number for its source, and one for source and target."""
    for batch in batches:
        source, target = _hash(batch.source), _hash(batch.target)
        yield source, _mixed(source) + target


def _hash(symbols: Int[Tensor, "B L"]) -> Int[Tensor, " B"]:
    """A sum over symbols and their positions that padding does not change; integers overflow, as they may."""
    position = torch.arange(1, symbols.size(1) + 1)
    each = _mixed(symbols * 0x632BE59BD9B4E019 + _mixed(position))
    return each.where(symbols != PAD, 0).sum(1)


def _mixed(number: Int[Tensor, "*N"]) -> Int[Tensor, "*N"]:
    """Numbers that look random: the finalizer of splitmix64 (Steele et al. 2014), with shifts that keep
    signs."""
    number = (number ^ (number >> 30)) * -0x40A7B892E31B1A47
    number = (number ^ (number >> 27)) * -0x6B2FB644ECCEEE15
    return number ^ (number >> 31)
