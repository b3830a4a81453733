r"""hardmax, argmax, softmax, softargmax and their sparse relatives, as pure functions.

    hardmax(s)   = one-hot vector of the maximum   argmax(s)     = hardmax(s) . positions     (hard attention)
    softmax(b s) = exp(b s) / sum exp(b s)         softargmax(s) = softmax(b s) . positions  (soft attention)

Every function takes any leading dimensions and any `dim`, or several, (-2, -1) of a heatmap, whose positions
are then chosen from together. Positions count from 0 along `dim`. What a row of scores may hold beside finite
numbers, in every function and floating dtype:

    -inf  a position that is not there: its share is exactly 0 and it receives no gradient. A row of nothing
          but -inf yields zeros (in `log_softmax` the stand-in for log 0) with zero gradient.
    +inf  the limit of a score that grows: beside it, finite scores have no share and no gradient. Several
          are a tie, which the function resolves as any other: `hardmax` by `ties`, the others share.
    nan   the whole row is nan, also where -inf stands, and never a finite answer. `argmax`, an integer,
          is -1 there, which is no position.

Integers are compared and subtracted as integers, however large, and answered in the default dtype. A beta
that is a tensor and not positive is refused where its value can be seen at no cost (on the CPU, outside of
`torch.func.vmap` and `torch.compile`) and yields nan elsewhere. Beside it, what is no tensor, complex numbers
and a dim without positions are refused, in one line.
"""

import torch
from jaxtyping import Float, Num
from torch import Tensor

from attnlab.coordinates import Positions, deviation, expected
from attnlab.rows import (
    Beta,
    Dims,
    Ties,
    answered_in,
    axes,
    hardest,
    inverse,
    joined,
    ordered,
    parted,
    positions_along,
    precise,
    shifted_logits,
    top_at_zero,
)


def softmax(
    scores: Num[Tensor, "..."], beta: Beta = 1.0, dim: Dims = -1, *, temperature: None = None
) -> Float[Tensor, "..."]:
    """The distribution p_i = exp(beta * s_i) / sum_j exp(beta * s_j).

    beta is the inverse temperature: beta -> 0 gives the uniform distribution, beta -> inf gives `hardmax`.
    The shape and dtype are those of the scores. Raises ValueError for a beta that is not positive.
    """
    row, axis = joined(scores, dim)
    absent, logits = shifted_logits(row, inverse(beta, temperature), axis)
    return parted(torch.softmax(logits, axis).masked_fill(absent, 0.0), scores, dim)


def log_softmax(
    scores: Num[Tensor, "..."], beta: Beta = 1.0, dim: Dims = -1, *, temperature: None = None
) -> Float[Tensor, "..."]:
    """log p_i of `softmax`; the large finite `lowest(dtype)` stands for log 0, so that 0 * log 0 is 0 and not
    NaN."""
    row, axis = joined(scores, dim)
    absent, logits = shifted_logits(row, inverse(beta, temperature), axis)
    log_probs = torch.log_softmax(logits, axis)
    log_probs = log_probs.masked_fill(absent | log_probs.isneginf(), lowest(log_probs.dtype))
    return parted(log_probs, scores, dim)


def hardmax(scores: Num[Tensor, "..."], dim: Dims = -1, *, ties: Ties = "first") -> Float[Tensor, "..."]:
    """The one-hot vector of the maximum; among equal maxima, the first, the last, or equal shares of all
    (`ties`). It is piecewise constant: there is no gradient. Raises ValueError for other ties."""
    row, axis = joined(scores, dim)
    rows = ordered(row).detach()
    hard = hardest(rows, axis, ties).to(answered_in(scores))
    if ties == "average":
        hard = hard / hard.sum(axis, keepdim=True).clamp_min(1)
    return parted(hard.masked_fill(rows.isnan().any(axis, keepdim=True), torch.nan), scores, dim)


def argmax(
    scores: Num[Tensor, "..."], dim: Dims = -1, *, keepdim: bool = False, ties: Ties = "first"
) -> Num[Tensor, "..."]:
    """hardmax(s) . positions: the int64 index of the maximum, reduced over `dim`; -1 where a row holds nan.
    It has no gradient.

    Over several dims it is the index along each, in a last axis. ties="average" is the mean of their indices,
    a real number, and nan where a row holds nan. Raises ValueError for other ties.
    """
    if ties == "average":
        return expected(hardmax(precise(scores), dim, ties=ties), dim, None, None, keepdim)
    row, axis = joined(scores, dim)
    rows = ordered(row).detach()
    index = (hardest(rows, axis, ties) * positions_along(rows, axis)).sum(axis)
    index = index.masked_fill(rows.isnan().any(axis), -1)
    if not isinstance(dim, int):
        along = torch.unravel_index(index.clamp_min(0), [scores.size(one) for one in dim])
        index = torch.stack(along, -1).masked_fill(index[..., None] < 0, -1)
    for one in sorted(axis % scores.ndim for axis in axes(dim)) if keepdim else ():
        index = index.unsqueeze(one)
    return index


def softargmax(
    scores: Num[Tensor, "..."],
    beta: Beta = 1.0,
    dim: Dims = -1,
    *,
    positions: Positions = None,
    period: float | int | None = None,
    keepdim: bool = False,
    temperature: None = None,
) -> Float[Tensor, "..."]:
    """softmax(beta * s) . positions: the expected index, a real number, differentiable in the scores; reduced
    over `dim`. Over several dims, (-2, -1) of a heatmap, the expected coordinates, in a last axis.

    positions: where the entries lie, by default at 0, 1, 2, ... period: of positions on a circle, whose mean
    is the direction of sum_i p_i exp(2 pi i x_i / period), from 0 to below the period; it does not exist, and
    is arbitrary, where the shares balance out.

    With beta -> inf it tends to `argmax` (to the mean of the maxima where several are equal). Of a peak at c
    of share p over a flat ground of n positions, it is c + (1 - p) n / (n - 1) ((n - 1) / 2 - c), drawn to
    the middle. It is computed and returned in float32 at least: bfloat16 holds no index above 256 exactly.
    Raises ValueError for a beta or a period that is not positive, and for positions that do not fit.

    What it is often taken for, and what it gives:

    >>> x = torch.tensor([0.1, 0.3, 0.6, 2.1, 0.55], requires_grad=True)
    >>> for beta in (1, 10, 100, 1e10):  # an argmax that can be trained: hard enough, it has no gradient
    ...     print(f"{torch.autograd.grad(softargmax(x, beta), x)[0].abs().max():.1e}")
    2.5e-01
    4.8e-06
    0.0e+00
    0.0e+00
    >>> peaks = torch.zeros(11).index_fill(0, torch.tensor([2, 8]), 9.0)
    >>> [f"{softargmax(peaks, beta):.3f}" for beta in (0.1, 1, 1e10)]  # one of two peaks: neither, ever
    ['5.000', '5.000', '5.000']
    >>> hours = torch.full((8,), -torch.inf).index_fill(0, torch.tensor([0, 7]), 0.0)
    >>> softargmax(hours).item(), softargmax(hours, period=8).item()  # a mean of angles: by period alone
    (3.5, 7.5)
    >>> peak = torch.exp(-(torch.arange(64) - 10).square() / 8)
    >>> round(softargmax(peak).item())  # the place of a peak, at 10: what is 0 around it has shares too
    29
    >>> loss, index = lambda position: (position - 3).square(), torch.arange(5)
    >>> f"{loss(softargmax(x)):.3f}, {softmax(x) @ loss(index).float():.3f}"  # the mean loss: of the mean
    '0.185, 1.333'
    """
    return expected(
        softmax(precise(scores), beta, dim, temperature=temperature), dim, positions, period, keepdim
    )


def spread(
    scores: Num[Tensor, "..."],
    beta: Beta = 1.0,
    dim: Dims = -1,
    *,
    positions: Positions = None,
    period: float | int | None = None,
    keepdim: bool = False,
    temperature: None = None,
) -> Float[Tensor, "..."]:
    """The standard deviation of the position under softmax(beta * s), beside `softargmax`, which takes the
    same settings: near 0 the expected index is an index, else it lies between several.

    On a circle it is period / (2 pi) sqrt(-2 log R), with R the length of the mean direction (Mardia & Jupp
    2000, 2.3.11).
    """
    return deviation(
        softmax(precise(scores), beta, dim, temperature=temperature), dim, positions, period, keepdim
    )


def sparsemax(scores: Num[Tensor, "..."], dim: Dims = -1) -> Float[Tensor, "..."]:
    """Euclidean projection of the scores onto the simplex: argmin_p |p - s|^2. Martins & Astudillo 2016
    (1602.02068).

    The solution is p_i = max(0, s_i - tau) with tau such that p sums to 1; low scores get exactly 0.
    """
    row, axis = joined(scores, dim)
    absent, z = top_at_zero(row, axis)
    count = positions_along(z, axis) + 1
    falling = z.detach().sort(axis, descending=True).values
    # the k largest form the support as long as 1 + k z_k > z_1 + ... + z_k
    size = (1 + count * falling > falling.cumsum(axis)).sum(axis, keepdim=True)
    threshold = (falling.cumsum(axis).gather(axis, size.clamp_min(1) - 1) - 1) / size
    support = z.detach() > threshold
    tau = ((z * support).sum(axis, keepdim=True) - 1) / support.sum(axis, keepdim=True)
    shares = ((z - tau).clamp_min(0.0) * support).masked_fill(absent, 0.0)  # a product alone leaves -0.0
    return parted(shares.to(answered_in(scores)), scores, dim)


def entmax15(scores: Num[Tensor, "..."], dim: Dims = -1) -> Float[Tensor, "..."]:
    """argmax_p p . s + H(p), H the Tsallis entropy of alpha 1.5: half-way to sparsemax. Peters et al. 2019
    (1905.05702).

    The solution is p_i = max(0, s_i / 2 - tau)^2 with tau such that p sums to 1; low scores get exactly 0.
    """
    row, axis = joined(scores, dim)
    absent, z = top_at_zero(row, axis)
    z = z / 2
    count = positions_along(z, axis) + 1
    falling = z.detach().sort(axis, descending=True).values
    # tau of the k largest is below their mean by sqrt((1 - their sum of squares about it) / k)
    mean = falling.cumsum(axis) / count
    spread = (falling.square().cumsum(axis) - count * mean.square()).clamp_min(0.0)
    threshold = mean - ((1 - spread) / count).clamp_min(0.0).sqrt()
    size = (threshold <= falling).sum(axis, keepdim=True)
    support = z.detach() > threshold.gather(axis, size.clamp_min(1) - 1)
    number = support.sum(axis, keepdim=True)
    centre = (z * support).sum(axis, keepdim=True) / number
    spread = ((z - centre).square() * support).sum(axis, keepdim=True)
    tau = centre - ((1 - spread) / number).sqrt()
    shares = ((z - tau).square() * support).masked_fill(absent, 0.0)
    return parted(shares.to(answered_in(scores)), scores, dim)


def entropy(probs: Float[Tensor, "..."], dim: Dims = -1) -> Float[Tensor, "..."]:
    """-sum_i p_i log p_i in nats, reduced over `dim`; 0 log 0 is 0, with a finite gradient; nan stays nan."""
    row, axis = joined(probs, dim)
    present = torch.where(row > 0, row, 1.0)
    return -(row * present.log()).sum(axis)


def straight_through(hard: Float[Tensor, "..."], soft: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The value of `hard`, bit for bit, with the gradient of `soft`. Bengio et al. 2013 (1308.3432)."""
    return hard.detach() + (soft - soft.detach())


def lowest(dtype: torch.dtype) -> float:
    """What stands for log 0 where -inf would turn gradients into NaN: a quarter of the most negative number
    of the dtype."""
    return torch.finfo(dtype).min / 4
