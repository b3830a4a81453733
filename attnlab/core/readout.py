"""What lies behind a choice, read for some alternatives at a time."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

TOGETHER = 2**20
"""How many numbers are worth reading at once: 2 MiB of float32, about what the cache of a core holds."""
HELD = 2**26
"""How many are kept for the backward pass, which reads again what would be more: 256 MiB of float32."""


class Readout(NamedTuple):
    """Logits K B T V of every alternative, read when they are asked for and some alternatives at a time.

    Reading all of them at once takes K * numbers numbers, which is many times what is wanted of them, such as
    the losses K B T. It holds at most `HELD` of these, and those of some alternatives, `TOGETHER` or one
    alternative's: where all are more than `HELD`, the backward pass reads each again (Chen et al. 2016,
    1604.06174).
    """

    read: Callable[[Float[Tensor, "_ B #T R"]], Float[Tensor, "_ B T V"]]
    """Logits by contexts: a function of the contexts alone, without randomness, as it may be called twice."""
    contexts: Float[Tensor, "K B #T R"]
    numbers: int
    """How many numbers it takes to read one alternative: B T times the widths on the way."""

    def logits(self) -> Float[Tensor, "K B T V"]:
        """All of them."""
        return torch.cat([*self.each(lambda logits: logits)])

    def each(self, function: Callable[..., Tensor], *beside: Float[Tensor, "K ..."]) -> Iterator[Tensor]:
        """function(logits, *beside) of some alternatives after others."""

        def of(contexts: Tensor, *rest: Tensor) -> Tensor:
            return function(self.read(contexts), *rest)

        together = max(1, TOGETHER // self.numbers)
        again = len(self.contexts) * self.numbers > HELD
        for part in zip(*(x.split(together) for x in (self.contexts, *beside)), strict=True):
            yield checkpoint(of, *part, use_reentrant=False, preserve_rng_state=False) if again else of(*part)
