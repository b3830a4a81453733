"""Arithmetic of a training step without a Trainer against what a product of two float32 matrices of 1024 rows
reaches: multiplications and additions a second in matrix products, forward and backward, those with padding
included. At default sizes and in the published small setting."""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Size
from torch.utils.flop_counter import FlopCounterMode

from attnlab.benchmarking import words
from attnlab.benchmarking.gauge import Gauge, gauge, interleaved
from attnlab.benchmarking.steps import backward, block, plain_loop
from attnlab.building import Built, build

_ROWS, _STEPS = 1024, 5


def gauges(rounds: int) -> Iterator[Gauge]:
    """One for each setting: arithmetic a second in steps over that in the product."""
    matrix = torch.randn(_ROWS, _ROWS)
    with tempfile.TemporaryDirectory() as folder:
        settings = {"default": [], "published": words.write(Path(folder))}
        for told, overrides in settings.items():
            for mechanism in ("soft", "hard_exact"):
                built = build([*overrides, f"attention={mechanism}"])
                sides = [block(plain_loop(built), _STEPS), lambda: matrix @ matrix]
                steps, product = interleaved(sides, rounds)
                rates = [_of_round(built, n) / value / 1e9 for n, value in enumerate(steps, 1)]
                limits = [2 * _ROWS**3 / value / 1e9 for value in product]
                yield gauge(f"{mechanism}, {told}", rates, "matrix product", limits, "GFLOP/s")


def _of_round(built: Built, number: int) -> int:
    """Operations in the block of steps of a round; the first block is not counted."""
    return sum(operations(built, position) for position in range(number * _STEPS, (number + 1) * _STEPS))


def operations(built: Built, position: int) -> int:
    """Multiplications and additions of a step in matrix products, those of recurrent layers among them."""
    layers = {
        torch.ops.aten.mkldnn_rnn_layer: _forward,
        torch.ops.aten.mkldnn_rnn_layer_backward: _backward,
    }
    with FlopCounterMode(display=False, custom_mapping=layers) as counter:
        backward(built, built.task.train(position), position)
    return counter.get_total_flops()


def _forward(inputs: Size, from_input: Size, from_state: Size, *_: object, **__: object) -> int:
    """Of a recurrent layer, by its shapes: at every step and row, both matrices by a vector."""
    return 2 * math.prod(inputs[:2]) * (math.prod(from_input) + math.prod(from_state))


def _backward(*shapes: Any, **_: object) -> int:
    """As many for the gradients of the vectors, and as many for those of the matrices."""
    return 2 * _forward(*shapes[:3])
