"""What every exam measures: one function a metric, with its unit and direction above it.

A function is taken by what it asks for: `Predictions` of the right prefix, or `Outputs` of its own.
"""

import pkgutil
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any, get_type_hints

from torch import Tensor

from attnlab.training.answers import Outputs, Predictions

Ratio = tuple[Tensor | float, Tensor | float]
"""Numerator and denominator; tensors are summed."""
Measure = Callable[[Any], Ratio]


def ours() -> Iterator[Measure]:
    """Every metric of the modules here."""
    for found in pkgutil.iter_modules(__path__, f"{__name__}."):
        module = import_module(found.name)
        yield from (value for value in vars(module).values() if hasattr(value, "metric"))


def metrics_of(paths: Iterable[str]) -> tuple[Measure, ...]:
    """Ours, and functions of a person's own by their paths. Raises ValueError for what is no metric, and for
    one that has the name of another."""
    found = {measure.__name__: measure for measure in ours()}
    for path in paths:
        module, _, name = path.rpartition(".")
        measure = getattr(import_module(module), name)
        if not hasattr(measure, "metric") or kind_of(measure) not in (Predictions, Outputs):
            raise ValueError(
                f"metrics: {path} must be a function of Predictions or Outputs with @Metric(...) above it"
            )
        if name in found:
            raise ValueError(f"metrics: there is a metric {name} already, and {path} would hide it")
        found[name] = measure
    return tuple(found.values())


def kind_of(measure: Measure) -> Any:
    """What a metric asks for: the type of its first argument."""
    return next(iter(get_type_hints(measure).values()), None)
