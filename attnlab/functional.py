r"""hardmax, argmax, softmax, softargmax and their sparse relatives, as pure functions.

    hardmax(s)   = one-hot vector of the maximum   argmax(s)     = hardmax(s) . positions     (hard attention)
    softmax(b s) = exp(b s) / sum exp(b s)         softargmax(s) = softmax(b s) . positions  (soft attention)

Every function takes any leading dimensions and any `dim`. Positions count from 0 along `dim`. What a row of
scores may hold beside finite numbers, in every function and floating dtype:

    -inf  a position that is not there: its share is exactly 0 and it receives no gradient. A row of nothing
          but -inf yields zeros (in `log_softmax` the stand-in for log 0) with zero gradient.
    +inf  the limit of a score that grows: beside it, finite scores have no share and no gradient. Several
          are a tie, which the function resolves as any other: `hardmax` takes the first, the others share.
    nan   the whole row is nan, also where -inf stands, and never a finite answer. `argmax`, an integer,
          is -1 there, which is no position.

Integers are compared and subtracted as integers, however large, and answered in the default dtype. A beta
that is a tensor and not positive is refused where its value can be seen at no cost (on the CPU, outside of
`torch.func.vmap` and `torch.compile`) and yields nan elsewhere.
"""

from numbers import Real

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

Beta = float | Real | Num[Tensor, ""]  # any number: Python's or NumPy's


def softmax(scores: Num[Tensor, "..."], beta: Beta = 1.0, dim: int = -1) -> Float[Tensor, "..."]:
    """The distribution p_i = exp(beta * s_i) / sum_j exp(beta * s_j).

    beta is the inverse temperature: beta -> 0 gives the uniform distribution, beta -> inf gives `hardmax`.
    The shape and dtype are those of the scores. Raises ValueError for a beta that is not positive.
    """
    absent, logits = _shifted_logits(scores, beta, dim)
    return torch.softmax(logits, dim).masked_fill(absent, 0.0)


def log_softmax(scores: Num[Tensor, "..."], beta: Beta = 1.0, dim: int = -1) -> Float[Tensor, "..."]:
    """log p_i of `softmax`; the large finite `lowest(dtype)` stands for log 0, so that 0 * log 0 is 0 and not
    NaN."""
    absent, logits = _shifted_logits(scores, beta, dim)
    log_probs = torch.log_softmax(logits, dim)
    return log_probs.masked_fill(absent | log_probs.isneginf(), lowest(log_probs.dtype))


def hardmax(scores: Num[Tensor, "..."], dim: int = -1) -> Float[Tensor, "..."]:
    """The one-hot vector of the maximum; among equal maxima, the first. It is piecewise constant: there is no
    gradient."""
    rows = _ordered(scores).detach()
    hard = (_positions(rows, dim) == rows.argmax(dim, keepdim=True)) & (rows != -torch.inf)
    return hard.to(_dtype(scores)).masked_fill(rows.isnan().any(dim, keepdim=True), torch.nan)


def argmax(scores: Num[Tensor, "..."], dim: int = -1) -> Int[Tensor, "..."]:
    """hardmax(s) . positions: the int64 index of the maximum, reduced over `dim`; -1 where a row holds nan.
    It has no gradient."""
    rows = _ordered(scores).detach()
    return rows.argmax(dim).masked_fill(rows.isnan().any(dim), -1)


def softargmax(scores: Num[Tensor, "..."], beta: Beta = 1.0, dim: int = -1) -> Float[Tensor, "..."]:
    """softmax(beta * s) . positions: the expected index, a real number, differentiable in the scores; reduced
    over `dim`.

    With beta -> inf it tends to `argmax` (to the mean of the maxima where several are equal). It is computed
    and returned in float32 at least: bfloat16 holds no index above 256 exactly.
    """
    if scores.is_floating_point():
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    return (softmax(scores, beta, dim) * _positions(scores, dim)).sum(dim)


def sparsemax(scores: Num[Tensor, "..."], dim: int = -1) -> Float[Tensor, "..."]:
    """Euclidean projection of the scores onto the simplex: argmin_p |p - s|^2. Martins & Astudillo 2016
    (1602.02068).

    The solution is p_i = max(0, s_i - tau) with tau such that p sums to 1; low scores get exactly 0.
    """
    absent, z = _top_at_zero(scores, dim)
    count = _positions(z, dim) + 1
    ordered = z.detach().sort(dim, descending=True).values
    # the k largest form the support as long as 1 + k z_k > z_1 + ... + z_k
    size = (1 + count * ordered > ordered.cumsum(dim)).sum(dim, keepdim=True)
    threshold = (ordered.cumsum(dim).gather(dim, size.clamp_min(1) - 1) - 1) / size
    support = z.detach() > threshold
    tau = ((z * support).sum(dim, keepdim=True) - 1) / support.sum(dim, keepdim=True)
    return ((z - tau) * support).masked_fill(absent, 0.0).to(_dtype(scores))


def entmax15(scores: Num[Tensor, "..."], dim: int = -1) -> Float[Tensor, "..."]:
    """argmax_p p . s + H(p), H the Tsallis entropy of alpha 1.5: half-way to sparsemax. Peters et al. 2019
    (1905.05702).

    The solution is p_i = max(0, s_i / 2 - tau)^2 with tau such that p sums to 1; low scores get exactly 0.
    """
    absent, z = _top_at_zero(scores, dim)
    z = z / 2
    count = _positions(z, dim) + 1
    ordered = z.detach().sort(dim, descending=True).values
    # tau of the k largest is below their mean by sqrt((1 - their sum of squares about it) / k)
    mean = ordered.cumsum(dim) / count
    spread = (ordered.square().cumsum(dim) - count * mean.square()).clamp_min(0.0)
    threshold = mean - ((1 - spread) / count).clamp_min(0.0).sqrt()
    size = (threshold <= ordered).sum(dim, keepdim=True)
    support = z.detach() > threshold.gather(dim, size.clamp_min(1) - 1)
    number = support.sum(dim, keepdim=True)
    centre = (z * support).sum(dim, keepdim=True) / number
    spread = ((z - centre).square() * support).sum(dim, keepdim=True)
    tau = centre - ((1 - spread) / number).sqrt()
    return ((z - tau).square() * support).masked_fill(absent, 0.0).to(_dtype(scores))


def entropy(probs: Float[Tensor, "..."], dim: int = -1) -> Float[Tensor, "..."]:
    """-sum_i p_i log p_i in nats, reduced over `dim`; 0 log 0 is 0, with a finite gradient; nan stays nan."""
    present = torch.where(probs > 0, probs, 1.0)
    return -(probs * present.log()).sum(dim)


def straight_through(hard: Float[Tensor, "..."], soft: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The value of `hard`, bit for bit, with the gradient of `soft`. Bengio et al. 2013 (1308.3432)."""
    return hard.detach() + (soft - soft.detach())


def lowest(dtype: torch.dtype) -> float:
    """What stands for log 0 where -inf would turn gradients into NaN: a quarter of the most negative number
    of the dtype."""
    return torch.finfo(dtype).min / 4


def _dtype(scores: Tensor) -> torch.dtype:
    """Of the answer: that of the scores, the default for integers."""
    return scores.dtype if scores.is_floating_point() else torch.get_default_dtype()


def _ordered(scores: Tensor) -> Tensor:
    """The scores, integers as int64, in which torch compares and subtracts them exactly."""
    if scores.is_floating_point() or scores.is_complex():
        return scores
    if scores.dtype == torch.uint64:  # the upper half becomes positive, the lower negative
        return scores.view(torch.int64) ^ torch.iinfo(torch.int64).min
    return scores.to(torch.int64)


def _positions(scores: Tensor, dim: int) -> Tensor:
    """0, 1, 2, ... along `dim`, shaped to broadcast against the scores."""
    shape = [1] * scores.ndim
    shape[dim] = scores.size(dim)
    return torch.arange(scores.size(dim), device=scores.device).view(shape)


def _shifted_logits(scores: Tensor, beta: Beta, dim: int) -> tuple[Tensor, Tensor]:
    """Where nothing is, and beta * (s - max s), which never overflows and is 0 in a row of nothing."""
    absent, empty, shifted = _below_top(_ordered(scores), dim)
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


def _top_at_zero(scores: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Where nothing is, and s - max s in float32 at least, cut at -4: far below any support, and safe to add
    up."""
    scores = _ordered(scores)
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
