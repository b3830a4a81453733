"""Explicit randomness: every draw is a function of (seed, what it is for, step), so a run can be repeated bit
for bit."""

import contextlib
import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attnlab import functional


class Randomness(NamedTuple):
    """Where draws come from: a generator, and positions to take instead of drawing (-1 = draw)."""

    generator: torch.Generator
    forced: Int[Tensor, "#K #B #T"]


def derive(seed: int, *purpose: str | int) -> int:
    """A seed of its own for each purpose: `derive(0, "train", 17)`. Different purposes give unrelated
    streams."""
    digest = hashlib.blake2b(repr((seed, *purpose)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator_for(seed: int, *purpose: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator at the start of the stream `derive(seed, *purpose)`."""
    return torch.Generator(device).manual_seed(derive(seed, *purpose))


@contextlib.contextmanager
def part() -> Iterator[None]:
    """Within it, torch's global generator runs a stream of its own, whose seed it drew; behind it, it stands
    that one draw further, whatever was drawn within. So no part of a model moves the start of another."""
    seed = int(torch.randint(2**63 - 1, (), device="cpu"))  # also where parameters are only outlined
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def drawing(generator: torch.Generator) -> Randomness:
    """Randomness that forces nothing."""
    return Randomness(generator, torch.full((1, 1, 1), -1, device=generator.device))


def exponential(
    like: Float[Tensor, "*shape"], samples: int, generator: torch.Generator
) -> Float[Tensor, "samples *shape"]:
    """Independent Exp(1) noise for every alternative and entry, in float32 at least; -log of it is Gumbel(0,
    1) noise."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    uniform = torch.empty((samples, *like.shape), dtype=dtype, device=like.device).uniform_(
        generator=generator
    )
    # a uniform 0 stands for what is below its resolution; log(0) would pick masked positions
    return uniform.neg_().log1p_().neg_().clamp_min_(torch.finfo(dtype).eps / 4)


def draw(log_probs: Float[Tensor, "B T S"], samples: int, randomness: Randomness) -> Int[Tensor, "K B T"]:
    """`samples` independent positions a row by the Gumbel-max trick, argmax_s log p_s + G_s; forced ones are
    taken as given. -1, no position, where nothing may be attended."""
    noise = exponential(log_probs, samples, randomness.generator)
    drawn = (log_probs.detach().to(noise.dtype) - noise.log_()).argmax(-1)
    nothing = log_probs.detach().amax(-1) <= functional.lowest(log_probs.dtype)
    return torch.where(randomness.forced >= 0, randomness.forced, drawn).masked_fill(nothing, -1)


def one_hot(position: Int[Tensor, "*B"], like: Float[Tensor, "*C S"]) -> Float[Tensor, "*B S"]:
    """One-hot vectors (..., S) of positions (...), in the dtype of `like` and as long as its last axis; zeros
    for -1."""
    return (position[..., None] == torch.arange(like.size(-1), device=like.device)).to(like.dtype)


def log_prob_of(position: Int[Tensor, "K B T"], log_probs: Float[Tensor, "B T S"]) -> Float[Tensor, "K B T"]:
    """log p of positions (K B T) under log_probs (B T S); 0 for -1."""
    each = log_probs.expand(len(position), *log_probs.shape)
    return each.gather(-1, position[..., None].clamp_min(0)).squeeze(-1).masked_fill(position < 0, 0.0)


def dropout(x: Float[Tensor, "*shape"], rate: float, generator: torch.Generator) -> Float[Tensor, "*shape"]:
    """Each entry 0 with probability `rate`, else divided by 1 - rate; the noise comes from the generator."""
    if rate == 0:
        return x
    keep = torch.empty_like(x).bernoulli_(1 - rate, generator=generator)
    return x * keep / (1 - rate)
