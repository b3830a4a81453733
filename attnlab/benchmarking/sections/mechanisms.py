"""A training step of every mechanism, with its defaults, against one of soft attention: default sizes,
without a Trainer."""

from collections.abc import Iterator

from attnlab.benchmarking.gauge import Gauge, gauge, interleaved
from attnlab.benchmarking.steps import block, plain_loop
from attnlab.building import build
from attnlab.config.composing import choices

_STEPS = 2


def gauges(rounds: int) -> Iterator[Gauge]:
    """One for each mechanism but soft, each in turn with soft, in half of the rounds."""
    soft = block(plain_loop(build(["attention=soft"])), _STEPS)
    for name in choices("attention"):
        if name != "soft":
            other = block(plain_loop(build([f"attention={name}"])), _STEPS)
            measured, base = interleaved([other, soft], -(-rounds // 2))
            yield gauge(name, measured, "soft", base, "ms a step", 1000.0 / _STEPS)
