"""Localise: the target is the place of a peak in one or two dimensions, the source a map of heights."""

from typing import Literal, NamedTuple, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attnlab.settings import NonNegative, Positive, Sequences
from attnlab.tasks.batch import PAD, SPECIAL, Batch
from attnlab.tasks.task import Synthetic, aligned, close, lengths_between

Dimensions = Literal[1, 2]


class Relief(NamedTuple):
    """A line, or a square, of n places a side: row by row, D coordinates of each place."""

    where: Int[Tensor, "B P D"]
    size: Int[Tensor, "B 1"]  # n
    circle: bool  # whether the last place of a side is beside the first

    def peak(self, centre: Int[Tensor, "B D"], width: float) -> Float[Tensor, "B P"]:
        """exp(-d^2 / (2 width^2)) of the distance d from the centre."""
        apart = (self.where - centre[:, None]).abs().double()
        if self.circle:
            apart = torch.minimum(apart, self.size[..., None] - apart)
        return torch.exp(-apart.square().sum(-1) / (2 * width**2))

    def number(self, centre: Int[Tensor, "B D"]) -> Int[Tensor, "B 1"]:
        """Which place a centre is, row by row."""
        place = torch.zeros_like(self.size)
        for coordinate in centre.split(1, 1):
            place = place * self.size + coordinate
        return place


def relief(size: Int[Tensor, "B 1"], longest: int, dimensions: Dimensions, circle: bool) -> Relief:
    """The places of sides of each `size`; those behind the last, up to longest^D, are padding."""
    place = torch.arange(longest**dimensions)
    powers = [size**power for power in reversed(range(dimensions))]
    return Relief(torch.stack([place // power % size for power in powers], -1), size, circle)


def localise(
    seed: int,
    batch_size: int,
    *,
    dimensions: Dimensions,
    width: Positive,
    noise: NonNegative,
    second: NonNegative,
    circle: bool,
    **settings: Unpack[Sequences],
) -> Synthetic:
    """A peak exp(-d^2 / (2 width^2)) over the distance d from a uniform centre, on a line of `shortest` to
    `longest` places or a square of so many a side; where `second` > 0 another one, so many times as high, at
    another uniform centre; and normal noise of that deviation. The source are the heights, row by row, each
    rounded to one of `symbols` levels from -1/2 to 3/2; the target is each coordinate of the centre, and all
    come from its position. On a circle the last place is beside the first.

    A guess of a coordinate is right with probability 1 / n. The Bayes-optimal accuracy, of whoever says the
    most probable centre, is the mean of its probability given the source, found by enumerating the centres of
    both peaks; without noise or a second peak it is 1, as long as `width` leaves the levels distinct. Raises
    ValueError for more places a side than symbols, of which each coordinate is one.
    """
    longest, symbols = settings["longest"], settings["symbols"]
    if longest > symbols:
        raise ValueError(
            f"each place a side is told by a symbol: longest must be at most symbols, got longest={longest} "
            f"and symbols={symbols}"
        )

    def generate(generator: torch.Generator, examples: int) -> Batch:
        size = lengths_between(generator, examples, settings["shortest"], longest)
        ground = relief(size, longest, dimensions, circle)
        drawn = torch.rand(2, examples, dimensions, generator=generator)
        centre, other = (drawn * size).long()
        heights = ground.peak(centre, width)
        if second:
            heights = torch.maximum(heights, second * ground.peak(other, width))
        heights = heights + noise * torch.randn(heights.shape, generator=generator)
        source = levels(heights, symbols).where(torch.arange(longest**dimensions) < size**dimensions, PAD)
        whole = torch.full_like(size, dimensions)
        position = ground.number(centre).expand(-1, dimensions)
        return Batch(source, close(centre + SPECIAL, whole), aligned(position, whole, source.size(1)))

    def best(batch: Batch) -> Float[Tensor, "B"] | None:
        found = torch.zeros(len(batch.source), dtype=torch.float64)
        places = (batch.source != PAD).sum(1)
        for number in sorted(places.unique().tolist(), reverse=True):  # what is too much shows at once
            size = torch.tensor([[round(number ** (1 / dimensions))]])
            there = places == number
            ground = relief(size.expand(number, 1), int(size), dimensions, circle)
            peaks = ground.peak(ground.where[0], width)
            likely = _likelihoods(peaks, second, noise, symbols)
            if likely is None:
                return None
            found[there] = _most_probable(likely, batch.source[there, :number] - SPECIAL)
        return found

    return Synthetic(generate, seed, batch_size, SPECIAL + symbols, dimensions + 1, settings, best=best)


def levels(heights: Float[Tensor, "B P"], symbols: int) -> Int[Tensor, "B P"]:
    """The symbol of each height: the nearest of so many levels from -1/2 to 3/2."""
    return ((heights + 0.5) / 2 * (symbols - 1)).round().clamp(0, symbols - 1).long() + SPECIAL


def _likelihoods(
    peaks: Float[Tensor, "C P"], second: float, noise: float, symbols: int
) -> Float[Tensor, "C O P L"] | None:
    """log P(level | centre, other centre) at each place; None where these are more than can be enumerated."""
    means = peaks[:, None]
    if second:
        means = torch.maximum(means, second * peaks)
    if means.numel() * symbols > _MOST:
        return None
    ends = ((torch.arange(symbols + 1) - 0.5) / max(symbols - 1, 1) * 2 - 0.5).double()
    ends[0], ends[-1] = -torch.inf, torch.inf
    if noise:
        shares = torch.special.ndtr((ends - means[..., None]) / noise).diff()
    else:
        own = levels(means.flatten(1), symbols).view_as(means) - SPECIAL
        shares = torch.nn.functional.one_hot(own, symbols).double()
    return shares.clamp_min(torch.finfo(torch.float64).tiny).log()


def _most_probable(likely: Float[Tensor, "C O P L"], source: Int[Tensor, "B P"]) -> Float[Tensor, "B"]:
    """max_c P(c | source), all centres alike before it is seen."""
    seen = torch.nn.functional.one_hot(source, likely.size(-1)).double()
    together = torch.einsum("bpl,copl->bco", seen, likely).logsumexp(2)
    return together.softmax(1).amax(1)


_MOST = 2**22
"""Numbers that a table may have."""
