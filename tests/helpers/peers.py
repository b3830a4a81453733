"""The functions of other libraries that compute what `attnlab.functional` does, and what each is to compute,
written in plain Python."""

import importlib.metadata
import math
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor

Call = Callable[[Tensor], Tensor]
INDICES = ("argmax", "softargmax", "spread")
"""Kinds that reduce a row to one number."""


class Function(NamedTuple):
    """One function of a library, of rows (..., S)."""

    name: str
    kind: str
    """What it is to compute."""
    call: Call
    joint: Call | None = None
    """Over the last two dims together, (..., H, W); None where it cannot be asked for that."""


def libraries() -> dict[str, list[Function]]:
    """Of each library that is installed, by its name and version."""
    makers = {"attnlab": _attnlab, "torch": _torch, "entmax": _entmax, "kornia": _kornia}
    makers["softtorch"] = _softtorch
    return {
        f"{name} {importlib.metadata.version(name).partition('+')[0]}": make()
        for name, make in makers.items()
        if find_spec(name) is not None
    }


def _attnlab() -> list[Function]:
    from attnlab import functional

    kinds = ("softmax", "log_softmax", "hardmax", "argmax", "softargmax", "spread", "sparsemax", "entmax15")
    return [
        Function(kind, kind, function, lambda x, function=function: function(x, dim=(-2, -1)))
        for kind in kinds
        for function in [getattr(functional, kind)]
    ]


def _torch() -> list[Function]:
    functions = (torch.softmax, torch.log_softmax, torch.argmax)
    return [Function(f.__name__, f.__name__, lambda x, f=f: f(x, -1)) for f in functions]


def _entmax() -> list[Function]:
    import entmax  # pyright: ignore[reportMissingImports]

    return [
        Function(kind, kind, lambda x, f=f: f(x, dim=-1))
        for kind in ("sparsemax", "entmax15")
        for f in [getattr(entmax, kind)]
    ]


def _kornia() -> list[Function]:
    from kornia.geometry import subpix  # pyright: ignore[reportMissingImports]

    def softmax(maps: Tensor) -> Tensor:
        return subpix.spatial_softmax2d(maps.reshape(1, -1, *maps.shape[-2:])).view(maps.shape)

    def coordinates(maps: Tensor) -> Tensor:
        found = subpix.spatial_soft_argmax2d(
            maps.reshape(1, -1, *maps.shape[-2:]), normalized_coordinates=False
        )
        return found.flip(-1).view(*maps.shape[:-2], 2)  # it gives the column first

    return [
        Function("spatial_softmax2d", "softmax", lambda x: softmax(x[..., None, :])[..., 0, :], softmax),
        Function(
            "spatial_soft_argmax2d",
            "softargmax",
            lambda x: coordinates(x[..., None, :])[..., 1],
            coordinates,
        ),
    ]


def _softtorch() -> list[Function]:
    import softtorch  # pyright: ignore[reportMissingImports]

    modes: dict[Any, str] = {"smooth": "softmax", "c0": "sparsemax", "hard": "hardmax"}
    return [
        Function(
            f'argmax(mode="{mode}")',
            kind,
            lambda x, mode=mode: softtorch.argmax(x, -1, softness=1.0, standardize=False, mode=mode),
        )
        for mode, kind in modes.items()
    ]


def _shares(kind: str, row: Sequence[float]) -> list[float]:
    """Of one row without NaN; where nothing is, zeros; beside +inf, which is the limit of a growing score,
    the finite ones have none."""
    top = max(row)
    if top == -math.inf:
        return [0.0] * len(row)
    if top == math.inf:
        row = [0.0 if score == math.inf else -math.inf for score in row]
    if kind == "hardmax":
        return [float(i == row.index(max(row))) for i in range(len(row))]
    if kind in ("softmax", "log_softmax"):
        powers = [math.exp(score - max(row)) for score in row]
        return [power / math.fsum(powers) for power in powers]
    power, half = (1, 1.0) if kind == "sparsemax" else (2, 0.5)
    low, high = -2.0, 0.0  # of the threshold below the top, by bisection
    for _ in range(200):
        tau = (low + high) / 2
        shares = [max(0.0, half * (score - max(row)) - tau) ** power for score in row]
        low, high = (tau, high) if math.fsum(shares) > 1 else (low, tau)
    return shares


def _along(kind: str, shares: Sequence[float]) -> float:
    """Of a position that has these shares: where it is (all of one, for argmax), or how far it scatters."""
    mean = math.fsum(share * i for i, share in enumerate(shares))
    if kind != "spread":
        return mean
    return math.sqrt(math.fsum(share * (i - mean) ** 2 for i, share in enumerate(shares)))


def defined(kind: str, row: Sequence[float]) -> list[float] | float:
    """What a function of a kind gives for one row without NaN."""
    if kind in INDICES:
        return _along(kind, _shares("hardmax" if kind == "argmax" else "softmax", row))
    if kind == "log_softmax":
        return [math.log(share) if share else -math.inf for share in _shares(kind, row)]
    return _shares(kind, row)


def coordinates(kind: str, rows: Sequence[Sequence[float]]) -> list[float]:
    """What a function that gives an index gives along both axes of a table that is one row."""
    shares = _shares("hardmax" if kind == "argmax" else "softmax", [score for row in rows for score in row])
    width = len(rows[0])
    table = [shares[i : i + width] for i in range(0, len(shares), width)]
    return [
        _along(kind, [math.fsum(row) for row in each]) for each in (table, list(zip(*table, strict=True)))
    ]
