"""What the pure functions do to a row of scores before anything else: what is refused, which positions are
there, and one row out of several dims."""

from numbers import Real
from typing import Any, Literal

import torch
from jaxtyping import Num
from torch import Tensor

Beta = float | Real | Num[Tensor, ""]  # any number: Python's or NumPy's
Ties = Literal["first", "last", "average"]
"""Of equal maxima, the first, the last, or all in equal shares."""
Dims = int | tuple[int, ...]
"""One axis, or several whose positions are chosen from together."""


def axes(dim: Dims) -> tuple[int, ...]:
    """The dims, of one alone too."""
    return (dim,) if isinstance(dim, int) else dim


def joined(scores: Any, dim: Dims) -> tuple[Tensor, int]:
    """The scores with the dims as one, and which that is: of several, the last.

    Raises TypeError for what is no tensor of real numbers, ValueError for a dim without positions.
    """
    if not isinstance(scores, Tensor):
        told = f"got {type(scores).__name__}; torch.as_tensor(...) makes one"
        raise TypeError(f"scores must be a torch.Tensor, {told}")
    if scores.is_complex():
        raise TypeError(f"scores must be real numbers, got a tensor of {scores.dtype}")
    sizes = [scores.size(axis) for axis in axes(dim)]
    if not all(sizes) or not sizes:
        raise ValueError(f"there must be a position to choose, got shape {tuple(scores.shape)}, dim={dim}")
    if isinstance(dim, int):
        return scores, dim
    return scores.movedim(dim, tuple(range(-len(dim), 0))).flatten(-len(dim)), -1


def parted(shares: Tensor, like: Tensor, dim: Dims) -> Tensor:
    """What `joined` made one, as it was in the tensor `like`."""
    if isinstance(dim, int):
        return shares
    sizes = [like.size(axis) for axis in dim]
    return shares.unflatten(-1, sizes).movedim(tuple(range(-len(dim), 0)), dim)


def answered_in(scores: Tensor) -> torch.dtype:
    """Of the answer: that of the scores, the default for integers."""
    return scores.dtype if scores.is_floating_point() else torch.get_default_dtype()


def precise(scores: Tensor) -> Tensor:
    """In float32 at least; integers as they are."""
    if not isinstance(scores, Tensor) or not scores.is_floating_point():
        return scores
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def ordered(scores: Tensor) -> Tensor:
    """The scores, integers as int64, in which torch compares and subtracts them exactly."""
    if scores.is_floating_point() or scores.is_complex():
        return scores
    if scores.dtype == torch.uint64:  # the upper half becomes positive, the lower negative
        return scores.view(torch.int64) ^ torch.iinfo(torch.int64).min
    return scores.to(torch.int64)


def hardest(rows: Tensor, axis: int, ties: Ties) -> Tensor:
    """True at the maximum, of all that are equal with `average`; nowhere in a row of nothing.

    Raises ValueError for other ties.
    """
    if ties not in ("first", "last", "average"):
        raise ValueError(f"ties must be first, last or average, got {ties!r}")
    there = rows != -torch.inf
    if ties == "average":
        return there & (rows == rows.amax(axis, keepdim=True))
    best = rows.argmax(axis, keepdim=True)
    if ties == "last":
        best = rows.size(axis) - 1 - rows.flip(axis).argmax(axis, keepdim=True)
    return there & (positions_along(rows, axis) == best)


def positions_along(scores: Tensor, dim: int) -> Tensor:
    """0, 1, 2, ... along `dim`, shaped to broadcast against the scores."""
    return along(torch.arange(scores.size(dim), device=scores.device), scores, dim)


def along(values: Num[Tensor, "n"], scores: Tensor, dim: int) -> Num[Tensor, "..."]:
    """A value for each position along `dim`, shaped to broadcast against the scores."""
    shape = [1] * scores.ndim
    shape[dim] = -1
    return values.view(shape)


def inverse(beta: Beta, temperature: object) -> Beta:
    """beta. Raises TypeError for a temperature, which is the same number upside down."""
    if temperature is not None:
        raise TypeError(
            f"there is no temperature here: beta = 1 / temperature, got temperature={temperature}"
        )
    return beta


def shifted_logits(scores: Tensor, beta: Beta, dim: int) -> tuple[Tensor, Tensor]:
    """Where nothing is, and beta * (s - max s), which never overflows and is 0 in a row of nothing."""
    absent, empty, shifted = _below_top(ordered(scores), dim)
    return absent, (_positive(beta, shifted.dtype) * shifted).masked_fill(absent & ~empty, -torch.inf)


def _positive(beta: Beta, dtype: torch.dtype) -> float | Tensor:
    """beta, at most the largest number of the dtype; nan for a tensor that is not positive where that cannot
    be seen."""
    if not (_seems_positive(beta) if isinstance(beta, Tensor) else float(beta) > 0):
        raise ValueError(f"beta must be positive, got {beta}; beta -> 0 is uniform, beta -> inf is argmax")
    highest = torch.finfo(dtype).max
    if not isinstance(beta, Tensor):
        return min(float(beta), highest)
    return torch.where(beta > 0, beta, torch.nan).to(dtype).clamp(max=highest)


def _seems_positive(beta: Tensor) -> bool:
    """Whether it is, as far as can be told without waiting for a device or leaving a traced program."""
    if beta.device.type != "cpu" or torch.compiler.is_compiling():
        return True
    try:
        return bool((beta > 0).all())
    except RuntimeError:  # vmap hides values
        return True


def top_at_zero(scores: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Where nothing is, and s - max s in float32 at least, cut at -4: far below any support, and safe to add
    up."""
    scores = ordered(scores)
    if scores.is_floating_point():
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    absent, empty, shifted = _below_top(scores, dim)
    return absent, shifted.masked_fill(absent & ~empty, -4.0).clamp_min(-4.0)


def _below_top(scores: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where nothing is, which rows hold nothing, and s - max s, with a finite 0 where nothing is."""
    top = scores.detach().amax(dim, keepdim=True)
    if not scores.is_floating_point():
        below = scores - top
        below = below.masked_fill(below > 0, torch.iinfo(torch.int64).min)  # the difference went around
        nothing = torch.zeros_like(scores, dtype=torch.bool)
        return nothing, nothing, below.to(torch.get_default_dtype())
    endless = top.isposinf()
    # -inf; beside +inf, every number; beside nan, nothing, so that nan is not covered up
    absent = scores <= torch.where(endless, torch.finfo(top.dtype).max, top - torch.inf)
    return absent, top.isneginf(), (scores - top).masked_fill(absent | endless, 0.0)
