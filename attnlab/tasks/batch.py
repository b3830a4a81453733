"""Batches of source and target sequences, and the symbols that every vocabulary starts with."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor


class Batch(NamedTuple):
    """Sequences of symbols, padded at the end with PAD (0). The target closes with EOS and carries no BOS.

    gold marks the source positions from which each target symbol comes, where the task knows them; a row
    without True is undefined and counts in no alignment figure.
    """

    source: Int[Tensor, "B S"]
    target: Int[Tensor, "B T"]
    gold: Bool[Tensor, "B #T S"]

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return Batch(*(tensor.to(device) for tensor in self))

    def repeated(self, times: int) -> "Batch":
        """All sequences, so many times over."""
        return Batch(*(torch.cat([part] * times) for part in self))

    def trimmed(self) -> "Batch":
        """The same sequences without the padding that all of them share."""
        positions, steps = (int((part != PAD).sum(1).max()) for part in self[:2])
        return Batch(self.source[:, :positions], self.target[:, :steps], self.gold[:, :steps, :positions])


PAD, BOS, EOS, UNK = 0, 1, 2, 3
"""Symbols that every vocabulary starts with: padding, begin and end of sequence, and what training never
saw."""
SPECIAL = 4
"""How many they are: a task's own symbols start here."""
