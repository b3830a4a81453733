"""What a metric states of itself: which way is better, its unit, its bounds.

It stands above the function in constants, so that it is read without importing torch.
"""

from collections.abc import Callable
from math import inf
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Metric(BaseModel):
    """`@Metric(...)` above a function that measures answers: (numerator, denominator), each a number or a
    tensor that is summed, in all batches together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    better: Literal["higher", "lower", ""]
    """Which way is better; "" where neither is."""
    unit: str
    bounds: tuple[float, float] = (-inf, inf)
    """The lowest and the highest value that there can be."""

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, which now tells what it states."""
        setattr(function, "metric", self)  # noqa: B010 (no attribute that functions have)
        return function


SHARE = (0.0, 1.0)
"""Bounds of a share."""
POSITIVE = (0.0, inf)
"""Bounds of what has no sign."""
