"""What a person sees while something works: one line that is written over on a terminal, lines elsewhere."""

import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from attnlab.text import WIDTH, wrapped

T = TypeVar("T")
CELLS = 12  # of a bar
SELDOM = 3.0  # seconds between two lines


def tell(text: str) -> None:
    """Say on stderr, at once, what is happening."""
    print(wrapped(text), file=sys.stderr, flush=True)


def counting(items: Iterable[T], number: int, noun: str) -> Iterator[T]:
    """The items, one after the other; every few seconds, how far that is."""
    said = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - said > SELDOM:
            said = time.monotonic()
            tell(f"{noun} {done + 1} of {number}")
        yield item


def spoken(seconds: int | float) -> str:
    """A duration for people: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def left(step: int | float, total: int | float, first: int, seconds: float) -> str:
    """The time left at the pace since `first`, `seconds` ago; "" where there is no end or no pace yet."""
    if not math.isfinite(total) or step <= first:
        return ""
    return f"{spoken((total - step) / (step - first) * seconds)} left"


def reached(step: int | float, total: int | float) -> str:
    """`step 100 of 1,500`; without the whole where it has no end."""
    return f"step {step:,.0f}" + (f" of {total:,.0f}" if math.isfinite(total) else "")


def bar(step: int | float, total: int | float, remaining: str, figures: Mapping[str, float | None]) -> str:
    """One line for a whole run, narrower than a terminal: how far it is, the time left, and its figures."""
    full = round(CELLS * min(1.0, step / total)) if math.isfinite(total) else 0
    drawn = f"|{'#' * full}{'-' * (CELLS - full)}| " if math.isfinite(total) else ""
    told = [f"{name} {value:.4g}" for name, value in figures.items() if value is not None]
    line = drawn + ", ".join(filter(None, [reached(step, total), remaining, *told]))
    return line[: WIDTH - 1].ljust(WIDTH - 1)
