"""Losses and parts of a model that are infinite or not a number."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves


class NonFiniteLoss(RuntimeError):
    """The loss is infinite or not a number; the message names the step."""


@contextlib.contextmanager
def naming_nan(model: nn.Module, step: int, again: Callable[[], object]) -> Iterator[None]:
    """What a model raises where a part of it gives NaN or infinity hides just that: NonFiniteLoss is raised
    instead. `again` computes once more what is computed inside."""
    try:
        yield
    except Exception as error:
        part = _first_not_finite(model, again)
        if part is None:
            raise
        raise NonFiniteLoss(f"the loss is nan at step {step}, {part} not being finite") from error


def _first_not_finite(model: nn.Module, compute: Callable[[], object]) -> str | None:
    """The part of a model, by its name, that is the first to give NaN or +infinity; -infinity is what masks
    are made of."""
    found: list[str] = []

    def looking(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def look(_: nn.Module, __: Any, output: Any) -> None:
            tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
            if any(bool((tensor.isnan() | tensor.isposinf()).any()) for tensor in tensors):
                found.append(name)

        return look

    hooks = [part.register_forward_hook(looking(name)) for name, part in model.named_modules()]
    with torch.no_grad(), contextlib.suppress(Exception):
        compute()
    for hook in hooks:
        hook.remove()
    return found[0] if found else None
