"""A function of the library replaced by a faulty one, and a record of whether that ran and made a
difference."""

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attnlab.randomness import Randomness

Mistake = Callable[..., Any]
"""(original, *its arguments) -> what the faulty function returns."""


@dataclass
class Record:
    """What became of the calls of a planted function."""

    calls: int = 0
    finished: int = 0
    differed: int = 0
    nan: int = 0


def plant(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, mistake: Mistake) -> Record:
    """Put a mistake in the place of owner.name, wherever that was imported, and compare each call with the
    original."""
    original, record = getattr(owner, name), Record()

    @functools.wraps(original)
    def planted(*arguments: Any, **named: Any) -> Any:
        record.calls += 1
        given = list(leaves((arguments, named)))
        generators = [(x, x.get_state()) for x in given if isinstance(x, torch.Generator)]
        try:
            expected = observed(original(*arguments, **named), given)
        except ValueError as error:
            expected = [error]
        for generator, state in generators:
            generator.set_state(state)
        result = mistake(original, *arguments, **named)
        found = observed(result, given)
        record.finished += 1
        record.differed += not (len(found) == len(expected) and all(map(same, found, expected)))
        record.nan += any(isinstance(x, Tensor) and bool(x.isnan().any()) for x in found)
        return result

    modules = [
        module
        for module in list(sys.modules.values())
        if getattr(module, "__dict__", {}).get(name) is original
    ]
    for home in [owner] if isinstance(owner, type) else modules:
        monkeypatch.setattr(home, name, planted)
    return record


def leaves(value: Any) -> Iterator[Any]:
    """What records, lists, mappings and modules hold, all the way down."""
    if isinstance(value, nn.Module):
        yield from value.parameters()
    elif isinstance(value, Randomness):
        yield value.generator
    elif isinstance(value, (tuple, list, Mapping)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from leaves(part)
    else:
        yield value


def observed(result: Any, given: list[Any]) -> list[Any]:
    """A result, and the gradients of its tensors, weighted unevenly, in everything given that has one."""
    values = list(leaves(result))
    outputs = [x for x in values if isinstance(x, Tensor) and x.requires_grad]
    inputs = [x for x in given if isinstance(x, Tensor) and x.requires_grad]
    gradients: tuple[Tensor, ...] = ()
    if outputs and inputs:
        weights = [torch.arange(1, x.numel() + 1).sin().view(x.shape).to(x.dtype) for x in outputs]
        gradients = torch.autograd.grad(
            outputs, inputs, weights, retain_graph=True, allow_unused=True, materialize_grads=True
        )
    return [x.detach().clone() if isinstance(x, Tensor) else x for x in (*values, *gradients)]


def same(one: Any, other: Any) -> bool:
    """Equal bit for bit; of optimizers and the like, of one type."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and one.dtype == other.dtype and one.equal(other)
    return type(one) is type(other) and (one == other or type(one).__eq__ is object.__eq__)
