"""What lies behind a choice, read for some alternatives at a time."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

TOGETHER = 2**18
"""How many numbers are worth reading at once: 1 MiB of float32, about what the cache of a core holds."""
HELD = 2**26
"""How many are kept for the backward pass, which reads again what would be more: 256 MiB of float32."""


class Readout(NamedTuple):
    """Logits K B T V of every alternative, read when they are asked for and some alternatives at a time.

    Reading all of them at once takes K * numbers numbers, which is many times what is wanted of them, such as
    the losses K B T. It holds at most `HELD` of these, and those of some alternatives, `TOGETHER` or one
    alternative's: where all are more than `HELD`, the backward pass reads each again (Chen et al. 2016,
    1604.06174), and can itself not be differentiated.
    """

    read: Callable[..., Float[Tensor, "_ B T V"]]
    """Logits by contexts: read(contexts, *shared), without randomness, as it may be called twice."""
    contexts: Float[Tensor, "K B #T R"]
    shared: tuple[Tensor, ...]
    """What all are read with: whatever else needs a gradient."""
    numbers: int
    """How many numbers it takes to read one alternative: B T times the widths on the way."""

    @property
    def together(self) -> int:
        """How many alternatives are read at once."""
        return max(1, TOGETHER // self.numbers)

    def logits(self) -> Float[Tensor, "K B T V"]:
        """All of them."""
        return self.of_each(lambda logits: logits)

    def of_each(self, function: Callable[[Tensor], Tensor]) -> Float[Tensor, "K ..."]:
        """function(logits) of all alternatives."""
        if len(self.contexts) * self.numbers <= HELD or not torch.is_grad_enabled():
            return torch.cat([*self.each(function)])

        def of(contexts: Tensor, *shared: Tensor) -> Tensor:
            return function(self.read(contexts, *shared))

        return _Again.apply(of, self.together, self.contexts, *self.shared)  # pyright: ignore

    def each(self, function: Callable[..., Tensor], *beside: Float[Tensor, "K ..."]) -> Iterator[Tensor]:
        """function(logits, *beside) of some alternatives after others."""
        for contexts, *rest in zip(*(x.split(self.together) for x in (self.contexts, *beside)), strict=True):
            yield function(self.read(contexts, *self.shared), *rest)


class _Again(torch.autograd.Function):
    """of(contexts, *shared) for some alternatives after others, which keeps nothing but its arguments.

    torch's own checkpoints keep a graph for each part, between whose pieces the memory of all that is given
    back lies scattered: up to twice what is in use.
    """

    @staticmethod
    def forward(
        ctx: Any, of: Callable[..., Tensor], together: int, contexts: Tensor, *shared: Tensor
    ) -> Tensor:
        kind = contexts.device.type
        ctx.of, ctx.together = of, together
        ctx.autocast = kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
        ctx.save_for_backward(contexts, *shared)
        found = None
        for start, part in zip(range(0, len(contexts), together), contexts.split(together), strict=True):
            some = of(part, *shared)
            found = some.new_empty(len(contexts), *some.shape[1:]) if found is None else found
            found[start : start + len(part)] = some
        assert found is not None
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        contexts, *shared = (given.detach().requires_grad_() for given in ctx.saved_tensors)
        slopes = [torch.empty_like(contexts), *(torch.zeros_like(given) for given in shared)]
        for start in range(0, len(contexts), ctx.together):
            place = slice(start, start + ctx.together)
            part = contexts.detach()[place].requires_grad_()
            with torch.enable_grad(), torch.autocast(*ctx.autocast):
                some = ctx.of(part, *shared)
            if start == 0:
                _refuse_others(some, [part, *shared])
            slopes[0][place], *rest = torch.autograd.grad(
                some, [part, *shared], slope[place], allow_unused=True, materialize_grads=True
            )
            for total, more in zip(slopes[1:], rest, strict=True):
                total += more
        return None, None, *slopes


def _refuse_others(found: Tensor, given: list[Tensor]) -> None:
    """Raises RuntimeError where what was found needs a gradient in something that was not given."""
    known, seen, ahead = {id(one) for one in given}, set(), [found.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        other = getattr(node, "variable", None)
        if other is not None and id(other) not in known:
            raise RuntimeError(
                "Readout: what `read` uses beside the contexts and needs a gradient must be handed in as "
                f"`shared`, and a tensor of shape {tuple(other.shape)} is not"
            )
        ahead += [following for following, _ in node.next_functions]
