"""A training step as the source grows longer (batch 16), the batch larger and the samples more (REINFORCE
without a baseline) against the smallest of each: default sizes otherwise, without a Trainer."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from attnlab.benchmarking.gauge import Gauge, gauge, interleaved
from attnlab.benchmarking.steps import block, plain_loop
from attnlab.building import build

_SIZES, _SAMPLES = (16, 32, 64, 128, 256, 512), (1, 2, 4, 8, 16)
_MECHANISMS = ("soft", "hard_reinforce", "hard_exact")


_STEPS = 4  # of the smallest, which are short


class Series(NamedTuple):
    """Runs that differ in one size."""

    mechanism: str
    noun: str  # of the size
    runs: dict[int, list[str]]  # overrides by size, the smallest first


def gauges(rounds: int) -> Iterator[Gauge]:
    """One for each size but the smallest of a series, in a fifth of the rounds."""
    for one in series(rounds):
        first, *others = one.runs
        smallest = block(plain_loop(build(one.runs[first])), _STEPS)
        for size in others:
            larger = block(plain_loop(build(one.runs[size])), 1)
            measured, base = interleaved([larger, smallest], -(-rounds // 5))
            told = f"{one.mechanism}, {one.noun} {size}"
            single = [seconds / _STEPS for seconds in base]
            yield gauge(told, measured, f"{one.noun} {first}", single, "ms a step", 1000.0)


def series(rounds: int) -> Iterator[Series]:
    """What grows; of the smaller half every second where there are few rounds."""

    def some(sizes: Sequence[int]) -> Sequence[int]:
        return sizes if rounds >= 5 else sizes[: len(sizes) // 2 + 1 : 2]

    for name in _MECHANISMS:
        lengths = {size: [f"task.shortest={size}", f"task.longest={size}"] for size in some(_SIZES)}
        yield _series(name, "length", {size: [*said, "batch_size=16"] for size, said in lengths.items()})
        yield _series(name, "batch", {size: [f"batch_size={size}"] for size in some(_SIZES)})
    drawn = {size: [f"attention.samples={size}", "attention.baseline=none"] for size in some(_SAMPLES)}
    yield _series("hard_reinforce", "samples", drawn)


def _series(mechanism: str, noun: str, runs: dict[int, list[str]]) -> Series:
    return Series(mechanism, noun, {size: [f"attention={mechanism}", *said] for size, said in runs.items()})
