"""One thing measured beside another, round by round, so that a machine which does other things slows both."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch


class Gauge(NamedTuple):
    """What was measured; how often it is what it is held against: the median over rounds, and quartiles."""

    what: str
    ratio: float
    low: float
    high: float
    against: str
    size: float  # of what it is held against, the median
    unit: str  # of the size; the ratio times the size is what was measured


def gauge(
    what: str, measured: Sequence[float], against: str, base: Sequence[float], unit: str, scale: float = 1.0
) -> Gauge:
    """measured / base, round by round. scale: how many units the base is measured in, such as 1000 where it
    is seconds and the unit is milliseconds."""
    ratios = [one / other for one, other in zip(measured, base, strict=True)]
    low, middle, high = _quartiles(ratios)
    return Gauge(what, middle, low, high, against, scale * statistics.median(base), unit)


def _quartiles(values: Sequence[float]) -> Sequence[float]:
    return statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [*values] * 3


def clock() -> float:
    """Seconds of this process on the processor where it works with one thread, which no other program can
    take from it; with several, seconds by the clock."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def seconds(action: Callable[[], object]) -> float:
    """How long it takes."""
    started = clock()
    action()
    return clock() - started


def interleaved(sides: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds that each side takes in each round, all in turn, the other way round in every second round; a
    first call of each is not counted."""
    for side in sides:
        side()
    return taken([lambda side=side: seconds(side) for side in sides], rounds)


def taken(sides: Sequence[Callable[[], float]], rounds: int) -> list[list[float]]:
    """The numbers that each side gives in each round, in the same order."""
    found: list[list[float]] = [[] for _ in sides]
    for number in range(rounds):
        for index in range(len(sides))[:: -1 if number % 2 else 1]:
            found[index].append(sides[index]())
    return found
